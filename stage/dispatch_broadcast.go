package stage

import (
	"container/heap"
	"fmt"
	"math"
	"slices"

	"github.com/go-genstage/genstage/internal/demand"
)

// broadcastDispatcher gives each event to every subscriber, as far as all have
// asked. Those with a lag policy don't hold the others up.
//
// A subscriber's demand is kept as the position in the stream up to which it may
// be sent events: position and limits grow, so that dispatching changes no
// limit, and the least of them is on top of a heap.
type broadcastDispatcher[T any] struct {
	subs      map[SubID]*broadcastEntry[T]
	consumers map[any]bool         // those that subscribe
	order     []*broadcastEntry[T] // in order of subscription; nil: has left
	holes     int                  // how many of order are nil
	waiting   limitHeap[T]         // those who everyone waits for
	lagging   limitHeap[T]         // those with a lag policy
	asked     []SubID              // of those, some that have asked since the last flush
	position  int64                // events dispatched

	selectors int // how many have Where

	charged int     // how many are asked whether they may have an event
	waits   bool    // some of them were refused one: so everyone waits
	asking  []SubID // of Admit
}

type broadcastEntry[T any] struct {
	id      SubID
	request Request[T]
	place   int   // in order
	limit   int64 // position up to which it has asked; saturates
	at      int   // in its heap

	queue []T // with a lag policy: dispatched, not sent
}

// Broadcast makes a dispatcher that gives every event to all subscribers: as
// many as the one with the least open demand has asked for. A subscriber that
// joins gets what is dispatched from its first ask on, and until then nobody
// gets anything; one that leaves holds nobody up any more. With [Where] a
// subscriber gets only some events, and the others don't use up its demand; with
// [Lag] it does not hold the others up. A stage can subscribe once only. Events that
// a subscriber did not begin before it ended are lost: the others have them.
//
// Subscribers share the slice. An ask, a subscription and its end cost O(log n), a
// dispatch O(n) for n subscribers.
func Broadcast[T any](opts ...DispatchOption) (Dispatcher[T], error) {
	c, err := configure(opts)
	if err == nil && c.shuffle {
		err = fmt.Errorf("%w: Shuffle needs DispatchWith(Demand)", ErrInvalidOption)
	}
	if err != nil {
		return nil, err
	}
	return newBroadcastDispatcher[T](), nil
}

// newBroadcastDispatcher returns a broadcast dispatcher without subscribers.
func newBroadcastDispatcher[T any]() *broadcastDispatcher[T] {
	return &broadcastDispatcher[T]{
		subs: map[SubID]*broadcastEntry[T]{}, consumers: map[any]bool{}, lagging: limitHeap[T]{most: true},
	}
}

func (d *broadcastDispatcher[T]) callsOut() bool { return d.selectors+d.charged > 0 }

// Multicast marks the dispatcher as one that gives events to everyone.
func (d *broadcastDispatcher[T]) Multicast() {}

func (d *broadcastDispatcher[T]) Subscribe(id SubID, r Request[T]) error {
	if r.Key != nil {
		return fmt.Errorf("%w: Partition needs DispatchWith(PartitionBy(...))", ErrInvalidOption)
	}
	if d.subs[id] != nil || r.Consumer != nil && d.consumers[r.Consumer] {
		return ErrAlreadySubscribed
	}
	if r.Charged && r.Lag > 0 {
		return fmt.Errorf("%w: Charge does not go with Lag", ErrInvalidOption)
	}
	if r.Charged {
		d.charged++
	}
	if r.Where != nil {
		d.selectors++
	}
	if r.Consumer != nil {
		d.consumers[r.Consumer] = true
	}
	d.compact()
	e := &broadcastEntry[T]{id: id, request: r, limit: d.position, place: len(d.order)}
	d.subs[id] = e
	d.order = append(d.order, e)
	heap.Push(d.heapOf(e), e)
	return nil
}

func (d *broadcastDispatcher[T]) Cancel(id SubID) {
	e := d.subs[id]
	if e == nil {
		return
	}
	delete(d.subs, id)
	delete(d.consumers, e.request.Consumer)
	if e.request.Where != nil {
		d.selectors--
	}
	if e.request.Charged {
		d.charged--
		d.waits = false // it may have been the one that was refused
	}
	d.order[e.place] = nil // not closed up: Dispatch may be walking along it
	d.holes++
	heap.Remove(d.heapOf(e), e.at)
}

