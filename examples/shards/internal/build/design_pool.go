package build

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// pool wires two pipelines, which a call joins:
//
//	stale shards ──▶ builders    queue ──▶ workers
//	                    └─ push ──▶┘          │
//	                    ▲─── a channel ───────┘
//
// A builder is a consumer that waits in its callback until its shard is persisted, so automatic demand of 1 is right. The
// workers' demand ends at the queue: what a builder pushes is ordered there, first come, first served.
func (b *shared) pool() []stage.Stage {
	builders, queue := b.pushers()
	workers := b.workers()
	for _, w := range workers {
		b.workOn(w, queue)
	}
	stages := append([]stage.Stage{b.source.stage, queue}, stage.All(builders...)...)
	return append(stages, stage.All(workers...)...)
}

// pushers makes the builders and the queue that they push their pieces into, one by one, so that builders that wait for room
// take turns.
func (b *shared) pushers() ([]*stage.Consumer[*job], *stage.Queue[*piece]) {
	queue := stage.NewQueue[*piece](b.Options.Queue, stage.Name("queue"))
	builders := b.builders(b.Options.Builders, func(ctx context.Context, j *job) error {
		return b.gather(ctx, j, func(ctx context.Context, pieces []*piece) error {
			for _, p := range pieces {
				if err := queue.Push(ctx, p); err != nil {
					return err
				}
			}
			return nil
		})
	})
	queue.FedBy(stage.All(builders...)...)
	return builders, queue
}

// builders makes n consumers that build one shard after the other in their callback.
func (b *shared) builders(n int, build func(context.Context, *job) error) []*stage.Consumer[*job] {
	builders := make([]*stage.Consumer[*job], n)
	for i := range builders {
		builders[i] = stage.NewConsumer(func(ctx context.Context, jobs []*job, from *stage.Subscription) error {
			for _, j := range jobs {
				j.grows = b.grows(from)
				if err := build(ctx, j); err != nil {
					return err
				}
			}
			return nil
		}, stage.Name(fmt.Sprintf("builder %d", i+1)))
		builders[i].SubscribeTo(b.stale(i), stage.MaxDemand(1), stage.MinDemand(0))
	}
	return builders
}
