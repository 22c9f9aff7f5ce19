package window

import (
	"errors"
	"fmt"
	"time"
)

// ErrTime is wrapped by the error for an event whose time is so far away that windows around it could not be computed.
var ErrTime = errors.New("window: event time out of range")

// farthest is how many seconds from 1970 an event may lie: some 36 billion years, of the 292 billion that a time.Time can tell.
const farthest = 1 << 60

// Reducer is what its owner does with the events and the accumulators of windows. The functions must not call the engine.
type Reducer[T, A any] struct {
	Init func() A
	Add  func(acc A, event T) A

	// Fire takes a pane. Unless it is the final one, the window goes on with the accumulator that is returned. The
	// accumulator of a pane belongs to its window again once Fire has returned: later events may change what it points to.
	Fire func(Pane[A]) A

	// Late takes an event that no open window takes. Nil if counting is enough.
	Late func(event T)

	// Before and After make a trigger for each window, with state of its own; nil if there is none. It is asked about each event of the window:
	// Before in front of adding it, After behind that. True fires.
	Before, After func() func(event T) bool
}

// Engine divides events into windows. It is used from one goroutine.
//
// Each method that takes now, the processing time, first does what has become due by then, so that it does not matter whether the owner's timer or
// an event is there first. A now that lies before an earlier one counts as that one.
type Engine[T, A any] struct {
	spec   Spec
	reduce Reducer[T, A]
	assign assigner

	now    time.Time
	marks  watermark // Fixed
	clock  mark      // Periodic: now, without the monotonic reading
	open   map[Window]*open[T, A]
	recent *open[T, A]      // the window of the event before, nil if it is closed
	due    dueHeap[T, A]    // Fixed, Periodic: the same windows as open
	change changedSet[T, A] // those in open that have fresh events
	tick   time.Time        // multiples of the interval from there on are when the trigger fires
	fireAt time.Time        // the next of them, if a window has changed
	ended  bool

	windows []Window // room for the windows of one event
	late    int64
	steps   int64 // windows looked at because time went on
}

// New returns an engine without a source. The error is that of [Spec.Validate]. Init, Add and Fire must be given.
func New[T, A any](spec Spec, reduce Reducer[T, A]) (*Engine[T, A], error) {
	if err := spec.Validate(); err != nil {
		return nil, err
	}
	if reduce.Init == nil || reduce.Add == nil || reduce.Fire == nil {
		panic("window: a reducer without Init, Add or Fire")
	}
	return &Engine[T, A]{
		spec:   spec,
		reduce: reduce,
		assign: assignerOf(spec),
		marks:  watermark{disorder: spec.Disorder, idle: spec.Idle},
		open:   make(map[Window]*open[T, A]),
	}, nil
}

// AddSource returns a new source of events. From its first event on it holds the watermark back at its newest one, and before that wherever the
// watermark is; but no longer than for the idle time, from when another source was ahead. waiting is asked when that is over: true says that it
// has sent something that has not been added yet, so that it was not silent at all; nil if the owner adds events as they come. Only windows of
// event time need sources.
func (e *Engine[T, A]) AddSource(waiting func() bool, now time.Time) *Source {
	e.elapse(now)
	return e.marks.add(waiting)
}

// EndSource takes s away: it does not hold the watermark back any longer. With the last source the watermark moves on to the highest that any of
// them has had; what is open beyond that is closed by [Engine.End].
func (e *Engine[T, A]) EndSource(s *Source, now time.Time) {
	e.elapse(now)
	e.marks.end(s)
	e.advance(e.marks.at)
}

// Add puts an event of s into its windows and fires what this brings about. at is the event's time; windows that are not of event time look at
// neither s nor at. A late event counts as heard of s and moves the watermark like any other; one of no source (nil) does not move it. The error
// wraps [ErrTime]; the event is then not added.
func (e *Engine[T, A]) Add(s *Source, event T, at, now time.Time) error {
	e.elapse(now)
	switch e.spec.Kind {
	case Fixed:
		if sec := at.Unix(); sec < -farthest || sec > farthest {
			return fmt.Errorf("%w: %d seconds from 1970", ErrTime, sec)
		}
		at = at.Round(0) // without the monotonic reading
	case Periodic:
		at = e.clock.at
	}
	late := true
	e.windows = e.assign.assign(e.windows[:0], at)
	for _, w := range e.windows {
		if o := e.opened(w); o != nil {
			late = false
			e.put(o, event)
		}
	}
	if late {
		e.late++
		if e.reduce.Late != nil {
			e.reduce.Late(event)
		}
	}
	if s != nil {
		e.Observe(s, at, now)
	}
	return nil
}

// Observe notes that s has come to event time at, with or without an event, and does what this brings about.
func (e *Engine[T, A]) Observe(s *Source, at, now time.Time) {
	e.elapse(now)
	if e.spec.Kind == Fixed {
		e.marks.observe(s, at, e.now)
		e.advance(e.marks.at)
	}
}

// Advance does what has become due by now.
func (e *Engine[T, A]) Advance(now time.Time) { e.elapse(now) }

// Next returns when [Engine.Advance] has something to do if no event comes before; false if it has not. It looks at all sources, not at the windows.
func (e *Engine[T, A]) Next() (at time.Time, ok bool) {
	if len(e.open) == 0 {
		return at, false
	}
	if e.spec.Kind == Periodic {
		at, ok = e.due[0].due, true
	} else {
		at, ok = e.marks.next()
	}
	if e.spec.Interval > 0 && len(e.change) > 0 && (!ok || e.fireAt.Before(at)) {
		at, ok = e.fireAt, true
	}
	return at, ok
}

