package window

import (
	"cmp"
	"time"
)

// Window names a window. Windows are equal if they are the same window.
type Window struct {
	Index      int64     // Count: from 0 on; otherwise 0
	Start, End time.Time // Fixed, Periodic: the span, in UTC, without End itself; otherwise zero
}

// compare orders windows of one kind: by end, then by start, then by index.
func (w Window) compare(v Window) int {
	return cmp.Or(w.End.Compare(v.End), w.Start.Compare(v.Start), cmp.Compare(w.Index, v.Index))
}

// assigner says which windows events belong to.
type assigner interface {
	// assign appends to windows those of the next event, which has time at.
	assign(windows []Window, at time.Time) []Window
}

// assignerOf returns the assigner of a valid spec.
func assignerOf(s Spec) assigner {
	switch s.Kind {
	case Count:
		return &counted{size: int64(s.Size)}
	case Fixed, Periodic:
		return &spans{duration: s.Duration, offset: s.Offset % s.Duration}
	default:
		return global{}
	}
}

// global puts all events into one window.
type global struct{}

func (global) assign(windows []Window, _ time.Time) []Window { return append(windows, Window{}) }

// counted puts size events into each window.
type counted struct {
	size int64
	seen int64
}

func (c *counted) assign(windows []Window, _ time.Time) []Window {
	w := Window{Index: c.seen / c.size}
	c.seen++
	return append(windows, w)
}

// spans puts events into adjacent spans of time.
type spans struct {
	duration time.Duration
	offset   time.Duration
	last     Window // of the event before: most often the next one belongs there too
}

func (s *spans) assign(windows []Window, at time.Time) []Window {
	if at.Before(s.last.Start) || !at.Before(s.last.End) {
		// Truncate counts from the zero time and rounds down, also before it.
		start := at.UTC().Add(-s.offset).Truncate(s.duration).Add(s.offset)
		s.last = Window{Start: start, End: start.Add(s.duration)}
	}
	return append(windows, s.last)
}
