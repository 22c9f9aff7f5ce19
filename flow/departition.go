package flow

import (
	"time"

	"github.com/go-genstage/genstage/internal/window"
	"github.com/go-genstage/genstage/stage"
)

// partial is what a stage of a partitioned reduction has for the merging one.
type partial[A any] struct {
	acc     A
	trigger Trigger
}

// merged is a window of which some stages have reported.
type merged[B any] struct {
	acc    B
	window Window
	events int64
}

// Departition merges the accumulators of all stages of a reduction in one stage. Each trigger there hands its accumulator over, and a
// fresh one is begun there. merge is given what is merged of that window so far, at first what init returns, and the accumulator
// that was handed over, and returns what is merged now. Its own trigger, which is final, comes for a window when no stage has anything more for it: each one has ended, or has had
// its final trigger for that window or a later one. From the first such trigger on, the other stages are waited for no longer than the [Idle] time of
// fixed windows; of periodic ones, than their duration, a minute at most. What a stage has for a window after that is not merged any more,
// but comes in a [Late] trigger of its own. The global window waits for all stages, and so do count windows, of which those with equal numbers
// are merged. The options are those of the layer that it begins; it always has one stage.
func Departition[A, B any](r Reduction[A], init func() B, merge func(acc B, part A) B, opts ...Option) Reduction[B] {
	must(init != nil && merge != nil, "Departition")
	return departition(r, init, merge, false, opts)
}

// departition is Departition; always has the global window come at the end even if no stage has anything.
//
//go:noinline
func departition[A, B any](r Reduction[A], init func() B, merge func(acc B, part A) B, always bool, opts []Option) Reduction[B] {
	parts := OnTrigger(r, func(acc A, t Trigger, emit func(v partial[A])) A {
		emit(partial[A]{acc, t})
		return r.fresh()
	})
	f := begin([]Flow[partial[A]]{parts}, onDemand, nil, opts)
	return Reduction[B]{
		layer: f.layer.with("departition", traits{keeps: true, one: true}),
		fresh: init,
		fold: func(w *worker, fire func(acc B, t Trigger) B) func(input any) {
			m := newMerging(w, r.spec, init, merge, fire, always)
			feed := f.chain(w, m.add)
			w.hooks = append(w.hooks, hook{came: m.came, batch: m.arm, end: m.end, gone: m.gone})
			return feed
		},
	}
}

// mergedSpec returns how windows are divided where they are merged: as event time, of which the stages before have the watermarks.
func mergedSpec(s window.Spec) window.Spec {
	switch s.Kind {
	case window.Fixed:
		return window.Spec{Kind: window.Fixed, Duration: s.Duration, Offset: s.Offset, Idle: s.Idle}
	case window.Periodic:
		return window.Spec{Kind: window.Fixed, Duration: s.Duration, Idle: min(s.Duration, DefaultIdle)}
	case window.Count:
		return window.Spec{Kind: window.Fixed, Duration: 1} // see span
	}
	return window.Spec{}
}

// span returns the time of a window where windows are merged. That of a count window is its index.
func span(w Window) (start, end time.Time) {
	if w.End.IsZero() {
		return time.Unix(0, w.Index), time.Unix(0, w.Index+1)
	}
	return w.Start, w.End
}

// merging is the windows of a departition in one run. It is used on the stage's goroutine only.
type merging[A, B any] struct {
	w       *worker
	engine  *window.Engine[partial[A], merged[B]]
	sources map[*stage.Subscription]*window.Source // the stages before
	timer   *timer
	empty   func() // nothing has come at all
	any     bool   // something has come
}

//go:noinline
func newMerging[A, B any](
	w *worker, parts window.Spec, init func() B, merge func(acc B, part A) B, fire func(acc B, t Trigger) B, always bool,
) *merging[A, B] {
	add := func(m merged[B], p partial[A]) merged[B] {
		return merged[B]{acc: merge(m.acc, p.acc), window: p.trigger.Window, events: m.events + p.trigger.Events}
	}
	emit := func(m merged[B], timing Timing) {
		fire(m.acc, Trigger{Window: m.window, Timing: timing, Events: m.events, Stages: 1})
	}
	m := &merging[A, B]{w: w, sources: map[*stage.Subscription]*window.Source{}, empty: func() {}}
	if always {
		m.empty = func() { emit(merged[B]{acc: init()}, Final) }
	}
	engine, err := window.New(mergedSpec(parts), window.Reducer[partial[A], merged[B]]{
		Init: func() merged[B] { return merged[B]{acc: init()} },
		Add:  add,
		Fire: func(p window.Pane[merged[B]]) merged[B] {
			emit(p.Acc, Final) // it has no triggers and no lateness
			return p.Acc
		},
		Late: func(p partial[A]) { emit(add(merged[B]{acc: init()}, p), Late) },
	})
	if err != nil {
		panic(err) // the plan has the fault, and is not run
	}
	m.engine = engine
	m.timer = w.timer(engine.Advance)
	return m
}

func (m *merging[A, B]) came(sub *stage.Subscription) {
	m.sources[sub] = m.engine.AddSource(func() bool { return m.w.waitsFor(sub) }, time.Now())
}

func (m *merging[A, B]) gone(sub *stage.Subscription) {
	m.engine.EndSource(m.sources[sub], time.Now())
	delete(m.sources, sub)
}

// add merges what a stage has for a window. With its final trigger the stage is done with that window and all before it.
func (m *merging[A, B]) add(p partial[A]) bool {
	m.any = true
	start, end := span(p.trigger.Window)
	now := time.Now()
	if !p.trigger.repeats() {
		if err := m.engine.Add(nil, p, start, now); err != nil {
			return m.w.fail(err)
		}
	}
	if p.trigger.Timing == Final {
		m.engine.Observe(m.sources[m.w.from], end, now)
	}
	return m.w.more()
}

func (m *merging[A, B]) arm() {
	if next, ok := m.engine.Next(); ok {
		m.timer.by(next)
	}
}

func (m *merging[A, B]) end() {
	if !m.any {
		m.empty()
	}
	m.engine.End()
}
