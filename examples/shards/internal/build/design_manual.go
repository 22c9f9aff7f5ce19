package build

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// manual wires the design of that name:
//
//	stale shards ──▶ builder 1 ──▶          ┌──▶ worker 1
//	             ──▶   ...     ──▶  slots ──┼──▶   ...
//	             ──▶ builder N ──▶          └──▶ worker M
//
// A builder asks for one shard by hand, holds it, hands out its pieces, and asks for the next when it is persisted or has
// failed. slots asks each builder for one piece at a time, and the workers ask slots for one: a piece is bound to a worker
// only when that one is free, and builders get their turn one after the other.
//
// With Direct each worker subscribes to each builder instead: N pieces are bound to every worker, one by each builder. With
// Automatic the builders ask by themselves: as soon as their callback has returned, which is too early.
func (b *Build) manual() []stage.Stage {
	o := b.Options
	stages := []stage.Stage{b.source.stage}
	pieces := make([]*stage.ProducerConsumer[*job, *piece], o.Builders)
	for i := range pieces {
		own := &builder{b: b, jobs: map[*job]bool{}}
		pieces[i] = stage.NewProducerConsumer(own.take,
			stage.Name(fmt.Sprintf("builder %d", i+1)),
			stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
				if o.Automatic {
					return nil
				}
				return sub.Ask(1)
			}),
			stage.OnTerminate(own.terminate))
		if o.Automatic {
			pieces[i].SubscribeTo(b.source.to(i), stage.MaxDemand(1))
		} else {
			pieces[i].SubscribeTo(b.source.to(i), stage.Manual())
		}
		stages = append(stages, pieces[i])
	}
	workers := make([]*stage.Consumer[*piece], o.Snapshots)
	for i := range workers {
		workers[i] = stage.NewConsumer(b.work, stage.Name(fmt.Sprintf("worker %d", i+1)))
	}
	demand := []stage.SubscribeOption{stage.MaxDemand(o.WorkerMax), stage.MinDemand(o.WorkerMin)}
	if o.Direct {
		for _, w := range workers {
			for _, p := range pieces {
				w.SubscribeTo(p, demand...)
			}
		}
		return append(stages, stage.All(workers...)...)
	}
	slots := stage.NewProducerConsumer(func(_ context.Context, pieces []*piece, _ *stage.Subscription) ([]*piece, error) {
		return pieces, nil
	}, stage.Name("slots"))
	for _, p := range pieces {
		slots.SubscribeTo(p, stage.MaxDemand(1))
	}
	for _, w := range workers {
		w.SubscribeTo(slots, demand...)
	}
	return append(append(stages, slots), stage.All(workers...)...)
}
