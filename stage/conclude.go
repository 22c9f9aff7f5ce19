package stage

import (
	"log/slog"

	"github.com/go-genstage/genstage/internal/buffer"
)

// conclude ends the run, in this order, each step once: a call that Goexit cut short is answered; children
// end; OnTerminate; iterators and feeds are let go; the mailbox refuses; events not begun go back; the
// neighbours are told; the end is known to handle, launcher and pipeline.
// A step that is lost to Goexit is not repeated: a new goroutine goes on with the next (main).
func (r *run[In, Out]) conclude() {
	steps := [...]func(){r.endCall, r.endChildren, r.terminate, r.releaseSource, r.closeFeed, r.refuse, r.goUp, r.goDown, r.finalize}
	for r.concluding < len(steps) {
		r.turn()
		r.concluding++
		steps[r.concluding-1]()
	}
}

// endCall ends a Do in which Goexit was called. A child may wait for it.
func (r *run[In, Out]) endCall() {
	if c := r.calling; c != nil {
		r.calling = nil
		c.finish(r.verdict.reason)
	}
}

// endChildren ends the context of the children and waits for them. What they wait for in turn, a Do
// or Subscribe of their supervisor, is answered meanwhile; all other messages stay for refuse.
func (r *run[In, Out]) endChildren() {
	if r.kids == nil || !r.kids.any() {
		return
	}
	r.cancel(r.endCause())
	for _, e := range r.ups {
		e.answer(ErrEnded) // a child may wait for it in Subscribe
	}
	for r.kids.any() {
		if r.next == len(r.batch) {
			if r.batch, r.next = r.box.Take(r.batch), 0; len(r.batch) == 0 {
				<-r.box.Bell()
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
			r.early = append(r.early, m)
		}
	}
}

// terminate books the callback that failed and calls OnTerminate.
func (r *run[In, Out]) terminate() {
	r.stopTimer()
	if r.hand.n > 0 {
		begun := r.hand.sub.holdable.Swap(0)
		if r.expansion != nil && r.aborting.Load() == r.verdict { // an expansion was cut short
			r.inputLost.Add(begun)
		} else {
			r.failed.Add(begun)
		}
		r.hand.events, r.hand.n = r.hand.events[r.hand.n:], 0
	}
	if hook := r.h.conf.onTerminate; hook != nil && r.initialized {
		r.survive(r.guard(inTerminate, func() error { hook(r.verdict.reason); return nil }))
	}
}

// releaseSource frees what a ready-made producer holds.
func (r *run[In, Out]) releaseSource() {
	r.stopExpansion()
	if r.outlet.releaseDemand != nil {
		r.survive(r.guard(inTerminate, func() error { r.releaseDemand(); return nil }))
	}
}

// refuse closes the mailbox and answers what was in it.
func (r *run[In, Out]) refuse() {
	if !r.verdict.completed {
		r.cancel(r.endCause())
	}
	left := append(append(r.early, r.batch[r.next:]...), r.box.Close()...)
	r.early, r.batch, r.next = nil, nil, 0
	for _, m := range left {
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
			r.over = append(r.over, m.arg.(*edge[Out]))
		case msgSubscribeTo:
			r.decline(m.arg.(*edge[In]), ErrEnded)
		case msgConsumerDown:
			if e := r.mine(m.sub); e != nil {
				r.dropEdge(e)
				r.takeBack(e, e.returned)
			} else {
				r.lateDown(m)
			}
		case msgHandBack:
			r.takeBack(m.sub.typed.(*edge[Out]), m.arg.([]Out))
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
	if !r.declaredMade && r.initialized && !r.scope.alone {
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
}

// goDown tells the consumers and counts what they did not get.
func (r *run[In, Out]) goDown() {
	if r.def.out == nil {
		return
	}
	r.cutShort()
	lost, marks := r.buf.Drain()
	r.outputLost.Add(int64(lost + r.inQueues()))
	r.queueing = nil
	r.buffered.Store(0)
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
	e := r.verdict
	r.awaitReleases()
	r.mu.Lock()
	r.endedAs = e
	r.mu.Unlock()
	if r.spared && !e.clean && r.scope.goesOn() {
		r.log(slog.LevelError, "stage: failed; all its subscribers are temporary, the pipeline goes on",
			"stage", r.name(), "error", e.reason)
	}
	r.running.Store(false)
	if r.def.out != nil {
		r.def.out.closed(r.stats(), e, r.scope.id())
	} else {
		r.h.closed(r.stats(), e, r.scope.id())
	}
	r.h.tellEnd()
	for _, late := range r.over {
		late.deliver(message[Out]{kind: msgRefused, sub: &late.Subscription, arg: errRunOver})
	}
	close(r.done)
	r.cancel(r.endCause()) // behind done, for who waits for both
	if !r.initialized {
		close(r.ready)
	}
	if !r.isConnected {
		close(r.connected)
	}
	r.scope.ended(e, r.spared)
}
