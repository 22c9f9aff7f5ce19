package stage

import (
	"context"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
)

// ChildID numbers the children of one run of a consumer supervisor, from 1, in the order in which
// they were started. A child that is started again keeps its number.
type ChildID uint64

// childSpec is what a consumer supervisor does with an event: the functions of its user.
type childSpec[In any] struct {
	start        func(ctx context.Context, event In) (func(ctx context.Context) error, error) // nil: there is no start phase
	run          func(ctx context.Context, event In) error                                    // if start is nil
	onDeadLetter func(ctx context.Context, event In, attempts int, cause error)
}

// child is one event at work. At any time it has one goroutine (live or pause), or one msgChild on
// its way home, or the stage goroutine is at it.
type child[In any] struct {
	// set before the child begins, read-only after
	id      ChildID
	event   In
	sub     *Subscription // nil: by StartChild
	began   time.Time
	ctx     context.Context         // over all attempts
	cancel  context.CancelCauseFunc // of ctx
	settled chan struct{}           // closed when it has ended for good and is accounted for

	err       error         // written by the child's goroutine before msgChild, read by the stage's after it
	goroutine atomic.Uint64 // number of the goroutine that does what the user gave; 0 for none

	// written by the stage goroutine under children.mu
	restarts   int
	restarting bool // waits for its next attempt
}

// begun is how the start phase of a child ended.
type begun struct {
	running bool  // the child runs; else it was refused, with err, or declined, with nil
	err     error // of the start
}

// live is the goroutine of one attempt: the start phase, if there is one, for which the stage
// goroutine waits, and then the child itself. It ends with the child; the run waits for what it
// sends at its end.
func (k *children[In]) live(c *child[In], wait func(), up chan<- begun) {
	if wait != nil && up == nil {
		wait()
	}
	c.goroutine.Store(goid.Current())
	ctx, cancel := c.ctx, func() {} // settle ends it
	if k.policy.mode == RestartTransient {
		ctx, cancel = context.WithCancel(c.ctx) // there may be another attempt
	}
	callback := "child"
	if up != nil {
		callback = "start"
	}
	var err error
	returned := false
	defer func() {
		if !returned {
			err = k.recovered(recover(), callback, debug.Stack())
		}
		cancel()
		c.goroutine.Store(0)
		if callback == "start" {
			up <- begun{err: err} // has room for one
			return
		}
		c.err = err
		k.post(message[In]{kind: msgChild, arg: c})
	}()
	var run func(context.Context) error
	if up == nil {
		run = func(ctx context.Context) error { return k.spec.run(ctx, c.event) }
	} else {
		if run, err = k.start(ctx, c); run == nil {
			returned = true
			return
		}
		callback = "child"
		up <- begun{running: true}
		if wait != nil {
			wait()
		}
	}
	if err = ctx.Err(); err == nil { // else it was stopped before it began
		err = run(ctx)
	}
	returned = true
}

// start is the start phase of a child. It counts as a callback of the stage.
func (k *children[In]) start(ctx context.Context, c *child[In]) (func(context.Context) error, error) {
	if ctx.Err() != nil {
		return nil, cause(ctx)
	}
	k.aside.Store(c.goroutine.Load())
	defer k.aside.Store(0)
	run, err := k.spec.start(ctx, c.event)
	if err != nil {
		return nil, err
	}
	return run, nil
}

// pause is the goroutine of a child that waits for its next attempt. It ends with the pause, or
// when the child is stopped; the run waits for its message.
func (k *children[In]) pause(c *child[In], wait func(), d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.ctx.Done():
	}
	if wait != nil {
		wait()
	}
	k.post(message[In]{kind: msgChild, arg: c})
}
