package build

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/go-genstage/genstage/stage"
)

// job is one shard on its way from the source to its file. The fields below the line are owned by the builder stage that
// took it; workers reach them by a call into that stage.
type job struct {
	task     *Task
	reserved bool // for a builder of small shards

	given atomic.Bool // given up: pieces that have not begun are answered without opening a body

	builder *builder
	from    *stage.Subscription // over which the builder got it
	owner   Owner
	left    int   // pieces not answered
	err     error // the first that failed it
}

// piece is one sub-task: a missing snapshot of a job.
type piece struct {
	job      *job
	snapshot int
	inSlot   bool // guarded by the meter
}

func (p *piece) name() string { return p.job.task.Snapshots[p.snapshot] }

// builder owns the shards that its stage has taken: one at a time, unless the wiring lets it take more.
type builder struct {
	b    *Build
	jobs map[*job]bool // begun and not ended; owned by the stage goroutine
}

// take begins a shard and returns its pieces. It is held until it is persisted or has failed, and only then asks for the next.
func (s *builder) take(ctx context.Context, jobs []*job, from *stage.Subscription) ([]*piece, error) {
	if err := from.Hold(len(jobs)); err != nil {
		return nil, err
	}
	var pieces []*piece
	for _, j := range jobs {
		s.b.Meter.shardTaken(j.task)
		s.b.log().Info("building", "shard", j.task.Shard, "attempt", s.b.troubles.attempt(j.task.Shard), "missing", len(j.task.Snapshots), "reason", j.task.Reason)
		j.builder, j.from, j.left = s, from, len(j.task.Snapshots)
		owner, err := s.b.Work.Begin(ctx, j.task)
		if err != nil {
			j.err, j.left = fmt.Errorf("shard %q: %w", j.task.Shard, err), 0
		} else {
			j.owner = owner
			s.jobs[j] = true
		}
		if j.left == 0 {
			if err := s.end(ctx, j); err != nil {
				return nil, err
			}
			continue
		}
		for i := range j.task.Snapshots {
			pieces = append(pieces, &piece{job: j, snapshot: i})
		}
	}
	return pieces, nil
}

// answered takes what became of a piece. It is called on the builder's goroutine, by a worker whose slot is held until it
// returns; so the last answer does not persist, but tells the stage to.
func (s *builder) answered(p *piece, result Result, err error) error {
	j := p.job
	if err == nil && j.err != nil {
		s.b.Work.Discard(result)
	} else if err == nil {
		if err = j.owner.Ingest(p.snapshot, result); err == nil {
			s.b.Meter.ingested(p)
		}
	}
	if err != nil && j.err == nil {
		j.err = &SnapshotError{Shard: j.task.Shard, Snapshot: p.name(), Err: err}
		j.given.Store(true)
	}
	if j.left--; j.left > 0 {
		return nil
	}
	return j.from.Tell(func(ctx context.Context) error { return s.end(ctx, j) })
}

// end persists a shard whose pieces are all answered, or abandons it, and lets go of it: now the next one may come.
func (s *builder) end(ctx context.Context, j *job) error {
	switch {
	case j.owner == nil:
	case j.err != nil:
		j.err = errors.Join(j.err, j.owner.Abandon())
	default:
		s.b.Meter.persisting(j.task)
		if err := j.owner.Persist(ctx); err != nil {
			j.err = fmt.Errorf("shard %q: %w", j.task.Shard, err)
		}
	}
	if ctx.Err() != nil && j.err != nil {
		return j.err // aborted: it is neither built nor failed
	}
	delete(s.jobs, j)
	s.b.left(j.task, j.err)
	if s.b.Options.Automatic {
		return j.from.Release(1)
	}
	return j.from.Next(1)
}

// terminate abandons what an aborted run leaves.
func (s *builder) terminate(error) {
	for j := range s.jobs {
		if j.owner != nil {
			_ = j.owner.Abandon() // the run has an error already
		}
		s.b.Meter.shardDropped(j.task)
	}
}