// compact closes up the order when it is mostly holes.
func (d *broadcastDispatcher[T]) compact() {
	if d.holes <= len(d.order)/2 {
		return
	}
	d.order = slices.DeleteFunc(d.order, func(e *broadcastEntry[T]) bool { return e == nil })
	d.holes = 0
	for i, e := range d.order {
		e.place = i
	}
}

// heapOf returns the heap that e is in.
func (d *broadcastDispatcher[T]) heapOf(e *broadcastEntry[T]) *limitHeap[T] {
	if e.request.Lag > 0 {
		return &d.lagging
	}
	return &d.waiting
}

func (d *broadcastDispatcher[T]) Ask(id SubID, n int64) {
	e := d.subs[id]
	if e == nil || n < 1 {
		return
	}
	d.raise(e, n)
	if len(e.queue) > 0 {
		d.asked = append(d.asked, id)
	}
}

// raise moves a limit up.
func (d *broadcastDispatcher[T]) raise(e *broadcastEntry[T], n int64) {
	e.limit = demand.Add(e.limit, n)
	heap.Fix(d.heapOf(e), e.at)
}

// HandBack drops the events: the other subscribers have had them.
func (d *broadcastDispatcher[T]) HandBack(_ Request[T], events []T) (again []T, lost int) {
	return nil, len(events)
}

// Live is the least open demand; if all have a lag policy, the largest.
func (d *broadcastDispatcher[T]) Live() int64 {
	if d.waits {
		return 0
	}
	return d.open()
}

func (d *broadcastDispatcher[T]) open() int64 {
	switch {
	case len(d.waiting.items) > 0:
		return d.waiting.items[0].limit - d.position
	case len(d.lagging.items) > 0:
		return max(0, d.lagging.items[0].limit-d.position)
	}
	return 0
}

// unison is a dispatcher with which several subscribers must have asked before anything happens.
type unison interface {
	holdingUp() int // at least how many subscribers must ask; 0: that is not known
}

// mostHoldingUp is up to how many holdingUp counts: a producer that is woken by something else with a great many subscribers
// does not look at all of them each time.
const mostHoldingUp = 64

// holdingUp counts the subscribers for which all others wait, up to mostHoldingUp. Nothing happens before the last of them has
// asked: nothing can be sent, and nothing is asked of the source.
func (d *broadcastDispatcher[T]) holdingUp() int {
	if d.waits || len(d.lagging.items) > 0 {
		return 0
	}
	n := 0
	d.waiting.countUpTo(&n, 0, d.position)
	return n
}

// Dispatch goes on while events that selectors have rejected leave demand for more.
func (d *broadcastDispatcher[T]) Dispatch(events []T, out Outlet[T]) (rest []T) {
	d.compact()
	for len(events) > 0 {
		n := int(min(d.Live(), int64(len(events))))
		if n == 0 {
			break
		}
		if d.charged > 0 {
			switch n = 1; d.admit(events[0], out) {
			case Refused:
				d.waits = true
				continue
			case Failed:
				events = events[1:]
				continue
			}
		}
		if d.position > math.MaxInt64/2 {
			d.rebase()
		}
		d.position += int64(n)
		for _, e := range d.order {
			if e != nil {
				d.offer(e, events[:n:n], out)
			}
		}
		events = events[n:]
	}
	return slices.Clip(events)
}

// admit asks the budgets of all that are charged for an event, in one step.
func (d *broadcastDispatcher[T]) admit(event T, out Outlet[T]) Admission {
	d.asking = d.asking[:0]
	for _, e := range d.order {
		if e == nil || !e.request.Charged {
			continue
		}
		if wanted, err := e.filter([]T{event}); err == nil && len(wanted) > 0 {
			d.asking = append(d.asking, e.id)
		}
	}
	if len(d.asking) == 0 {
		return Admitted
	}
	return out.Admit(event, d.asking)
}

// Wake implements [BudgetDispatcher].
func (d *broadcastDispatcher[T]) Wake(SubID) { d.waits = false }

// Blocked implements [BudgetDispatcher].
func (d *broadcastDispatcher[T]) Blocked() int64 {
	if !d.waits {
		return 0
	}
	return d.open()
}

