package window

import (
	"slices"
	"time"
)

// open is a window that is not closed.
type open[T, A any] struct {
	window Window
	acc    A
	total  int64 // events so far
	fresh  int64 // events since the last pane
	panes  int
	ended  bool // the watermark has reached the window's end, the lateness has begun

	due  time.Time // when the watermark ends or closes it, for spans of time
	slot int       // in the set of changed windows, -1 if it is not there

	before, after func(T) bool // triggers of this window, nil if there are none
}

// dueHeap has the open windows of time, the next one due first.
type dueHeap[T, A any] []*open[T, A]

func (h dueHeap[T, A]) less(i, j int) bool {
	if c := h[i].due.Compare(h[j].due); c != 0 {
		return c < 0
	}
	return h[i].window.compare(h[j].window) < 0
}

func (h *dueHeap[T, A]) push(o *open[T, A]) {
	*h = append(*h, o)
	s := *h
	for i := len(s) - 1; i > 0; {
		parent := (i - 1) / 2
		if !s.less(i, parent) {
			return
		}
		s[i], s[parent] = s[parent], s[i]
		i = parent
	}
}

// pop removes and returns the first one. The heap is not empty.
func (h *dueHeap[T, A]) pop() *open[T, A] {
	s := *h
	first, last := s[0], len(s)-1
	s[0], s[last] = s[last], nil
	s = s[:last]
	*h = s
	for i := 0; ; {
		next := 2*i + 1
		if next >= len(s) {
			return first
		}
		if next+1 < len(s) && s.less(next+1, next) {
			next++
		}
		if !s.less(next, i) {
			return first
		}
		s[i], s[next] = s[next], s[i]
		i = next
	}
}

// changedSet has the windows that have changed since their last pane, in no order.
type changedSet[T, A any] []*open[T, A]

func (c *changedSet[T, A]) add(o *open[T, A]) {
	if o.slot < 0 {
		o.slot = len(*c)
		*c = append(*c, o)
	}
}

func (c *changedSet[T, A]) remove(o *open[T, A]) {
	if o.slot < 0 {
		return
	}
	s := *c
	last := len(s) - 1
	s[o.slot] = s[last]
	s[o.slot].slot = o.slot
	s[last] = nil
	*c, o.slot = s[:last], -1
}

// sorted returns the windows of the set in order, in a slice of its own.
func (c changedSet[T, A]) sorted() []*open[T, A] { return inOrder(slices.Clone(c)) }

// inOrder sorts windows and returns them.
func inOrder[T, A any](windows []*open[T, A]) []*open[T, A] {
	slices.SortFunc(windows, func(a, b *open[T, A]) int { return a.window.compare(b.window) })
	return windows
}
