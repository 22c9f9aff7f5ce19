package build

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"

	"github.com/go-genstage/genstage/stage"
)

// aggregator wires one direction, in which a shard's state travels with its pieces, by pointer:
//
//	stale shards ──▶ compiler ──┬──▶ worker 1 ──▶ aggregator of a shard's partition
//	                            ├──▶   ...    ──▶   ...
//	                            └──▶ worker M ──▶
//
// The compiler makes pieces of whatever is stale; workers add what they fetched; an aggregator owns the shards of its
// partition, and persists each when all its pieces have come. Nothing goes back, so nobody knows how many shards are in
// progress, and pieces are worked on in the order in which they were made.
func (b *shared) aggregator() []stage.Stage {
	b.source.whole = true
	compiler := stage.NewProducerConsumer(b.compile, stage.Name("compiler"))
	compiler.SubscribeTo(b.source.stage)
	stages := []stage.Stage{b.source.stage, compiler}

	partitions := make([]int, b.Options.Consumers)
	for i := range partitions {
		partitions[i] = i
	}
	partition := func(p *piece) int {
		h := fnv.New32a()
		_, _ = h.Write([]byte(p.job.task.Shard))
		return int(h.Sum32() % uint32(len(partitions)))
	}
	var aggregators []*stage.Consumer[*piece]
	for i := range partitions {
		a := &aggregation{b: b, jobs: map[*job]struct{}{}}
		c := stage.ForEach(a.take, stage.Name(fmt.Sprintf("aggregator %d", i+1)))
		c.OnComplete(a.complete)
		aggregators = append(aggregators, c)
	}
	for i := range b.Options.Snapshots {
		var conn connection
		w := stage.NewProducerConsumer(func(ctx context.Context, pieces []*piece, _ *stage.Subscription) ([]*piece, error) {
			for _, p := range pieces {
				result, err := b.fetch(ctx, p, &conn)
				if ctx.Err() != nil {
					return nil, context.Cause(ctx)
				}
				p.result, p.err = result, err
			}
			return pieces, nil
		}, stage.Name(fmt.Sprintf("worker %d", i+1)))
		w.DispatchWith(stage.PartitionBy(partition, partitions...))
		w.SubscribeTo(compiler, stage.MaxDemand(b.Options.WorkerMax), stage.MinDemand(b.Options.WorkerMin))
		for k, a := range aggregators {
			a.SubscribeTo(stage.Partition(w, k), stage.MaxDemand(1), stage.MinDemand(0))
		}
		stages = append(stages, w)
	}
	return append(stages, stage.All(aggregators...)...)
}

// compile begins shards and returns all their pieces.
func (b *shared) compile(ctx context.Context, jobs []*job, _ *stage.Subscription) ([]*piece, error) {
	var pieces []*piece
	for _, j := range jobs {
		its := b.begin(ctx, j)
		if len(its) == 0 {
			if err := b.end(ctx, j); err != nil {
				return nil, err
			}
		}
		pieces = append(pieces, its...)
	}
	return pieces, nil
}

// aggregation owns the shards of one partition.
type aggregation struct {
	b    *shared
	jobs map[*job]struct{} // of which something has come, and not all; owned by the stage goroutine
}

// take takes what came of one piece, and persists the shard if it is its last. The piece may live as long as others of its batch,
// so it lets go of the result.
func (a *aggregation) take(ctx context.Context, p *piece) error {
	j, result := p.job, p.result
	p.result = nil
	a.jobs[j] = struct{}{}
	if err := a.b.answered(p, result, p.err); err != nil {
		return err
	}
	a.b.Meter.slotFreed(p, p.err)
	if j.left > 0 {
		return nil
	}
	delete(a.jobs, j)
	return a.b.end(ctx, j)
}

// complete fails the shards of which not all has come.
func (a *aggregation) complete(ctx context.Context) error {
	for j := range a.jobs {
		if lost := fmt.Errorf("shard %q: %d of %d pieces were lost", j.task.Shard, j.left, len(j.task.Snapshots)); j.err == nil {
			j.err = lost
		} else {
			j.err = errors.Join(j.err, lost)
		}
		if err := a.b.end(ctx, j); err != nil {
			return err
		}
	}
	return stage.ErrDone
}
