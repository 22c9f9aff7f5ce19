package stage

import (
	"fmt"
	"slices"

	"github.com/go-genstage/genstage/internal/buffer"
	"github.com/go-genstage/genstage/internal/demand"
)

// partitionDispatcher gives each event to the partition of its key. What a
// partition's subscribers have no demand for waits in its queue, and counts
// against the demand that is passed on.
type partitionDispatcher[T any, K comparable] struct {
	key        func(T) (T, K, bool)
	partitions []*partition[T]
	byKey      map[K]*partition[T]
	subs       map[SubID]*partition[T]
	limit      int // of a queue without owner
	keep       buffer.Keep
}

// partition is one part: its subscribers, and what waits for them.
type partition[T any] struct {
	subs   *demandDispatcher[T]
	owners int
	queue  *buffer.Buffer[T, *partitionMark]
	batch  []T // of the dispatch in progress
}

// partitionMark is a mark that has to pass the queues it was put into.
type partitionMark struct {
	mark any
	left int
}

// PartitionBy makes a dispatcher that gives each event to the subscribers of the
// partition that key says; keys names all partitions, and a consumer subscribes
// to one by [Partition]. Several consumers of one partition share its events as
// with [Demand].
//
// Events beyond a partition's demand wait in its queue. The source is asked for
// the demand of all partitions that have subscribers, less what waits for those:
// so a busy partition holds the others up, but its queue stays bounded by that
// sum. A partition without subscriber keeps its queue for the next one, up to
// the stage's [BufferSize]. An event whose key is none of keys is dropped,
// counted and logged, and so is one for which key panics.
func PartitionBy[T any, K comparable](key func(event T) K, keys ...K) NewDispatcher[T] {
	if key == nil {
		panic("stage: PartitionBy: nil callback")
	}
	return PartitionWith(func(event T) (T, K, bool) { return event, key(event), true }, keys...)
}

// PartitionWith is [PartitionBy] for a function that may also change the event,
// and drop it by returning false. Dropped events use up no demand.
func PartitionWith[T any, K comparable](split func(event T) (changed T, key K, keep bool), keys ...K) NewDispatcher[T] {
	if split == nil {
		panic("stage: PartitionWith: nil callback")
	}
	return func(opts ...DispatchOption) (Dispatcher[T], error) {
		c, err := configure(opts)
		switch {
		case err != nil:
			return nil, err
		case c.shuffle:
			return nil, fmt.Errorf("%w: Shuffle needs Demand", ErrInvalidOption)
		case len(keys) == 0:
			return nil, fmt.Errorf("%w: PartitionBy: no partitions are named", ErrInvalidOption)
		}
		d := &partitionDispatcher[T, K]{
			key: split, byKey: map[K]*partition[T]{}, subs: map[SubID]*partition[T]{}, limit: c.bufferSize,
		}
		if c.keepFirst {
			d.keep = buffer.KeepFirst
		}
		for _, k := range keys {
			if _, twice := d.byKey[k]; twice {
				return nil, fmt.Errorf("%w: PartitionBy: partition %v is named twice", ErrInvalidOption, k)
			}
			p := &partition[T]{subs: newDemandDispatcher[T](), queue: buffer.New[T, *partitionMark](-1, d.keep)}
			d.byKey[k] = p
			d.partitions = append(d.partitions, p)
		}
		return d, nil
	}
}

func (d *partitionDispatcher[T, K]) Subscribe(id SubID, r Request[T]) error {
	switch {
	case r.Where != nil:
		return fmt.Errorf("%w: Where needs Broadcast", ErrInvalidOption)
	case r.Lag != 0:
		return fmt.Errorf("%w: Lag needs Broadcast", ErrInvalidOption)
	case r.Key == nil:
		return fmt.Errorf("%w: the producer has partitions: subscribe to Partition(source, key)", ErrInvalidOption)
	}
	key, ok := r.Key.(K)
	if !ok {
		return fmt.Errorf("%w: Partition(%v): the key is a %T, the partitions have %T", ErrInvalidOption, r.Key, r.Key, key)
	}
	p := d.byKey[key]
	if p == nil {
		return fmt.Errorf("%w: Partition(%v): there is no such partition", ErrInvalidOption, r.Key)
	}
	if err := p.subs.Subscribe(id, Request[T]{Consumer: r.Consumer}); err != nil {
		return err
	}
	p.owners++
	d.subs[id] = p
	return nil
}

func (d *partitionDispatcher[T, K]) Cancel(id SubID) {
	if p := d.subs[id]; p != nil {
		delete(d.subs, id)
		p.subs.Cancel(id)
		p.owners--
	}
}

