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

	goroutine atomic.Uint64 // the goroutine that does what the user gave, as goid tells it; 0 for none

	// written by the stage goroutine under children.mu
	restarts   int
	restarting bool // waits for its next attempt

	stuck   bool          // it was abandoned; written before settled is closed, read after it
	place   int32         // in children.all; guarded by children.mu. Memory ends before it does
	settled chan struct{} // guarded by children.mu; made by who waits, closed when it has ended for good and is accounted for
}

// attempt is one start of a child. Its goroutine owns what is not read-only, until msgChild is posted.
type attempt[In any] struct {
	errand
	kids *children[In] // read-only
	of   *child[In]    // read-only
	up   chan<- begun  // read-only; where the stage goroutine waits for the start phase; nil: there is none

	within   *withinChild                    // its context, when there may be another attempt; nil: the child's
	run      func(ctx context.Context) error // what the start phase has returned; nil: it is childSpec.run
	starting bool                            // in the start phase
	returned bool                            // without a panic or Goexit
	err      error                           // how it ended
	stack    *[]byte                         // of a panic, if it is watched
}

// withinChild is the context of one attempt of several, and what ends it.
type withinChild struct {
	context.Context
	cancel context.CancelFunc
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
	if a.kids.policy.mode == RestartTransient {
		a.within = &withinChild{}
		a.within.Context, a.within.cancel = context.WithCancel(&c.ctx)
	}
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
	if a.err = a.context().Err(); a.err == nil { // else it was stopped before it began
		a.err = a.call()
	}
	a.returned = true
}

// context is what the functions of the user's are given.
func (a *attempt[In]) context() context.Context {
	if a.within != nil {
		return a.within
	}
	return &a.of.ctx // settle ends it
}

// callback names what is in progress.
func (a *attempt[In]) callback() string {
	if a.starting {
		return startCallback
	}
	return childCallback
}

// over ends an attempt, however it ended.
func (a *attempt[In]) over() {
	c, k := a.of, a.kids
	if !a.returned {
		a.failed(recover())
	}
	a.err = sound(a.err)
	if a.within != nil {
		a.within.cancel()
	}
	c.goroutine.Store(0)
	switch {
	case !a.back():
		if _, isPanic := a.err.(*PanicError); !isPanic {
			a.err = nil // it may be anything, its context having ended
		}
		k.backLate(&a.errand, a.callback(), c.id, a.err)
	case a.starting:
		a.up <- begun{err: a.err} // has room for one
	default:
		k.post(message[In]{kind: msgChild, arg: c})
	}
}

// failed makes the error of what the attempt panicked with; nil: it called Goexit.
func (a *attempt[In]) failed(value any) {
	var stack []byte
	if a.stack != nil {
		stack = *a.stack
	}
	if stack == nil {
		stack = debug.Stack()
	}
	a.err = a.kids.recovered(value, a.callback(), stack)
}

// start is the start phase. It counts as a callback of the stage.
func (a *attempt[In]) start() {
	a.starting = true
	if a.kids.watching {
		a.err = a.watched(a.callStart)
	} else {
		a.err = a.callStart()
	}
	a.starting = a.run == nil
}

func (a *attempt[In]) callStart() error {
	ctx := a.context()
	if ctx.Err() != nil {
		return cause(ctx)
	}
	own := a.of.goroutine.Load()
	a.kids.aside.Store(own)
	defer a.kids.aside.CompareAndSwap(own, 0) // unless it was abandoned
	run, err := a.kids.spec.start(ctx, a.of.event)
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
		return a.run(a.context())
	}
	return a.kids.spec.run(a.context(), a.of.event)
}

// watched calls fn with those who watch around it.
func (a *attempt[In]) watched(fn func() error) error {
	k := a.kids
	defer k.profile.begin(a.context(), a.callback(), "").end()
	var none int // a child emits nothing
	a.stack = new([]byte)
	b := Callback{Name: a.callback(), Child: a.of.id, Sub: a.of.sub, N: 1}
	return k.watched(b, &none, a.stack, fn)
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
