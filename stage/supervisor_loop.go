package stage

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
)

// What a supervision does on its goroutine: it hears of the ends of members, has the plan decide, and stops and
// starts members as that says.

// supervise is the goroutine of a supervision.
func (r *supervision) supervise() {
	r.onGo.Store(goid.Current())
	defer r.onGo.Store(0)
	r.turn()
	for {
		begun, halted := r.phase()
		if halted && !r.dropped {
			r.drop()
		}
		if begun {
			r.hear(halted)
		}
		switch {
		case !begun:
			r.park(time.Time{})
		case r.plan.over():
			r.conclude()
			return
		case halted:
			r.park(time.Time{})
		default:
			r.act()
		}
	}
}

// phase reports whether the first start is over, and whether nothing is started any more.
func (r *supervision) phase() (begun, halted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	halted = r.aborted != nil || r.stopped != nil
	return r.released || halted, halted
}

// park waits for the end of a member, an order from outside, or the time; no time if it is zero.
func (r *supervision) park(until time.Time) {
	if until.IsZero() {
		<-r.box.Bell()
	} else {
		timer := time.NewTimer(time.Until(until))
		select {
		case <-r.box.Bell():
		case <-timer.C:
		}
		timer.Stop()
	}
	r.turn()
}

// memberEnded is told by the run of a member when it has ended. Safe for concurrent use.
func (r *supervision) memberEnded(s *scope) { r.box.Post(s) }

// hear takes the ends that have been told.
func (r *supervision) hear(halted bool) {
	for _, s := range r.box.Take(nil) {
		m := &r.members[s.tenure.keeping.index]
		r.mu.Lock()
		m.run = nil
		r.mu.Unlock()
		i, e := s.tenure.keeping.index, s.end()
		s.tenure.over.Store(e)
		began := m.behind
		if began == nil || began.run == nil {
			began = r.beganIn(e)
		}
		m.behind = nil
		if began != nil && began != m && !halted {
			began.held = append(began.held, heldEnd{i, e}) // its own end is about to come
			continue
		}
		r.judge(i, e, halted)
		held := m.held
		m.held = nil
		for _, h := range held {
			r.judge(h.index, h.end, halted)
		}
	}
	if halted {
		r.judgeHeld()
	}
}

// beganIn returns the member in whose present run an end began; nil for none. It is a stage, or a pipeline, that is
// ending itself.
func (r *supervision) beganIn(e *ending) *keptMember {
	if e.root == nil || e.root.keeping.of != r || e.clean {
		return nil
	}
	m := &r.members[e.root.keeping.index]
	r.mu.Lock()
	defer r.mu.Unlock()
	if m.run == nil || m.run.tenure != e.root {
		return nil
	}
	return m
}

// judgeHeld judges those that wait for another member's end: when everything ends anyway.
func (r *supervision) judgeHeld() {
	for i := range r.members {
		held := r.members[i].held
		r.members[i].held = nil
		for _, h := range held {
			r.judge(h.index, h.end, true)
		}
	}
}

// judge acts on the end of a member.
func (r *supervision) judge(i int, e *ending, halted bool) {
	m := &r.members[i]
	planned := r.stopping == i // it was told to
	if planned {
		r.stopping = -1
	}
	var panicked *PanicError
	if !e.clean {
		r.mu.Lock()
		r.last = e.reason
		r.mu.Unlock()
	}
	if !e.clean && (planned || halted) && errors.As(e.reason, &panicked) {
		r.log(slog.LevelError, "stage: a member of a supervisor failed as it was ended",
			"stage", r.name(), "member", m.stage.Name(), "error", e.reason)
	}
	if !e.clean {
		m.failed = e
	}
	if halted || r.plan.exceeded {
		r.nameStuck(e)
	}
	if halted {
		r.endHalted(i)
		return
	}
	exceeded := r.plan.exceeded
	again := r.plan.ended(i, r.describe(i, e), time.Now())
	switch {
	case r.plan.exceeded && !exceeded:
		r.giveUp(i, e)
	case !again && !e.clean && !planned && !exceeded:
		r.log(slog.LevelError, "stage: a temporary member of a supervisor failed; it is not started again",
			"stage", r.name(), "member", m.stage.Name(), "error", e.reason)
	}
	r.mark()
	if !again {
		r.forsake(i)
	}
}

// nameStuck notes what was abandoned in a member.
func (r *supervision) nameStuck(e *ending) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, stuck := range stuckIn(e.reason) {
		if !slices.Contains(r.named, stuck) { // a neighbour may pass it on
			r.named = append(r.named, stuck)
		}
	}
}

// endHalted notes the end of a member when none is started any more.
func (r *supervision) endHalted(i int) {
	r.plan.members[i].state = memberEnded
	r.unrestarted(i)
	r.forsake(i)
}

