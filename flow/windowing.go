package flow

import (
	"log/slog"
	"time"

	"github.com/go-genstage/genstage/internal/window"
	"github.com/go-genstage/genstage/stage"
)

// windowing is the windows of a reduction in one stage and one run: it feeds an engine with values and the time, and sets its timer. It is used on
// the stage's goroutine only.
type windowing[T, A any] struct {
	Windows[T]
	w       *worker
	engine  *window.Engine[T, A]
	sources map[*stage.Subscription]*window.Source // fixed windows: who has a watermark
	all     *window.Source                         // the one for all values, where it is not known from whom they are
	timer   *timer
	clocked bool      // the engine has to know when each value comes
	now     time.Time // otherwise, when those in hand have come; zero if it is not known yet
}

// windowed has the values of a worker go into windows, and returns what takes them. fire is called for each trigger with the accumulator, and returns
// the one to go on with.
//
//go:noinline
func windowed[T, A any](g Windows[T], w *worker, fresh func() A, step func(acc A, v T) A, fire func(acc A, t Trigger) A) (func(v T) bool, hook) {
	s := &windowing[T, A]{Windows: g, w: w, clocked: g.spec.Kind == window.Periodic || g.spec.Interval > 0}
	engine, err := window.New(g.spec, window.Reducer[T, A]{
		Init:   fresh,
		Add:    step,
		Fire:   func(p window.Pane[A]) A { return fire(p.Acc, s.trigger(p)) },
		Late:   s.refuse,
		Before: g.before,
		After:  g.after,
	})
	if err != nil {
		panic(err) // the plan has the fault, and is not run
	}
	s.engine = engine
	s.timer = w.timer(engine.Advance)
	for _, signal := range g.signals {
		signal.join(w, engine.Message)
	}
	if g.spec.Kind == window.Fixed {
		if g.flow.layer.does.keeps {
			s.all = engine.AddSource(w.waiting, time.Now())
		}
		s.sources = map[*stage.Subscription]*window.Source{}
	}
	return s.add, hook{came: s.came, batch: s.arm, end: engine.End, gone: s.gone}
}

// came makes a source of a subscription. It holds the watermark back until something comes over it.
func (s *windowing[T, A]) came(sub *stage.Subscription) {
	if s.sources != nil && s.all == nil {
		s.sources[sub] = s.engine.AddSource(func() bool { return s.w.waitsFor(sub) }, time.Now())
	}
}

func (s *windowing[T, A]) gone(sub *stage.Subscription) {
	if source := s.sources[sub]; source != nil {
		delete(s.sources, sub)
		s.engine.EndSource(source, time.Now())
	}
}

// add puts a value into its window.
func (s *windowing[T, A]) add(v T) bool {
	if s.clocked || s.now.IsZero() {
		s.now = time.Now()
	}
	source := s.all
	if source == nil {
		source = s.sources[s.w.from]
	}
	var at time.Time
	if s.at != nil {
		at = s.at(v)
	}
	if err := s.engine.Add(source, v, at, s.now); err != nil {
		return s.w.fail(&ItemError{Item: v, Op: "reduce", Stage: s.w.name, Attempts: 1, Err: err})
	}
	return s.w.more()
}

// arm sets the timer for what is due next. One that goes off too early does no harm.
func (s *windowing[T, A]) arm() {
	s.now = time.Time{}
	if next, ok := s.engine.Next(); ok {
		s.timer.by(next)
	}
}

// refuse takes a late value.
func (s *windowing[T, A]) refuse(v T) {
	if s.late == nil {
		if s.engine.Late() == 1 {
			slog.Warn("flow: a value came when its window was closed; it and further ones are left out and counted", "stage", s.w.name, "value", v)
		}
		return
	}
	if err := s.late(s.w.ctx, v); err != nil {
		s.w.fail(&ItemError{Item: v, Op: "late", Stage: s.w.name, Attempts: 1, Err: failure(err)})
	}
}

// trigger says what a pane is of.
func (s *windowing[T, A]) trigger(p window.Pane[A]) Trigger {
	return Trigger{
		Window: Window(p.Window),
		Timing: Timing(p.Timing),
		Name:   p.Trigger,
		Pane:   p.Number,
		Events: p.Events,
		Late:   s.engine.Late(),
		Stage:  s.w.index,
		Stages: s.w.total,
	}
}
