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
	id    ChildID
	event In
	sub   *Subscription // nil: by StartChild
	began time.Time

	ctx childContext // over all attempts; it guards itself

	attempt *attempt[In] // the one in progress, or the last one; owned by the stage goroutine
	first   attempt[In]  // the one that most children have

	stuck     bool          // it was abandoned; written before settled is closed, read after it
	goroutine atomic.Uint64 // the goroutine that does what the user gave, as goid tells it; 0 for none

	// written by the stage goroutine under children.mu
	restarts   int
	restarting bool // waits for its next attempt

	settled chan struct{} // guarded by children.mu; made by who waits, closed when it has ended for good and is accounted for
}

// attempt is one start of a child. Its goroutine owns what is not read-only, until msgChild is posted.
type attempt[In any] struct {
	errand
	kids *children[In] // read-only
	of   *child[In]    // read-only
	up   chan<- begun  // read-only; where the stage goroutine waits for the start phase; nil: there is none

	ctx      context.Context                 // of the child, or, when there may be another attempt, within that
	cancel   context.CancelFunc              // of ctx; nil when that is the child's
	run      func(ctx context.Context) error // what the start phase has returned; nil: it is childSpec.run
	callback string                          // which is in progress
	returned bool                            // it has, without a panic or Goexit
	err      error                           // how it ended
	stack    []byte                          // of a panic, if it was watched
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
// sends at its end. What it keeps is in the attempt: so the stack that it begins with will do for the most part.
func (a *attempt[In]) live(wait func()) {
	if wait != nil && a.up == nil {
		wait()
	}
	c := a.of
	c.goroutine.Store(goid.Current())
	defer a.over()
	a.ctx = &c.ctx // settle ends it
	if a.kids.policy.mode == RestartTransient {
		a.ctx, a.cancel = context.WithCancel(a.ctx)
	}
	a.callback = childCallback
	if a.up != nil {
		if a.start(); a.run == nil {
			a.returned = true
			return
		}
		a.up <- begun{running: true}
		if wait != nil {
			wait()
		}
	}
	if a.err = a.ctx.Err(); a.err == nil { // else it was stopped before it began
		a.err = a.call()
	}
	a.returned = true
}

// over ends an attempt, however it ended.
func (a *attempt[In]) over() {
	c, k := a.of, a.kids
	if !a.returned {
		a.failed(recover())
	}
	a.err = sound(a.err)
	if a.cancel != nil {
		a.cancel()
	}
	c.goroutine.Store(0)
	switch {
	case !a.back():
		if _, isPanic := a.err.(*PanicError); !isPanic {
			a.err = nil // it may be anything, its context having ended
		}
		k.backLate(&a.errand, a.callback, c.id, a.err)
	case a.callback == startCallback:
		a.up <- begun{err: a.err} // has room for one
	default:
		k.post(message[In]{kind: msgChild, arg: c})
	}
}

// failed makes the error of what the attempt panicked with; nil: it called Goexit.
func (a *attempt[In]) failed(value any) {
	if a.stack == nil {
		a.stack = debug.Stack()
	}
	a.err = a.kids.recovered(value, a.callback, a.stack)
}

// start is the start phase. It counts as a callback of the stage.
func (a *attempt[In]) start() {
	a.callback = startCallback
	if a.kids.watching {
		a.err = a.watched(a.callStart)
	} else {
		a.err = a.callStart()
	}
	if a.run != nil {
		a.callback = childCallback
	}
}

func (a *attempt[In]) callStart() error {
	if a.ctx.Err() != nil {
		return cause(a.ctx)
	}
	own := a.of.goroutine.Load()
	a.kids.aside.Store(own)
	defer a.kids.aside.CompareAndSwap(own, 0) // unless it was abandoned
	run, err := a.kids.spec.start(a.ctx, a.of.event)
	if err != nil {
		return err
	}
	a.run = run
	return nil
}

// call calls the child itself.
func (a *attempt[In]) call() error {
	if a.kids.watching {
		return a.watched(a.callChild)
	}
	return a.callChild()
}

func (a *attempt[In]) callChild() error {
	if a.run != nil {
		return a.run(a.ctx)
	}
	return a.kids.spec.run(a.ctx, a.of.event)
}

// watched calls fn with those who watch around it.
func (a *attempt[In]) watched(fn func() error) error {
	k := a.kids
	defer k.profile.begin(a.ctx, a.callback, "").end()
	var none int // a child emits nothing
	b := Callback{Name: a.callback, Child: a.of.id, Sub: a.of.sub, N: 1}
	return k.watched(b, &none, &a.stack, fn)
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
