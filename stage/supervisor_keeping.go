package stage

import (
	"slices"
	"sync/atomic"
)

// keeping is what one run of a supervisor says about one of its members: whether it will run again. Stages ask it
// when they end, and those who wait for them; so it has no goroutine and no lock.
type keeping struct {
	of    *supervision // read-only
	index int          // of the member; read-only
	mode  RestartMode  // read-only
	fresh bool         // each run of the member is of another stage; read-only

	returning atomic.Bool            // it is ended in order to be started again; written by the supervisor
	past      atomic.Pointer[ending] // nil while the supervisor restarts members, then how it ends itself
}

// tenure is one run of a member. It tells one run from another, and whose the run is.
type tenure struct {
	keeping *keeping
	outer   *tenure                // of the supervisor itself; nil if nobody keeps it
	over    atomic.Pointer[ending] // how the member ended, once the supervisor has heard of it; a part of it may have ended otherwise
}

// comesBack returns the tenure, of the stage or of a supervisor around it, that another one will follow after an
// end e; nil if there will be none. A nil tenure is that of a stage that nobody keeps.
func (t *tenure) comesBack(e *ending) *tenure {
	for ; t != nil; t = t.outer {
		if over := t.over.Load(); over != nil {
			e = over
		}
		past := t.keeping.past.Load()
		if past == nil {
			if t.keeping.returning.Load() || t.keeping.mode.restarts(e) {
				return t
			}
			return nil
		}
		// It depends on who keeps the supervisor; one that was stopped while this member failed ends by e (V10).
		if failing := past.completed && !e.clean && t.keeping.mode != RestartTemporary; !failing {
			e = past
		}
	}
	return nil
}

// restarts reports whether a member of that mode is started again after an end e.
func (m RestartMode) restarts(e *ending) bool {
	return m == RestartPermanent || m == RestartTransient && !e.clean
}

// rootOr returns where an end began, own if it is not known.
func (e *ending) rootOr(own *tenure) *tenure {
	if e.root != nil {
		return e.root
	}
	return own
}

// within reports whether t is a run of the member that k keeps, or of a part of it.
func (t *tenure) within(k *keeping) bool {
	for ; t != nil; t = t.outer {
		if t.keeping == k {
			return true
		}
	}
	return false
}

// in returns the tenure of a member of r that t is, or lies in; nil if there is none.
func (t *tenure) in(r *supervision) *tenure {
	for ; t != nil; t = t.outer {
		if t.keeping.of == r {
			return t
		}
	}
	return nil
}

// mayComeBack is comesBackLocked for a stage of which a run has ended, or is just ending: then it is not known yet.
func (h *handle) mayComeBack(seenFrom *tenure) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run != nil {
		return h.tenure != nil && !seenFrom.within(h.tenure.keeping)
	}
	return h.comesBackLocked(seenFrom)
}

// comesBackLocked reports whether the stage has ended and a supervisor will run it again, seen from a stage of that
// tenure: what is restarted together with that one does not count. The caller holds mu.
func (h *handle) comesBackLocked(seenFrom *tenure) bool {
	if h.run != nil || h.ended == nil {
		return false
	}
	t := h.tenure.comesBack(h.ended)
	return t != nil && !h.tenure.madeAnew(t) && !seenFrom.within(t.keeping)
}

// madeAnew reports whether, in the next run of what outer is a run of, another stage takes the place of t's: a factory makes it, or
// what it is part of.
func (t *tenure) madeAnew(outer *tenure) bool {
	for t != outer && !t.keeping.fresh {
		t = t.outer
	}
	return t.keeping.fresh
}

// forsaken looks again whether the stage will be run again, and if not, lets go of who waits for that. replaced says
// that it won't, as another stage has taken its place.
func (h *handle) forsaken(replaced bool) {
	h.mu.Lock()
	if h.run != nil || h.ended == nil || !replaced && h.tenure.comesBack(h.ended) != nil {
		h.mu.Unlock()
		return
	}
	waited := h.returning.Swap(false)
	h.mu.Unlock()
	if h.waiters != nil {
		h.waiters.forsaken()
	}
	h.expectNoMore(nil)
	if waited {
		h.tellEnd()
	}
}

// tenureNow returns what a supervisor says of the run, or of the last one.
func (h *handle) tenureNow() *tenure {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.tenure
}