// Message fires a trigger with that name for every window that has changed since its last pane.
func (e *Engine[T, A]) Message(name string, now time.Time) {
	e.elapse(now)
	e.fireChanged(name)
}

// End closes all windows. What is added afterwards is late.
func (e *Engine[T, A]) End() {
	e.ended = true
	all := make([]*open[T, A], 0, len(e.open))
	for _, o := range e.open {
		all = append(all, o)
	}
	e.due = nil
	for _, o := range inOrder(all) {
		e.fire(o, Final, "")
	}
}

// Late returns how many events were late.
func (e *Engine[T, A]) Late() int64 { return e.late }

// Open returns how many windows are open.
func (e *Engine[T, A]) Open() int { return len(e.open) }

// Watermark returns the event time before which no more events are expected; false as long as there is none.
func (e *Engine[T, A]) Watermark() (at time.Time, ok bool) { return e.marks.at.at, e.marks.at.set }

// elapse moves the processing time on to now and does what became due.
func (e *Engine[T, A]) elapse(now time.Time) {
	if now.After(e.now) {
		e.now = now
	}
	switch e.spec.Kind {
	case Periodic:
		if m := (mark{at: e.now.Round(0), set: true}); e.clock.before(m) {
			e.clock = m
		}
		e.advance(e.clock)
	case Fixed:
		e.marks.elapse(e.now)
		e.advance(e.marks.at)
	}
	if e.spec.Interval > 0 && len(e.change) > 0 && !e.now.Before(e.fireAt) {
		e.fireChanged(ByInterval)
	}
}

// advance ends and closes the windows that are due at m, in order: as if the watermark had gone on in small steps, but for panes on time of windows
// that are closed at m, which are left out. It costs nothing for the time that has gone by, only for the windows.
func (e *Engine[T, A]) advance(m mark) {
	for len(e.due) > 0 && m.reached(e.due[0].due) {
		e.steps++
		o := e.due.pop()
		if o.ended || e.spec.Lateness == 0 {
			e.fire(o, Final, "")
			continue
		}
		o.ended, o.due = true, e.closing(o.window)
		e.due.push(o)
		if !m.reached(o.due) {
			e.fire(o, OnTime, "")
		}
	}
}

// closing returns the watermark at which w is closed.
func (e *Engine[T, A]) closing(w Window) time.Time { return w.End.Add(e.spec.Lateness) }

// opened returns w if it takes events: it is open, or not closed and now opened.
func (e *Engine[T, A]) opened(w Window) *open[T, A] {
	if e.recent != nil && e.recent.window == w {
		return e.recent
	}
	o := e.open[w]
	if o == nil {
		if o = e.create(w); o == nil {
			return nil
		}
		e.open[w] = o
	}
	e.recent = o
	return o
}

// create returns a new open window, nil if w is closed.
func (e *Engine[T, A]) create(w Window) *open[T, A] {
	if e.ended {
		return nil
	}
	o := &open[T, A]{window: w, slot: -1}
	if e.spec.Kind == Fixed || e.spec.Kind == Periodic {
		if e.marks.at.reached(e.closing(w)) {
			return nil
		}
		if o.due, o.ended = w.End, e.marks.at.reached(w.End); o.ended {
			o.due = e.closing(w)
		}
		e.due.push(o)
	}
	o.acc = e.reduce.Init()
	if e.reduce.Before != nil {
		o.before = e.reduce.Before()
	}
	if e.reduce.After != nil {
		o.after = e.reduce.After()
	}
	return o
}

// put adds an event to o and fires what it brings about: one pane before it at most, and one after it.
func (e *Engine[T, A]) put(o *open[T, A], event T) {
	if o.before != nil && o.before(event) && o.fresh > 0 {
		e.fire(o, Early, ByFunc)
	}
	o.acc = e.reduce.Add(o.acc, event)
	o.total++
	o.fresh++
	byFunc := o.after != nil && o.after(event)
	switch {
	case e.spec.Kind == Count && o.total == int64(e.spec.Size):
		e.fire(o, Final, "")
	case o.ended:
		e.fire(o, Late, "")
	case e.spec.Every > 0 && o.total%int64(e.spec.Every) == 0:
		e.fire(o, Early, ByEvery)
	case byFunc:
		e.fire(o, Early, ByFunc)
	default:
		e.changed(o)
	}
}

// changed notes that o has fresh events.
func (e *Engine[T, A]) changed(o *open[T, A]) {
	if e.spec.Interval > 0 && len(e.change) == 0 {
		if e.tick.IsZero() {
			e.tick = e.now
		}
		e.tick = e.tick.Add(e.now.Sub(e.tick) / e.spec.Interval * e.spec.Interval)
		e.fireAt = e.tick.Add(e.spec.Interval)
	}
	e.change.add(o)
}

// fireChanged fires a trigger for all windows with fresh events.
func (e *Engine[T, A]) fireChanged(trigger string) {
	for _, o := range e.change.sorted() {
		e.fire(o, Early, trigger)
	}
}

// fire hands out a pane of o. After the final one o is gone.
func (e *Engine[T, A]) fire(o *open[T, A], timing Timing, trigger string) {
	pane := Pane[A]{Window: o.window, Number: o.panes, Timing: timing, Trigger: trigger, Events: o.fresh, Acc: o.acc}
	o.panes++
	o.fresh = 0
	e.change.remove(o)
	if timing == Final {
		delete(e.open, o.window)
		if e.recent == o {
			e.recent = nil
		}
	}
	o.acc = e.reduce.Fire(pane)
}
