package build

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// workers makes M workers: each is a slot, and has a connection of its own.
func (b *shared) workers() []*stage.Consumer[*piece] {
	workers := make([]*stage.Consumer[*piece], b.Options.Snapshots)
	for i := range workers {
		var conn connection
		workers[i] = stage.NewConsumer(func(ctx context.Context, pieces []*piece, from *stage.Subscription) error {
			conn.weighs = b.correct(from)
			for _, p := range pieces {
				if err := b.subTask(ctx, p, &conn); err != nil {
					return err
				}
			}
			return nil
		}, stage.Name(fmt.Sprintf("worker %d", i+1)))
	}
	return workers
}

// workOn subscribes a worker with its demand, by default 1 and 0: it is bound to one piece, and asks for the next when that
// one is done.
func (b *shared) workOn(w *stage.Consumer[*piece], pieces stage.Source[*piece]) {
	w.SubscribeTo(b.charged(pieces), stage.MaxDemand(b.Options.WorkerMax), stage.MinDemand(b.Options.WorkerMin))
}

// supervisor makes the stage that starts a child for each piece, which has a connection of its own.
func (b *shared) supervisor() *stage.ConsumerSupervisor[*piece] {
	return stage.NewConsumerSupervisor(func(ctx context.Context, p *piece) error {
		var conn connection
		if charge := stage.ChargeFrom(ctx); charge != nil {
			conn.weighs = charge.Adjust
		}
		return b.subTask(ctx, p, &conn)
	}, stage.Name("supervisor"))
}
