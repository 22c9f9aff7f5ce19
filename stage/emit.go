package stage

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/go-genstage/genstage/internal/buffer"
)

// outcome is what a dispatcher reported while it dispatched, to be acted on when it is done.
type outcome[Out any] struct {
	refused   []refusal[Out] // by mailboxes that had closed
	rejected  []rejection    // by the dispatcher
	due       []*call[Out]
	discarded []Out
	dropped   int
	copies    int64 // sent, filtered, lagged
}

type refusal[Out any] struct {
	e      *edge[Out]
	events []Out
}

type rejection struct {
	id  SubID
	err error
}

func (r *run[In, Out]) openOutlet() {
	r.sending = &sending[Out]{}
	r.buf = buffer.New[Out, *call[Out]](r.h.conf.bufferSize, r.h.conf.bufferKeep)
	r.edges = map[SubID]*edge[Out]{}
	r.asUpstream = r
	r.accumulating = r.h.conf.accumulating
	r.forwarding.Store(!r.accumulating)
	r.disp = newDemandDispatcher[Out]()
	r.budgeting, _ = r.disp.(BudgetDispatcher[Out])
	r.cutShort()
	r.publish()
}

// makeDispatcher makes the one that DispatchWith named, at the beginning of the run.
func (r *run[In, Out]) makeDispatcher() error {
	if r.def.dispatcher == nil {
		return nil
	}
	var disp Dispatcher[Out]
	r.unwatched()
	err := r.guard(inInit, func() (err error) {
		disp, err = r.def.dispatcher(append(r.def.dispatchOptions[:len(r.def.dispatchOptions):len(r.def.dispatchOptions)],
			stageBuffer(r.h.conf.bufferSize, r.h.conf.bufferKeep == buffer.KeepFirst))...)
		return err
	})
	if err == nil && disp == nil {
		err = errNoDispatcher
	}
	if err != nil {
		return err
	}
	_, r.multicast = disp.(Multicaster)
	r.toAll.Store(r.multicast)
	r.budgeting = fencedBudget(disp, &r.core)
	r.inUnison, _ = disp.(unison)
	r.disp = fenced(disp, &r.core, Outlet[Out](r))
	r.queueing, _ = r.disp.(QueueingDispatcher[Out])
	if c, err := configure(r.def.dispatchOptions); err == nil {
		r.expectedMax = c.expectedMax
	}
	return nil
}

// forgetDispatcher books what the dispatcher keeps as lost and does without it: a callback was abandoned that
// may be in its middle, or a method of it has failed, and may again.
func (r *run[In, Out]) forgetDispatcher() {
	if r.def.out == nil {
		return
	}
	if r.inProgress.events+r.inProgress.queued == 0 { // else cutShort does, below
		r.outputLost.Add(int64(r.lastQueued))
	}
	r.disp, r.queueing, r.inUnison, r.lastQueued = newDemandDispatcher[Out](), nil, nil, 0
	r.budgeting, _ = r.disp.(BudgetDispatcher[Out])
	r.cutShort()
	r.publish()
}

// emit takes events from a callback: they are dispatched as far as there is demand, behind what
// waits already; the rest waits.
func (r *run[In, Out]) emit(events []Out) {
	n := len(events)
	if n == 0 || r.def.out == nil {
		return
	}
	r.emitted.Add(int64(n))
	if r.verdict != nil {
		r.outputLost.Add(int64(n))
		return
	}
	events = events[:n:n]
	if r.accumulating { // they meet what is owed when they are placed: until then their demand is open
		r.keep(kept[Out]{events: events})
		return
	}
	r.place(events)
}

// place dispatches events, or lets them wait.
func (r *run[In, Out]) place(events []Out) {
	n := int64(len(events))
	r.owed = max(0, r.owed-n)
	r.granted = max(0, r.granted-n)
	if r.buf.Len() == 0 { // a DoAfter that is due waits for earlier events, not for these
		events = r.dispatch(events)
	}
	if len(events) > 0 {
		r.spare()
		r.store(events)
	} else if len(r.outcome.discarded) == 0 {
		r.discarding = false
	}
	r.conclusions()
}

// dispatch hands out events and returns the rest. What the dispatcher reported besides is acted on by
// conclusions, which must follow.
func (r *run[In, Out]) dispatch(events []Out) []Out {
	before, all := r.inQueues(), len(r.edges)
	r.inProgress.events, r.inProgress.queued = len(events), before
	rest := r.disp.Dispatch(events, r)
	r.account(len(events)-len(rest), before, all)
	return rest
}

// flush has the dispatcher send what it keeps and has demand for.
func (r *run[In, Out]) flush() {
	if !r.flushing {
		return
	}
	r.flushing = false
	if r.queueing == nil {
		return
	}
	before, all := r.inQueues(), len(r.edges)
	r.inProgress.queued = before
	r.queueing.Flush(r)
	r.account(0, before, all)
	r.conclusions()
}

