package stage

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/go-genstage/genstage/internal/goid"
	"github.com/go-genstage/genstage/internal/hop"
)

// Queue is a producer that is fed from outside: any goroutine may push events, which wait in it,
// in order and at most as many as it was made for, until subscribers ask for them. Make one with
// [NewQueue]. It must not be copied.
//
// Events may be pushed before it runs, up to the bound; then they are the first of its first run.
// It runs until it is closed ([Queue.Close], [Queue.FedBy], [Queue.Stop]) and all events have been
// delivered. A pipeline does not end it because its subscribers have gone: it waits for Close.
// When a run has ended, however it ended, Push returns [ErrEnded] until the next run begins,
// with an empty, open queue. What was in it when a run failed or was aborted is counted lost: the
// events that were pushed in a run are those dispatched and those lost (but for what consumers
// handed back, and what nobody took then).
//
// Stats counts a pushed event as emitted, and while it waits as buffered.
type Queue[T any] struct {
	p    *Producer[T]
	size int // set by the constructor, read-only after

	mu     sync.Mutex
	events []T           // guarded by mu: they wait to be asked for
	pushes []*push[T]    // guarded by mu: those that wait for room, in order
	closed bool          // guarded by mu: nothing more is taken in
	run    *queueFeed[T] // guarded by mu: the current run; nil: none
	ended  bool          // guarded by mu: a run has ended, the next has not begun
	more   bool          // guarded by mu: the run waits for events

	feeders []feeder  // guarded by mu: what FedBy was given
	stopped []*handle // guarded by mu: feeders that Stop waits for; nil: it does not
}

// push is one call of Push that waits.
type push[T any] struct {
	events []T           // not taken in; guarded by Queue.mu
	size   int           // read-only: how many there were
	done   chan struct{} // closed when all are taken in, or the queue has closed
}

// feeder is one stage that FedBy was given.
type feeder struct {
	h    *handle
	past int64 // runs of it that had ended when it began to count
}

// NewQueue makes a queue that holds n events, at least 1. It takes the options of a producer.
func NewQueue[T any](n int, opts ...ProducerOption) *Queue[T] {
	q := &Queue[T]{p: newProducer[T](nil, opts), size: max(1, n)}
	if n < 1 {
		q.p.conf.fault("NewQueue(%d): must be at least 1", n)
	}
	q.p.def.newFeed = func(_ *core, wake func()) feed[T] { return q.opened(wake) }
	return q
}

// Push puts events behind those that wait, and returns when all are in the queue; it blocks while
// there is no room. The events of one call stay together and are taken in as a whole: either all,
// or none and an error. Only when there are more than the queue holds they go in by pieces, as
// room comes. Calls that wait are served in order.
//
// When it cannot take in all, Push returns a [*PushError] that says how many it has taken, and
// wraps the cause of ctx when that ended first, or [ErrEnded] when the queue is closed or its run
// has ended. The slice is copied. Push may be called by callbacks of other stages, with their ctx;
// by one of the queue's own it returns [ErrSelfCall] where it would block. A stage downstream of the queue that
// pushes into it may wait for itself: it should use TryPush, or a goroutine. Safe for concurrent
// use.
func (q *Queue[T]) Push(ctx context.Context, events ...T) error {
	if ctx.Err() != nil {
		return q.failed(0, cause(ctx))
	}
	err := q.try(events)
	if !errors.Is(err, ErrFull) {
		return q.failed(0, err)
	}
	if run, _ := q.p.current(); run != nil && run.awaits(goid.Current()) {
		return q.failed(0, ErrSelfCall)
	}
	turn := hop.Turn(ctx, "Push")
	p := &push[T]{events: events, size: len(events), done: make(chan struct{})}
	q.mu.Lock()
	if q.closed || q.ended {
		q.mu.Unlock()
		return q.failed(0, ErrEnded)
	}
	q.pushes = append(q.pushes, p)
	q.admit() // there may be room by now, or for the first pieces
	q.unlockAndWake(false)

	if caller := callerOf(ctx); caller != nil {
		caller.pushing.Store(&q.p.handle)
		defer caller.pushing.Store(nil)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
	}
	turn()
	q.mu.Lock()
	taken := p.size - len(p.events)
	switch {
	case len(p.events) == 0:
		err = nil
	case q.forget(p):
		err = cause(ctx)
		q.admit() // those behind it may fit
	default:
		err = ErrEnded
	}
	q.unlockAndWake(false)
	return q.failed(taken, err)
}

// TryPush is Push without waiting: it takes in all the events or none. It returns [ErrFull]
// when there is no room for all of them, or others wait already, and [ErrEnded] when the queue is
// closed or its run has ended. It may be called from any callback.
func (q *Queue[T]) TryPush(events ...T) error {
	if err := q.try(events); err != nil {
		return fmt.Errorf("stage %q: TryPush: %w", q.Name(), err)
	}
	return nil
}

