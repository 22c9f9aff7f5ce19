package build

import (
	"context"
	"slices"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// source finds stale shards, as many as are asked for. Without Watch it makes one pass: the root is listed once, at the first
// demand, each shard is looked at once, and the source is done with the last. With Watch it begins another pass when the last
// one is over, after a pause when that found nothing.
//
// What is not read-only is owned by the source's stage goroutine.
type source struct {
	b     *Build
	stage *stage.Producer[*job]

	whole bool // answers with all that it finds, not with the first; set before the run

	listed   bool
	names    []string             // of this pass, not looked at yet
	inFlight map[string]bool      // given to a builder that has not told that it left its hands
	failed   map[string]*failures // watching: when to try again
}

// failures is what is known of a shard that could not be built.
type failures struct {
	next    time.Time
	pause   time.Duration
	listing []string // missing snapshots then; others mean another chance
}

// The pauses after a shard has failed.
const (
	firstPause   = time.Minute
	longestPause = time.Hour
)

func newSource(b *Build) *source {
	s := &source{b: b}
	s.stage = stage.Poll(s.poll, stage.Name("stale shards"), stage.OnInit(s.init), stage.PollEvery(b.Options.Poll, 20*b.Options.Poll))
	return s
}

func (s *source) init(context.Context) error {
	s.listed, s.names = false, nil
	s.inFlight, s.failed = map[string]bool{}, map[string]*failures{}
	return nil
}

// poll returns the next stale shard as soon as it has found one: it is called again for the others.
func (s *source) poll(ctx context.Context, demand int) ([]*job, error) {
	var found []*job
	if !s.listed {
		names, err := s.b.Work.List(ctx)
		if err != nil {
			if !s.b.Options.Watch || ctx.Err() != nil {
				return nil, err
			}
			s.b.Meter.listFailed(err)
			return nil, nil
		}
		s.names, s.listed = names, true
	}
	for len(s.names) > 0 {
		name := s.names[0]
		s.names = s.names[1:]
		if s.inFlight[name] || ctx.Err() != nil {
			continue
		}
		task, err := s.b.Work.Plan(ctx, name)
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if err != nil {
			task = &Task{Shard: name}
		}
		if task == nil || !s.due(task) {
			continue
		}
		if err != nil {
			s.b.Meter.shardFailed(task, err)
			s.note(task, err)
			continue
		}
		s.inFlight[name] = true
		if found = append(found, &job{task: task}); !s.whole || len(found) == demand {
			return found, nil
		}
	}
	if !s.b.Options.Watch {
		return found, stage.ErrDone
	}
	s.listed = false
	return found, nil
}

// left is told by builders that a shard has left their hands. Safe for concurrent use.
func (s *source) left(j *job, err error) {
	_ = s.stage.Tell(func(context.Context) ([]*job, error) { // a source that is done needs no telling
		delete(s.inFlight, j.task.Shard)
		s.note(j.task, err)
		return nil, nil
	})
}

// note keeps account of failures, for watching.
func (s *source) note(task *Task, err error) {
	if err == nil {
		delete(s.failed, task.Shard)
		return
	}
	f := s.failed[task.Shard]
	if f == nil {
		f = &failures{pause: firstPause / 2}
		s.failed[task.Shard] = f
	}
	f.pause = min(2*f.pause, longestPause)
	f.next = time.Now().Add(f.pause)
	f.listing = task.Snapshots
}

// due reports whether a stale shard may be tried (again).
func (s *source) due(task *Task) bool {
	f := s.failed[task.Shard]
	switch {
	case f == nil:
		return true
	case !slices.Equal(f.listing, task.Snapshots):
		delete(s.failed, task.Shard)
		return true
	}
	return !time.Now().Before(f.next)
}