// account books what a dispatcher took: what it neither keeps nor reported otherwise was dispatched.
func (r *run[In, Out]) account(taken, queuedBefore, subscribers int) {
	o := &r.outcome
	r.inProgress.events, r.inProgress.queued = 0, 0
	o.copies = 0
	dispatched := int64(taken + queuedBefore - r.inQueues() - o.dropped - len(o.discarded))
	r.dispatched.Add(dispatched)
	if o.dropped > 0 {
		r.dropped.Add(int64(o.dropped))
	}
	if len(o.discarded) > 0 {
		r.discarded.Add(int64(len(o.discarded)))
	}
	o.dropped = 0
	if r.multicast {
		r.copies.Add(dispatched * int64(subscribers))
	} else {
		r.copies.Add(dispatched)
	}
	r.toldAll = false
	r.publish() // a callback may follow, and take long
}

// cutShort books a dispatch that did not return: a dispatcher of the user's that panicked or was abandoned, or a
// function of the user's that called Goexit. What was sent was dispatched; of the rest, nobody knows.
func (r *run[In, Out]) cutShort() {
	if r.def.out == nil {
		return
	}
	o, all := &r.outcome, r.inProgress.events+r.inProgress.queued
	if all > 0 {
		r.inProgress.events, r.inProgress.queued = 0, 0
		copies, dispatched := o.copies, o.copies
		if r.multicast {
			copies, dispatched = r.cutCopies()
		}
		dispatched = min(dispatched, int64(all))
		r.dispatched.Add(dispatched)
		r.copies.Add(copies)
		r.dropped.Add(int64(o.dropped))
		r.discarded.Add(int64(len(o.discarded)))
		r.outputLost.Add(int64(all-r.inQueues()-o.dropped-len(o.discarded)) - dispatched)
	}
	for _, refused := range o.refused {
		n := int64(len(refused.events))
		r.takenBack.Add(n)
		r.outputLost.Add(n)
	}
	r.outcome = outcome[Out]{}
}

// cutCopies returns how many copies a broadcast that was cut short has given out, and of how many events. What waits for
// those that lag will not come any more.
func (r *run[In, Out]) cutCopies() (copies, events int64) {
	for _, e := range r.edges {
		n := e.sent.Load() + e.filtered.Load() + e.lagged.Load() - (r.dispatched.Load() - e.joined)
		if n < 0 && e.options.lag > 0 {
			e.lagged.Add(-n)
			n = 0
		}
		copies, events = copies+n, max(events, n)
	}
	r.multicast = false // all copies are settled
	return copies, events
}

// inQueues is how many events the dispatcher keeps.
func (r *run[In, Out]) inQueues() int {
	if r.queueing == nil {
		return 0
	}
	r.lastQueued = r.queueing.Queued()
	return r.lastQueued
}

// Send sends one batch to one subscriber. A mailbox that has closed refuses it. It implements [Outlet], as
// the methods below do.
func (r *run[In, Out]) Send(id SubID, events []Out) {
	n := int64(len(events))
	e := r.edges[id]
	if e == nil {
		panic(fmt.Sprintf("stage: rule D1: the dispatcher sent %d events to %d, which is no subscriber", n, id))
	}
	if sent, asked := e.sent.Load()+n, e.Subscription.asked.Load(); sent > asked {
		panic(fmt.Sprintf("stage: rule D2: the dispatcher has sent %d events to a subscriber that asked for %d", sent, asked))
	}
	e.sent.Add(n)
	r.outcome.copies += n
	if r.observing() {
		r.observe(Message{Kind: MessageEvents, From: r.name(), To: e.Consumer(), Sub: &e.Subscription, N: n, Events: events})
	}
	if !e.inbox.Post(message[Out]{kind: msgEvents, sub: &e.Subscription, events: events}) {
		e.Subscription.refused.Add(n)
		r.outcome.refused = append(r.outcome.refused, refusal[Out]{e, events})
	}
}

func (r *run[In, Out]) Filtered(id SubID, n int) {
	if e := r.edges[id]; e != nil {
		e.filtered.Add(int64(n))
		r.outcome.copies += int64(n)
	}
}

func (r *run[In, Out]) Lagged(id SubID, n int) {
	if e := r.edges[id]; e != nil {
		e.lagged.Add(int64(n))
		r.outcome.copies += int64(n)
	}
}

func (r *run[In, Out]) Dropped(n int, fault error) {
	r.outcome.dropped += n
	if fault != nil && !r.faulted {
		r.faulted = true
		r.log(slog.LevelWarn, "stage: the dispatcher drops events", "stage", r.name(), "dropped", n, "error", fault)
	}
}

