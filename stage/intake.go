package stage

import (
	"errors"
	"fmt"

	"github.com/go-genstage/genstage/internal/demand"
)

// intake is the consuming half of a run: its subscriptions, what has arrived and is not begun,
// and the delivery in hand.
type intake[In any] struct {
	ups       []*edge[In]     // subscriptions that have not ended; written under tally.mu
	lingering []*Subscription // ended, but with events held
	charged   []*edge[In]     // with a tab that may have charges

	queue     []message[In] // producer-consumers: arrived, not begun; events and what came between
	queueHead int

	hand struct { // the delivery in progress
		sub    *Subscription
		events []In // not finished
		n      int  // the first n of them are in the callback
	}

	declaredMade  bool               // the declared subscriptions have been made
	stopEarly     func(*handle) bool // Stop came before that
	declaredCount int                // how many there were then
	unanswered    int                // declared subscriptions that the pipeline's start waits for
	hadUpstream   bool               // has had a subscription
	permanentDone bool               // a permanent subscription has completed
	inputDone     bool               // OnComplete has been called, or there is none
	parted        bool               // a subscription has ended: its producer may expect the stage for nothing
}

// connectDeclared makes the declared subscriptions, or leaves their producers if the stage is done by then.
func (r *run[In, Out]) connectDeclared() {
	switch {
	case r.def.in == nil:
	case r.finishing:
		r.passBy()
	default:
		for _, d := range r.def.in.list() {
			e := r.newEdge(d)
			r.declaredCount++
			e.counted, e.waits = true, true
			r.unanswered++
			r.subscribe(e)
		}
	}
	r.declaredMade = true
	if r.def.in != nil && r.finishing { // also since one of them has ended at once
		r.leaveUpstreams(&ending{clean: true, completed: true})
	}
	if r.stopEarly != nil {
		r.cancelOutside(r.stopEarly)
	}
	r.checkConnected()
}

// passBy makes the declared subscriptions of a stage that ends before it could, to be left at once: a producer of
// the same pipeline must not wait for it (R2), but a supervisor's for its next run.
func (r *run[In, Out]) passBy() {
	if r.scope.alone {
		return
	}
	for _, d := range r.def.in.list() {
		e := r.newEdge(d)
		if r.verdict == nil { // it may return; leave will say
			r.h.expectAt(d.source.h, r.scope.tenure)
		}
		r.observe(Message{Kind: MessageSubscribe, From: r.name(), To: e.Producer(), Sub: &e.Subscription})
		if e.source.passedBy(e) {
			e.state = subPending
			r.mu.Lock()
			r.ups = append(r.ups, e)
			r.mu.Unlock()
		}
	}
}

// checkConnected tells the launcher when nothing is unanswered.
func (r *run[In, Out]) checkConnected() {
	if r.declaredMade && r.unanswered == 0 {
		r.connected.open()
	}
}

// newEdge makes one subscription of this run.
func (r *run[In, Out]) newEdge(d declaration[In]) *edge[In] {
	e := &edge[In]{source: d.source, request: d.request, inbox: &r.box, told: -1, begun: -1}
	e.request.Consumer, e.in, e.kept = r.h, r.scope.id(), r.scope.tenure
	e.site, e.index = d.site, d.index
	e.options, e.producer, e.consumer, e.typed = d.options, d.source.h, r, e
	e.until = d.options.leaves
	if e.tab = newTab(d.request.budget, &e.Subscription); e.tab != nil {
		r.charged = append(r.charged, e)
	}
	switch max, min := d.options.max, d.options.min; {
	case d.options.manual:
	case r.kids != nil:
		slots := demand.NewSlots(max, min)
		e.account, e.slots = &slots, &slots
	default:
		window := demand.NewAccount(max, min)
		e.account = &window
	}
	return e
}

// subscribeTo makes a subscription now (SubscribeTo and Subscribe on a running stage).
func (r *run[In, Out]) subscribeTo(e *edge[In]) {
	switch {
	case r.finishing || r.stopping:
		r.decline(e, ErrEnded)
		return
	case !e.dynamic && (!r.declaredMade || e.index < r.declaredCount):
		return // connectDeclared makes it, or has made it
	}
	if !e.options.allowDuplicate {
		for _, other := range r.ups {
			if other.again && other.state == subWaiting && other.source == e.source && other.source.detach(other) {
				r.vanish(other) // e takes its place
				break
			}
			if other.source == e.source && &other.Subscription != e.replaces && !other.replaced {
				r.decline(e, fmt.Errorf("%w: to %q; AllowDuplicate permits it", ErrAlreadySubscribed, e.producer.conf.name))
				return
			}
		}
	}
	r.subscribe(e)
}

// decline answers a subscription that is not made.
func (r *run[In, Out]) decline(e *edge[In], err error) {
	if e.dynamic {
		r.h.removeSource(e.producer)
	} else if !errors.Is(err, ErrEnded) { // SubscribeTo has no other way to say so
		r.fail(fmt.Errorf("%s: SubscribeTo: %w", e.site, err))
	}
	e.answer(err)
}

