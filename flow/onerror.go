package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// policy is what happens when a function returns an error.
type policy struct {
	retries        int // after the first attempt
	first, longest time.Duration
	skip           bool
	dead           func(ctx context.Context, e *ItemError) error // nil: none
}

// ErrorOption says what is to happen when a function of the user's returns an error; see [Flow.OnError].
type ErrorOption func(p *policy) error

// OnError says what happens when a function of the operations behind it, in this layer and the following ones, returns an
// error, up to the next OnError: it replaces what was said before. Without options, and by default, the
// first error ends the flow, with an [*ItemError].
//
//	f.OnError(flow.Retry(3, 100*time.Millisecond, time.Second), flow.Skip())
//
// has an item tried up to four times, and then left out. Panics end the flow in any case, and so do errors of
// sources.
func (f Flow[T]) OnError(opts ...ErrorOption) Flow[T] {
	f.layer.policy = policy{}
	for _, opt := range opts {
		err := fmt.Errorf("a nil ErrorOption")
		if opt != nil {
			err = opt(&f.layer.policy)
		}
		if err != nil {
			f.layer = f.layer.fault(fmt.Errorf("%w: OnError: %w", stage.ErrInvalidOption, err))
		}
	}
	return f
}

// Skip leaves an item out for which a function returned an error. Nobody is told; see DeadLetter.
func Skip() ErrorOption {
	return func(p *policy) error { p.skip = true; return nil }
}

// Retry has the function called again with the same item, up to n times: after first, and then each time after
// twice as long, up to longest. Meanwhile the stage waits, and with it what has come to it behind the
// item. When all n have failed, the other options decide. n is at least 1, first at least 0, longest at least first.
func Retry(n int, first, longest time.Duration) ErrorOption {
	return func(p *policy) error {
		var wrong string
		switch {
		case n < 1:
			wrong = "n is less than 1"
		case first < 0:
			wrong = "first is negative"
		case longest < first:
			wrong = "longest is less than first"
		}
		if wrong != "" {
			return fmt.Errorf("Retry(%d, %v, %v): %s", n, first, longest, wrong)
		}
		p.retries, p.first, p.longest = n, first, longest
		return nil
	}
}

// DeadLetter hands an item for which a function returned an error to fn instead, and the flow goes on without it.
// What failed, where and why stands in the [ItemError]; the item is what that operation was given. fn
// is called on the goroutine of the stage, by several at once; its error ends the flow.
func DeadLetter(fn func(ctx context.Context, failed *ItemError) error) ErrorOption {
	return func(p *policy) error {
		if fn == nil {
			return fmt.Errorf("DeadLetter with a nil function")
		}
		p.dead = fn
		return nil
	}
}

// attempt calls fn for an item under a policy. It returns false if there is no result; then the flow goes on if
// w.err is nil.
//
//go:noinline
func attempt[A, B any](w *worker, p policy, op string, item A, fn func(ctx context.Context, v A) (B, error)) (made B, ok bool) {
	for tries := 1; ; tries++ {
		made, err := fn(w.ctx, item)
		if err == nil {
			return made, true
		}
		if tries <= p.retries && pause(w.ctx, p.pause(tries)) {
			continue
		}
		w.refuse(p, &ItemError{Item: item, Op: op, Stage: w.name, Attempts: tries, Err: failure(err)})
		return made, false
	}
}

// refuse does with a failed item what the policy says.
func (w *worker) refuse(p policy, e *ItemError) {
	switch {
	case w.ctx.Err() != nil:
		w.fail(e) // the run has ended: no reason to give the item up
	case p.dead != nil:
		if err := p.dead(w.ctx, e); err != nil {
			w.fail(fmt.Errorf("dead letter: %w", failure(err)))
		}
	case !p.skip:
		w.fail(e)
	}
}

// pause is how long to wait after so many attempts.
func (p policy) pause(tries int) time.Duration {
	d := p.first
	for range tries - 1 {
		if d > p.longest/2 {
			return p.longest
		}
		d *= 2
	}
	return d
}

// pause waits, and returns false if ctx ends first.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
