package stage

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/internal/buffer"
)

// outlet is the emitting half of a run: who gets which event, what nobody has asked for yet, and
// what has been asked of the source.
type outlet[Out any] struct {
	*sending[Out]

	disp Dispatcher[Out]

	expansion *expansion[Out] // of the batch in hand; nil for none

	demand        demandFunc[Out]
	releaseDemand func()
	owed          int64 // asked of the source and not emitted
	pause         time.Duration
	timer         *time.Timer

	feed    feed[Out]   // instead of demand; nil for none
	inlet   *inlet[Out] // the feed, if it is a channel
	fedOpen int64       // open, as the feed was told

	multicast    bool        // each event goes to all
	flushing     bool        // disp may be able to send what it keeps
	accumulating bool        // what is asked and emitted is kept back
	released     bool        // demand callbacks may begin
	again        bool        // there is more to do before parking
	fedAll       bool        // the feed has nothing more
	news         bool        // the feed has something to say
	hadConsumer  bool        // has had a subscriber, or was left by those of an earlier run
	servedBefore bool        // an earlier run in the same call of Run had subscribers
	spared       bool        // all subscribers are temporary, at the end
	faulted      bool        // a fault of the dispatcher's has been logged
	discarding   bool        // an episode of discarding has been logged
	toldAll      bool        // every subscriber has been told that this is all
	woken        atomic.Bool // a wake is on its way, behind all that was told; written by any goroutine
}

// sending is the part of an outlet that a stage which only consumes does without: nil there.
type sending[Out any] struct {
	buf   *buffer.Buffer[Out, *call[Out]] // the marks are DoAfter and TellAfter
	edges map[SubID]*edge[Out]            // written under tally.mu
	gone  []*Subscription                 // guarded by tally.mu: the subscribers that the end of the run left
	outputTally

	queueing  QueueingDispatcher[Out] // disp, if it is one
	budgeting BudgetDispatcher[Out]   // disp, if it is one
	inUnison  unison                  // disp, if it is one

	granted int64 // with OnDemand: events for which input may be begun

	last        SubID
	expectedMax int64 // an ask above it is logged; 0: none

	admitting  *edge[Out] // OnConsumer is being asked about it
	leaving    *edge[Out] // its consumer has ended, and what that has not begun is being taken back
	comingBack int64      // events that consumers which have gone will hand back
	notBegun   int        // subscribers that have not begun all that they were sent, when toldAll

	roomy  []*edge[Out] // have been told that there is room in their budgets, and have not used it
	tabs   []*tab       // of the event in Admit
	weighs []int64      // of the event in Admit

	marked     []*call[Out]                 // marks that disp keeps, in order
	inProgress struct{ events, queued int } // given to disp by the dispatch in progress, and kept before
	lastQueued int                          // what it kept when it was last asked
	outcome    outcome[Out]                 // of the dispatch in progress

	kept []kept[Out]  // what is kept back, in order
	over []*edge[Out] // subscriptions that came when the run was ending

	asUpstream upstream // this run, for the subscriptions to it; read-only
}

// serve posts a subscription to this run. It is called by consumers, on their goroutines.
func (r *run[In, Out]) serve(e *edge[Out]) bool {
	e.up.Store(&r.asUpstream)
	return r.box.Post(message[In]{kind: msgSubscribe, sub: &e.Subscription, arg: e})
}

// postUp takes a message of a consumer's. Safe for concurrent use.
func (r *run[In, Out]) postUp(k kind, sub *Subscription, n int64, arg any) bool {
	m := message[In]{kind: k, sub: sub, n: n, arg: arg}
	if k == msgAsk {
		return r.box.PostQuiet(m)
	}
	return r.box.Post(m)
}

// asksThatCanWait returns how many asks would change nothing before something else comes: they are then taken together
// with that. A producer-consumer which has nothing that could be sent or begun can let all of them wait. Where everyone gets
// each event, the last one of those that hold the others up is the one that matters.
func (r *run[In, Out]) asksThatCanWait() int {
	switch {
	case r.def.out == nil || !r.initialized || r.def.onDemand != nil:
		return 0
	case r.def.in != nil && r.queueHead == len(r.queue) && r.expansion == nil && len(r.kept) == 0 && len(r.marked) == 0 &&
		r.buf.Len() == 0 && r.buf.Marks() == 0 && (r.queueing == nil || r.queueing.Deliverable() == 0):
		return math.MaxInt
	case r.inUnison != nil:
		return r.inUnison.holdingUp() - 1
	default:
		return 0
	}
}

