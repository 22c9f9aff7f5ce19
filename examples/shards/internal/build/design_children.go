package build

import (
	"context"

	"github.com/go-genstage/genstage/stage"
)

// children has each builder start a child for each of its pieces, and wait for them: a small pipeline within the callback.
// What bounds the pieces in flight is the length of the shards, unless K is a limit that all builders share.
func (b *shared) children() []stage.Stage {
	var shared *stage.Budget
	if b.Options.K > 0 {
		shared = stage.NewBudget(int64(b.Options.K))
	}
	builders := b.builders(b.Options.Builders, func(ctx context.Context, j *job) error {
		return b.gather(ctx, j, func(ctx context.Context, pieces []*piece) error {
			if len(pieces) == 0 {
				return nil
			}
			var from stage.Source[*piece] = stage.FromSlice(pieces)
			run := []stage.Stage{from.(stage.Stage)}
			if shared != nil {
				from = stage.Charge(from, shared, nil)
			}
			children := b.supervisor()
			children.SubscribeTo(from, stage.MaxDemand(len(pieces)))
			return stage.Run(ctx, append(run, children)...)
		})
	})
	return append([]stage.Stage{b.source.stage}, stage.All(builders...)...)
}
