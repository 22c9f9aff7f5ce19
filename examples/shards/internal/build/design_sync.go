package build

import (
	"context"

	"github.com/go-genstage/genstage/stage"
)

// sync has consumers build their shards alone: fetch a piece, ingest it, fetch the next.
func (b *shared) sync() []stage.Stage {
	consumers := b.builders(b.Options.Consumers, func(ctx context.Context, j *job) error {
		j.call = func(ctx context.Context, fn func(context.Context) error) error { return fn(ctx) }
		var conn connection
		for _, p := range b.begin(ctx, j) {
			if err := b.subTask(ctx, p, &conn); err != nil {
				return err
			}
		}
		return b.end(ctx, j)
	})
	return append([]stage.Stage{b.source.stage}, stage.All(consumers...)...)
}
