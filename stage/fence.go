package stage

import "runtime"

// The dispatchers that call functions of the user's, or are the user's own, are called through a fence: what
// does not return can be abandoned, as a callback. Their Outlet is a way back into the run, and out again.

// fence is the core of a run as a dispatcher is called through it.
type fence struct{ *core }

// enter goes into the user's code.
func (f fence) enter() (before uint32) {
	f.begins(inDispatcher)
	return f.callback.Swap(uint32(inDispatcher))
}

// leave comes back from the user's code; deferred, since that may panic, which main recovers. It ends
// the goroutine if the run has gone on without it.
func (f fence) leave(before uint32) {
	if f.callback.CompareAndSwap(uint32(inDispatcher), before) {
		return
	}
	value := recover()
	f.whole.returnedLate(inDispatcher, 0, f.failure(value == nil, value, callbackNames[inDispatcher]))
	runtime.Goexit()
}

// inside does something of the run's in the middle of the user's code.
func (f fence) inside(fn func()) {
	if f.callback.Load() == uint32(inNone) { // against rule D12; it is as it is
		fn()
		return
	}
	f.leave(uint32(inNone))
	defer f.enter()
	fn()
}

// fencedOwn calls Dispatch and Flush of an own dispatcher through the fence, while that has functions of the user's.
type fencedOwn[T any] struct {
	own[T]
	fence fence
	out   Outlet[T] // read-only
}

func (d *fencedOwn[T]) Dispatch(events []T, run Outlet[T]) []T {
	if !d.own.callsOut() {
		return d.own.Dispatch(events, run)
	}
	defer d.fence.leave(d.fence.enter())
	return d.own.Dispatch(events, d.out)
}

func (d *fencedOwn[T]) Flush(run Outlet[T]) {
	if !d.own.callsOut() {
		d.own.Flush(run)
		return
	}
	defer d.fence.leave(d.fence.enter())
	d.own.Flush(d.out)
}

// foreign calls every method of a dispatcher of the user's through the fence.
type foreign[T any] struct {
	d     Dispatcher[T]
	fence fence
	out   Outlet[T] // read-only
}

func (f *foreign[T]) Subscribe(id SubID, r Request[T]) error {
	defer f.fence.leave(f.fence.enter())
	return f.d.Subscribe(id, r)
}

func (f *foreign[T]) Cancel(id SubID) {
	defer f.fence.leave(f.fence.enter())
	f.d.Cancel(id)
}

func (f *foreign[T]) Ask(id SubID, n int64) {
	defer f.fence.leave(f.fence.enter())
	f.d.Ask(id, n)
}

func (f *foreign[T]) HandBack(r Request[T], events []T) (again []T, lost int) {
	defer f.fence.leave(f.fence.enter())
	return f.d.HandBack(r, events)
}

func (f *foreign[T]) Dispatch(events []T, _ Outlet[T]) (rest []T) {
	defer f.fence.leave(f.fence.enter())
	return f.d.Dispatch(events, f.out)
}

func (f *foreign[T]) Live() int64 {
	defer f.fence.leave(f.fence.enter())
	return f.d.Live()
}

// foreignQueueing is foreign for one that keeps events.
type foreignQueueing[T any] struct {
	foreign[T]
	q QueueingDispatcher[T]
}

func (f *foreignQueueing[T]) Queued() int {
	defer f.fence.leave(f.fence.enter())
	return f.q.Queued()
}

func (f *foreignQueueing[T]) Deliverable() int {
	defer f.fence.leave(f.fence.enter())
	return f.q.Deliverable()
}

func (f *foreignQueueing[T]) Flush(Outlet[T]) {
	defer f.fence.leave(f.fence.enter())
	f.q.Flush(f.out)
}

func (f *foreignQueueing[T]) Mark(mark any) bool {
	defer f.fence.leave(f.fence.enter())
	return f.q.Mark(mark)
}

// own is a dispatcher of this package that keeps events. In Dispatch and Flush it may call functions of the user's, elsewhere not.
type own[T any] interface {
	QueueingDispatcher[T]
	callsOut() bool // it has such functions now
}

// fenced puts the fence around a dispatcher, if it can call functions of the user's at all.
func fenced[T any](d Dispatcher[T], c *core, run Outlet[T]) Dispatcher[T] {
	if _, plain := d.(*demandDispatcher[T]); plain {
		return d
	}
	f := fence{c}
	out := fencedOutlet[T]{run, f}
	if ours, ok := d.(own[T]); ok {
		return &fencedOwn[T]{ours, f, out}
	}
	if q, ok := d.(QueueingDispatcher[T]); ok {
		return &foreignQueueing[T]{foreign[T]{q, f, out}, q}
	}
	return &foreign[T]{d, f, out}
}

// foreignBudget is what foreign is for the methods of a [BudgetDispatcher].
type foreignBudget[T any] struct {
	BudgetDispatcher[T]
	fence fence
}

func (f foreignBudget[T]) Wake(id SubID) {
	defer f.fence.leave(f.fence.enter())
	f.BudgetDispatcher.Wake(id)
}

func (f foreignBudget[T]) Blocked() int64 {
	defer f.fence.leave(f.fence.enter())
	return f.BudgetDispatcher.Blocked()
}

// fencedBudget returns what a run calls Wake and Blocked of; nil for a dispatcher that knows nothing of budgets.
func fencedBudget[T any](d Dispatcher[T], c *core) BudgetDispatcher[T] {
	b, ok := d.(BudgetDispatcher[T])
	if !ok {
		return nil
	}
	_, plain := d.(*demandDispatcher[T])
	if _, ours := d.(own[T]); plain || ours {
		return b // they call nothing of the user's there
	}
	return foreignBudget[T]{b, fence{c}}
}

// fencedOutlet is the run's Outlet, as a dispatcher behind the fence sees it.
type fencedOutlet[T any] struct {
	out   Outlet[T]
	fence fence
}

func (o fencedOutlet[T]) Send(id SubID, events []T) {
	o.fence.inside(func() { o.out.Send(id, events) })
}

func (o fencedOutlet[T]) Filtered(id SubID, n int) { o.fence.inside(func() { o.out.Filtered(id, n) }) }

func (o fencedOutlet[T]) Lagged(id SubID, n int) { o.fence.inside(func() { o.out.Lagged(id, n) }) }

func (o fencedOutlet[T]) Dropped(n int, fault error) {
	o.fence.inside(func() { o.out.Dropped(n, fault) })
}

func (o fencedOutlet[T]) Discarded(events []T) { o.fence.inside(func() { o.out.Discarded(events) }) }

func (o fencedOutlet[T]) Refuse(id SubID, err error) {
	o.fence.inside(func() { o.out.Refuse(id, err) })
}
func (o fencedOutlet[T]) Due(mark any) { o.fence.inside(func() { o.out.Due(mark) }) }
func (o fencedOutlet[T]) Admit(event T, ids []SubID) (answer Admission) {
	o.fence.inside(func() { answer = o.out.Admit(event, ids) })
	return answer
}