// subscribed takes a new consumer, or refuses it.
func (r *run[In, Out]) subscribed(e *edge[Out]) {
	if old := e.replaces; old != nil && old.producer == r.h { // else it is another producer's to look into
		if replaced := r.mine(old); replaced != nil && replaced.consumer == e.consumer {
			r.dropEdge(replaced)
			c := Cancellation{Kind: Cancelled, Reason: e.replacing, clean: e.replacing == nil || errors.Is(e.replacing, ErrShutdown)}
			defer func() { // behind the answer to e, which may be that it is refused; also after Goexit in the hook
				r.tell(replaced, msgCancelled, 0, e.replacing)
				r.checkAbandoned()
			}()
			r.over = append(r.over, e) // should the stage end by the hook
			r.callConsumerGone(replaced, c)
			if r.verdict != nil {
				return
			}
			r.over = r.over[:len(r.over)-1]
		}
	}
	if hook := r.h.conf.onConsumer; hook != nil {
		r.admitting = e // should the hook fail, conclude tells e with the others
		r.describe(0, &e.Subscription)
		err := r.guard(inConsumer, func() error { return hook(r.context(), &e.Subscription) })
		if err != nil && !errors.Is(err, ErrRefused) && !errors.Is(err, ErrDone) {
			if errors.Is(err, errAborted) {
				r.admitting, r.over = nil, append(r.over, e)
			}
			r.fail(err)
			return
		}
		r.admitting = nil
		if errors.Is(err, ErrRefused) {
			r.tell(e, msgRefused, 0, err)
			r.turnedAway(e)
			return
		}
		if err != nil {
			defer r.finish() // e is the last one, and gets what waits
		}
	}
	r.last++
	e.id = r.last
	if err := r.admits(e); err != nil {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
		r.tell(e, msgRefused, 0, err)
		r.callConsumerGone(e, Cancellation{Kind: Cancelled, Reason: err})
		r.turnedAway(e)
		return
	}
	e.served, e.joined = &r.core, r.dispatched.Load()
	r.hadConsumer, r.toldAll = true, false
	r.mu.Lock()
	r.edges[e.id] = e
	r.mu.Unlock()
	r.flushing = true
	r.tell(e, msgAccepted, 0, nil)
	r.asked(&e.Subscription) // before this run had it, perhaps
}

// admits has the dispatcher take a subscriber.
func (r *run[In, Out]) admits(e *edge[Out]) error {
	if e.tab != nil {
		if r.budgeting == nil {
			return fmt.Errorf("%w: Charge: the dispatcher is no BudgetDispatcher", ErrInvalidOption)
		}
		e.tab.wake = func(sub *Subscription) { r.box.Post(message[In]{kind: msgRoom, sub: sub}) }
	}
	return sound(r.disp.Subscribe(e.id, e.request))
}

// roomFor takes the message that there is room for a subscriber in its budget.
func (r *run[In, Out]) roomFor(sub *Subscription) {
	e := r.mine(sub)
	if e == nil {
		return
	}
	r.budgeting.Wake(e.id)
	r.flushing = true
	r.roomy = append(r.roomy, e)
}

// turnedAway counts a refused subscriber as one that has gone (R2), if it is a member that was declared: nobody
// else may ever come. One that is to subscribe to the next run is expected there.
func (r *run[In, Out]) turnedAway(e *edge[Out]) {
	if !e.dynamic && e.in == r.scope.id() {
		r.hadConsumer = true
		r.checkAbandoned()
	}
}

// mine returns the edge of sub if it is one of this run's subscribers.
func (r *run[In, Out]) mine(sub *Subscription) *edge[Out] {
	if e, ok := sub.typed.(*edge[Out]); ok && e.served == &r.core {
		return e
	}
	return nil
}

// asked adds what has been asked since the last time.
func (r *run[In, Out]) asked(sub *Subscription) {
	e := r.mine(sub)
	if e == nil {
		return
	}
	n := sub.asks.Swap(0)
	if n == 0 { // they were taken when it was accepted
		return
	}
	if r.expectedMax > 0 && n > r.expectedMax && !e.greedy {
		e.greedy = true
		r.log(slog.LevelWarn, "stage: a subscriber asks for more than was expected",
			"stage", r.name(), "consumer", e.Consumer(), "asked", n, "expected_max", r.expectedMax)
	}
	r.disp.Ask(e.id, n)
	r.flushing = true
}

// consumerGone ends a subscription because its consumer cancelled or ended.
func (r *run[In, Out]) consumerGone(m message[In]) {
	e := r.mine(m.sub)
	if e == nil {
		r.lateDown(m)
		return
	}
	if m.kind == msgConsumerDown {
		r.leaving = e
	}
	r.dropEdge(e)
	c := Cancellation{Kind: Cancelled}
	if m.kind == msgCancel {
		c.Reason, _ = m.arg.(error)
		c.clean = c.Reason == nil || errors.Is(c.Reason, ErrShutdown)
		r.tell(e, msgCancelled, 0, c.Reason)
	} else {
		end := m.arg.(*ending)
		c = Cancellation{Kind: Down, Reason: end.reason, clean: end.clean}
		if e.options.leaves && end.reason == nil {
			c.Kind = Cancelled
		}
		r.bringBack()
		e.away = e.sent.Load() - e.Subscription.refused.Load() - m.n
		r.comingBack += e.away
	}
	r.callConsumerGone(e, c)
	r.checkAbandoned()
}

// lateDown takes what a consumer had not begun that ended after the subscription was cancelled.
func (r *run[In, Out]) lateDown(m message[In]) {
	if m.kind == msgConsumerDown {
		r.leaving = m.sub.typed.(*edge[Out])
		r.bringBack()
	}
}

