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
	charge  *ChargedEvent           // what its event is charged; nil: nothing

	err       error         // written by the child's goroutine before msgChild, read by the stage's after it
	attempt   *errand       // the attempt in progress, or the last one; owned by the stage goroutine
	stuck     bool          // it was abandoned; written before settled is closed, read after it
	goroutine atomic.Uint64 // number of the goroutine that does what the user gave; 0 for none

	// written by the stage goroutine under children.mu
	restarts   int
	restarting bool // waits for its next attempt
}

// begun is how the start phase of a child ended.
type begun struct {
	running bool  // the child runs; else it was refused, with err, or declined, with nil
	stuck   bool  // it was abandoned, and is accounted for
	err     error // of the start
}

// The names of what runs on the goroutine of a child.
const (
	startCallback = "start"
	childCallback = "child"
)

// live is the goroutine of one attempt: the start phase, if there is one, for which the stage
// goroutine waits, and then the child itself. It ends with the child; the run waits for what it
// sends at its end.
func (k *children[In]) live(c *child[In], e *errand, wait func(), up chan<- begun) {
	if wait != nil && up == nil {
		wait()
	}
	c.goroutine.Store(goid.Current())
	ctx, cancel := c.ctx, func() {} // settle ends it
	if k.policy.mode == RestartTransient {
		ctx, cancel = context.WithCancel(c.ctx) // there may be another attempt
	}
	callback := childCallback
	if up != nil {
		callback = startCallback
	}
	var err error
	var stack []byte // of a panic, if it was watched
	returned := false
	defer func() {
		if !returned {
			value := recover()
			if stack == nil {
				stack = debug.Stack()
			}
			err = k.recovered(value, callback, stack)
		}
		err = sound(err)
		cancel()
		c.goroutine.Store(0)
		if !e.back() {
			if _, isPanic := err.(*PanicError); !isPanic {
				err = nil // it may be anything, its context having ended
			}
			k.backLate(e, callback, c.id, err)
			return
		}
		if callback == startCallback {
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
		err = k.watchedChild(ctx, c, callback, &stack, func(ctx context.Context) error {
			run, err = k.start(ctx, c)
			return err
		})
		if run == nil {
			returned = true
			return
		}
		callback = childCallback
		up <- begun{running: true}
		if wait != nil {
			wait()
		}
	}
	if err = ctx.Err(); err == nil { // else it was stopped before it began
		err = k.watchedChild(ctx, c, callback, &stack, run)
	}
	returned = true
}

// watchedChild calls run with those who watch around it.
func (k *children[In]) watchedChild(ctx context.Context, c *child[In], callback string, stack *[]byte, run func(context.Context) error) error {
	if !k.watching {
		return run(ctx)
	}
	defer k.profile.begin(ctx, callback, "").end()
	var none int // a child emits nothing
	b := Callback{Name: callback, Child: c.id, Sub: c.sub, N: 1}
	return k.watched(b, &none, stack, func() error { return run(ctx) })
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
