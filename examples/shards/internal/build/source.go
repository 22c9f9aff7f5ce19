package build

import (
	"context"
	"slices"

	"github.com/go-genstage/genstage/stage"
)

// source finds stale shards, as many as are asked for. Without Watch it makes one pass: the root is listed once, at the first
// demand, each shard is looked at once, and the source is done with the last. With Watch it begins another pass when the last
// one is over, after a pause. Nothing is looked at without demand.
//
// What is not read-only is owned by the source's stage goroutine.
type source struct {
	b     *shared
	stage *stage.Producer[*job]

	whole bool // answers with all that it finds, not with the first; set before the run

	listed   bool
	names    []string        // of this pass, not looked at yet
	planned  []*Task         // looked at and to be built, in order; not given yet
	inFlight map[string]bool // given to a builder that has not told that it left its hands; whether that builder is a reserved one
}

func newSource(b *shared) *source {
	s := &source{b: b}
	s.stage = stage.Poll(s.poll, stage.Name("stale shards"), stage.OnInit(s.init), stage.PollEvery(b.Options.Poll, 20*b.Options.Poll))
	if b.Options.Source.ReserveSmall > 0 {
		s.stage.DispatchWith(stage.PartitionBy(func(j *job) bool { return j.reserved }, false, true))
	}
	return s
}

// to returns the source for builder i, of those in [0, Options.Builders): the first ones are those for small shards.
func (s *source) to(i int) stage.Source[*job] {
	if reserve := s.b.Options.Source.ReserveSmall; reserve > 0 {
		return stage.Partition(s.stage, i < reserve)
	}
	return s.stage
}

func (s *source) init(context.Context) error {
	s.listed, s.names, s.planned, s.inFlight = false, nil, nil, map[string]bool{}
	return nil
}

// poll returns the next stale shard as soon as it has found one: it is called again for the others.
func (s *source) poll(ctx context.Context, demand int) ([]*job, error) {
	var found []*job
	if !s.listed {
		if err := s.list(ctx); err != nil || !s.listed {
			return nil, err
		}
	}
	anyone, small := s.free()
	for {
		if j := s.give(anyone, small); j != nil {
			if found = append(found, j); !s.whole || len(found) == demand {
				return found, nil
			}
			continue
		}
		if len(s.names) == 0 {
			break
		}
		if err := s.plan(ctx); err != nil {
			return nil, err
		}
	}
	if s.b.Options.Watch {
		s.listed = false // what was found large beside a builder for small ones is looked at again
		return found, nil
	}
	if len(s.planned) > 0 {
		return found, nil // until a builder for large ones is free
	}
	return found, stage.ErrDone
}

// list begins a pass. Watching, a root that cannot be listed is tried again after a pause.
func (s *source) list(ctx context.Context) error {
	names, err := s.b.Work.List(ctx)
	if err != nil {
		if !s.b.Options.Watch || ctx.Err() != nil {
			return err
		}
		s.b.Meter.listFailed(err)
		s.b.log().Warn("the root cannot be listed", "error", err)
		return nil
	}
	s.b.troubles.keep(names)
	s.names = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !s.b.Options.Source.wants(name) })
	s.b.Meter.listed(len(s.names))
	s.planned, s.listed = nil, true
	if s.b.Options.Source.Order != OrderName {
		for len(s.names) > 0 {
			if err := s.plan(ctx); err != nil {
				return err
			}
		}
		s.b.Options.Source.sort(s.planned)
	}
	return nil
}

// plan looks at the next name, and adds it to what is planned if it is to be built.
func (s *source) plan(ctx context.Context) error {
	name := s.names[0]
	s.names = s.names[1:]
	if _, ok := s.inFlight[name]; ok {
		return ctx.Err()
	}
	task, err := s.b.Work.Plan(ctx, name)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		task = &Task{Shard: name, Listing: err.Error()}
		if s.b.troubles.due(task) {
			s.b.unusable(task, err)
		}
	case task == nil:
		s.b.troubles.clear(name)
	case s.b.troubles.due(task):
		s.planned = append(s.planned, task)
	}
	return nil
}

// free says which builders have nothing to do: those that take any shard, and those for small ones.
func (s *source) free() (anyone, small bool) {
	reserved, others := 0, 0
	for _, r := range s.inFlight {
		if r {
			reserved++
		} else {
			others++
		}
	}
	reserve := s.b.Options.Source.ReserveSmall
	return reserve == 0 || others < s.b.Options.Builders-reserve, reserved < reserve
}

// give takes the first planned task that a free builder takes; nil if there is none.
func (s *source) give(anyone, small bool) *job {
	for i, task := range s.planned {
		reserved := small && s.b.Options.Source.isSmall(task)
		if !anyone && !reserved {
			continue
		}
		s.planned = slices.Delete(s.planned, i, i+1)
		s.inFlight[task.Shard] = reserved
		return &job{task: task, reserved: reserved}
	}
	return nil
}

// left is told that a shard is in nobody's hands any more. Safe for concurrent use.
func (s *source) left(shard string) {
	_ = s.stage.Tell(func(context.Context) ([]*job, error) { // a source that is done needs no telling
		delete(s.inFlight, shard)
		if len(s.planned) > 0 {
			_ = s.stage.Wake()
		}
		return nil, nil
	})
}
