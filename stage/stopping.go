package stage

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/internal/goid"
	"github.com/go-genstage/genstage/internal/hop"
)

// What Stop and Abort do, of a stage of any kind, a pipeline, a supervisor. label names it in errors; run is its present run,
// nil for none; runs is how many there were.

// stopCurrent is Stop.
func stopCurrent(ctx context.Context, label string, run controller, runs int, inside func(*handle) bool) error {
	switch {
	case run == nil && runs == 0:
		return fmt.Errorf("stage %q: Stop: %w", label, ErrNotRunning)
	case run == nil:
		return nil
	case run.awaits(goid.Current()):
		return fmt.Errorf("stage %q: Stop: %w", label, ErrSelfCall)
	}
	return stopRun(ctx, label, run, inside)
}

// abortCurrent is Abort.
func abortCurrent(label string, run controller, cause error) {
	if run == nil {
		return
	}
	if cause == nil {
		cause = ErrShutdown
	}
	run.abort(endedBy(label, cause, run.keptBy()))
}

// stopRun has a run drain and waits for it, or aborts it when ctx ends first.
func stopRun(ctx context.Context, label string, run controller, inside func(*handle) bool) error {
	turn := hop.Turn(ctx, "Stop")
	run.stop(inside)
	select {
	case <-run.finished():
	case <-ctx.Done():
		turn()
		if endedWithin(ctx, run) {
			<-run.finished()
		}
	}
	select {
	case <-run.finished():
		if e := run.end(); e.reason != nil {
			return &StopError{Cause: e.reason, Stuck: stuckIn(e.reason)}
		}
		return nil
	default:
	}
	err := &StopError{Cause: cause(ctx), Stuck: run.stuck()}
	err.add(run.stats())
	run.abort(&ending{reason: &Error{Stage: label, Err: err}, clean: true})
	return err
}

// endedWithin reports whether ctx is that of a stage's callbacks, has ended because that stage came
// to its normal end, and the stage belongs to run: then it is Stop that ended it, and no deadline.
func endedWithin(ctx context.Context, run controller) bool {
	c, _ := ctx.Value(coreKey{}).(*core)
	if c == nil || cause(ctx) != ErrEnded {
		return false
	}
	within := c.done == run.finished()
	for s := c.scope; s != nil; s = s.parent {
		within = within || controller(s) == run || s.keeper != nil && controller(s.keeper) == run
	}
	return within
}

// add lists what a stage, or the members of a pipeline, still had.
func (e *StopError) add(s Stats) {
	for _, m := range s.Members {
		e.add(m)
	}
	if !s.Running || s.Kind == kindPipeline || s.Kind == kindSupervisor {
		return
	}
	e.Left = append(e.Left, Leftover{Stage: s.Stage, Queued: s.Input.Queued, InHand: s.Input.InHand, Buffered: s.Output.Buffered})
}
