package stage

import (
	"runtime"
	"sync/atomic"

	"github.com/go-genstage/genstage/internal/goid"
)

// What a stage calls of its user's in the middle of a step: observers, the log handler. They are called on another
// goroutine, and waited for: so neither a panic nor Goexit, which nothing can stop, leaves the step half done.

// order is one such call.
type order struct {
	callback string
	fn       func()
	onStage  bool   // the caller is the stage goroutine, or what that waits for
	before   uint64 // core.aside without it
	errand   errand
	done     chan struct{} // told when it is over; has room for one
	err      error         // written before done is told
	lost     bool          // fn has called Goexit, and its goroutine ends; written before done is told
}

// apart calls fn, and waits for it. It returns what it panicked with. When it is abandoned it is left alone from then on, as
// givenUp says. onStage: the caller is the stage goroutine, or what that waits for.
func (c *core) apart(callback string, onStage bool, givenUp *atomic.Bool, fn func()) error {
	if givenUp.Load() {
		return nil
	}
	if onStage && c.attendant != nil && c.attendant.taken.CompareAndSwap(false, true) { // else it is at another call, or was abandoned
		return c.attended(callback, givenUp, fn)
	}
	o := &order{callback: callback, fn: fn, onStage: onStage, before: c.aside.Load(), done: make(chan struct{}, 1)}
	go func() { // ends with fn; apart waits for it, or abandons it
		number := uint64(0)
		if onStage {
			number = goid.Current()
		}
		c.carryOut(o, number)
	}()
	if !c.isBack(o, givenUp) {
		return nil
	}
	return o.err
}

// isBack waits for an order, and reports whether it is over; else it was abandoned.
func (c *core) isBack(o *order, givenUp *atomic.Bool) bool {
	if c.await(&o.errand, o.done, Stuck{Callback: o.callback}) {
		return true
	}
	if o.onStage {
		c.aside.Store(o.before)
	}
	givenUp.Store(true)
	return false
}

// carryOut calls the function, on a goroutine of that number, which then is no more if it calls Goexit, or was abandoned.
func (c *core) carryOut(o *order, number uint64) {
	returned := false
	defer func() {
		value := recover()
		failed := c.failure(returned, value, o.callback)
		if o.onStage {
			c.aside.CompareAndSwap(number, o.before) // unless it was abandoned, and another one is called
		}
		if !o.errand.back() {
			c.backLate(&o.errand, o.callback, 0, failed)
			runtime.Goexit()
		}
		o.err, o.lost = failed, !returned && value == nil
		o.done <- struct{}{}
	}()
	if o.onStage {
		c.aside.Store(number)
	}
	o.fn()
	returned = true
}

// attendant is the goroutine that does what the goroutine of an observed stage calls apart. One is kept, as it is dear to
// begin one and to find out its number. It begins with the first call and ends with the run.
type attendant struct {
	taken     atomic.Bool // somebody uses what follows, or it was abandoned: then for good
	dismissed atomic.Bool // the run has ended
	orders    chan *order // nil: there is no goroutine
	over      chan struct{}
	order     order // the one in progress, or the last
}

// attended is apart by the attendant, whom the caller has taken.
func (c *core) attended(callback string, givenUp *atomic.Bool, fn func()) error {
	a := c.attendant
	if a.orders == nil {
		a.orders, a.over = make(chan *order), make(chan struct{})
		a.order.done = make(chan struct{}, 1)
		go c.attend(a.orders, a.over) // ends when dismiss closes orders, which waits for it; or as carryOut says
	}
	o := &a.order
	o.callback, o.fn, o.onStage, o.before = callback, fn, true, c.aside.Load()
	o.errand.state.Store(errandGone)
	a.orders <- o
	if !c.isBack(o, givenUp) {
		return nil
	}
	err := o.err
	if o.lost {
		<-a.over
		a.orders = nil
	}
	a.taken.Store(false)
	if a.dismissed.Load() {
		c.dismiss()
	}
	return err
}

// attend is the goroutine of the attendant.
func (c *core) attend(orders <-chan *order, over chan<- struct{}) {
	defer close(over)
	number := goid.Current()
	for o := range orders {
		c.carryOut(o, number)
	}
}

// dismiss ends the attendant, and waits for that. If it is at a call, who has called it does that then.
func (c *core) dismiss() {
	a := c.attendant
	if a == nil {
		return
	}
	a.dismissed.Store(true)
	if !a.taken.CompareAndSwap(false, true) {
		return
	}
	if a.orders != nil {
		close(a.orders)
		<-a.over
		a.orders = nil
	}
	a.taken.Store(false)
}
