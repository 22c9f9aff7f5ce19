package stage

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"

	"github.com/go-genstage/genstage/internal/demand"
)

// demandDispatcher gives each batch to whom it owes most: the subscriber with
// the largest pending demand, among equals the one that has waited longest. An
// ask and a delivery both put their subscriber behind its equals.
type demandDispatcher[T any] struct {
	subs map[SubID]*demandEntry
	heap demandHeap // those with demand
	turn uint64     // the last one given out

	shuffle *rand.Rand // nil when it is done, or not wanted

	live    wideSum // of all pending demand
	blocked wideSum // of those that wait for their budget

	asking [1]SubID // of Admit
}

// Demand makes the default dispatcher: each event goes to one subscriber. A
// batch goes to the one with the largest open demand, among equals to the one
// that has waited longest, and so on. An ask costs O(log n) for n subscribers.
// Options: [Shuffle], [ExpectedMax].
func Demand[T any](opts ...DispatchOption) (Dispatcher[T], error) {
	c, err := configure(opts)
	if err != nil {
		return nil, err
	}
	d := newDemandDispatcher[T]()
	if c.shuffle {
		d.shuffle = rand.New(rand.NewPCG(c.seed, 0))
	}
	return d, nil
}

// newDemandDispatcher returns a demand dispatcher without subscribers.
func newDemandDispatcher[T any]() *demandDispatcher[T] {
	return &demandDispatcher[T]{subs: make(map[SubID]*demandEntry)}
}

func (d *demandDispatcher[T]) Subscribe(id SubID, r Request[T]) error {
	switch _, known := d.subs[id]; {
	case known:
		return ErrAlreadySubscribed
	case r.Where != nil:
		return fmt.Errorf("%w: Where needs DispatchWith(Broadcast)", ErrInvalidOption)
	case r.Key != nil:
		return fmt.Errorf("%w: Partition needs DispatchWith(PartitionBy(...))", ErrInvalidOption)
	case r.Lag != 0:
		return fmt.Errorf("%w: Lag needs DispatchWith(Broadcast)", ErrInvalidOption)
	}
	d.subs[id] = &demandEntry{id: id, at: -1, charged: r.Charged}
	return nil
}

// Cancel forgets the demand as well. GenStage keeps it as a reserve that later
// asks pay off; we do not: what was asked of the source for the departed one is
// in the producer's account, which asks that much less next time.
func (d *demandDispatcher[T]) Cancel(id SubID) {
	e, known := d.subs[id]
	if !known {
		return
	}
	delete(d.subs, id)
	d.blocked.sub(e.blocked)
	if e.at >= 0 {
		d.live.sub(d.heap.items[e.at].pending)
		d.heap.remove(e.at)
	}
}

func (d *demandDispatcher[T]) Ask(id SubID, n int64) {
	e, known := d.subs[id]
	if !known || n < 1 {
		return
	}
	if e.waits {
		before := e.blocked
		e.blocked = demand.Add(before, n)
		d.blocked.add(e.blocked - before)
		return
	}
	d.turn++
	before := int64(0)
	if e.at >= 0 {
		before = d.heap.items[e.at].pending
	}
	after := demand.Add(before, n)
	d.live.add(after - before)
	if e.at < 0 {
		d.heap.push(demandItem{pending: after, turn: d.turn, entry: e})
	} else {
		d.heap.set(e.at, after, d.turn)
	}
}

// HandBack returns all events: any subscriber may get them.
func (d *demandDispatcher[T]) HandBack(_ Request[T], events []T) (again []T, lost int) {
	return events, 0
}

func (d *demandDispatcher[T]) Dispatch(events []T, out Outlet[T]) (rest []T) {
	if d.shuffle != nil && len(events) > 0 && len(d.heap.items) > 0 {
		d.heap.shuffle(d.shuffle)
		d.shuffle = nil
	}
	for len(events) > 0 && len(d.heap.items) > 0 {
		head := d.heap.items[0]
		n := len(events)
		if head.pending < int64(n) {
			n = int(head.pending)
		}
		if head.entry.charged {
			events = d.dispatchCharged(head, events, n, out)
			continue
		}
		d.served(head, n)
		out.Send(head.entry.id, events[:n:n])
		events = events[n:]
	}
	if len(events) == 0 {
		return nil
	}
	return slices.Clip(events)
}

// served books n events for the head of the heap: before they are sent, so that the accounts are right whatever
// becomes of Send.
func (d *demandDispatcher[T]) served(head demandItem, n int) {
	d.live.sub(int64(n))
	if left := head.pending - int64(n); left == 0 {
		d.heap.remove(0)
	} else {
		d.turn++
		d.heap.set(0, left, d.turn)
	}
}