// bringBack takes back what the consumer that is leaving has not begun.
func (r *run[In, Out]) bringBack() {
	if r.def.out == nil {
		return
	}
	if e := r.leaving; e != nil {
		events := e.returned
		r.leaving, e.returned = nil, nil
		r.takeBack(e, events, false)
	}
}

// lateHandBack takes events that reached a consumer after it had gone.
func (r *run[In, Out]) lateHandBack(e *edge[Out], events []Out) {
	n := min(e.away, int64(len(events)))
	e.away -= n
	r.comingBack -= n
	r.takeBack(e, events, true)
	if len(r.edges) == 0 && r.hadConsumer {
		r.checkAbandoned()
	}
}

// dropEdge forgets a subscriber and its demand.
func (r *run[In, Out]) dropEdge(e *edge[Out]) {
	r.disp.Cancel(e.id)
	if r.toldAll && e.begun != e.sent.Load() {
		r.notBegun--
	}
	e.served = nil
	e.tab.leave()
	r.settleCopies(e)
	r.departed.Add(e.sent.Load() + e.filtered.Load() + e.lagged.Load())
	r.mu.Lock()
	delete(r.edges, e.id)
	r.mu.Unlock()
}

// settleCopies books what a broadcast has dispatched and did not send to a subscriber that goes, or that the stage leaves:
// it waited for that one, which lags, or came in the same dispatch, behind its end.
func (r *run[In, Out]) settleCopies(e *edge[Out]) {
	if !r.multicast {
		return
	}
	missing := r.dispatched.Load() - e.joined - e.sent.Load() - e.filtered.Load() - e.lagged.Load()
	if e.options.lag > 0 {
		e.lagged.Add(missing)
	} else {
		r.copies.Add(-missing)
	}
}

func (r *run[In, Out]) callConsumerGone(e *edge[Out], c Cancellation) {
	if hook := r.h.conf.onConsumerGone; hook != nil {
		r.describe(0, &e.Subscription)
		r.ends(r.guard(inConsumerGone, func() error { return hook(r.context(), &e.Subscription, c) }))
	}
}

// checkAbandoned ends a stage of a pipeline that has had subscribers and has none left (R2), but
// not before all that are declared have come.
func (r *run[In, Out]) checkAbandoned() {
	if r.def.out == nil || r.verdict != nil || !r.released || r.scope.alone || r.h.conf.keepRunning || len(r.edges) > 0 || r.def.out.awaited() {
		return
	}
	if r.feed != nil && r.feed.patient() {
		return
	}
	if r.finishing && r.buf.Len() == 0 && len(r.kept) == 0 && r.heldNow.Load() == 0 && r.comingBack == 0 && r.expansion == nil {
		return // it has delivered everything
	}
	r.fail(ErrShutdown)
}

// begunAll notes that a subscriber has begun the n events that it has received.
func (r *run[In, Out]) begunAll(sub *Subscription, n int64) {
	e := r.mine(sub)
	if e == nil || n != e.sent.Load() || e.begun == n {
		return
	}
	e.begun = n
	if r.toldAll {
		r.notBegun--
	}
}

// allBegun reports whether everything emitted has been begun by somebody, and asks those that
// have not said so.
func (r *run[In, Out]) allBegun() bool {
	if r.somethingWaits() || r.comingBack > 0 {
		return false
	}
	for len(r.marked) > 0 { // nothing is left that they could wait for
		c := r.marked[0]
		r.marked = r.marked[1:]
		r.invoke(c)
		if r.verdict != nil || r.somethingWaits() {
			return false
		}
	}
	if !r.toldAll {
		r.toldAll, r.notBegun = true, 0
		for _, e := range r.subscribers() {
			sent := e.sent.Load()
			if e.begun != sent {
				r.notBegun++
			}
			if e.told != sent {
				e.told = sent
				r.tell(e, msgThatIsAll, sent, nil)
			}
		}
	}
	return r.notBegun == 0
}

// somethingWaits reports whether something was emitted, and not dispatched, that somebody may still get.
func (r *run[In, Out]) somethingWaits() bool {
	return r.buf.Len() > 0 || r.buf.Marks() > 0 || len(r.kept) > 0 || r.queueing != nil && r.queueing.Deliverable() > 0
}

// subscribers returns the edges in the order in which they were accepted.
func (r *run[In, Out]) subscribers() []*edge[Out] {
	return slices.SortedFunc(maps.Values(r.edges), func(a, b *edge[Out]) int { return cmp.Compare(a.id, b.id) })
}

// tell posts a message other than events to a subscriber.
func (r *run[In, Out]) tell(e *edge[Out], k kind, n int64, arg any) {
	if r.observing() {
		m := Message{Kind: observed[k], From: r.name(), To: e.Consumer(), Sub: &e.Subscription, N: n}
		switch reason := arg.(type) {
		case error:
			m.Reason = reason
		case *ending:
			m.Reason = reason.reason
		}
		r.observe(m)
	}
	e.inbox.Post(message[Out]{kind: k, sub: &e.Subscription, n: n, arg: arg})
}