// drop ends those for good that were to be started.
func (r *supervision) drop() {
	r.dropped = true
	for i := range r.plan.members {
		if r.plan.members[i].state == memberDue {
			r.plan.members[i].state = memberEnded
			r.unrestarted(i)
		}
	}
	r.forsakeAll()
}

// unrestarted makes the supervisor end with the failure of a member that is not started again because of Stop.
func (r *supervision) unrestarted(i int) {
	m := &r.members[i]
	if m.failed == nil || m.spec.mode == RestartTemporary {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == nil && r.aborted == nil {
		r.failure = m.failed
		for i := range r.members { // Stop has said otherwise
			r.members[i].keeping.past.Store(m.failed)
		}
	}
}

// describe says where an end began.
func (r *supervision) describe(i int, e *ending) memberEnd {
	end := memberEnd{clean: e.clean, caused: -1, cause: e.reason}
	if t := e.root.in(r); t != nil {
		end.cause = e.root
		if t == e.root { // else a supervisor in it may have mended it
			end.caused = t.keeping.index
		}
	}
	if e.clean {
		end.caused, end.cause = i, nil
	}
	return end
}

// mark makes known who is ended in order to be started again.
func (r *supervision) mark() {
	for i := range r.plan.members {
		switch p := &r.plan.members[i]; {
		case p.mode == RestartTemporary || r.plan.exceeded:
		case p.state == memberDue || p.state == memberStopping:
			r.members[i].keeping.returning.Store(true)
		}
	}
}

// giveUp notes that there were too many restarts; the last one was due to e.
func (r *supervision) giveUp(i int, e *ending) {
	err := fmt.Errorf("%w: more than %d within %v; the last was due to %q: %w",
		ErrIntensity, r.policy.max, r.policy.within, r.members[i].stage.Name(), e.reason)
	if e.reason == nil { // a permanent member
		err = fmt.Errorf("%w: more than %d within %v; the last was due to %q, which ended normally",
			ErrIntensity, r.policy.max, r.policy.within, r.members[i].stage.Name())
	}
	end := &ending{reason: &Error{Stage: r.name(), Err: err}, root: r.parent.tenure}
	if r.parent.tenure != nil && e.root.in(r) != nil { // who outside fell by the same failure counts as one with this
		end.root = e.root
	}
	r.mu.Lock()
	if r.failure == nil {
		r.failure = end
	}
	r.mu.Unlock()
	r.pass(end)
	r.log(slog.LevelError, "stage: a supervisor gives up", "stage", r.name(), "error", end.reason)
	r.forsakeAll()
}

// act stops or starts who is to be, or waits.
func (r *supervision) act() {
	if r.stopping >= 0 {
		r.park(time.Time{})
		return
	}
	if i := r.plan.toStop(); i >= 0 {
		m := &r.members[i]
		if r.isHeld(i) {
			r.park(time.Time{}) // it has ended, and will be heard of
			return
		}
		r.stopping = i
		m.run.abort(endedBy(r.name(), ErrShutdown, r.parent.tenure))
		return
	}
	list, next := r.plan.toStart(time.Now())
	if len(list) == 0 {
		r.park(next)
		return
	}
	r.start(list)
}

// isHeld reports whether the member has ended and that waits for another one's end.
func (r *supervision) isHeld(i int) bool { return r.members[i].run == nil }

// forsake lets go of those who wait for a member to run again, unless the supervisor itself will.
func (r *supervision) forsake(i int) { forsake(r.members[i].stage, false) }

// forsakeAll is forsake of all; a member that runs may be a pipeline of which a part has ended.
func (r *supervision) forsakeAll() {
	for i := range r.members {
		r.forsake(i)
	}
}

// forsake has those look again who wait for a stage. See handle.forsaken.
func forsake(s Stage, replaced bool) {
	if s == nil {
		return
	}
	for _, h := range s.members() {
		h.forsaken(replaced)
	}
}

// conclude ends the supervision.
func (r *supervision) conclude() {
	r.starts.Wait()
	r.turn()
	r.mu.Lock()
	switch {
	case r.failure != nil:
		r.result = r.failure
	case r.aborted != nil:
		r.result = r.aborted
	default:
		r.result = &ending{clean: true, completed: true}
	}
	if len(r.named) > len(stuckIn(r.result.reason)) {
		r.result = endedBy(r.name(), &StuckError{Stuck: r.named, Cause: r.result.reason}, r.parent.tenure)
		r.result.clean = false
	}
	result := r.result
	r.over = time.Now()
	r.mu.Unlock()
	r.pass(result)
	r.forsakeAll()
	r.forsakePast()
	r.sup.over(r)
	r.parent.ended(result, false)
	close(r.done)
}
