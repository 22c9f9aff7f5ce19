package build

import (
	"context"
	"errors"
	"sync"

	"github.com/go-genstage/genstage/stage"
)

// Build is one build: a pipeline of some design over some work. It is a [stage.Stage].
//
// It names no typed stage, nor a type that does: what those are made of would be compiled anew in every package that imports
// this one.
type Build struct {
	*stage.Pipeline
	Options Options
	Work    Work
	Meter   *Meter

	troubles *troubles
	abandon  func() // see shared.abandon
}

// New wires a build. It returns the error of [Options.Check].
func New(work Work, meter *Meter, options Options) (*Build, error) {
	b, err := newShared(work, meter, options)
	if err != nil {
		return nil, err
	}
	return b.build(), nil
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

// shared is what the stages of a build share, whatever the design.
type shared struct {
	Options Options
	Work    Work
	Meter   *Meter

	source   *source
	troubles troubles

	transit, shards *stage.Budget // nil without Options.Budget

	mu   sync.Mutex
	open map[*job]struct{} // guarded by mu: shards begun and not ended
}

// newShared makes it; no stage is wired but the source.
func newShared(work Work, meter *Meter, options Options) (*shared, error) {
	if err := options.Check(); err != nil {
		return nil, err
	}
	b := &shared{Options: options, Work: work, Meter: meter, open: map[*job]struct{}{}}
	b.troubles.watch = options.Watch
	b.source = newSource(b)
	if options.Budget > 0 {
		b.transit, b.shards = stage.NewBudget(options.Budget/2), stage.NewBudget(options.Budget/2)
	}
	return b, nil
}

// build wires the design.
func (b *shared) build() *Build {
	return &Build{Pipeline: stage.NewPipeline(b.wire()...).Named("build"), Options: b.Options, Work: b.Work, Meter: b.Meter, troubles: &b.troubles, abandon: b.abandon}
}
