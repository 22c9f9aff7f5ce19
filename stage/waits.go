package stage

import (
	"sync"
	"sync/atomic"
)

// Who waits for whom in Do: what tells a ring of calls from one that will be answered.

// calls guards the graph of stages that wait: waits of every core, inInit of every launch. It is held for a walk along that
// graph, and across nothing that waits.
var calls sync.Mutex

// wait is a callback of a stage that waits in Do.
type wait struct {
	target *core           // the stage that is to answer; nil: it waits for none
	call   *atomic.Uint32  // state of the call
	done   <-chan struct{} // closed when it is answered
	until  <-chan struct{} // closed when the caller waits no longer, unless the call has begun; nil: never
}

// over reports whether the caller is about to go on: the answer is there, or its context has ended before the call has
// begun. It may not know yet.
func (w *wait) over() bool {
	select {
	case <-w.done:
		return true
	default:
	}
	select {
	case <-w.until:
		return w.call.Load() != callBegun
	default:
		return false
	}
}

// launch is one start: stages of which OnInit is called one after the other.
type launch struct {
	inInit *core // guarded by calls: whose OnInit is in progress; nil for none
}

// waitFor records that the callback in progress of c waits, unless the stage that is to answer waits, in turn, for c.
func (c *core) waitFor(w wait) error {
	calls.Lock()
	defer calls.Unlock()
	for t := w.target; t != nil; t = t.waitsNow() {
		if t == c {
			return ErrCallCycle
		}
	}
	c.waits = w
	return nil
}

// waitsNow returns the stage without which c does not go on: who has not answered it, or who is at OnInit before it. The
// caller holds calls.
func (c *core) waitsNow() *core {
	if c.waits.target != nil && !c.waits.over() && c.callback.Load()&abandoned == 0 {
		return c.waits.target
	}
	if before := c.scope.launch.inInit; before != c && !c.ready.isOpen() {
		return before
	}
	return nil
}

// waitedFor is told when the callback goes on.
func (c *core) waitedFor() {
	if c.aborting.Load() != nil && c.waitsForAborted() {
		c.answeredLate()
	}
	calls.Lock()
	defer calls.Unlock()
	c.waits = wait{}
}

// waitingFor returns the stage whose Do the callback in progress waits for, or nil.
func (c *core) waitingFor() *core {
	calls.Lock()
	defer calls.Unlock()
	return c.waits.target
}

// waitsForAborted reports whether the callback in progress waits in Do for a stage that is being aborted,
// too, and so is about to answer.
func (c *core) waitsForAborted() bool {
	target := c.waitingFor()
	return target != nil && target.aborting.Load() != nil
}

// inits notes that OnInit of c is in progress, or that it has ended.
func (c *core) inits(now bool) {
	calls.Lock()
	defer calls.Unlock()
	switch l := c.scope.launch; {
	case now:
		l.inInit = c
	case l.inInit == c: // else it was abandoned, and others have begun since
		l.inInit = nil
	}
}
