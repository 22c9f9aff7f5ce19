package stage

import (
	"errors"
	"fmt"
	"slices"
)

// How subscriptions of a stage that consumes end, and what it hands back when it ends itself.

// heard acts on what a producer said, when all its events before that are begun.
func (r *run[In, Out]) heard(m message[In]) {
	e := m.sub.typed.(*edge[In])
	if e.state == subEnded {
		return
	}
	if e.again && (m.kind == msgComplete || m.kind == msgProducerDown) {
		r.vanish(e)
		return
	}
	switch m.kind {
	case msgThatIsAll:
		m.sub.observe(MessageBegunAll, m.n, nil)
		m.sub.post(msgBegunAll, m.n, nil)
	case msgComplete:
		if e.state == subWaiting || e.state == subPending { // the run that it waited for completed meanwhile
			r.accepted(m.sub)
		}
		r.endSubscription(e, Cancellation{Kind: Down, clean: true}, true)
	case msgCancelled:
		reason, _ := m.arg.(error)
		clean := reason == nil || errors.Is(reason, ErrShutdown)
		r.endSubscription(e, Cancellation{Kind: Cancelled, Reason: reason, clean: clean}, false)
	case msgProducerDown:
		end := m.arg.(*ending)
		e.answer(end.reason) // of a subscription that was not accepted yet
		r.endSubscription(e, Cancellation{Kind: Down, Reason: end.reason, clean: end.clean, root: end.root}, false)
	case msgRefused:
		reason := m.arg.(error)
		switch {
		case errors.Is(reason, errRunOver) && e.waits && r.stopping:
			r.forget(e) // as one that waits: nothing of what is being stopped will run again
		case errors.Is(reason, errRunOver) && e.waits:
			r.subscribe(e)
		case errors.Is(reason, errRunOver):
			e.answer(ErrNoStage)
			r.endSubscription(e, Cancellation{Kind: Down, Reason: ErrNoStage}, false)
		case e.dynamic: // for the caller of Subscribe only
			e.answer(reason)
			r.forget(e)
		default:
			r.endSubscription(e, Cancellation{Kind: Cancelled, Reason: e.refusedAt(reason)}, false)
		}
	}
}

// refusedAt adds to the reason of a refusal which SubscribeTo it is about.
func (e *edge[T]) refusedAt(reason error) error {
	if e.options.leaves { // of Events: the name of the consumer says where
		return reason
	}
	return fmt.Errorf("%s: SubscribeTo: to %q: %w", e.site, e.Producer(), reason)
}

// errRunOver answers a subscription that reached a run which was just ending.
var errRunOver = errors.New("stage: the run has ended")

// endSubscription ends e on this side: OnCancel, then the cancel mode.
func (r *run[In, Out]) endSubscription(e *edge[In], c Cancellation, completed bool) {
	r.forget(e)
	r.uncharge(e)
	if completed && e.mode() == CancelPermanent {
		r.permanentDone = true
	}
	if hook := r.def.onCancel; hook != nil {
		var out []Out
		r.describe(0, &e.Subscription)
		err := r.guard(inCancel, func() (err error) {
			out, err = hook(r.context(), &e.Subscription, c)
			r.results = len(out)
			return err
		})
		if err == nil || errors.Is(err, ErrDone) {
			r.emit(out)
		}
		if r.ends(err) {
			return
		}
	}
	stopped := r.stopping && c.Kind == Cancelled
	if completed || stopped || e.mode() == CancelTemporary || e.mode() == CancelTransient && c.clean {
		if c.Kind == Down && !(completed && e.mode() == CancelPermanent) {
			r.subscribeAgain(e, completed)
		}
		return
	}
	switch {
	case c.Reason == nil:
		r.finish()
	case c.Kind == Cancelled || errors.Is(c.Reason, ErrNoStage):
		r.fail(c.Reason)
	default: // it names the stage where it began
		r.verdict = &ending{reason: c.Reason, clean: c.clean, root: c.root}
	}
}