// dispatchCharged sends the head of the heap as many of the first n events as its budget admits, and returns the
// others. One that is refused an event has no demand until Wake.
func (d *demandDispatcher[T]) dispatchCharged(head demandItem, events []T, n int, out Outlet[T]) (rest []T) {
	e := head.entry
	d.asking[0] = e.id
	admitted, answer := 0, Admitted
	for admitted < n && answer == Admitted {
		if answer = out.Admit(events[admitted], d.asking[:]); answer == Admitted {
			admitted++
		}
	}
	left := head.pending
	if admitted > 0 {
		left -= int64(admitted)
		d.served(head, admitted)
		out.Send(e.id, events[:admitted:admitted])
		events = events[admitted:]
	}
	switch {
	case answer == Failed:
		events = events[1:]
	case answer == Refused && d.subs[e.id] == e:
		e.waits, e.blocked = true, left
		d.blocked.add(left)
		if e.at >= 0 {
			d.live.sub(left)
			d.heap.remove(e.at)
		}
	}
	return events
}

// Wake implements [BudgetDispatcher].
func (d *demandDispatcher[T]) Wake(id SubID) {
	if e := d.subs[id]; e != nil && e.waits {
		n := e.blocked
		d.blocked.sub(n)
		e.waits, e.blocked = false, 0
		d.Ask(id, n)
	}
}

// Blocked implements [BudgetDispatcher].
func (d *demandDispatcher[T]) Blocked() int64 { return d.blocked.less(0) }

func (d *demandDispatcher[T]) Live() int64 { return d.live.less(0) }

// wideSum adds up demand in 128 bits: each summand saturates at MaxInt64 but
// the sum must not, or subtracting from it would be wrong.
type wideSum struct{ hi, lo uint64 }

func (s *wideSum) add(n int64) {
	var carry uint64
	s.lo, carry = bits.Add64(s.lo, uint64(n), 0)
	s.hi += carry
}

func (s *wideSum) sub(n int64) {
	var borrow uint64
	s.lo, borrow = bits.Sub64(s.lo, uint64(n), 0)
	s.hi -= borrow
}

// less returns the sum less n, from 0 to MaxInt64.
func (s wideSum) less(n int64) int64 {
	if s.hi == 0 && s.lo <= uint64(n) {
		return 0
	}
	s.sub(n)
	if s.hi > 0 || s.lo > math.MaxInt64 {
		return math.MaxInt64
	}
	return int64(s.lo)
}

// demandEntry is a subscriber and where in the heap it stands.
type demandEntry struct {
	id      SubID
	at      int   // -1: has no demand
	charged bool  // it is asked whether it may have an event
	waits   bool  // it was refused one
	blocked int64 // what it has asked for, when it waits
}

// demandItem is a subscriber with demand. Its key lies in the heap itself, so
// that comparing follows no pointer.
type demandItem struct {
	pending int64  // > 0
	turn    uint64 // when pending last changed
	entry   *demandEntry
}

// demandHeap is a binary heap, the next to be served on top. It tells each
// entry where it stands, so that any of them is found in one step.
type demandHeap struct {
	items []demandItem
	steps uint64 // comparisons made; a test asserts their order of growth
}

// shuffle deals the turns anew.
func (h *demandHeap) shuffle(random *rand.Rand) {
	random.Shuffle(len(h.items), func(i, j int) {
		h.items[i].turn, h.items[j].turn = h.items[j].turn, h.items[i].turn
	})
	for i := len(h.items)/2 - 1; i >= 0; i-- {
		h.down(i, h.items[i])
	}
}

// before says who is served first: the larger demand, then the longer wait.
func (h *demandHeap) before(a, b *demandItem) bool {
	h.steps++
	if a.pending != b.pending {
		return a.pending > b.pending
	}
	return a.turn < b.turn
}

func (h *demandHeap) push(item demandItem) {
	h.items = append(h.items, item)
	h.up(len(h.items)-1, item)
}

// set gives the i-th item a new key.
func (h *demandHeap) set(i int, pending int64, turn uint64) {
	item := h.items[i]
	item.pending, item.turn = pending, turn
	h.settle(i, item)
}

// remove takes the i-th item out.
func (h *demandHeap) remove(i int) {
	h.items[i].entry.at = -1
	last := len(h.items) - 1
	item := h.items[last]
	h.items[last] = demandItem{}
	h.items = h.items[:last]
	if i < last {
		h.settle(i, item)
	}
}

// settle puts item at i or where it belongs from there.
func (h *demandHeap) settle(i int, item demandItem) {
	if i > 0 && h.before(&item, &h.items[(i-1)/2]) {
		h.up(i, item)
	} else {
		h.down(i, item)
	}
}

// up puts item at i or above it; what it passes moves down.
func (h *demandHeap) up(i int, item demandItem) {
	for i > 0 {
		parent := (i - 1) / 2
		if !h.before(&item, &h.items[parent]) {
			break
		}
		h.place(i, h.items[parent])
		i = parent
	}
	h.place(i, item)
}

// down puts item at i or below it; what it passes moves up.
func (h *demandHeap) down(i int, item demandItem) {
	for {
		child := 2*i + 1
		if child >= len(h.items) {
			break
		}
		if right := child + 1; right < len(h.items) && h.before(&h.items[right], &h.items[child]) {
			child = right
		}
		if !h.before(&h.items[child], &item) {
			break
		}
		h.place(i, h.items[child])
		i = child
	}
	h.place(i, item)
}

func (h *demandHeap) place(i int, item demandItem) {
	h.items[i] = item
	item.entry.at = i
}
