package stage

import (
	"context"
	"fmt"
	"time"
)

// RunUntil is [Run] but for what the end of ctx does: it drains the stages, as [Pipeline.Stop] does, and aborts them only when that
// takes longer than drain. So a program ends at a signal without losing what it has begun:
//
//	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
//	defer cancel()
//	err := stage.RunUntil(ctx, 20*time.Second, pipeline)
//
// It blocks until every stage has ended. After the end of ctx that is drain at the most, and then what [Grace] allows, to the callbacks in
// progress and once more to [OnTerminate]. It returns what [Pipeline.Run] returns: nil when all has come to its end or has drained, and also when
// somebody ends a stage cleanly meanwhile, by [ErrShutdown] or its own Stop; the first failure, of a supervisor also one that
// it was going to mend by a restart, as nothing is started any more. When the drain was aborted that is an error that wraps a [*StopError], which
// lists what was left. If ctx had ended before, nothing is begun, and the error wraps its cause.
// Callbacks are given a context that has the values of ctx, and ends with the run, not with ctx. A drain of 0 aborts at once,
// as Run; less than that is an error that wraps [ErrInvalidOption], and nothing is begun.
func RunUntil(ctx context.Context, drain time.Duration, stages ...Stage) error {
	p := newPipeline(stages)
	switch {
	case drain < 0:
		return fmt.Errorf("%w: RunUntil: a drain of %v: must be at least 0", ErrInvalidOption, drain)
	case drain == 0:
		return p.Run(ctx)
	}
	s, err := p.ready(ctx)
	if err != nil {
		return err
	}
	running := context.WithoutCancel(ctx)
	drained := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() { // ends with the run at the latest; RunUntil waits for it
		defer close(drained)
		limit, cancel := context.WithTimeout(running, drain)
		defer cancel()
		_ = p.Stop(limit) // the run says the same
	})
	err = s.run(running, asMembers(p.stages))
	if !cancel() {
		<-drained
	}
	return err
}
