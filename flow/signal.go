package flow

import (
	"context"
	"maps"
	"sync"
	"time"
)

// Signal fires a trigger from outside, in all stages of all flows that run with it; see [Windows.TriggerOn]. The zero value is ready. It must not
// be copied. All methods are safe for concurrent use.
type Signal struct {
	mu     sync.Mutex
	stages map[*worker]func(name string, now time.Time) // those that run
}

// Send has each stage that runs with the signal emit the windows that have changed since they were emitted last, with a [Trigger] of that name. It
// does not block: a stage comes to it when it has handled what it has in hand. Stages that do not run are left out.
func (s *Signal) Send(name string) {
	s.mu.Lock()
	stages := maps.Clone(s.stages)
	s.mu.Unlock()
	for w, fire := range stages {
		err := w.tell(func(ctx context.Context) ([]event, error) {
			w.ctx = ctx
			fire(name, time.Now())
			return w.passed()
		})
		if err != nil {
			s.leave(w) // its run ended without its hooks, as when OnInit fails
		}
	}
}

// join has the stage of w told, until its run ends.
func (s *Signal) join(w *worker, fire func(name string, now time.Time)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stages == nil {
		s.stages = map[*worker]func(name string, now time.Time){}
	}
	s.stages[w] = fire
	w.closers = append(w.closers, func() { s.leave(w) })
}

func (s *Signal) leave(w *worker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.stages, w)
}
