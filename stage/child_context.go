package stage

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// childContext is the context of a child: that of the run, with its charge, and an end of its own. What can
// be waited for is made when somebody wants to wait: a child that never looks at its context has none registered with
// that of the run.
type childContext struct {
	run    context.Context // read-only
	charge *ChargedEvent   // read-only: what its event is charged; nil: nothing

	made atomic.Pointer[madeContext] // the whole of it, from when it is wanted on; written under mu

	mu    sync.Mutex
	ended atomic.Bool // it has ended before made was there; written under mu
	cause error       // guarded by mu: why
}

// madeContext is a context and what ends it.
type madeContext struct {
	context.Context
	cancel context.CancelCauseFunc
}

// end ends the context, with a cause; only the first end counts, its own or that of the run.
func (c *childContext) end(cause error) {
	c.mu.Lock()
	made := c.made.Load()
	if made == nil && !c.ended.Load() && c.run.Err() == nil {
		c.cause = cause
		c.ended.Store(true)
	}
	c.mu.Unlock()
	if made != nil {
		made.cancel(cause)
	}
}

// whole makes the context that can be waited for, if there is none yet.
func (c *childContext) whole() context.Context {
	if made := c.made.Load(); made != nil {
		return made
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if made := c.made.Load(); made != nil {
		return made
	}
	run := c.run
	if c.ended.Load() {
		run = context.WithoutCancel(run) // it may have ended since, and that is not this one's end
	}
	made := &madeContext{}
	made.Context, made.cancel = context.WithCancelCause(run)
	if c.ended.Load() {
		made.cancel(c.cause)
	}
	c.made.Store(made)
	return made
}

// now is what says the same as the context at this moment: the run's, until the child's is another.
func (c *childContext) now() context.Context {
	if made := c.made.Load(); made != nil {
		return made
	}
	c.mu.Lock()
	ended := c.ended.Load()
	c.mu.Unlock() // behind end, if that has found that the run has not ended
	if ended {
		return c.whole()
	}
	return c.run
}

// Deadline, Done, Err and Value implement [context.Context].

func (c *childContext) Deadline() (time.Time, bool) { return c.run.Deadline() }
func (c *childContext) Done() <-chan struct{}       { return c.whole().Done() }

// Err costs no lock as long as nothing has ended: each child's is asked twice.
func (c *childContext) Err() error {
	if c.made.Load() == nil && !c.ended.Load() && c.run.Err() == nil {
		return nil
	}
	return c.now().Err()
}

// Value goes by the whole context once that is there: the standard library finds the cause of an end by it.
func (c *childContext) Value(key any) any {
	if _, ok := key.(chargeKey); ok {
		if c.charge == nil {
			return nil
		}
		return c.charge
	}
	return c.now().Value(key)
}
