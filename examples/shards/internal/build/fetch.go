package build

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime/debug"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// subTask is what is done with a piece, whatever the design: it is fetched, with retries, and the answer told to the owner of
// its shard. The slot is held until the owner has taken it. An error ends the run; what went wrong with the piece is the
// owner's.
func (b *shared) subTask(ctx context.Context, p *piece, conn *connection) error {
	result, err := b.fetch(ctx, p, conn)
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if conn.weighs != nil && err == nil && b.Options.Hold == HoldBody {
		_ = conn.weighs(result.Bytes()) // ended: the run is over
	}
	told := p.job.call(ctx, func(context.Context) error { return b.answered(p, result, err) })
	b.Meter.slotFreed(p, err)
	return told
}

// connection is what somebody who fetches pieces has to the store. It is made with the first of them.
type connection struct {
	open   bool
	weighs func(bytes int64) error // corrects what the piece at hand weighs; nil without budget
}

// connect makes a connection, unless there is one.
func (b *shared) connect(ctx context.Context, conn *connection) {
	if conn.open {
		return
	}
	conn.open = true
	b.Meter.connectionOpened()
	if b.Options.Connect > 0 {
		select {
		case <-time.After(b.Options.Connect):
		case <-ctx.Done():
		}
	}
}

// errGivenUp answers a piece of a shard that has failed already.
var errGivenUp = errors.New("not begun: the shard has failed")

// fetch takes a slot, and tries until it has a result or no try is left. Whatever goes wrong in a try is an error of this
// piece, so that no stage ends by a bad snapshot.
func (b *shared) fetch(ctx context.Context, p *piece, conn *connection) (Result, error) {
	if p.job.given.Load() {
		return nil, errGivenUp
	}
	b.Meter.slotTaken(p)
	b.connect(ctx, conn)
	for n := 0; ; n++ {
		result, err := b.try(ctx, p, b.hand(ctx, p, conn))
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
		if err := b.dropParts(ctx, p); err != nil {
			return nil, err
		}
	}
}

// timeout returns how long one try of a piece may take, 0 for no limit.
func (b *shared) timeout(p *piece) time.Duration {
	d := b.Options.Timeout
	if sizes := p.job.task.Sizes; d > 0 && sizes != nil {
		more := float64(sizes[p.snapshot]) / float64(b.Options.MinRate) * float64(time.Second)
		if more >= float64(math.MaxInt64-d) {
			return math.MaxInt64 // some centuries
		}
		d += time.Duration(more)
	}
	return d
}

// try calls Fetch once, on a goroutine of its own, since a panic can be caught anywhere but Goexit ends the goroutine it is
// called on. It returns when that has ended; -timeout bounds it as far as Fetch minds its context.
//
// What the owner takes for the parts that it is handed is not the store's, and does not count.
func (b *shared) try(ctx context.Context, p *piece, hand func(Result) error) (Result, error) {
	ctx, deadline, end := withDeadline(ctx, b.timeout(p))
	defer end()
	timed := hand
	if hand != nil {
		timed = func(part Result) error {
			defer deadline.pause()()
			return hand(part)
		}
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
		result, err = b.Work.Fetch(ctx, p.job.task, p.snapshot, timed)
	}()
	<-done
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = context.Cause(ctx)
	}
	return result, err
}
