package build

import (
	"context"
	"sync"
)

// BySemaphores does the work of [Build.Run] without stages, as one would by hand: a semaphore of N and a goroutine for each
// shard that has it, a semaphore of M and a goroutine for each snapshot that has it. It is what designs are compared with:
// it makes one pass, takes shards by name, has no budget, and neither watches nor drains. It returns when all are built or
// have failed, or ctx ends.
func BySemaphores(ctx context.Context, work Work, meter *Meter, o Options) error {
	o.Design, o.Watch, o.Budget, o.Source = "", false, 0, SourceOptions{}
	b, err := newShared(work, meter, o)
	if err != nil {
		return err
	}
	meter.begin(b.Options)
	defer meter.end()
	names, err := work.List(ctx)
	if err != nil {
		return err
	}
	meter.listed(len(names))
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	builders, slots := make(chan struct{}, b.Options.Builders), make(chan struct{}, b.Options.Snapshots)
	var shards sync.WaitGroup
	for _, name := range names {
		if !acquire(ctx, builders) {
			break
		}
		task, err := work.Plan(ctx, name)
		if err != nil || task == nil {
			if err != nil {
				b.unusable(&Task{Shard: name}, err)
			}
			<-builders
			continue
		}
		shards.Go(func() { // ends with the shard, or ctx; waited for below
			defer func() { <-builders }()
			err := b.gather(ctx, &job{task: task}, func(ctx context.Context, pieces []*piece) error {
				return b.eachInSlot(ctx, slots, pieces)
			})
			if err != nil {
				cancel(err)
			}
		})
	}
	shards.Wait()
	b.abandon()
	return context.Cause(ctx)
}

// eachInSlot does the sub-tasks of pieces, each with a goroutine of its own as soon as it has a slot.
func (b *shared) eachInSlot(ctx context.Context, slots chan struct{}, pieces []*piece) error {
	var all sync.WaitGroup
	defer all.Wait()
	for _, p := range pieces {
		if !acquire(ctx, slots) {
			return context.Cause(ctx)
		}
		all.Go(func() { // ends with the piece, or ctx
			defer func() { <-slots }()
			_ = b.subTask(ctx, p, &connection{}) // an error means that ctx has ended
		})
	}
	return nil
}

// acquire reports whether it got one of a semaphore; false if ctx has ended.
func acquire(ctx context.Context, semaphore chan struct{}) bool {
	select {
	case semaphore <- struct{}{}:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