func (d *partitionDispatcher[T, K]) Ask(id SubID, n int64) {
	if p := d.subs[id]; p != nil {
		p.subs.Ask(id, n)
	}
}

// HandBack puts the events in front of their partition's queue, not split again.
func (d *partitionDispatcher[T, K]) HandBack(r Request[T], events []T) (again []T, lost int) {
	if key, ok := r.Key.(K); ok && d.byKey[key] != nil {
		d.byKey[key].queue.PutFront(events)
		return nil, 0
	}
	return nil, len(events)
}

// Live is the demand of all partitions that have subscribers, less what waits for them.
func (d *partitionDispatcher[T, K]) Live() int64 {
	var live, queued int64
	for _, p := range d.partitions {
		if p.owners > 0 {
			live = demand.Add(live, p.subs.Live())
			queued += int64(p.queue.Len())
		}
	}
	return max(0, live-queued)
}

func (d *partitionDispatcher[T, K]) Dispatch(events []T, out Outlet[T]) (rest []T) {
	live := d.Live()
	taken, dropped := 0, 0
	for taken < len(events) && live > 0 {
		event, p := d.split(events[taken])
		taken++
		if p == nil {
			dropped++
			continue
		}
		p.batch = append(p.batch, event)
		if p.owners > 0 {
			live--
		}
	}
	if dropped > 0 {
		out.Dropped(dropped)
	}
	for _, p := range d.partitions {
		if len(p.batch) > 0 {
			batch := slices.Clip(p.batch)
			p.batch = nil
			if p.queue.Len() == 0 && p.queue.Marks() == 0 {
				batch = p.subs.Dispatch(batch, out)
			}
			p.queue.Put(batch)
			d.trim(p, out)
		}
	}
	return slices.Clip(events[taken:])
}

// split asks the user's function about one event; nil: it is for nobody.
func (d *partitionDispatcher[T, K]) split(event T) (_ T, p *partition[T]) {
	defer func() {
		if recover() != nil {
			p = nil
		}
	}()
	changed, key, keep := d.key(event)
	if !keep {
		return changed, nil
	}
	return changed, d.byKey[key]
}

// trim bounds the queue of a partition without subscriber.
func (d *partitionDispatcher[T, K]) trim(p *partition[T], out Outlet[T]) {
	over := p.queue.Len() - d.limit
	if p.owners > 0 || d.limit < 0 || over <= 0 {
		return
	}
	if d.keep == buffer.KeepLast {
		for over > 0 {
			old := p.queue.Take(over)
			over -= len(old)
			out.Discarded(old)
			d.pass(p, out)
		}
		return
	}
	kept := p.queue.Take(d.limit)
	for d.pass(p, out); p.queue.Len() > 0; d.pass(p, out) {
		out.Discarded(p.queue.Take(p.queue.Len()))
	}
	p.queue.PutFront(kept)
}

// Queued counts what waits in all partitions.
func (d *partitionDispatcher[T, K]) Queued() int {
	n := 0
	for _, p := range d.partitions {
		n += p.queue.Len()
	}
	return n
}

// Deliverable counts what waits in partitions that have subscribers.
func (d *partitionDispatcher[T, K]) Deliverable() int {
	n := 0
	for _, p := range d.partitions {
		if p.owners > 0 {
			n += p.queue.Len()
		}
	}
	return n
}

// Flush sends what waits for partitions that have demand.
func (d *partitionDispatcher[T, K]) Flush(out Outlet[T]) {
	for _, p := range d.partitions {
		d.trim(p, out)
		for {
			d.pass(p, out)
			n := int(min(p.subs.Live(), int64(p.queue.Len())))
			if n == 0 {
				break
			}
			p.subs.Dispatch(p.queue.Take(n), out)
		}
	}
}

// Mark puts a mark behind everything that waits, in every partition in which something does.
func (d *partitionDispatcher[T, K]) Mark(mark any) bool {
	m := &partitionMark{mark: mark}
	for _, p := range d.partitions {
		if p.queue.Len() > 0 || p.queue.Marks() > 0 {
			p.queue.Mark(m)
			m.left++
		}
	}
	return m.left == 0
}

// pass lets marks at the front of a queue go; the last queue that one passes makes it due.
func (d *partitionDispatcher[T, K]) pass(p *partition[T], out Outlet[T]) {
	for {
		m, ok := p.queue.Due()
		if !ok {
			return
		}
		if m.left--; m.left == 0 {
			out.Due(m.mark)
		}
	}
}
