package build

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
)

// job is one shard on its way from the source to its file.
type job struct {
	task     *Task
	reserved bool // for a builder of small shards

	given atomic.Bool // given up: pieces that have not begun are answered without opening a body

	// call runs fn on the goroutine of the owner and returns when that has returned, or ctx has ended. Set by the design
	// before a piece is handed out. A slot is held until the call has returned.
	call func(ctx context.Context, fn func(context.Context) error) error
	// last is called on that goroutine with the last answer; nil if the owner looks at left itself.
	last func() error

	// grows tells the budget of shards how large this one is; nil without. Set by the design.
	grows func(bytes int64) error

	// owned by the goroutine of the owner
	bytes int64 // that the owner held last
	owner Owner
	left  int   // pieces not answered
	err   error // the first that failed it
}

// piece is one sub-task: a missing snapshot of a job.
type piece struct {
	job      *job
	snapshot int
	inSlot   bool // guarded by the meter

	// aggregator: what came of it; written by its worker, then owned by its aggregator
	result Result
	err    error
}

func (p *piece) name() string { return p.job.task.Snapshots[p.snapshot] }

// begin opens a shard and returns its pieces; none if it needs none or cannot be opened, and is only to be ended.
func (b *shared) begin(ctx context.Context, j *job) []*piece {
	b.Meter.shardTaken(j.task)
	b.log().Info("building", "shard", j.task.Shard, "attempt", b.troubles.attempt(j.task.Shard), "missing", len(j.task.Snapshots), "reason", j.task.Reason)
	b.mu.Lock()
	b.open[j] = struct{}{}
	b.mu.Unlock()
	owner, err := b.Work.Begin(ctx, j.task)
	if err != nil {
		j.err = fmt.Errorf("shard %q: %w", j.task.Shard, err)
		return nil
	}
	j.owner, j.left = owner, len(j.task.Snapshots)
	pieces := make([]*piece, j.left)
	for i := range pieces {
		pieces[i] = &piece{job: j, snapshot: i}
	}
	return pieces
}

// answered takes what became of a piece, on the goroutine of the owner.
func (b *shared) answered(p *piece, result Result, err error) error {
	j := p.job
	if err == nil && j.err != nil {
		b.Work.Discard(result)
	} else if err == nil {
		if err = b.ingest(j, func() error { return j.owner.Ingest(p.snapshot, result) }); err == nil {
			b.Meter.ingested(p)
		}
	}
	if err != nil {
		j.fail(p, err)
	}
	if j.left--; j.left == 0 && j.last != nil {
		return j.last()
	}
	return nil
}

// fail notes what failed the shard, if nothing has before.
func (j *job) fail(p *piece, err error) {
	if j.err == nil {
		j.err = &SnapshotError{Shard: j.task.Shard, Snapshot: p.name(), Err: err}
		j.given.Store(true)
	}
}

// grown notes what a shard holds of memory.
func (b *shared) grown(j *job, bytes int64) {
	b.Meter.shardGrew(bytes - j.bytes)
	j.bytes = bytes
	if j.grows != nil && bytes > 0 {
		_ = j.grows(bytes) // ended: the run is over
	}
}

// end persists a shard whose pieces are all answered, or abandons it, and lets go of it. It returns an error only if that was
// aborted: then the shard is neither built nor failed.
func (b *shared) end(ctx context.Context, j *job) error {
	switch {
	case j.owner == nil:
	case j.err != nil:
		j.err = errors.Join(j.err, j.owner.Abandon())
	default:
		b.Meter.persisting(j.task)
		if err := j.owner.Persist(ctx); err != nil {
			j.err = fmt.Errorf("shard %q: %w", j.task.Shard, err)
		}
	}
	if ctx.Err() != nil && j.err != nil {
		return j.err
	}
	b.mu.Lock()
	delete(b.open, j)
	b.mu.Unlock()
	b.grown(j, 0)
	b.left(j.task, j.err)
	return nil
}

// abandon lets go of what a run has left.
func (b *shared) abandon() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for j := range b.open {
		if j.owner != nil {
			_ = j.owner.Abandon() // the run has an error already
		}
		b.Meter.shardDropped(j.task)
	}
	clear(b.open)
}