// uncharge has the tab of e closed when nothing is charged to it any more.
func (r *run[In, Out]) uncharge(e *edge[In]) {
	e.closed = true
	r.charged = slices.DeleteFunc(r.charged, func(other *edge[In]) bool { return other.closed && other.tab.closeEmpty() })
}

// vanish ends a subscription that was made again and never accepted, without a word to anybody.
func (r *run[In, Out]) vanish(e *edge[In]) {
	r.forget(e)
	r.uncharge(e)
}

// forget takes e off the subscriptions that have not ended.
func (r *run[In, Out]) forget(e *edge[In]) {
	e.state = subEnded
	e.over.Store(true)
	r.parted = true
	r.answered(e)
	r.mu.Lock()
	r.ups = slices.DeleteFunc(r.ups, func(other *edge[In]) bool { return other == e })
	r.mu.Unlock()
	if e.dynamic {
		r.h.removeSource(e.producer)
	}
	r.lingering = slices.DeleteFunc(r.lingering, func(s *Subscription) bool { return s.held.Load() == 0 })
	if e.held.Load() > 0 {
		r.lingering = append(r.lingering, &e.Subscription)
	}
}

// cancelOutside begins to stop: subscriptions to stages that are not stopping too are cancelled.
func (r *run[In, Out]) cancelOutside(inside func(*handle) bool) {
	r.stopping = true
	for _, e := range append([]*edge[In](nil), r.ups...) {
		switch {
		case e.state == subWaiting && e.source.detach(e):
			r.forget(e) // nothing of what is being stopped will run again
		case inside(e.producer):
		default:
			e.cancel(ErrShutdown)
		}
	}
}

// leaveUpstreams ends all subscriptions because the stage ends, and hands back what it has not
// begun.
func (r *run[In, Out]) leaveUpstreams(end *ending) {
	unbegun := map[*Subscription][]In{}
	var order []*Subscription // of the keys, as their events came
	leave := func(sub *Subscription, events []In) {
		if unbegun[sub] == nil {
			order = append(order, sub)
		}
		unbegun[sub] = append(unbegun[sub], events...)
	}
	if rest := r.hand.events[r.hand.n:]; len(rest) > 0 {
		r.queued.Add(-int64(len(rest)))
		leave(r.hand.sub, rest)
		r.hand.events = r.hand.events[:r.hand.n]
	}
	calls := r.queue[:0]
	for _, m := range r.queue[r.queueHead:] {
		switch m.kind {
		case msgEvents:
			r.queued.Add(-int64(len(m.events)))
			leave(m.sub, m.events)
		case msgCall:
			calls = append(calls, m)
		}
	}
	clear(r.queue[len(calls):])
	r.queue, r.queueHead = calls, 0

	for len(r.ups) > 0 {
		e := r.ups[len(r.ups)-1]
		waiting := e.state == subWaiting
		r.forget(e)
		e.answer(ErrEnded)
		if waiting && e.source.detach(e) {
			continue
		}
		e.returned = unbegun[&e.Subscription]
		delete(unbegun, &e.Subscription)
		n := int64(len(e.returned))
		e.tab.giveBack(n)
		e.observe(MessageConsumerDown, n, end.reason)
		r.count(e.post(msgConsumerDown, e.received.Load(), end), n)
	}
	for _, sub := range order {
		if events := unbegun[sub]; len(events) > 0 { // of a subscription that had ended
			r.handBack(sub, events)
		}
	}
}

// handBack returns events of a subscription that has ended to its producer.
func (r *run[In, Out]) handBack(sub *Subscription, events []In) {
	n := int64(len(events))
	sub.tab.giveBack(n)
	sub.observe(MessageHandBack, n, nil)
	r.count(sub.post(msgHandBack, 0, events), n)
}

// count books n events as handed back or, if nobody took them, as lost.
func (r *run[In, Out]) count(taken bool, n int64) {
	if taken {
		r.handedBack.Add(n)
	} else {
		r.inputLost.Add(n)
	}
}