// offer gives a batch to one subscriber.
func (d *broadcastDispatcher[T]) offer(e *broadcastEntry[T], batch []T, out Outlet[T]) {
	wanted, err := e.filter(batch)
	if err != nil {
		d.Cancel(e.id)
		out.Filtered(e.id, len(batch))
		out.Refuse(e.id, err)
		return
	}
	if rejected := len(batch) - len(wanted); rejected > 0 {
		d.raise(e, int64(rejected)) // they use up no demand
		out.Filtered(e.id, rejected)
	}
	if len(wanted) == 0 {
		return
	}
	if e.request.Lag == 0 {
		out.Send(e.id, wanted)
		return
	}
	if len(e.queue) == 0 && e.limit >= d.position {
		out.Send(e.id, wanted)
		return
	}
	e.queue = append(e.queue, wanted...)
	d.flush(e, out)
	if over := len(e.queue) - e.request.Lag; over > 0 {
		if e.request.Policy == LagDisconnect {
			out.Lagged(e.id, len(e.queue))
			d.Cancel(e.id)
			out.Refuse(e.id, ErrLagging)
			return
		}
		e.queue = slices.Delete(e.queue, 0, over)
		d.raise(e, int64(over))
		out.Lagged(e.id, over)
	}
}

// flush sends a subscriber with a lag policy what it has asked for: its limit counts what is queued for
// it as dispatched.
func (d *broadcastDispatcher[T]) flush(e *broadcastEntry[T], out Outlet[T]) {
	n := len(e.queue)
	if short := d.position - e.limit; short > 0 {
		n -= int(min(short, int64(n)))
	}
	if n == 0 {
		return
	}
	batch := slices.Clone(e.queue[:n])
	e.queue = slices.Delete(e.queue, 0, n)
	out.Send(e.id, slices.Clip(batch))
}

// Queued returns 0: what is kept for one subscriber has been dispatched.
func (d *broadcastDispatcher[T]) Queued() int { return 0 }

// Deliverable counts what waits for subscribers with a lag policy.
func (d *broadcastDispatcher[T]) Deliverable() int {
	n := 0
	for _, e := range d.lagging.items {
		n += len(e.queue)
	}
	return n
}

// Flush sends subscribers with a lag policy what they have asked for meanwhile.
func (d *broadcastDispatcher[T]) Flush(out Outlet[T]) {
	for _, id := range d.asked {
		if e := d.subs[id]; e != nil {
			d.flush(e, out)
		}
	}
	d.asked = d.asked[:0]
}

// Mark reports true: nothing is behind that someone waits for.
func (d *broadcastDispatcher[T]) Mark(any) bool { return true }

// filter returns the events that the subscriber wants. A selector that panics is an error.
func (e *broadcastEntry[T]) filter(batch []T) (wanted []T, err error) {
	if e.request.Where == nil {
		return batch, nil
	}
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: Where panicked: %v", ErrRefused, v)
		}
	}()
	for i, event := range batch {
		if e.request.Where(event) {
			if wanted == nil {
				wanted = make([]T, 0, len(batch)-i)
			}
			wanted = append(wanted, event)
		}
	}
	return slices.Clip(wanted), nil
}

// rebase moves the stream's position back, so that limits don't saturate in a long run. Those that have
// saturated, and stay so, ask for ever.
func (d *broadcastDispatcher[T]) rebase() {
	back := d.position
	for _, e := range d.lagging.items {
		back = min(back, e.limit) // it may be behind
	}
	for _, e := range d.subs {
		if e.limit < math.MaxInt64 {
			e.limit -= back
		}
	}
	d.position -= back
}

// limitHeap has the subscriber with the least limit on top, or with the largest.
type limitHeap[T any] struct {
	items []*broadcastEntry[T]
	most  bool
	steps uint64 // comparisons made; a test asserts their order of growth
}

// countUpTo adds to n the items at i and below it that are up to a limit, but no more than mostHoldingUp in all. They are
// together on top of the heap.
func (h *limitHeap[T]) countUpTo(n *int, i int, limit int64) {
	if *n == mostHoldingUp || i >= len(h.items) || h.items[i].limit > limit {
		return
	}
	*n++
	h.countUpTo(n, 2*i+1, limit)
	h.countUpTo(n, 2*i+2, limit)
}

// Len implements heap.Interface, as the methods below do.
func (h *limitHeap[T]) Len() int { return len(h.items) }

func (h *limitHeap[T]) Less(i, j int) bool {
	h.steps++
	if h.most {
		i, j = j, i
	}
	return h.items[i].limit < h.items[j].limit
}

func (h *limitHeap[T]) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].at, h.items[j].at = i, j
}

func (h *limitHeap[T]) Push(x any) {
	e := x.(*broadcastEntry[T])
	e.at = len(h.items)
	h.items = append(h.items, e)
}

func (h *limitHeap[T]) Pop() any {
	last := len(h.items) - 1
	e := h.items[last]
	h.items[last] = nil
	h.items = h.items[:last]
	return e
}