// try takes in all events or none.
func (q *Queue[T]) try(events []T) error {
	if q.none() {
		return errUnmade
	}
	q.mu.Lock()
	var err error
	switch {
	case q.closed || q.ended:
		err = ErrEnded
	case len(events) == 0:
	case len(q.pushes) > 0 || len(events) > q.size-len(q.events):
		err = ErrFull
	default:
		q.events = append(q.events, events...)
	}
	q.unlockAndWake(false)
	return err
}

// Close ends the queue: what is in it is delivered, then it completes. Pushes that wait, and all
// that come, return [ErrEnded]. Before the first run it closes that run in advance; after the end
// of a run it does nothing. It does not block, may be called from any callback, and again.
func (q *Queue[T]) Close() {
	if q.none() {
		return
	}
	q.mu.Lock()
	if q.closed || q.ended {
		q.mu.Unlock()
		return
	}
	q.close()
	q.unlockAndWake(true)
}

// FedBy has the queue close when all the given stages have ended, those of every call together; a
// pipeline counts as its members. A stage has ended when a run of it has, after this call and, if
// the queue runs again, after the beginning of that run, and no other has begun. Stopping the
// queue together with such stages, in one pipeline, keeps it open until they have drained, so that
// nothing they push is refused. Those downstream of the queue, which drain only when it is closed,
// are not waited for. A nil stage is reported by Run. It does not block.
func (q *Queue[T]) FedBy(stages ...Stage) {
	if q.none() {
		return
	}
	var feeders []*handle
	for _, s := range stages {
		real := realOf(s)
		if real == nil {
			q.p.fault(fmt.Errorf("%s: FedBy: %w: a nil stage", callSite(1), ErrInvalidStage))
			return
		}
		feeders = append(feeders, real.members()...)
	}
	for _, h := range feeders {
		if h == &q.p.handle {
			q.p.fault(fmt.Errorf("%s: FedBy: %w: %q is its own feeder", callSite(1), ErrCycle, q.Name()))
			return
		}
	}
	for _, h := range feeders {
		q.p.addFeeder(h)
		q.mu.Lock()
		q.feeders = append(q.feeders, feeder{h: h, past: h.ends.Load()})
		q.mu.Unlock()
		h.onEnd(q.feederEnded)
	}
}

// Len returns how many events wait in the queue: those pushed and not dispatched. Safe for
// concurrent use.
func (q *Queue[T]) Len() int {
	if q == nil {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.events)
}

// Name returns the queue's name. Safe for concurrent use.
func (q *Queue[T]) Name() string { return q.inner().Name() }

// Run runs the queue alone and blocks until it has been closed and all events are delivered, or it
// has failed; see [Producer.Run].
func (q *Queue[T]) Run(ctx context.Context) error { return q.inner().Run(ctx) }

// Stop closes the queue, and blocks until what is in it has been delivered and it has ended; see
// [Producer.Stop]. For feeders that are stopped with it, see [Queue.FedBy].
func (q *Queue[T]) Stop(ctx context.Context) error { return q.inner().Stop(ctx) }

// Abort ends the run without draining; see [Producer.Abort].
func (q *Queue[T]) Abort(cause error) { q.inner().Abort(cause) }

// Stats returns what the queue has done in this run, or in its last one if it does not run; see
// [Stats]. Before the first run it shows what has been pushed.
func (q *Queue[T]) Stats() Stats {
	s := q.inner().Stats()
	if s.Runs == 0 && q != nil {
		n := int64(q.Len())
		s.Output.Emitted += n
		s.Output.Buffered += n
	}
	return s
}

// DispatchWith says who gets which event; see [Producer.DispatchWith].
func (q *Queue[T]) DispatchWith(make DispatcherFactory[T], opts ...DispatchOption) {
	if q.none() {
		return
	}
	q.p.def.dispatchWith(&q.p.handle, make, opts, callSite(1))
}

// OnDiscard has fn called with events that a dispatcher discards; see [Producer.OnDiscard]. The
// queue itself discards none.
func (q *Queue[T]) OnDiscard(fn func(ctx context.Context, events []T)) { q.inner().OnDiscard(fn) }

// Accumulate keeps what is in the queue, and what is pushed, until [Queue.Forward]; see
// [Producer.Accumulate].
func (q *Queue[T]) Accumulate() error { return q.inner().Accumulate() }

// Forward ends Accumulate; see [Producer.Forward].
func (q *Queue[T]) Forward() error { return q.inner().Forward() }

func (q *Queue[T]) none() bool { return q == nil || q.p == nil }

// inner returns the producer that the queue is; nil for a nil queue, and one that NewQueue did not make.
func (q *Queue[T]) inner() *Producer[T] {
	if q == nil {
		return nil
	}
	return q.p
}

func (q *Queue[T]) itself() Stage {
	if q.none() {
		return nil
	}
	return q
}

func (q *Queue[T]) members() []*handle { return q.p.members() }

func (q *Queue[T]) showStuck(s Stats) Stats { return q.p.showStuck(s) }

func (q *Queue[T]) open(ctx context.Context, s *scope) error { return q.p.open(ctx, s) }

func (q *Queue[T]) request() Request[T] { return Request[T]{} }

func (q *Queue[T]) port() *outPort[T] {
	return q.inner().port()
}

