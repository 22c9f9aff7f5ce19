package stage

import (
	"errors"
	"iter"
	"time"
)

// arrived takes a delivery. A consumer handles it at once; a producer-consumer queues it until
// its own consumers ask.
func (r *run[In, Out]) arrived(sub *Subscription, events []In) {
	n := int64(len(events))
	r.received.Add(n)
	sub.received.Add(n)
	switch {
	case sub.state == subEnded:
		r.handBack(sub, events)
	case r.def.out != nil:
		r.queued.Add(n)
		r.queue = append(r.queue, message[In]{kind: msgEvents, sub: sub, events: events})
	default:
		r.queued.Add(n)
		r.work(sub, events)
	}
}

// upstreamSaid takes what a producer says behind its events: not before those are begun. One that has not accepted the
// subscription has sent none, and its answer must not wait behind those of others: the start waits for it, and what
// they wait for may wait for the start.
func (r *run[In, Out]) upstreamSaid(m message[In]) {
	answers := m.sub.state == subPending || m.sub.state == subWaiting
	if !answers && (r.queueHead < len(r.queue) || r.expansion != nil) {
		r.queue = append(r.queue, m)
		return
	}
	r.heard(m)
}

// workQueue begins what has arrived, in order, while there is downstream demand. A delivery that
// has been begun is worked to its end.
func (r *run[In, Out]) workQueue() {
	r.expand()
	for r.verdict == nil && r.expansion == nil && r.queueHead < len(r.queue) {
		m := &r.queue[r.queueHead]
		if m.kind == msgEvents && !r.mayBegin() {
			return
		}
		if m.kind == msgEvents && r.def.onDemand != nil && int64(len(m.events)) > r.granted {
			part := m.events[:r.granted:r.granted]
			m.events = m.events[r.granted:]
			r.work(m.sub, part)
			r.serveBuffer()
			continue
		}
		taken := *m
		*m = message[In]{}
		if r.queueHead++; r.queueHead == len(r.queue) {
			r.queue, r.queueHead = r.queue[:0], 0
		}
		switch taken.kind {
		case msgEvents:
			r.work(taken.sub, taken.events)
		case msgCall:
			r.behindBuffer(taken.arg.(*call[Out]))
		default:
			r.heard(taken)
		}
		r.serveBuffer()
	}
}

// mayBegin reports whether a producer-consumer may begin a batch: its consumers have open demand, and OnDemand
// has let it pass.
func (r *run[In, Out]) mayBegin() bool {
	return !r.finishing && r.wanted()
}

// wanted reports whether the stage's consumers wait for events that it may make.
func (r *run[In, Out]) wanted() bool {
	return r.buf.Len() == 0 && r.disp.Live() > 0 && (r.def.onDemand == nil || r.granted > 0)
}

// work calls the events callback for one delivery, chunk by chunk. The events count as queued until
// their chunk is begun.
func (r *run[In, Out]) work(sub *Subscription, events []In) {
	r.hand.sub, r.hand.events = sub, events
	r.workHand()
}

// workHand works what is in hand to its end, or until an expander's output has to wait for demand.
func (r *run[In, Out]) workHand() {
	if r.kids != nil {
		r.beginHand()
		return
	}
	for len(r.hand.events) > 0 && r.verdict == nil && !r.finishing && r.expansion == nil {
		sub := r.hand.sub
		n := len(r.hand.events)
		if !sub.options.manual {
			n = sub.account.Chunk(n)
		}
		r.hand.n = n
		r.queued.Add(-int64(n))
		sub.holdable.Store(int64(n))
		if r.chunkOf.Load() != sub {
			r.chunkOf.Store(sub)
		}
		out, err := r.callEvents(r.hand.events[:n:n], sub)
		if part, ok := err.(*begunOnly); ok {
			r.endPart(part)
			break
		}
		if err != nil && !errors.Is(err, ErrDone) {
			if errors.Is(err, errAborted) {
				sub.holdable.Store(0)
				r.queued.Add(int64(n))
				r.hand.n = 0
			}
			r.fail(err) // what is in hand is counted by conclude
			return
		}
		if r.expansion != nil {
			r.expand()
			return
		}
		r.endChunk(out, err != nil)
	}
	if r.verdict == nil && r.expansion == nil {
		r.hand.sub, r.hand.events = nil, nil
	}
}

