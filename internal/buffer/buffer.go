// Package buffer keeps emitted events that nobody has asked for yet.
//
// It knows order, size and which end to drop. It must not know who will
// consume: it is a plain value without goroutine, lock, clock or channel, and
// its owner calls it from one goroutine.
package buffer

import "slices"

// Keep says which events stay when more arrive than the buffer may hold.
type Keep uint8

const (
	KeepLast  Keep = iota // the newest stay, the oldest are discarded
	KeepFirst             // the oldest stay, what does not fit is discarded
)

// Buffer holds events in the order they were put and, between them, marks: an M
// put by [Buffer.Mark] comes out when every event before it has gone.
//
// Events are kept in the slices they came in. Putting and taking costs per
// slice, not per event, as long as what is taken lies in one of them.
type Buffer[T, M any] struct {
	limit int // < 0: unlimited
	keep  Keep
	spare int // how many more it may hold

	due   []M // before every event
	segs  ring[segment[T, M]]
	count int // events in segs
	marks int // marks in due and in segs

	taken []origin // of what the last Take returned, in order
}

// origin is who had given back the next n events of what was taken.
type origin struct {
	from any // nil: nobody
	n    int
}

// segment is one put, or what is left of it. It is never empty.
type segment[T, M any] struct {
	events []T
	marks  []M // behind the last of events, before the next segment
	from   any // who gave them back; nil: nobody
}

// New returns an empty buffer for limit events: 0 keeps none, less than 0 is
// unlimited. Marks do not count.
func New[T, M any](limit int, keep Keep) *Buffer[T, M] {
	return &Buffer[T, M]{limit: limit, keep: keep}
}

// Spare lets it hold n events more than its limit, from now on: they are asked for, and wait for something else
// than demand.
func (b *Buffer[T, M]) Spare(n int) { b.spare = n }

// Len returns the number of events inside, marks not counted.
func (b *Buffer[T, M]) Len() int { return b.count }

// Marks returns the number of marks inside.
func (b *Buffer[T, M]) Marks() int { return b.marks }

// Put appends events behind everything inside. It keeps the slice, it does not
// copy it. What exceeds the limit is discarded and returned in order: with
// [KeepLast] the oldest of all, which may be some of events themselves, with
// [KeepFirst] those of events that do not fit. A put never discards more events
// than it brings, also while [Buffer.PutFront] has filled the buffer beyond its
// limit. The returned slice may share memory with events or earlier puts.
func (b *Buffer[T, M]) Put(events []T) (discarded []T) {
	if len(events) == 0 {
		return nil
	}
	over := 0
	if b.limit >= 0 {
		// limit-count cannot overflow, count+len(events)-limit could.
		over = len(events) - min(len(events), max(0, b.limit-b.count)+b.spareRoom())
	}
	if over > 0 && b.keep == KeepFirst {
		fits := len(events) - over
		events, discarded = events[:fits], slices.Clip(events[fits:])
		over = 0
	}
	if len(events) > 0 {
		b.segs.pushBack(segment[T, M]{events: slices.Clip(events)})
		b.count += len(events)
	}
	if over > 0 {
		discarded = b.cut(over)
	}
	return discarded
}

// spareRoom is how much of what may be held beyond the limit is free.
func (b *Buffer[T, M]) spareRoom() int { return max(0, b.spare-max(0, b.count-b.limit)) }

// PutFront puts events before everything inside, marks included: they are the last of those that the last Take
// returned, and nobody got them. Who had given them back before is remembered. It keeps the slice and never
// discards, so the buffer may hold more than its limit afterwards.
func (b *Buffer[T, M]) PutFront(events []T) {
	for i := len(b.taken) - 1; i >= 0; i-- {
		at := len(events) - min(len(events), b.taken[i].n)
		b.PutBack(events[at:], b.taken[i].from, false)
		events = events[:at]
	}
	b.PutBack(events, nil, false)
	b.forgetTaken()
}

// forgetTaken does not keep alive who gave events back.
func (b *Buffer[T, M]) forgetTaken() {
	clear(b.taken)
	b.taken = b.taken[:0]
}