func (r *run[In, Out]) Discarded(events []Out) {
	r.outcome.discarded = append(r.outcome.discarded, events...)
}

func (r *run[In, Out]) Refuse(id SubID, e error) {
	r.outcome.rejected = append(r.outcome.rejected, rejection{id, e})
}

func (r *run[In, Out]) Due(mark any) {
	r.outcome.due = append(r.outcome.due, mark.(*call[Out]))
}

// conclusions acts on what a dispatcher reported. What closed mailboxes refused goes in front of what
// waits, in order; the demand of those consumers is void, and their end is on its way.
func (r *run[In, Out]) conclusions() {
	for n := len(r.outcome.refused) - 1; n >= 0; n-- {
		last := r.outcome.refused[n]
		r.disp.Cancel(last.e.id)
		r.outcome.refused = r.outcome.refused[:n]
		r.takeBack(last.e, last.events, false)
	}
	if o := &r.outcome; o.refused == nil && o.rejected == nil && o.due == nil && o.discarded == nil {
		return
	}
	o := r.outcome
	r.outcome = outcome[Out]{}
	r.publish() // what was returned is in the buffer, and a callback may take long
	if len(o.discarded) > 0 {
		r.discard(o.discarded)
	}
	for _, rejected := range o.rejected {
		if e := r.edges[rejected.id]; e != nil {
			r.dropEdge(e)
			r.tell(e, msgCancelled, 0, rejected.err)
			r.callConsumerGone(e, Cancellation{Kind: Cancelled, Reason: rejected.err})
			r.checkAbandoned()
		}
	}
	for _, c := range o.due {
		if i := slices.Index(r.marked, c); i >= 0 { // else it was made at completion
			r.marked = slices.Delete(r.marked, i, i+1)
			r.invoke(c)
		}
	}
}

// takeBack puts events that a consumer did not begin where the dispatcher says: in front of everything
// that waits, or of what waits for the others of a partition; of a broadcast they are lost. Those that are late come
// behind those of the same consumer that have been taken back before and still wait.
func (r *run[In, Out]) takeBack(e *edge[Out], events []Out, late bool) {
	if len(events) == 0 {
		return
	}
	r.takenBack.Add(int64(len(events)))
	r.inProgress.events, r.inProgress.queued = len(events), r.inQueues()
	request := e.request
	request.late = late
	again, lost := r.disp.HandBack(request, events)
	r.inProgress.events, r.inProgress.queued = 0, 0
	r.outputLost.Add(int64(lost))
	r.buf.PutBack(again, e, late)
	r.flushing = true
	r.publish()
}

// store keeps events that nobody has asked for. What does not fit is discarded.
func (r *run[In, Out]) store(events []Out) {
	discarded := r.buf.Put(events)
	r.discarded.Add(int64(len(discarded)))
	r.publish()
	if len(discarded) == 0 {
		r.discarding = false
		return
	}
	r.discard(discarded)
}

// discard reports events for which there was no room: to the log once per episode.
func (r *run[In, Out]) discard(events []Out) {
	if !r.discarding {
		r.discarding = true
		r.log(slog.LevelWarn, "stage: buffer is full, events are discarded",
			"stage", r.name(), "discarded", len(events), "buffer_size", r.h.conf.bufferSize)
	}
	if hook := r.def.onDiscard; hook != nil {
		r.describe(len(events), nil)
		r.ends(r.guard(inDiscard, func() error { hook(r.context(), events); return nil }))
	}
}

// serveBuffer dispatches what waits, as far as there is demand, and calls the DoAfter and
// TellAfter whose turn has come.
func (r *run[In, Out]) serveBuffer() {
	if !r.flushing && r.buf.Len()+r.buf.Marks() == 0 {
		return
	}
	r.flush()
	for r.verdict == nil && !r.accumulating {
		if c, ok := r.buf.Due(); ok {
			r.behindQueues(c)
			continue
		}
		live := min(r.disp.Live(), int64(r.buf.Len()))
		if live <= 0 {
			return
		}
		rest := r.dispatch(r.buf.Take(int(live)))
		r.buf.PutFront(rest) // what budgets refuse
		if len(rest) > 0 && r.disp.Live() > 0 {
			panic("stage: rule D3: the dispatcher returned events while it had demand for them")
		}
		r.conclusions()
		r.flush()
	}
}

// behindQueues makes a call whose turn has come in the buffer: at once, or behind what the dispatcher keeps.
func (r *run[In, Out]) behindQueues(c *call[Out]) {
	if r.queueing != nil && !r.queueing.Mark(c) {
		r.marked = append(r.marked, c)
		return
	}
	r.invoke(c)
}