// subscribe hands e to its producer, or has it wait for one.
func (r *run[In, Out]) subscribe(e *edge[In]) {
	r.hadUpstream = true
	if e.state == subNew {
		r.mu.Lock()
		r.ups = append(r.ups, e)
		r.mu.Unlock()
	}
	if e.waits {
		r.h.expectAt(e.producer, r.scope.tenure)
	}
	if old := e.replaces; old != nil {
		old.typed.(*edge[In]).replaced = true
		if old.producer != e.producer {
			_ = old.Cancel(e.replacing) // ended already: as well
		}
	}
	r.observe(Message{Kind: MessageSubscribe, From: r.name(), To: e.Producer(), Sub: &e.Subscription})
	e.state = subPending
	switch became := e.source.attach(e); became {
	case attachedToRun:
	case attachedWaiting:
		e.state = subWaiting
		r.answered(e)
	case attachedDone, attachedOver:
		r.attachedLate(e, became == attachedDone)
	case attachedNone:
		e.answer(ErrNoStage)
		r.endSubscription(e, Cancellation{Kind: Down, Reason: ErrNoStage}, false)
	}
}

// attachedLate ends a subscription that has come too late: the producer completed, or its run has ended otherwise,
// and no other will come.
func (r *run[In, Out]) attachedLate(e *edge[In], completed bool) {
	switch end := e.source.h.lastEnd(); {
	case e.again:
		r.vanish(e)
	case completed:
		r.accepted(&e.Subscription)
		r.endSubscription(e, Cancellation{Kind: Down, clean: true}, true)
	default:
		r.endSubscription(e, Cancellation{Kind: Down, Reason: end.reason, clean: end.clean, root: end.root}, false)
	}
}

// subscribeAgain makes a declared subscription anew whose producer has ended, if that will run again: under a
// supervisor, or by whoever runs it when this stage runs alone too. It waits for that. When nothing comes it ends
// without a word: it was never accepted.
func (r *run[In, Out]) subscribeAgain(old *edge[In], completed bool) {
	if !old.waits || old.unasked || r.stopping || r.finishing || r.verdict != nil {
		return
	}
	if !old.source.h.mayComeBack(r.scope.tenure) && (completed || !r.scope.alone) {
		return
	}
	e := r.newEdge(declaration[In]{source: old.source, request: old.request, options: old.options, site: old.site, index: old.index})
	e.waits, e.again, e.until = true, true, e.until || !r.scope.alone
	r.subscribe(e)
}

// mode says what the end of e means for the stage.
func (e *edge[T]) mode() CancelMode {
	if e.unasked {
		return CancelTemporary
	}
	return e.options.mode
}

// answered takes e off those that the pipeline's start waits for.
func (r *run[In, Out]) answered(e *edge[In]) {
	if e.counted {
		e.counted = false
		r.unanswered--
		r.checkConnected()
	}
}

// accepted opens a subscription: OnSubscribe, then the first ask.
func (r *run[In, Out]) accepted(sub *Subscription) {
	e := sub.typed.(*edge[In])
	if e.state == subEnded {
		return
	}
	e.state, e.again = subActive, false
	if e.waits || r.def.in.declares(e.source) { // again: when it was made, the producer may have been in no run of a supervisor
		r.h.expectAt(e.producer, r.scope.tenure)
	}
	if hook := r.h.conf.onSubscribe; hook != nil {
		r.describe(0, sub)
		err := r.guard(inSubscribe, func() error { return hook(r.context(), sub) })
		switch {
		case errors.Is(err, ErrRefused):
			e.unasked = true
			sub.cancel(err)
			e.answer(err)
		case errors.Is(err, ErrDone):
			r.finish()
			e.answer(ErrEnded)
		case err != nil:
			r.fail(err)
			e.answer(r.verdict.reason)
		}
	}
	e.answer(nil)
	if e.replied.Load() == replyUnwanted {
		e.unasked = true
		sub.cancel(ErrShutdown)
	}
	if e.state == subActive && !sub.options.manual && r.verdict == nil {
		sub.ask(e.account.Open(0))
	}
	r.answered(e) // behind the ask: so the first demand callback of a pipeline sees the first asks of all
}

// changeDemand posts new limits. Safe for concurrent use.
func (r *run[In, Out]) changeDemand(sub *Subscription, max, min int) bool {
	return r.box.Post(message[In]{kind: msgSetDemand, sub: sub, arg: [2]int{max, min}})
}

// setDemand changes the limits of a subscription, and asks for what they allow now.
func (r *run[In, Out]) setDemand(sub *Subscription, limits [2]int) {
	if sub.state == subEnded {
		return
	}
	ask := sub.account.Change(limits[0], limits[1])
	if ask > 0 && sub.state == subActive { // else the first ask, Open, is still to come
		sub.ask(ask)
	}
}
