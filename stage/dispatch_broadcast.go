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
	subs     map[SubID]*broadcastEntry[T]
	order    []*broadcastEntry[T] // in order of subscription
	waiting  limitHeap[T]         // those who everyone waits for
	position int64                // events dispatched
}

type broadcastEntry[T any] struct {
	id      SubID
	request Request[T]
	limit   int64 // position up to which it has asked; saturates
	at      int   // in waiting; -1: has a lag policy

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
// Subscribers share the slice. An ask costs O(log n), a dispatch O(n) for n
// subscribers.
func Broadcast[T any](opts ...DispatchOption) (Dispatcher[T], error) {
	c, err := configure(opts)
	if err == nil && c.shuffle {
		err = fmt.Errorf("%w: Shuffle needs Demand", ErrInvalidOption)
	}
	if err != nil {
		return nil, err
	}
	return &broadcastDispatcher[T]{subs: map[SubID]*broadcastEntry[T]{}}, nil
}

// Multicast marks the dispatcher as one that gives events to everyone.
func (d *broadcastDispatcher[T]) Multicast() {}

func (d *broadcastDispatcher[T]) Subscribe(id SubID, r Request[T]) error {
	if r.Key != nil {
		return fmt.Errorf("%w: Partition needs PartitionBy", ErrInvalidOption)
	}
	for _, e := range d.order {
		if e.id == id || r.Consumer != nil && e.request.Consumer == r.Consumer {
			return ErrAlreadySubscribed
		}
	}
	e := &broadcastEntry[T]{id: id, request: r, limit: d.position, at: -1}
	d.subs[id] = e
	d.order = append(d.order, e)
	if r.Lag == 0 {
		heap.Push(&d.waiting, e)
	}
	return nil
}

func (d *broadcastDispatcher[T]) Cancel(id SubID) {
	e := d.subs[id]
	if e == nil {
		return
	}
	delete(d.subs, id)
	d.order = slices.DeleteFunc(d.order, func(other *broadcastEntry[T]) bool { return other == e })
	if e.at >= 0 {
		heap.Remove(&d.waiting, e.at)
	}
}

func (d *broadcastDispatcher[T]) Ask(id SubID, n int64) {
	if e := d.subs[id]; e != nil && n > 0 {
		d.raise(e, n)
	}
}

// raise moves a limit up.
func (d *broadcastDispatcher[T]) raise(e *broadcastEntry[T], n int64) {
	e.limit = demand.Add(e.limit, n)
	if e.at >= 0 {
		heap.Fix(&d.waiting, e.at)
	}
}

// HandBack drops the events: the other subscribers have had them.
func (d *broadcastDispatcher[T]) HandBack(_ Request[T], events []T) (again []T, lost int) {
	return nil, len(events)
}

// Live is the least open demand; if all have a lag policy, the largest.
func (d *broadcastDispatcher[T]) Live() int64 {
	if len(d.waiting) > 0 {
		return d.waiting[0].limit - d.position
	}
	var most int64
	for _, e := range d.order {
		most = max(most, e.limit-d.position)
	}
	return most
}

func (d *broadcastDispatcher[T]) Dispatch(events []T, out Outlet[T]) (rest []T) {
	n := int(min(d.Live(), int64(len(events))))
	if n == 0 {
		return events
	}
	batch := events[:n:n]
	if d.position > math.MaxInt64/2 {
		d.rebase()
	}
	d.position += int64(n)
	for _, e := range slices.Clone(d.order) { // a selector that panics takes its subscriber out
		d.offer(e, batch, out)
	}
	return slices.Clip(events[n:])
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
	for _, e := range d.order {
		n += len(e.queue)
	}
	return n
}

// Flush sends subscribers with a lag policy what they have asked for meanwhile.
func (d *broadcastDispatcher[T]) Flush(out Outlet[T]) {
	for _, e := range d.order {
		if len(e.queue) > 0 {
			d.flush(e, out)
		}
	}
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

// rebase moves the stream's position back to 0, so that limits don't saturate in a long run.
func (d *broadcastDispatcher[T]) rebase() {
	for _, e := range d.order {
		if e.limit < math.MaxInt64 {
			e.limit -= d.position
		}
	}
	d.position = 0
}

// limitHeap has the subscriber with the least limit on top.
type limitHeap[T any] []*broadcastEntry[T]

func (h limitHeap[T]) Len() int           { return len(h) }
func (h limitHeap[T]) Less(i, j int) bool { return h[i].limit < h[j].limit }
func (h limitHeap[T]) Swap(i, j int)      { h[i], h[j] = h[j], h[i]; h[i].at, h[j].at = i, j }

// Push implements heap.Interface.
func (h *limitHeap[T]) Push(x any) {
	e := x.(*broadcastEntry[T])
	e.at = len(*h)
	*h = append(*h, e)
}

// Pop implements heap.Interface.
func (h *limitHeap[T]) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	e.at = -1
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}
