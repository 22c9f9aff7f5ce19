package stage

import (
	"log/slog"
	"time"

	"github.com/go-genstage/genstage/internal/buffer"
)

// conclude ends the run, in this order, each step once: what was in progress is booked; children end; OnTerminate; iterators and feeds are
// let go; the mailbox refuses; who will not come back says so; events not begun go back; the neighbours are told; the end is known to
// handle, launcher and pipeline.
// A step that is lost to Goexit is not repeated: a new goroutine goes on with the next (main).
func (r *run[In, Out]) conclude() {
	steps := [...]func(){r.book, r.endChildren, r.terminate, r.releaseSource, r.closeFeed, r.refuse, r.leave, r.goUp, r.goDown, r.finalize}
	for r.concluding < len(steps) {
		r.turn()
		if r.refusing { // refuse may have been lost in its middle
			r.answerLeft()
		}
		r.nameStuck()
		r.concluding++
		steps[r.concluding-1]()
	}
}

// book accounts for what was in progress when the run came to its end: the callback that failed or was
// abandoned, the dispatch that was cut short.
func (r *run[In, Out]) book() {
	r.stopTimer()
	if r.hand.n > 0 {
		begun := r.hand.sub.holdable.Swap(0)
		r.awaitReleases() // an abandoned callback may be at Hold
		switch {
		case r.abandonedIn() == inEvents:
			r.inputLate.Add(begun)
		case r.expansion != nil && (r.shut || r.aborting.Load() == r.verdict): // an expansion was cut short
			r.inputLost.Add(begun)
		default:
			r.failed.Add(begun)
		}
		r.hand.events, r.hand.n = r.hand.events[r.hand.n:], 0
	}
	r.nameStuck()
	if c := r.calling; c != nil { // Goexit in a Do, or it is abandoned
		r.calling = nil
		c.finish(r.verdict.reason)
	}
	r.cutShort()
	r.bringBack()
}

// endChildren ends the context of the children and waits for them, as long as Grace says. What they wait for in turn, a Do
// or Subscribe of their supervisor, is answered meanwhile; all other messages stay for refuse.
func (r *run[In, Out]) endChildren() {
	if r.kids == nil || !r.kids.any() {
		return
	}
	r.cancel(r.endCause())
	r.arm()
	for _, e := range r.ups {
		e.answer(ErrEnded) // a child may wait for it in Subscribe
	}
	overdue := r.graceEnds()
	for r.kids.any() {
		if r.next == len(r.batch) {
			if r.batch, r.next = r.box.Take(r.batch), 0; len(r.batch) == 0 {
				r.rest(StateHolding)
				select {
				case <-r.box.Bell():
				case <-overdue:
					overdue = nil
					r.kids.abandon()
				}
			}
			r.turn()
			continue
		}
		m := r.batch[r.next]
		r.next++
		switch m.kind {
		case msgChild:
			r.kids.home(m.arg.(*child[In]))
		case msgCall:
			r.drop(m.arg.(*call[Out]))
		case msgSubscribeTo:
			r.decline(m.arg.(*edge[In]), ErrEnded)
		default:
			r.later = append(r.later, m)
		}
	}
	r.disarm(false) // OnTerminate may take its time
	if r.aborting.Load() != nil {
		r.arm() // but not now
	}
}

// terminate calls OnTerminate.
func (r *run[In, Out]) terminate() {
	if hook := r.h.conf.onTerminate; hook != nil && r.initialized {
		r.describe(0, nil)
		reason := r.verdict.reason // read before guard: the fence
		r.callLast(func() { hook(reason) })
	}
}

// callLast calls OnTerminate, or lets an iterator go; not when a callback was abandoned, whose state this may
// touch.
func (r *run[In, Out]) callLast(fn func()) {
	if r.shut {
		return
	}
	r.putOff()
	r.survive(r.guard(inTerminate, func() error { fn(); return nil }))
}

// releaseSource frees what a ready-made producer holds.
func (r *run[In, Out]) releaseSource() {
	r.stopExpansion()
	if release := r.outlet.releaseDemand; release != nil {
		r.unwatched()
		r.callLast(release)
	}
}

// refuse closes the mailbox and answers what was in it.
func (r *run[In, Out]) refuse() {
	if !r.verdict.completed {
		r.cancel(r.endCause())
	}
	r.later = append(append(r.later, r.batch[r.next:]...), r.box.Close()...)
	r.batch, r.next, r.refusing = nil, 0, true
	r.answerLeft()
}

