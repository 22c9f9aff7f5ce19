package build

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/go-genstage/genstage/stage"
)

// work is the events callback of a worker: one slot. It fetches a piece, with retries, and hands the result to the owner. The
// slot is held until the owner has ingested it.
func (b *Build) work(ctx context.Context, pieces []*piece, _ *stage.Subscription) error {
	for _, p := range pieces {
		result, err := b.fetch(ctx, p)
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		told := p.job.from.Do(ctx, func(context.Context) error {
			return p.job.builder.answered(p, result, err)
		})
		b.Meter.slotFreed(p, err)
		if told != nil {
			return told
		}
	}
	return nil
}

// errGivenUp answers a piece of a shard that has failed already.
var errGivenUp = errors.New("not begun: the shard has failed")

// fetch is the sub-task, whatever the design: it takes a slot, and tries until it has a result or no try is left. Whatever
// goes wrong in a try is an error of this piece, so that no stage ends by a bad snapshot.
func (b *Build) fetch(ctx context.Context, p *piece) (Result, error) {
	if p.job.given.Load() {
		return nil, errGivenUp
	}
	b.Meter.slotTaken(p)
	for n := 0; ; n++ {
		result, err := b.try(ctx, p)
		if err == nil || n == b.Options.Retries || ctx.Err() != nil || p.job.given.Load() || store.Permanent(err) {
			return result, err
		}
		after := store.RetryAfter(err)
		if after > store.LongestWait {
			return nil, err // watching, the shard is tried again when its pause is over
		}
		pause := after + store.Pause(b.Options.Seed, p.job.task.Shard+"/"+p.name(), n)
		b.log().Warn("trying again", "shard", p.job.task.Shard, "snapshot", p.name(), "attempt", n+1, "pause", pause, "error", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// timeout returns how long one try of a piece may take, 0 for no limit.
func (b *Build) timeout(p *piece) time.Duration {
	d := b.Options.Timeout
	if sizes := p.job.task.Sizes; d > 0 && sizes != nil {
		d += time.Duration(float64(sizes[p.snapshot]) / float64(b.Options.MinRate) * float64(time.Second))
	}
	return d
}

// try calls Fetch once, on a goroutine of its own, since a panic can be caught anywhere but Goexit ends the goroutine it is
// called on. It returns when that has ended; -timeout bounds it as far as Fetch minds its context.
func (b *Build) try(ctx context.Context, p *piece) (Result, error) {
	if d := b.timeout(p); d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, d, fmt.Errorf("no result after %v: %w", d, context.DeadlineExceeded))
		defer cancel()
	}
	var result Result
	err := errors.New("runtime.Goexit was called")
	done := make(chan struct{})
	go func() { // ends with Fetch; try waits for it
		defer close(done)
		defer func() {
			if v := recover(); v != nil {
				err = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
			}
		}()
		result, err = b.Work.Fetch(ctx, p.job.task, p.snapshot)
	}()
	<-done
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = context.Cause(ctx)
	}
	return result, err
}
