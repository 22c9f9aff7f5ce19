package window

import (
	"fmt"
	"slices"
	"time"
)

// model is what an engine is to do for windows of event time, written as the rules of the package say it, over everything there is, in nanoseconds
// from base on.
type model struct {
	spec    Spec
	discard bool // windows go on with a fresh accumulator
	now     int64
	sources []*modelSource
	top     *int64
	tops    [][2]int64 // all that top has been, and since when
	mark    *int64
	windows map[int64]*modelWindow // by start; also the closed ones
	tick    int64
	out     []string
	late    []int
}

type modelSource struct {
	mark *int64
	gone bool
}

type modelWindow struct {
	start  int64
	acc    []int
	total  int
	fresh  int
	panes  int
	ended  bool
	closed bool
}

// base is when the tests' time begins. It is no multiple of a window.
var base = time.Date(2026, 3, 1, 12, 0, 0, 7, time.UTC)

func at(ns int64) time.Time { return base.Add(time.Duration(ns)) }

func newModel(spec Spec) *model {
	return &model{spec: spec, windows: map[int64]*modelWindow{}, tick: -1}
}

func (m *model) startOf(t int64) int64 {
	d := int64(m.spec.Duration)
	start := base.Add(time.Duration(t)).Add(-m.spec.Offset % m.spec.Duration).Truncate(m.spec.Duration)
	s := start.Add(m.spec.Offset % m.spec.Duration).Sub(base).Nanoseconds()
	if s > t || t >= s+d {
		panic("model: wrong window")
	}
	return s
}

func (m *model) end(w *modelWindow) int64     { return w.start + int64(m.spec.Duration) }
func (m *model) closing(w *modelWindow) int64 { return m.end(w) + int64(m.spec.Lateness) }
func (m *model) passed(t int64) bool          { return m.mark != nil && *m.mark >= t }

func (m *model) sorted() []*modelWindow {
	var ws []*modelWindow
	for _, w := range m.windows {
		if !w.closed {
			ws = append(ws, w)
		}
	}
	slices.SortFunc(ws, func(a, b *modelWindow) int { return int(a.start - b.start) })
	return ws
}

func (m *model) fire(w *modelWindow, timing Timing, trigger string) {
	m.out = append(m.out, fmt.Sprint(w.start, w.panes, timing, trigger, w.fresh, w.acc))
	w.panes++
	w.fresh = 0
	w.closed = timing == Final
	if m.discard {
		w.acc = nil
	}
}

// elapse goes on to now: what the watermark then ends, the periodic trigger.
func (m *model) elapse(now int64) {
	m.now = max(m.now, now)
	m.settle()
	if m.spec.Interval > 0 && m.tick >= 0 && m.now >= m.tick {
		m.tick = -1
		m.trigger(ByInterval)
	}
}

func (m *model) trigger(name string) {
	for _, w := range m.sorted() {
		if w.fresh > 0 {
			m.fire(w, Early, name)
		}
	}
}

// settle computes the watermark anew and does what it has reached, one deadline after the other.
func (m *model) settle() {
	low := m.top
	for _, s := range m.sources {
		if !s.gone && low != nil && (s.mark == nil || *s.mark < *low) {
			low = s.mark
		}
	}
	if low != nil && !m.passed(*low) {
		m.mark = &[]int64{*low}[0]
	}
	for _, top := range m.tops {
		if m.spec.Idle > 0 && m.now-top[1] >= int64(m.spec.Idle) && !m.passed(top[0]) {
			m.mark = &[]int64{top[0]}[0]
		}
	}
	for {
		var first *modelWindow
		var due int64
		for _, w := range m.sorted() {
			d := m.end(w)
			if w.ended {
				d = m.closing(w)
			}
			if m.passed(d) && (first == nil || d < due) {
				first, due = w, d
			}
		}
		if first == nil {
			return
		}
		if first.ended || m.spec.Lateness == 0 {
			m.fire(first, Final, "")
			continue
		}
		first.ended = true
		if !m.passed(m.closing(first)) {
			m.fire(first, OnTime, "")
		}
	}
}

// first is when the trigger's time begins: with the first event that changes a window.
func (m *model) add(s *modelSource, id int, t, now int64, first *int64) {
	m.elapse(now)
	start := m.startOf(t)
	w := m.windows[start]
	if w == nil {
		w = &modelWindow{start: start}
		w.closed, w.ended = m.passed(m.closing(w)), m.passed(m.end(w))
		if !w.closed {
			m.windows[start] = w
		}
	}
	if w.closed {
		m.late = append(m.late, id)
	} else {
		w.acc = append(slices.Clone(w.acc), id)
		w.total++
		w.fresh++
		switch {
		case w.ended:
			m.fire(w, Late, "")
		case m.spec.Every > 0 && w.total%m.spec.Every == 0:
			m.fire(w, Early, ByEvery)
		case m.spec.Interval > 0 && m.tick < 0:
			if *first < 0 {
				*first = m.now
			}
			d := int64(m.spec.Interval)
			m.tick = *first + ((m.now-*first)/d+1)*d
		}
	}
	mark := t - int64(m.spec.Disorder)
	if s.mark == nil || *s.mark < mark {
		s.mark = &mark
	}
	if m.top == nil || *m.top < mark {
		m.top = &mark
		m.tops = append(m.tops, [2]int64{mark, m.now})
	}
	m.settle()
}

func (m *model) finish() {
	for _, w := range m.sorted() {
		m.fire(w, Final, "")
	}
}