// expectAt has src expect the stage as a subscriber, in whatever run of either, so that it is not ended for want of
// subscribers (R2) while one of the two is restarted. Two that are restarted together only have no need of it.
func (h *handle) expectAt(src *handle, t *tenure) {
	src.mu.Lock()
	of := src.tenure
	needed := (t != nil || of != nil) && !(t != nil && of != nil && t.keeping == of.keeping)
	if needed {
		if src.expected == nil {
			src.expected = map[*handle]struct{}{}
		}
		src.expected[h] = struct{}{}
	}
	src.mu.Unlock()
	if !needed {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.expectedAt == nil {
		h.expectedAt = map[*handle]struct{}{}
	}
	h.expectedAt[src] = struct{}{}
}

// expectNoMore has the producers that expect the stage look again whether they have subscribers: this one will not
// subscribe any more, but to those that but says. nil stands for none.
func (h *handle) expectNoMore(but func(*handle) bool) {
	var sources []*handle
	h.mu.Lock()
	for src := range h.expectedAt {
		if but == nil || !but(src) {
			sources = append(sources, src)
			delete(h.expectedAt, src)
		}
	}
	h.mu.Unlock()
	for _, src := range sources {
		for !src.expectsNoMore(h) { // its run is ending, and another one has begun meanwhile
		}
	}
}

// expectsNoMore takes a consumer off those that a producer expects. It reports whether the run of the producer knows, or
// the next one will: that counts it as a subscriber that it had.
func (h *handle) expectsNoMore(consumer *handle) bool {
	h.mu.Lock()
	delete(h.expected, consumer)
	run, _ := h.run.(interface{ recheck() bool })
	if run == nil {
		h.served = h.partOf
	}
	h.mu.Unlock()
	return run == nil || run.recheck()
}

// recheck has the stage look whether it still has subscribers, or the next run if this one is ending. It returns false if
// there is a next run already. Safe for concurrent use.
func (r *run[In, Out]) recheck() bool {
	if r.box.Post(message[In]{kind: msgRecheck}) {
		return true
	}
	r.h.mu.Lock()
	defer r.h.mu.Unlock()
	if r.h.run != controller(r) {
		return false
	}
	r.h.served = r.scope.id()
	return true
}

// part has the producers that this run will not subscribe to again no longer expect the stage, unless it is ending normally, and
// will come back from that.
func (r *run[In, Out]) part() {
	r.parted = false
	if (r.stopping || r.finishing) && r.scope.tenure.comesBack(&ending{clean: true, completed: true}) != nil {
		return
	}
	r.h.expectNoMore(func(src *handle) bool {
		return slices.ContainsFunc(r.ups, func(e *edge[In]) bool { return e.producer == src })
	})
}

// leave is a step of the end: the producers of a stage that will come back expect it, whether it had come to subscribe to
// them or not; else they no longer do.
func (r *run[In, Out]) leave() {
	switch {
	case r.def.in == nil:
	case r.scope.tenure.comesBack(r.verdict) == nil:
		r.h.expectNoMore(nil)
	default:
		for _, d := range r.def.in.list() {
			r.h.expectAt(d.source.h, r.scope.tenure)
		}
	}
}

// wasServed notes that a run had subscribers.
func (h *handle) wasServed(in runID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.served = in
}

// inheritSubscribers has a stage that was started again count the subscribers that it had before (R2). One that is
// always started again waits for them until it is stopped: it would else be ended again and again. The caller holds
// h.mu.
func (r *run[In, Out]) inheritSubscribers() {
	r.servedBefore = r.scope.tenure != nil && r.h.served == r.scope.id()
	r.hadConsumer = r.servedBefore && !r.waitsOn()
}

// waitsOn reports whether the stage is always started again, and is not being stopped.
func (r *run[In, Out]) waitsOn() bool {
	t := r.scope.tenure
	return t != nil && t.keeping.mode == RestartPermanent && !r.draining
}

// missSubscribers has the stage look whether it still has subscribers, or will have, now that one is not to come any more,
// or at Stop.
func (r *run[In, Out]) missSubscribers() {
	if !r.waitsOn() {
		r.hadConsumer = true
	}
	if r.hadConsumer {
		r.checkAbandoned()
	}
}

// add adds what a run counted.
func (e *Earlier) add(s Stats) {
	i, o := s.Input, s.Output
	e.Input.Received += i.Received
	e.Input.Handled += i.Handled
	e.Input.Failed += i.Failed
	e.Input.HandedBack += i.HandedBack
	e.Input.Lost += i.Lost
	e.Input.Late += i.Late
	e.Output.Emitted += o.Emitted
	e.Output.TakenBack += o.TakenBack
	e.Output.Dispatched += o.Dispatched
	e.Output.Copies += o.Copies
	e.Output.Departed += o.Departed
	e.Output.Discarded += o.Discarded
	e.Output.Dropped += o.Dropped
	e.Output.Lost += o.Lost
	e.Output.LateResults += o.LateResults
}
