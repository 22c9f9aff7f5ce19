package build

import (
	"context"

	"github.com/go-genstage/genstage/stage"
)

// tasks has each builder run K tasks within its callback: N × K of them in all, and K for a shard that is alone.
func (b *shared) tasks() []stage.Stage { return b.tasksOf(b.Options.Builders, b.Options.K) }

// limited is one builder with M tasks: one shard at a time.
func (b *shared) limited() []stage.Stage { return b.tasksOf(1, b.Options.Snapshots) }

// tasksOf is n builders with up to k tasks each.
func (b *shared) tasksOf(n, k int) []stage.Stage {
	builders := b.builders(n, func(ctx context.Context, j *job) error {
		return b.gather(ctx, j, func(ctx context.Context, pieces []*piece) error {
			return b.inParallel(ctx, k, pieces)
		})
	})
	return append([]stage.Stage{b.source.stage}, stage.All(builders...)...)
}
