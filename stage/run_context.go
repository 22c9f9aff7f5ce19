package stage

import (
	"context"
	"fmt"
	"time"
)

// coreKey finds the run in the context of its callbacks.
type coreKey struct{}

// runContext is a core as the context of its callbacks: the run's own, in which the run is found.
type runContext core

// context is what callbacks are given.
func (c *core) context() context.Context { return (*runContext)(c) }

// Value returns the run for coreKey.
func (c *runContext) Value(key any) any {
	if key == (coreKey{}) {
		return (*core)(c)
	}
	return c.base.Value(key)
}

func (c *runContext) Deadline() (time.Time, bool) { return c.base.Deadline() }
func (c *runContext) Done() <-chan struct{}       { return c.base.Done() }
func (c *runContext) Err() error                  { return c.base.Err() }

// String makes the context print as others do, and not with all of the run.
func (c *runContext) String() string {
	return fmt.Sprintf("%v.WithStage(%s)", c.base, c.h.conf.name)
}