// PushError is what [Queue.Push] returns when it has not taken in all events.
type PushError struct {
	Queue string // name of the queue
	Taken int    // the first so many events are in the queue
	Err   error  // why not the others
}

// Error names the queue, the count and the cause.
func (e *PushError) Error() string {
	return fmt.Sprintf("stage %q: Push: %d taken: %v", e.Queue, e.Taken, e.Err)
}

// Unwrap returns Err.
func (e *PushError) Unwrap() error { return e.Err }

// failed makes the error of Push; nil stays nil.
func (q *Queue[T]) failed(taken int, err error) error {
	if err == nil {
		return nil
	}
	return &PushError{Queue: q.Name(), Taken: taken, Err: err}
}

// What follows is called with mu locked.

// takeIn takes in what there is room for, and reports whether that is all: the events together,
// or pieces of more than the queue holds.
func (q *Queue[T]) takeIn(p *push[T]) bool {
	n := q.size - len(q.events)
	if n >= len(p.events) {
		n = len(p.events)
	} else if p.size <= q.size {
		return false
	}
	q.events = append(q.events, p.events[:n]...)
	p.events = p.events[n:]
	return len(p.events) == 0
}

// admit takes in what waits, in order, as far as there is room.
func (q *Queue[T]) admit() {
	for len(q.pushes) > 0 && q.takeIn(q.pushes[0]) {
		close(q.pushes[0].done)
		q.pushes[0] = nil
		q.pushes = q.pushes[1:]
	}
}

// forget takes a push off those that wait; false if it does not wait (any more).
func (q *Queue[T]) forget(p *push[T]) bool {
	for i, other := range q.pushes {
		if other == p {
			q.pushes = append(q.pushes[:i], q.pushes[i+1:]...)
			return true
		}
	}
	return false
}

// close refuses the pushes that wait and all that come.
func (q *Queue[T]) close() {
	q.closed = true
	for _, p := range q.pushes {
		close(p.done)
	}
	q.pushes = nil
}

// unlockAndWake unlocks mu, and wakes the run if it waits for events and there are some, or there
// is other news.
func (q *Queue[T]) unlockAndWake(news bool) {
	run := q.run
	if news = news || q.more && len(q.events) > 0; news {
		q.more = false
	}
	q.mu.Unlock()
	if news && run != nil {
		run.wake()
	}
}

// What follows is called without.

// opened makes the queue that of a new run.
func (q *Queue[T]) opened(wake func()) feed[T] {
	f := &queueFeed[T]{q: q, wake: wake}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.run = f
	if q.ended {
		q.closed, q.ended = false, false
		for i := range q.feeders {
			q.feeders[i].past = q.feeders[i].h.ends.Load()
		}
	}
	return f
}

// feederEnded is told when a run of a feeder has ended.
func (q *Queue[T]) feederEnded() {
	q.mu.Lock()
	all := true
	for _, f := range q.feeders {
		all = all && f.h.hasEnded(f.past)
	}
	drained := q.stopped != nil
	for _, h := range q.stopped {
		drained = drained && h.hasEnded(0)
	}
	q.mu.Unlock()
	if all || drained {
		q.Close()
	}
}

// queueFeed is one run of a queue.
type queueFeed[T any] struct {
	q    *Queue[T]
	wake func()
}

// take makes room as it goes: what waits to be pushed may be asked for as well.
func (f *queueFeed[T]) take(open int) ([]T, error) {
	q := f.q
	q.mu.Lock()
	defer q.mu.Unlock()
	var events []T
	for len(q.events) > 0 && open > len(events) {
		n := min(open-len(events), len(q.events))
		if events == nil {
			events = q.events[:n:n]
		} else {
			events = append(events, q.events[:n]...)
		}
		if q.events = q.events[n:]; len(q.events) == 0 {
			q.events = nil // what was taken is the consumers' now
		}
		q.admit()
	}
	q.more = open > len(events)
	if q.closed && len(q.events) == 0 {
		return events, ErrDone
	}
	return events, nil
}

func (f *queueFeed[T]) stop(inside func(*handle) bool) {
	q := f.q
	if inside == nil {
		q.Close()
		return
	}
	q.mu.Lock()
	feeders := q.feeders[:len(q.feeders):len(q.feeders)]
	q.mu.Unlock()
	stopped := []*handle{}
	for _, f := range feeders {
		if inside(f.h) && !f.h.drainsBehind(&q.p.handle) {
			stopped = append(stopped, f.h)
		}
	}
	q.mu.Lock()
	q.stopped = stopped
	q.mu.Unlock()
	q.feederEnded() // perhaps they have
}

func (f *queueFeed[T]) end() (lost int) {
	q := f.q
	q.mu.Lock()
	defer q.mu.Unlock()
	lost = len(q.events)
	q.close()
	q.events, q.run, q.stopped, q.more, q.ended = nil, nil, nil, false, true
	return lost
}

func (f *queueFeed[T]) waiting() int {
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	if f.q.run != f {
		return 0
	}
	return len(f.q.events)
}

func (f *queueFeed[T]) patient() bool {
	f.q.mu.Lock()
	defer f.q.mu.Unlock()
	return !f.q.closed
}
