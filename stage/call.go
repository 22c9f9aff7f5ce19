package stage

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/go-genstage/genstage/internal/goid"
	"github.com/go-genstage/genstage/internal/hop"
)

// call is one Do or Tell on its way to a stage.
type call[Out any] struct {
	fn    func(context.Context) ([]Out, error)
	after bool // behind everything that was emitted before
	ours  bool // fn is this package's: no callback, and may touch the run

	state atomic.Uint32 // callWaiting, then one of the others, once
	done  chan struct{} // closed when it is over; nil for Tell
	err   error         // written before done is closed
}

const (
	callWaiting uint32 = iota
	callBegun          // fn is called: Do waits for it
	callGivenUp        // Do's context ended first: fn never runs
	callRefused        // the run ended first: fn never runs
)

// finish ends the call for whoever waits.
func (c *call[Out]) finish(err error) {
	if errors.Is(err, ErrDone) {
		err = nil
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
}

// refuse ends a call that has not begun, because the run has ended.
func (c *call[Out]) refuse() {
	if c.state.CompareAndSwap(callWaiting, callRefused) {
		c.finish(ErrEnded)
	}
}

// called takes a Do or Tell: at once, or behind what waits.
func (r *run[In, Out]) called(c *call[Out]) {
	switch {
	case !c.after:
		r.invoke(c)
	case r.queueHead < len(r.queue) || r.expansion != nil:
		r.queue = append(r.queue, message[In]{kind: msgCall, arg: c})
	default:
		r.behindBuffer(c)
	}
}

// behindBuffer takes a DoAfter or TellAfter before which everything received has been begun: at once, or
// behind what is buffered.
func (r *run[In, Out]) behindBuffer(c *call[Out]) {
	switch {
	case r.def.out == nil: // nothing is buffered
		r.invoke(c)
	case r.accumulating && r.keptEvents.Load() > 0:
		r.keep(kept[Out]{call: c})
	case r.buf.Len()+r.buf.Marks() > 0:
		r.buf.Mark(c)
	default:
		r.behindQueues(c)
	}
}

// invoke runs a Do or Tell.
func (r *run[In, Out]) invoke(c *call[Out]) {
	if c.done == nil {
		r.tells.Add(-1)
	}
	if !c.state.CompareAndSwap(callWaiting, callBegun) {
		return
	}
	r.calling = c
	out, err := r.callFn(c)
	if errors.Is(err, errAborted) {
		r.calling = nil
		c.finish(ErrEnded)
		r.fail(err)
		return
	}
	if err == nil || errors.Is(err, ErrDone) {
		r.emit(out) // calls OnDiscard
	}
	r.calling = nil
	c.finish(err)
	r.ends(err)
}

// callFn calls the function of a Do or Tell.
func (r *run[In, Out]) callFn(c *call[Out]) (out []Out, err error) {
	if c.ours {
		if r.aborting.Load() != nil {
			return nil, errAborted
		}
		return c.fn(r.context())
	}
	err = r.guard(inDo, func() (err error) {
		out, err = c.fn(r.context())
		r.results = len(out)
		return err
	})
	return out, err
}

// runOf returns the run of h, typed, or why there is none.
func runOf[In, Out any](h *handle, what string) (*run[In, Out], error) {
	if !h.made() {
		return nil, unmade(what)
	}
	current, runs := h.current()
	if r, ok := current.(*run[In, Out]); ok {
		return r, nil
	}
	err := ErrEnded
	if runs == 0 {
		err = ErrNotRunning
	}
	return nil, fmt.Errorf("stage %q: %s: %w", h.conf.name, what, err)
}

// doOn is Do and DoAfter on the current run of h.
func doOn[In, Out any](ctx context.Context, h *handle, what string, after bool, fn func(context.Context) ([]Out, error)) error {
	r, err := runOf[In, Out](h, what)
	if err != nil {
		return err
	}
	return r.do(ctx, what, &call[Out]{fn: fn, after: after})
}

// tellOn is Tell and TellAfter on the current run of h.
func tellOn[In, Out any](h *handle, what string, after bool, fn func(context.Context) ([]Out, error)) error {
	r, err := runOf[In, Out](h, what)
	if err != nil {
		return err
	}
	return r.tellRun(what, after, fn)
}

// wakeOn is Wake on the current run of h.
func wakeOn[In, Out any](h *handle) error {
	r, err := runOf[In, Out](h, "Wake")
	if err != nil {
		return err
	}
	if r.woken.Swap(true) || r.box.Post(message[In]{kind: msgWake}) {
		return nil
	}
	return r.refusal("Wake", ErrEnded)
}

// do is Do and DoAfter of every kind.
func (r *run[In, Out]) do(ctx context.Context, what string, c *call[Out]) error {
	if c.fn == nil {
		return r.refusal(what, fmt.Errorf("%w: a nil function", ErrInvalidOption))
	}
	if r.runsOn(goid.Current()) {
		return r.refusal(what, ErrSelfCall)
	}
	if ctx.Err() != nil {
		return cause(ctx)
	}
	c.done = make(chan struct{})
	if caller := callerOf(ctx); caller != nil {
		if err := caller.waitFor(wait{&r.core, &c.state, c.done, ctx.Done()}); err != nil {
			return r.refusal(what, err)
		}
		defer caller.waitedFor()
	}
	turn := func() {}
	if r.hop != nil {
		turn = hop.Turn(r.context(), what)
	}
	if !r.box.Post(message[In]{kind: msgCall, arg: c}) {
		return r.refusal(what, ErrEnded)
	}
	select {
	case <-c.done:
	case <-ctx.Done():
		turn()
		if c.state.CompareAndSwap(callWaiting, callGivenUp) {
			return cause(ctx)
		}
		<-c.done // fn has begun, or the run has just ended
	}
	if errors.Is(c.err, ErrEnded) && c.state.Load() != callBegun {
		return r.refusal(what, c.err)
	}
	return c.err
}

// tellRun is Tell and TellAfter of every kind.
func (r *run[In, Out]) tellRun(what string, after bool, fn func(context.Context) ([]Out, error)) error {
	if fn == nil {
		return r.refusal(what, fmt.Errorf("%w: a nil function", ErrInvalidOption))
	}
	r.tells.Add(1)
	if !r.box.Post(message[In]{kind: msgCall, arg: &call[Out]{fn: fn, after: after}}) {
		r.tells.Add(-1)
		return r.refusal(what, ErrEnded)
	}
	r.woken.Store(false) // a wake that is on its way comes before fn: the next one must not count as one with it
	return nil
}

// refusal names the stage and the method in an error.
func (r *run[In, Out]) refusal(what string, err error) error {
	return fmt.Errorf("stage %q: %s: %w", r.name(), what, err)
}

// callIn and tellIn are Do and Tell of a subscription: they cannot emit.

func (r *run[In, Out]) callIn(ctx context.Context, fn func(context.Context) error) error {
	return r.do(ctx, "Subscription.Do", &call[Out]{fn: withoutEvents[Out](fn)})
}

func (r *run[In, Out]) tellIn(fn func(context.Context) error) error {
	return r.tellRun("Subscription.Tell", false, withoutEvents[Out](fn))
}

// withoutEvents makes fn one that emits nothing; nil stays nil.
func withoutEvents[Out any](fn func(context.Context) error) func(context.Context) ([]Out, error) {
	if fn == nil {
		return nil
	}
	return func(ctx context.Context) ([]Out, error) { return nil, fn(ctx) }
}
