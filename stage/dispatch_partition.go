package stage

import (
	"fmt"
	"slices"

	"github.com/go-genstage/genstage/internal/buffer"
)

// partitionDispatcher gives each event to the partition of its key. What a
// partition's subscribers have no demand for waits in its queue, and counts
// against the demand that is passed on.
type partitionDispatcher[T any, K comparable] struct {
	by         func(T) K            // exactly one of
	with       func(T) (T, K, bool) // the two is set
	partitions []*partition[T]
	keys       []K // of partitions
	byKey      map[K]*partition[T]
	subs       map[SubID]*partition[T]
	limit      int // of a queue without owner
	keep       buffer.Keep

	// The sums over all partitions, kept by book: an ask looks at one partition only.
	live                wideSum
	queued, deliverable int

	due     []*partition[T] // those that Flush has to look at
	touched []*partition[T] // of the dispatch in progress
	shares  int             // how often events were dealt out
	dealt   int             // how many last
}

// partition is one part: its subscribers, and what waits for them.
type partition[T any] struct {
	subs   *demandDispatcher[T]
	owners int
	queue  *buffer.Buffer[T, *partitionMark]
	batch  []T  // of the dispatch in progress
	got    int  // how many events it got in the share that it was touched in last
	share  int  // which one that was
	isDue  bool // is in due

	// what of it is in the sums
	live                int64
	queued, deliverable int
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
// the stage's [BufferSize]. An event whose key is none of keys is dropped and
// counted ([OutputStats].Dropped), and so is one for which key panics; the first one of a run is logged.
// PartitionBy panics if key is nil.
func PartitionBy[T any, K comparable](key func(event T) K, keys ...K) DispatcherFactory[T] {
	if key == nil {
		panic("stage: PartitionBy: nil callback")
	}
	return partitions(key, nil, keys)
}

// PartitionWith is [PartitionBy] for a function that may also change the event,
// and drop it by returning false. Dropped events use up no demand.
func PartitionWith[T any, K comparable](split func(event T) (changed T, key K, keep bool), keys ...K) DispatcherFactory[T] {
	if split == nil {
		panic("stage: PartitionWith: nil callback")
	}
	return partitions(nil, split, keys)
}

// partitions makes the dispatcher of one of the two functions.
func partitions[T any, K comparable](by func(T) K, with func(T) (T, K, bool), keys []K) DispatcherFactory[T] {
	return func(opts ...DispatchOption) (Dispatcher[T], error) {
		c, err := configure(opts)
		switch {
		case err != nil:
			return nil, err
		case c.shuffle:
			return nil, fmt.Errorf("%w: Shuffle needs DispatchWith(Demand)", ErrInvalidOption)
		case len(keys) == 0:
			return nil, fmt.Errorf("%w: PartitionBy: no partitions are named", ErrInvalidOption)
		}
		d := &partitionDispatcher[T, K]{
			by: by, with: with, byKey: map[K]*partition[T]{}, subs: map[SubID]*partition[T]{}, limit: c.bufferSize,
		}
		if c.keepFirst {
			d.keep = buffer.KeepFirst
		}
		for _, k := range keys {
			p, err := d.find(k)
			if err != nil {
				return nil, err
			}
			if p != nil {
				return nil, fmt.Errorf("%w: PartitionBy: partition %v is named twice", ErrInvalidOption, k)
			}
			p = &partition[T]{subs: newDemandDispatcher[T](), queue: buffer.New[T, *partitionMark](-1, d.keep)}
			d.byKey[k] = p
			d.partitions, d.keys = append(d.partitions, p), append(d.keys, k)
		}
		return d, nil
	}
}

func (d *partitionDispatcher[T, K]) callsOut() bool { return true }

func (d *partitionDispatcher[T, K]) Subscribe(id SubID, r Request[T]) error {
	switch {
	case d.subs[id] != nil:
		return ErrAlreadySubscribed
	case r.Where != nil:
		return fmt.Errorf("%w: Where needs DispatchWith(Broadcast)", ErrInvalidOption)
	case r.Lag != 0:
		return fmt.Errorf("%w: Lag needs DispatchWith(Broadcast)", ErrInvalidOption)
	case r.Key == nil:
		return fmt.Errorf("%w: the producer has partitions: subscribe to Partition(source, key)", ErrInvalidOption)
	}
	key, ok := r.Key.(K)
	if !ok {
		return fmt.Errorf("%w: Partition(%v): the key is a %T, the partitions have %T", ErrInvalidOption, r.Key, r.Key, key)
	}
	p, err := d.find(key)
	if err != nil {
		return err
	}
	if p == nil {
		return fmt.Errorf("%w: Partition(%v): there is no such partition", ErrInvalidOption, r.Key)
	}
	if err := p.subs.Subscribe(id, Request[T]{Consumer: r.Consumer, Charged: r.Charged}); err != nil {
		return err
	}
	p.owners++
	d.subs[id] = p
	d.book(p)
	return nil
}

// find returns the partition of a key, or nil. A key of an interface type may not be comparable after all.
func (d *partitionDispatcher[T, K]) find(key K) (p *partition[T], err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("%w: partition %v: %v", ErrInvalidOption, key, v)
		}
	}()
	return d.byKey[key], nil
}

