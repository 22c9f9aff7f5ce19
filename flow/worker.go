package flow

import (
	"context"
	"iter"
	"slices"

	"github.com/go-genstage/genstage/stage"
)

// worker is one stage of a layer in one run: the chain of its operations, with their state. It is
// made in OnInit and used on the stage's goroutine only.
type worker struct {
	name         string
	index, total int  // which of the layer's stages it is
	parts        int  // how many partitions the next layer has; 1 where there are none
	shared       bool // each stage of the next layer gets all events

	feed  func(input any)                                           // hands a batch to the front of the chain
	take  func() []event                                            // returns what came out at its end
	hooks []hook                                                    // of the operations that keep something back, from the front
	tell  func(fn func(ctx context.Context) ([]event, error)) error // of the stage
	stats func() stage.Stats                                        // of the stage

	ctx  context.Context      // of the callback in progress
	from *stage.Subscription  // whose events are in hand, nil when there are none
	push func(out event) bool // where an expander's events go, while it is pulled

	timers  []*timer
	closers []func() // called when the run has ended

	err  error // the first failure: nothing more is to be done
	full bool  // nothing more is wanted, as after a Take
}

// hook is called where an operation that keeps something back has to let go of it. Hooks run from
// the front of the chain to its back. Any function may be nil.
type hook struct {
	came  func(sub *stage.Subscription) // a subscription has begun
	batch func()                        // a batch has passed, or a timer has fired
	end   func()                        // the input has ended
	gone  func(sub *stage.Subscription) // a subscription has ended, and all its events have passed
}

// chain makes the operations of a layer up to one with results of type T, for one worker: it is given
// where those go, and returns where the input of the layer goes. The functions on the way return false
// when nothing more is wanted.
type chain[T any] func(w *worker, out func(v T) bool) func(input any)

// fail notes the first failure and returns false, for the chain.
func (w *worker) fail(err error) bool {
	if w.err == nil {
		w.err = err
	}
	return false
}

// more says whether anything more is wanted.
func (w *worker) more() bool { return w.err == nil && !w.full }

// handle has a batch pass through the chain, and returns what came out.
func (w *worker) handle(ctx context.Context, input any, from *stage.Subscription) ([]event, error) {
	w.ctx, w.from = ctx, from
	w.feed(input)
	out, err := w.passed()
	w.from = nil
	return out, err
}

// passed ends a batch. An error of ErrDone says that the stage has all it wants.
func (w *worker) passed() ([]event, error) {
	for _, h := range w.hooks {
		if h.batch != nil && w.err == nil {
			h.batch()
		}
	}
	if w.full {
		return w.complete(w.ctx)
	}
	if w.err != nil {
		return nil, w.err
	}
	return w.take(), nil
}

// complete has the operations let go of everything, and returns it with ErrDone.
func (w *worker) complete(ctx context.Context) ([]event, error) {
	w.ctx = ctx
	w.full = false // for those behind the one that has all it wants
	for _, h := range w.hooks {
		if h.end != nil && w.err == nil {
			h.end()
		}
		if h.batch != nil && w.err == nil {
			h.batch()
		}
	}
	if w.err != nil {
		return nil, w.err
	}
	return w.take(), stage.ErrDone
}

// came tells the operations that a subscription has begun.
func (w *worker) came(sub *stage.Subscription) {
	for _, h := range w.hooks {
		if h.came != nil {
			h.came(sub)
		}
	}
}

// gone tells the operations that a subscription has ended.
func (w *worker) gone(ctx context.Context, sub *stage.Subscription) ([]event, error) {
	w.ctx = ctx
	for _, h := range w.hooks {
		if h.gone != nil && w.err == nil {
			h.gone(sub)
		}
	}
	return w.passed()
}

// expand has a batch pass through the chain as its results are pulled.
func (w *worker) expand(ctx context.Context, input any, from *stage.Subscription) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		left := false
		w.ctx, w.from = ctx, from
		w.push = func(out event) bool {
			left = left || !yield(out, nil)
			return !left
		}
		w.feed(input)
		w.from = nil
		if left {
			return
		}
		if _, err := w.passed(); err != nil {
			yield(event{}, err)
		}
	}
}

// terminate ends what would outlive the run.
func (w *worker) terminate() {
	for _, t := range w.timers {
		t.stop()
	}
	for _, done := range w.closers {
		done()
	}
}

// waiting says whether the stage has been sent events that it has not finished, those in hand included.
func (w *worker) waiting() bool {
	return slices.ContainsFunc(w.stats().Upstreams, waits)
}

// waitsFor is waiting for the events of one subscription.
func (w *worker) waitsFor(sub *stage.Subscription) bool {
	return slices.ContainsFunc(w.stats().Upstreams, func(s stage.SubscriptionStats) bool {
		return s.Producer == sub.Producer() && s.Label == sub.Label() && waits(s)
	})
}

func waits(s stage.SubscriptionStats) bool { return s.Sent > s.Finished+s.Refused }
