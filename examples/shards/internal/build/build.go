package build

import (
	"context"
	"errors"
	"sync"

	"github.com/go-genstage/genstage/stage"
)

// Build is one build: a pipeline of some design over some work. It is a [stage.Stage].
type Build struct {
	*stage.Pipeline
	Options Options
	Work    Work
	Meter   *Meter

	source   *source
	troubles troubles

	transit, shards *stage.Budget // nil without Options.Budget

	mu   sync.Mutex
	open map[*job]struct{} // guarded by mu: shards begun and not ended
}

// New wires a build. It returns the error of [Options.Check].
func New(work Work, meter *Meter, options Options) (*Build, error) {
	if err := options.Check(); err != nil {
		return nil, err
	}
	b := &Build{Options: options, Work: work, Meter: meter, open: map[*job]struct{}{}}
	b.troubles.watch = options.Watch
	b.source = newSource(b)
	if options.Budget > 0 {
		b.transit, b.shards = stage.NewBudget(options.Budget/2), stage.NewBudget(options.Budget/2)
	}
	b.Pipeline = stage.NewPipeline(b.wire()...)
	return b, nil
}

// Run runs the build until nothing is stale (never, when watching), it was stopped, or ctx ends. Shards that failed are no
// error of the run: the meter has them. What an aborted run leaves is abandoned, unless a callback that did not return may
// still be at it.
func (b *Build) Run(ctx context.Context) error {
	b.Meter.begin(b.Options)
	defer b.Meter.end()
	err := b.Pipeline.Run(ctx)
	if !errors.Is(err, stage.ErrStuck) {
		b.abandon()
	}
	return err
}
