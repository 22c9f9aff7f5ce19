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
func (b *shared) manual() []stage.Stage {
	builders := b.owners()
	workers := b.workers()
	stages := append([]stage.Stage{b.source.stage}, stage.All(builders...)...)
	if b.Options.Direct {
		for _, w := range workers {
			for _, builder := range builders {
				b.workOn(w, builder)
			}
		}
		return append(stages, stage.All(workers...)...)
	}
	slots := merge(builders)
	for _, w := range workers {
		b.workOn(w, slots)
	}
	return append(append(stages, slots), stage.All(workers...)...)
}

// owners makes the builders, each of which owns one shard at a time.
func (b *shared) owners() []*stage.ProducerConsumer[*job, *piece] {
	builders := make([]*stage.ProducerConsumer[*job, *piece], b.Options.Builders)
	for i := range builders {
		name := stage.Name(fmt.Sprintf("builder %d", i+1))
		if b.Options.Automatic {
			builders[i] = stage.NewProducerConsumer(b.own, name)
			builders[i].SubscribeTo(b.stale(i), stage.MaxDemand(1))
			continue
		}
		builders[i] = stage.NewProducerConsumer(b.own, name,
			stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(1) }))
		builders[i].SubscribeTo(b.stale(i), stage.Manual())
	}
	return builders
}

// own begins a shard and returns its pieces. It is held until it is persisted or has failed, and only then asks for the next.
// Results come home by a call into the builder's stage. The last of them does not persist, as its slot is held until the call
// returns, but tells the stage to.
func (b *shared) own(ctx context.Context, jobs []*job, from *stage.Subscription) ([]*piece, error) {
	if err := from.Hold(len(jobs)); err != nil {
		return nil, err
	}
	var pieces []*piece
	for _, j := range jobs {
		end := func(ctx context.Context) error {
			if err := b.end(ctx, j); err != nil {
				return err
			}
			if b.Options.Automatic {
				return from.Release(1)
			}
			return from.Next(1)
		}
		j.call, j.grows = from.Do, b.grows(from)
		j.last = func() error { return from.Tell(end) }
		its := b.begin(ctx, j)
		if len(its) == 0 {
			if err := end(ctx); err != nil {
				return nil, err
			}
		}
		pieces = append(pieces, its...)
	}
	return pieces, nil
}

// merge makes the stage that takes one piece of each builder in turn, as there is demand for them.
func merge(builders []*stage.ProducerConsumer[*job, *piece]) *stage.ProducerConsumer[*piece, *piece] {
	slots := stage.NewProducerConsumer(func(_ context.Context, pieces []*piece, _ *stage.Subscription) ([]*piece, error) {
		return pieces, nil
	}, stage.Name("slots"))
	for _, builder := range builders {
		slots.SubscribeTo(builder, stage.MaxDemand(1))
	}
	return slots
}