// PutBack is [Buffer.PutFront] of what from was given. With late the events are younger than those
// that from gave back before: they go behind what is left of them. from is compared with ==.
func (b *Buffer[T, M]) PutBack(events []T, from any, late bool) {
	if len(events) == 0 {
		return
	}
	behind := 0 // so many segments, of those that have come back
	for i := 0; late && i < b.segs.len && b.segs.at(i).from != nil; i++ {
		if b.segs.at(i).from == from {
			behind = i + 1
		}
	}
	marks := &b.due
	if behind > 0 {
		marks = &b.segs.at(behind - 1).marks // they were behind these events, too
	}
	back := segment[T, M]{events: slices.Clip(events), marks: *marks, from: from}
	*marks = nil
	b.segs.insert(behind, back)
	b.count += len(events)
}

// Mark puts m behind everything now inside. Events that are put later come
// behind it.
func (b *Buffer[T, M]) Mark(m M) {
	b.marks++
	if b.segs.len == 0 {
		b.due = append(b.due, m)
		return
	}
	last := b.segs.at(b.segs.len - 1)
	last.marks = append(last.marks, m)
}

// Take removes and returns the oldest events, at most n and none from behind
// the first mark: while [Buffer.Due] has one, Take returns nothing. The result
// is one slice with cap == len, without a copy where the events were put
// together, a fresh one where they were not.
func (b *Buffer[T, M]) Take(n int) []T {
	b.forgetTaken()
	if n <= 0 || len(b.due) > 0 {
		return nil
	}
	reach := 0 // events before the first mark, as far as n needs them
	for i := 0; i < b.segs.len && reach < n; i++ {
		seg := b.segs.at(i)
		b.takes(seg.from, min(len(seg.events), n-reach))
		reach += len(seg.events)
		if len(seg.marks) > 0 {
			break
		}
	}
	return b.cut(min(n, reach))
}

// takes notes whose the next n events are that are taken.
func (b *Buffer[T, M]) takes(from any, n int) {
	if last := len(b.taken) - 1; last >= 0 && b.taken[last].from == from {
		b.taken[last].n += n
		return
	}
	b.taken = append(b.taken, origin{from, n})
}

// Trim discards what is inside beyond n events, the oldest or the newest as [Keep] says, and returns it in order. Marks keep
// their place, and what is left who gave it back.
func (b *Buffer[T, M]) Trim(n int) (discarded []T) {
	over := b.count - n
	switch {
	case over <= 0:
		return nil
	case b.keep == KeepLast:
		return b.cut(over)
	}
	b.count = n
	discarded = make([]T, over)
	for over > 0 {
		last := b.segs.at(b.segs.len - 1)
		stay := max(0, len(last.events)-over)
		over -= copy(discarded[over-len(last.events)+stay:], last.events[stay:])
		if last.events = last.events[:stay:stay]; stay > 0 {
			break
		}
		marks := last.marks
		b.segs.popBack()
		if before := b.segs.len - 1; before < 0 {
			b.due = append(b.due, marks...)
		} else {
			b.segs.at(before).marks = append(b.segs.at(before).marks, marks...)
		}
	}
	return discarded
}

// Due removes and returns the mark at the very front, if one is there: all
// events that were before it have been taken or discarded.
func (b *Buffer[T, M]) Due() (m M, ok bool) {
	if len(b.due) == 0 {
		return m, false
	}
	m = b.due[0]
	clear(b.due[:1])
	if b.due = b.due[1:]; len(b.due) == 0 {
		b.due = nil
	}
	b.marks--
	return m, true
}

// Drain empties the buffer at the end of a run. It returns how many events were
// inside, which are gone, and the marks in order.
func (b *Buffer[T, M]) Drain() (events int, marks []M) {
	events = b.count
	b.cut(b.count)
	marks = b.due
	b.due, b.marks = nil, 0
	return events, marks
}

// cut removes and returns the n oldest events, also from behind marks. Marks
// that lose all events before them become due, in order. n is at most count.
func (b *Buffer[T, M]) cut(n int) []T {
	if n == 0 {
		return nil
	}
	b.count -= n
	if first := b.segs.at(0); n <= len(first.events) {
		return b.cutFirst(n)
	}
	out := make([]T, 0, n)
	for len(out) < n {
		out = append(out, b.cutFirst(min(n-len(out), len(b.segs.at(0).events)))...)
	}
	return out
}

// cutFirst removes and returns n events of the first segment, which has that
// many. A segment without events is let go.
func (b *Buffer[T, M]) cutFirst(n int) []T {
	first := b.segs.at(0)
	events := first.events[:n:n]
	if first.events = first.events[n:]; len(first.events) > 0 {
		return events
	}
	if b.due == nil {
		b.due = first.marks
	} else {
		b.due = append(b.due, first.marks...)
	}
	b.segs.popFront()
	return events
}