// beginHand makes a child of each event in hand.
func (r *run[In, Out]) beginHand() {
	sub, now := r.hand.sub, time.Now()
	for len(r.hand.events) > 0 && r.verdict == nil && !r.finishing {
		if r.aborting.Load() != nil {
			r.fail(errAborted)
			return
		}
		n := sub.account.Chunk(len(r.hand.events)) // one at a time: demand.Slots
		event := r.hand.events[0]
		r.hand.events = r.hand.events[n:]
		r.queued.Add(-1)
		if r.kids.begin(event, sub, now); r.kids.spec.start != nil {
			now = time.Now() // the start phase may take long
		}
		if sub.state == subActive {
			if ask := sub.account.Handled(n); ask > 0 {
				sub.ask(ask)
			}
		}
	}
	if r.verdict == nil {
		r.hand.sub, r.hand.events = nil, nil
	}
}

// callEvents calls the events callback, or that of an expander, whose output is pulled by expand.
func (r *run[In, Out]) callEvents(chunk []In, sub *Subscription) (out []Out, err error) {
	switch {
	case r.def.expand != nil:
		var seq iter.Seq2[Out, error]
		r.describe(len(chunk), sub)
		err = r.guard(inEvents, func() error { seq = r.def.expand(r.context(), chunk, sub); return nil })
		if err == nil {
			r.begin(seq)
		}
	default:
		r.describe(len(chunk), sub)
		err = r.guard(inEvents, func() (err error) {
			out, err = r.def.events(r.context(), chunk, sub)
			r.results = len(out)
			return err
		})
	}
	return out, err
}

// endChunk ends the chunk in hand: its events have been handled, but for those that are held, what it
// emitted is dispatched, and then the account may ask again, unless this was the last one (ErrDone).
func (r *run[In, Out]) endChunk(out []Out, last bool) {
	sub, n := r.hand.sub, r.hand.n
	finished := sub.holdable.Swap(0)
	r.handled.Add(finished)
	sub.finished.Add(finished)
	sub.tab.finish(finished)
	r.hand.events, r.hand.n = r.hand.events[n:], 0
	r.emit(out)
	if last {
		r.finish()
	} else if !sub.options.manual && sub.state == subActive {
		if ask := sub.account.Handled(n); ask > 0 {
			sub.ask(ask)
		}
	}
}

// begunOnly is what an events callback of this package returns to end its stage with err when it
// has begun, and finished, no more than the first n events of its batch: the others go back.
type begunOnly struct {
	n   int
	err error
}

func (e *begunOnly) Error() string { return e.err.Error() }
func (e *begunOnly) Unwrap() error { return e.err }

// endPart ends the chunk in hand, and the stage, as a begunOnly says.
func (r *run[In, Out]) endPart(part *begunOnly) {
	sub, back := r.hand.sub, int64(r.hand.n-part.n)
	finished := sub.holdable.Swap(0) - back
	r.queued.Add(back)
	r.handled.Add(finished)
	sub.finished.Add(finished)
	sub.tab.finish(finished)
	r.hand.events, r.hand.n = r.hand.events[part.n:], 0
	r.ends(part.err)
}

// checkInput completes the stage when its input is complete and handled: all its permanent
// subscriptions are, or (in a pipeline: R3; while stopping) no subscription is left at all.
func (r *run[In, Out]) checkInput() {
	if !r.declaredMade || r.inputDone || r.finishing || r.verdict != nil || r.queueHead < len(r.queue) || r.heldNow.Load() > 0 || r.expansion != nil {
		return
	}
	complete := len(r.ups) == 0 && (r.stopping || r.hadUpstream && !r.scope.alone)
	if r.permanentDone && !complete {
		complete = true
		for _, e := range r.ups {
			complete = complete && e.mode() != CancelPermanent
		}
	}
	if !complete {
		return
	}
	r.inputDone = true
	if r.def.onComplete == nil {
		r.finish()
		return
	}
	var out []Out
	err := r.guard(inComplete, func() (err error) {
		out, err = r.def.onComplete(r.context())
		r.results = len(out)
		return err
	})
	if err == nil || errors.Is(err, ErrDone) {
		r.emit(out)
	}
	r.ends(err)
}