// answerLeft answers what was in the mailbox when it closed.
func (r *run[In, Out]) answerLeft() {
	r.bringBack()
	for len(r.later) > 0 {
		m := r.later[0]
		r.later = r.later[1:]
		switch m.kind {
		case msgEvents:
			n := int64(len(m.events))
			r.received.Add(n)
			m.sub.received.Add(n)
			r.queued.Add(n)
			r.queue = append(r.queue, m)
		case msgCall:
			r.drop(m.arg.(*call[Out]))
		case msgSubscribe:
			e := m.arg.(*edge[Out])
			r.over = append(r.over, e)
			r.turnedAway(e)
		case msgSubscribeTo:
			r.decline(m.arg.(*edge[In]), ErrEnded)
		case msgConsumerDown:
			r.leaving = m.sub.typed.(*edge[Out])
			if e := r.mine(m.sub); e != nil {
				r.dropEdge(e)
			}
			r.bringBack()
		case msgHandBack:
			r.takeBack(m.sub.typed.(*edge[Out]), m.arg.([]Out), true)
		case msgRecheck:
			r.hadConsumer = true // for the next run
		}
	}
}

// endCause is what the context of the callbacks ends with.
func (r *run[In, Out]) endCause() error {
	if r.verdict.reason != nil {
		return r.verdict.reason
	}
	return ErrEnded
}

// drop refuses a call that will not be made.
func (r *run[In, Out]) drop(c *call[Out]) {
	if c.done == nil {
		r.tells.Add(-1)
	}
	c.refuse()
}

// goUp leaves the producers and counts what is held as lost.
func (r *run[In, Out]) goUp() {
	if r.def.in == nil {
		return
	}
	if !r.declaredMade && r.initialized {
		r.passBy()
	}
	r.leaveUpstreams(r.verdict)
	for _, m := range r.queue { // only calls are left
		r.drop(m.arg.(*call[Out]))
	}
	r.queue = nil
	for _, sub := range r.lingering {
		if held := sub.held.Swap(-1); held > 0 {
			r.inputLost.Add(held)
			r.heldNow.Add(-held)
		}
	}
	r.lingering = nil
	for _, e := range r.charged {
		e.tab.close()
	}
	r.charged = nil
}

// goDown tells the consumers and counts what they did not get.
func (r *run[In, Out]) goDown() {
	if r.def.out == nil {
		return
	}
	r.cutShort() // what HandBack may have left, when it failed
	lost, marks := r.buf.Drain()
	r.outputLost.Add(int64(lost + r.inQueues()))
	r.queueing = nil
	r.buffered.Store(0)
	r.inDispatcher.Store(0)
	r.owedNow.Store(0)
	r.dropKept()
	for _, c := range r.marked {
		r.drop(c)
	}
	r.marked = nil
	for _, c := range marks {
		r.drop(c)
	}
	if e := r.admitting; e != nil {
		r.tell(e, msgProducerDown, 0, r.verdict)
	}
	r.spared = len(r.edges) > 0
	for _, e := range r.edges {
		r.spared = r.spared && e.options.mode == CancelTemporary
	}
	for _, e := range r.subscribers() {
		e.tab.leave()
		r.settleCopies(e)
		r.mu.Lock()
		delete(r.edges, e.id)
		r.gone = append(r.gone, &e.Subscription)
		r.mu.Unlock()
		if r.verdict.completed {
			r.tell(e, msgComplete, 0, nil)
		} else {
			r.tell(e, msgProducerDown, 0, r.verdict)
		}
	}
	r.disp, r.buf = newDemandDispatcher[Out](), buffer.New[Out, *call[Out]](0, buffer.KeepLast)
}

// finalize makes the end known.
func (r *run[In, Out]) finalize() {
	spared := r.spared && !r.verdict.clean && r.scope.goesOn()
	if spared {
		r.log(slog.LevelError, "stage: failed; all its subscribers are temporary, the pipeline goes on",
			"stage", r.name(), "error", r.verdict.reason)
	}
	r.nameStuck()
	r.disarm(true)
	e := r.verdict
	r.awaitReleases()
	r.mu.Lock()
	r.endedAs, r.endedAt = e, time.Now()
	r.mu.Unlock()
	r.running.Store(false)
	if r.hadConsumer {
		r.h.wasServed(r.scope.id())
	}
	final := r.stats()
	if spared { // who comes later fails by it alone: no end of the pipeline follows
		rootless := *e
		rootless.root, e = nil, &rootless
	}
	var late []*edge[Out]
	if r.def.out != nil {
		late = r.over
		r.def.out.closed(final, e)
	} else {
		r.h.closed(final, e)
	}
	r.h.tellEnd()
	for _, late := range late {
		late.inbox.Post(message[Out]{kind: msgRefused, sub: &late.Subscription, arg: errRunOver})
	}
	r.profile.end()
	r.dismiss()
	close(r.done)
	r.cancel(r.endCause()) // behind done, for who waits for both
	r.ready.open()
	r.connected.open()
	r.scope.ended(r.verdict, r.spared)
}