// book brings the sums up to date with one partition.
func (d *partitionDispatcher[T, K]) book(p *partition[T]) {
	var live int64
	var deliverable int
	queued := p.queue.Len()
	if p.owners > 0 {
		live, deliverable = p.subs.Live(), queued
	}
	d.live.sub(p.live)
	d.live.add(live)
	d.queued += queued - p.queued
	d.deliverable += deliverable - p.deliverable
	p.live, p.queued, p.deliverable = live, queued, deliverable
	tooMany := p.owners == 0 && d.limit >= 0 && queued > d.limit
	if !p.isDue && (tooMany || queued > 0 && live > 0) {
		p.isDue = true
		d.due = append(d.due, p)
	}
}

func (d *partitionDispatcher[T, K]) Cancel(id SubID) {
	if p := d.subs[id]; p != nil {
		delete(d.subs, id)
		p.subs.Cancel(id)
		p.owners--
		d.book(p)
	}
}

func (d *partitionDispatcher[T, K]) Ask(id SubID, n int64) {
	if p := d.subs[id]; p != nil {
		p.subs.Ask(id, n)
		d.book(p)
	}
}

// HandBack puts the events in front of their partition's queue, not split again.
func (d *partitionDispatcher[T, K]) HandBack(r Request[T], events []T) (again []T, lost int) {
	key, _ := r.Key.(K)
	p, _ := d.find(key)
	if p == nil {
		return nil, len(events)
	}
	p.queue.PutBack(events, r.Consumer, r.late)
	d.book(p)
	return nil, 0
}

// Live is the demand of all partitions that have subscribers, less what waits for them.
func (d *partitionDispatcher[T, K]) Live() int64 { return d.live.less(int64(d.deliverable)) }

// Dispatch goes on while events that could not be weighed leave demand for more.
func (d *partitionDispatcher[T, K]) Dispatch(events []T, out Outlet[T]) (rest []T) {
	for len(events) > 0 && d.Live() > 0 {
		events = d.share(events, out)
	}
	return slices.Clip(events)
}

// share deals out as many events as there is demand for, and returns the others.
func (d *partitionDispatcher[T, K]) share(events []T, out Outlet[T]) (rest []T) {
	s := split{live: d.Live()}
	for s.taken < len(events) && s.live > 0 {
		d.split(events, &s)
	}
	if s.dropped > 0 {
		out.Dropped(s.dropped, s.fault)
	}
	d.dealt = s.taken
	d.shares++
	for _, p := range d.touched {
		batch := slices.Clip(p.batch)
		p.batch, p.got, p.share = nil, len(batch), d.shares
		if p.queue.Len() == 0 && p.queue.Marks() == 0 {
			batch = p.subs.Dispatch(batch, out)
		}
		p.queue.Put(batch)
		d.trim(p, out)
		d.book(p)
	}
	clear(d.touched)
	d.touched = d.touched[:0]
	return events[s.taken:]
}

