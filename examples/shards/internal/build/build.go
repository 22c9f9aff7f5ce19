package build

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// Options say how to build. [Options.Check] fills in defaults and finds what is out of range.
type Options struct {
	Design    string        // "manual"
	Builders  int           // N, shards in progress; 10
	Snapshots int           // M, snapshots in flight; 20
	Direct    bool          // workers subscribe to the builders themselves
	Automatic bool          // builders ask automatically
	WorkerMax int           // max demand of a worker; 1
	WorkerMin int           // min demand of a worker; 0
	Retries   int           // tries of a snapshot beyond the first
	Timeout   time.Duration // of one try, to which is added what MinRate allows for the size; 0: none
	MinRate   int64         // bytes per second that the store is expected to give at least; 0: 1 MiB
	Seed      uint64        // of the pauses between tries
	Watch     bool          // go on when nothing is stale
	Poll      time.Duration // watching: the first pause when nothing is stale; 1 s

	Source SourceOptions
	Log    *slog.Logger // a line for each shard begun, built, failed, and each snapshot tried again; nil: none
}

// Check fills in defaults and returns an error that names the option out of range.
func (o *Options) Check() error {
	if o.Design == "" {
		o.Design = "manual"
	}
	for _, d := range []struct {
		v   *int
		def int
	}{{&o.Builders, 10}, {&o.Snapshots, 20}, {&o.WorkerMax, 1}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	if o.MinRate == 0 {
		o.MinRate = 1 << 20
	}
	switch {
	case o.Design != "manual":
		return fmt.Errorf("design %q: there is manual", o.Design)
	case o.Builders < 1 || o.Builders > 10_000:
		return fmt.Errorf("%d builders: want 1 to 10000", o.Builders)
	case o.Snapshots < 1 || o.Snapshots > 10_000:
		return fmt.Errorf("%d snapshots: want 1 to 10000", o.Snapshots)
	case o.WorkerMax < 1 || o.WorkerMin < 0 || o.WorkerMin >= o.WorkerMax:
		return fmt.Errorf("workers with max %d and min %d: want max at least 1, min from 0 to max-1", o.WorkerMax, o.WorkerMin)
	case o.Retries < 0 || o.Retries > 100:
		return fmt.Errorf("%d retries: want 0 to 100", o.Retries)
	case o.Timeout < 0:
		return fmt.Errorf("timeout %v: want 0 or more", o.Timeout)
	case o.MinRate < 0:
		return fmt.Errorf("least rate of %d bytes per second: want more than 0", o.MinRate)
	case o.Poll < 0:
		return fmt.Errorf("poll pause %v: want more than 0", o.Poll)
	case o.Source.ReserveSmall > 0 && (o.Automatic || o.Design != "manual"):
		return errors.New("builders can be reserved for small shards in the manual design only")
	}
	return o.Source.check(o.Builders)
}

// Build is one build: a pipeline of some design over some work. It is a [stage.Stage].
type Build struct {
	*stage.Pipeline
	Options Options
	Work    Work
	Meter   *Meter

	source   *source
	troubles troubles
}

// New wires a build. It returns the error of [Options.Check].
func New(work Work, meter *Meter, options Options) (*Build, error) {
	if err := options.Check(); err != nil {
		return nil, err
	}
	b := &Build{Options: options, Work: work, Meter: meter}
	b.troubles.watch = options.Watch
	b.source = newSource(b)
	b.Pipeline = stage.NewPipeline(b.manual()...)
	return b, nil
}

// Run runs the build until nothing is stale (never, when watching), it was stopped, or ctx ends. Shards that failed are no
// error of the run: the meter has them.
func (b *Build) Run(ctx context.Context) error {
	b.Meter.begin(b.Options)
	defer b.Meter.end()
	return b.Pipeline.Run(ctx)
}
