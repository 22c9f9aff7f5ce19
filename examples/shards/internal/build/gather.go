package build

import (
	"context"
	"sync"
)

// gather builds a shard within one callback: hand gets the pieces on a goroutine of its own and returns when all are
// handed out, or done; the callback takes the answers until all have come, and persists. As it is busy all the time, answers
// come over a channel: a call into the stage would wait for its own callback.
func (b *shared) gather(ctx context.Context, j *job, hand func(context.Context, []*piece) error) error {
	type call struct {
		fn   func(context.Context) error
		done chan error
	}
	calls := make(chan call)
	j.call = func(ctx context.Context, fn func(context.Context) error) error {
		c := call{fn, make(chan error, 1)}
		select {
		case calls <- c:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		select {
		case err := <-c.done:
			return err
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	pieces := b.begin(ctx, j)
	handed := make(chan error, 1)
	go func() { handed <- hand(ctx, pieces) }() // ends with hand, which ends with ctx; gather waits for it
	over := false
	for j.left > 0 || !over {
		select {
		case c := <-calls:
			c.done <- c.fn(ctx)
		case err := <-handed:
			if over = true; err != nil {
				return err
			}
		case <-ctx.Done():
			if !over {
				<-handed
			}
			return context.Cause(ctx)
		}
	}
	return b.end(ctx, j)
}

// inParallel does the sub-tasks of pieces with k goroutines, each of which has a connection, and returns when all are done.
func (b *shared) inParallel(ctx context.Context, k int, pieces []*piece) error {
	next := make(chan *piece, len(pieces))
	for _, p := range pieces {
		next <- p
	}
	close(next)
	errs := make([]error, min(k, len(pieces)))
	var tasks sync.WaitGroup
	for i := range errs {
		tasks.Go(func() { // ends with the last piece, or ctx
			var conn connection
			for p := range next {
				if errs[i] = b.subTask(ctx, p, &conn); errs[i] != nil {
					return
				}
			}
		})
	}
	tasks.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