// split is how far a share has come.
type split struct {
	taken   int   // of the events
	live    int64 // what there is demand for still
	dropped int
	fault   error // why the first of those was dropped that was not to be
}

func (s *split) drop(fault error) {
	s.dropped++
	if s.fault == nil {
		s.fault = fault
	}
}

// split asks the user's function about events and collects them by partition, until there is no demand, or the
// function panics: then that event is for nobody.
func (d *partitionDispatcher[T, K]) split(events []T, s *split) {
	defer func() { // once for all of them
		if v := recover(); v != nil {
			s.drop(fmt.Errorf("stage: PartitionBy: the key function panicked: %v", v))
		}
	}()
	for s.taken < len(events) && s.live > 0 {
		s.taken++
		event, key, keep := events[s.taken-1], *new(K), true
		if d.by != nil {
			key = d.by(event)
		} else if event, key, keep = d.with(event); !keep {
			s.drop(nil)
			continue
		}
		p := d.of(key)
		if p == nil {
			s.drop(fmt.Errorf("stage: PartitionBy: there is no partition %v", key))
			continue
		}
		if len(p.batch) == 0 {
			d.touched = append(d.touched, p)
			p.batch = make([]T, 0, d.expect(p, min(int64(len(events)-s.taken+1), s.live)))
		}
		p.batch = append(p.batch, event)
		if p.owners > 0 {
			s.live--
		}
	}
}

// expect returns how many of the next n events a partition will get if it gets as large a part of them as last time, and if each had
// got one more: so all partitions together expect n, and few events say little.
func (d *partitionDispatcher[T, K]) expect(p *partition[T], n int64) int64 {
	got, all := int64(1), int64(d.dealt+len(d.keys))
	if p.share == d.shares {
		got += int64(p.got)
	}
	return (n*got + all - 1) / all
}

// fewKeys is up to how many keys comparing with each is faster than a map.
const fewKeys = 8

// of returns the partition of a key, or nil; like find, and may panic.
func (d *partitionDispatcher[T, K]) of(key K) *partition[T] {
	if len(d.keys) > fewKeys {
		return d.byKey[key]
	}
	for i, k := range d.keys {
		if k == key {
			return d.partitions[i]
		}
	}
	return nil
}

// trim bounds the queue of a partition without subscriber.
func (d *partitionDispatcher[T, K]) trim(p *partition[T], out Outlet[T]) {
	if p.owners > 0 || d.limit < 0 || p.queue.Len() <= d.limit {
		return
	}
	out.Discarded(p.queue.Trim(d.limit))
	d.pass(p, out)
}

// Wake implements [BudgetDispatcher].
func (d *partitionDispatcher[T, K]) Wake(id SubID) {
	if p := d.subs[id]; p != nil {
		p.subs.Wake(id)
		d.book(p)
	}
}

// Blocked implements [BudgetDispatcher].
func (d *partitionDispatcher[T, K]) Blocked() int64 {
	var sum wideSum
	for _, p := range d.partitions {
		sum.add(p.subs.Blocked())
	}
	return sum.less(0)
}

// Queued counts what waits in all partitions.
func (d *partitionDispatcher[T, K]) Queued() int { return d.queued }

// Deliverable counts what waits in partitions that have subscribers.
func (d *partitionDispatcher[T, K]) Deliverable() int { return d.deliverable }

// Flush sends what waits for partitions that have demand.
func (d *partitionDispatcher[T, K]) Flush(out Outlet[T]) {
	for _, p := range d.due {
		d.trim(p, out)
		for n := 1; n > 0; {
			d.pass(p, out)
			if n = int(min(p.subs.Live(), int64(p.queue.Len()))); n > 0 {
				p.queue.PutFront(p.subs.Dispatch(p.queue.Take(n), out)) // what its budget refuses
			}
		}
		d.book(p)
		p.isDue = false
	}
	clear(d.due)
	d.due = d.due[:0]
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
