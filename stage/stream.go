package stage

import (
	"context"
	"fmt"
	"iter"
	"math"
	"sync/atomic"

	"github.com/go-genstage/genstage/internal/goid"
	"github.com/go-genstage/genstage/internal/hop"
)

// Events returns the events of a source as a sequence:
//
//	for event, err := range stage.Events(ctx, source) {
//		if err != nil {
//			return err
//		}
//		use(event)
//	}
//
// Ranging over it subscribes to the source, with a consumer of its own: each range anew, and
// several at once share the events as consumers do. A source that was not run yet is waited for, unless its
// run then fails as it begins; one that has failed or was aborted, and does not run again, is an error:
// [ErrNoStage].
//
// Demand follows the loop, which gets the events in chunks of at most max-min: when it comes for the
// first event behind a chunk, as many as were in the chunk are asked for again. So a body that is slow, or
// waits, slows the source down. At most max demand of events are on their way to the loop. [Manual]
// makes no sense here, and is an error.
//
// The sequence ends when the source has completed. When it fails, the events before that come
// first, then one last pair with the error. An error is the last pair, too, when ctx has ended (its
// cause, wrapped), the subscription was refused, or an option is out of range. [CancelTemporary]
// ends the sequence without an error, however the source ended; with [CancelTransient] the source's
// failure is an error, but not its cancellation or shutdown; with [CancelPermanent], the
// default, these are errors too.
//
// Leaving the loop early cancels the subscription: what the body has not seen goes back to the source,
// in order, for others. The loop is left when that has happened and the consumer's goroutine has
// ended; it waits for a callback of the source in progress, unless ctx ends. When ctx ends, the events on
// their way go back too, at once, even while the body is busy.
//
// The loop may stand in a callback of another stage, which it then blocks; in one of the source's
// own it gets [ErrSelfCall].
func Events[T any](ctx context.Context, src Source[T], opts ...SubscribeOption) iter.Seq2[T, error] {
	name := "events " + callSite(1)
	return func(yield func(T, error) bool) {
		s, err := newStream(name, src, opts)
		if err != nil {
			var none T
			yield(none, fmt.Errorf("%s: %w", name, err))
			return
		}
		if s.over {
			return
		}
		go s.run(ctx, hop.Turn(ctx, name)) // ends with the source, with ctx, or when the loop is left; leave waits for it
		defer s.leave(ctx)
		s.loop(yield)
	}
}

// stream is one range over a source.
type stream[T any] struct {
	source   *handle
	consumer *Consumer[T]
	over     bool // the source has ended, and that is no error

	chunks chan []T      // to the loop
	next   chan struct{} // from the loop: it wants the element behind the chunk
	left   chan struct{} // closed when the loop has been left
	ended  chan struct{} // closed when the consumer's run has ended
	err    error         // how; written before ended is closed

	// How many events of the chunk the loop has claimed. The consumer claims those left by making
	// it more than there ever are.
	claimed atomic.Int64
}

const allClaimed = math.MaxInt64 / 2

func newStream[T any](name string, src Source[T], opts []SubscribeOption) (*stream[T], error) {
	s := &stream[T]{chunks: make(chan []T), next: make(chan struct{}), left: make(chan struct{}), ended: make(chan struct{})}
	s.consumer = newConsumer(s.handle, []ConsumerOption{Name(name)})
	d, err := declare(&s.consumer.handle, src, opts)
	if err != nil {
		return nil, err
	}
	if d.options.manual {
		return nil, fmt.Errorf("%w: Manual: nobody would ask", ErrInvalidOption)
	}
	s.source = d.source.h
	if run, _ := s.source.current(); run != nil && run.awaits(goid.Current()) {
		return nil, ErrSelfCall
	}
	if s.source.gone() {
		if s.over = d.options.mode == CancelTemporary; !s.over {
			return nil, ErrNoStage
		}
		return s, nil
	}
	// The consumer has no other subscription: it ends with this one, whatever the mode.
	mode := d.options.mode
	s.consumer.OnCancel(func(_ context.Context, _ *Subscription, end Cancellation) error {
		completed := end.Kind == Down && end.Reason == nil
		if mode == CancelTemporary || mode == CancelTransient && (end.clean || completed) {
			return ErrDone
		}
		return nil
	})
	s.consumer.SubscribeTo(src, append(opts[:len(opts):len(opts)], func(c *subscribeConfig) { c.leaves = true })...)
	return s, nil
}

// run is the consumer's goroutine.
func (s *stream[T]) run(ctx context.Context, turn func()) {
	defer close(s.ended)
	s.err = s.consumer.Run(ctx)
	turn()
}

// handle is the consumer's callback: it gives a chunk to the loop and returns, so that it is asked
// for again, when the loop wants more.
func (s *stream[T]) handle(ctx context.Context, events []T, _ *Subscription) error {
	s.claimed.Store(0)
	if ctx.Err() != nil { // it comes before a loop that is ready
		return &begunOnly{0, cause(ctx)}
	}
	select {
	case s.chunks <- events:
		select {
		case <-s.next:
			return nil
		case <-s.left:
		case <-ctx.Done():
		}
	case <-s.left:
	case <-ctx.Done():
	}
	seen := min(s.claimed.Swap(allClaimed), int64(len(events)))
	if ctx.Err() != nil {
		return &begunOnly{int(seen), cause(ctx)}
	}
	return &begunOnly{int(seen), ErrDone}
}

func (s *stream[T]) loop(yield func(T, error) bool) {
	for {
		select {
		case chunk := <-s.chunks:
			for {
				i := s.claimed.Add(1) - 1
				if i >= int64(len(chunk)) {
					break
				}
				if !yield(chunk[i], nil) {
					return
				}
			}
			select {
			case s.next <- struct{}{}:
			case <-s.ended:
			}
		case <-s.ended:
			if s.err != nil {
				var none T
				yield(none, s.err)
			}
			return
		}
	}
}

// leave ends the subscription, if it has not ended, and returns when the source has seen its end.
func (s *stream[T]) leave(ctx context.Context) {
	close(s.left) // the consumer waits in handle, or has ended
	<-s.ended
	run, _ := s.source.current()
	if source, ok := run.(consumerEnd); ok {
		// It answers behind what the consumer has told it; an error says that it never will.
		_ = source.callIn(ctx, func(context.Context) error { return nil })
	}
}
