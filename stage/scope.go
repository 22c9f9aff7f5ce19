package stage

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/go-genstage/genstage/internal/hop"
)

// scope is one run of a pipeline, or of a stage that runs alone: it starts its members in order,
// hears of their ends, and knows what one member's end means for the others (rules R1 and R4 in
// docs/protocol.md; R2 and R3 are kept by the members themselves).
//
// A run begins in four phases, each over all members before the next: every mailbox opens;
// OnInit, in order; declared subscriptions, until all are answered; demand callbacks.
type scope struct {
	label  string       // set before run, read-only after
	number int          // which run of the pipeline it is; set before run, read-only after
	alone  bool         // a stage by itself: no rules; set before run, read-only after
	parent *scope       // of a pipeline within a pipeline; set before run, read-only after
	launch *launch      // the start that it is part of; set before run, read-only after
	tenure *tenure      // what a supervisor says of it; nil for none; set before run, read-only after
	keeper *supervision // of one run of a supervisor's member, which is told instead of parent; set before run, read-only after

	mu      sync.Mutex
	runs    []controller // guarded by mu
	left    int          // guarded by mu: members not ended, and one while opening
	failure *ending      // guarded by mu: the first failure
	aborted *ending      // guarded by mu: the first abort from outside
	last    *ending      // guarded by mu: how the last member ended; the result of a stage alone
	result  *ending      // guarded by mu: how it all ended
	over    time.Time    // guarded by mu: when
	named   []Stuck      // guarded by mu: what was abandoned

	stopped func(*handle) bool // guarded by mu: what the first Stop said is inside; nil before

	opened bool   // guarded by mu: the parent counts this scope as a member
	onOver func() // set before run, read-only after; nil for none
	done   chan struct{}
}

// run runs the members from begin to end.
func (s *scope) run(ctx context.Context, ms []member) error {
	if err := s.open(ctx, ms); err != nil {
		return err
	}
	turn, afterwards := hop.Turn(ctx, s.label), hop.Turn(ctx, s.label+": the end of its context")
	// The function that AfterFunc starts ends by itself at once; run waits for it.
	told := make(chan struct{})
	unwatch := context.AfterFunc(ctx, func() {
		defer close(told)
		afterwards()
		s.contextEnded(ctx)
	})
	if s.initialize(turn) == nil {
		turn()
		s.connect()
		s.awaitConnected()
		turn()
		s.release()
	}
	<-s.done
	if !unwatch() {
		<-told
	}
	return s.end().reason
}

// open opens every member's mailbox. If one refuses, those before it are ended again and nothing
// has run.
func (s *scope) open(ctx context.Context, ms []member) error {
	s.mu.Lock()
	s.left = 1 + len(ms)
	s.mu.Unlock()
	for i, m := range ms {
		if err := m.open(ctx, s); err != nil {
			s.abort(&ending{reason: err})
			for range len(ms) - i + 1 { // those that will never run, and the opening
				s.ended(&ending{clean: true}, false)
			}
			<-s.done
			return err
		}
	}
	s.mu.Lock()
	s.opened = true
	s.mu.Unlock()
	s.ended(&ending{clean: true}, false) // the opening
	return nil
}

// joins makes c one of the runs, which hear of what ends them all. A member that has members joins before those open: it may take
// long.
func (s *scope) joins(c controller) {
	s.mu.Lock()
	s.runs = append(s.runs, c)
	e, stopped := s.aborted, s.stopped
	if e == nil {
		e = s.failure
	}
	s.mu.Unlock()
	if e != nil { // it came while the members were opening
		c.abort(e)
	}
	if stopped != nil {
		c.stop(stopped)
	}
}

func (s *scope) members() []controller {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.runs[:len(s.runs):len(s.runs)]
}

func (s *scope) initialize(turn func()) *ending {
	for _, c := range s.members() {
		e := c.initialize(turn)
		turn()
		if e != nil { // a shutdown stays clean
			s.abort(e)
			return e
		}
	}
	return nil
}

func (s *scope) connect() {
	for _, c := range s.members() {
		c.connect()
	}
}

func (s *scope) awaitConnected() {
	for _, c := range s.members() {
		c.awaitConnected()
	}
}

func (s *scope) release() {
	for _, c := range s.members() {
		c.release()
	}
}

func (s *scope) abort(e *ending) {
	s.mu.Lock()
	if s.aborted == nil {
		s.aborted = e
	}
	runs := s.runs[:len(s.runs):len(s.runs)]
	s.mu.Unlock()
	for _, c := range runs {
		c.abort(e)
	}
}

// contextEnded aborts the run because the context that it was given has ended.
func (s *scope) contextEnded(ctx context.Context) {
	s.abort(&ending{reason: &Error{Stage: s.label, Err: cause(ctx)}, clean: true})
}

// runID tells calls of Run apart: all runs that belong to one have the same.
type runID <-chan struct{}

func (s *scope) id() runID { return s.root().done }

// root returns the scope that Run was called on.
func (s *scope) root() *scope {
	for s.parent != nil {
		s = s.parent
	}
	return s
}

func (s *scope) stop(inside func(*handle) bool) {
	s.mu.Lock()
	if s.stopped == nil {
		s.stopped = inside
	}
	s.mu.Unlock()
	for _, c := range s.members() {
		c.stop(inside)
	}
}

func (s *scope) finished() <-chan struct{} { return s.done }

func (s *scope) keptBy() *tenure { return s.tenure }

func (s *scope) end() *ending {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.result
}

func (s *scope) awaits(goroutine uint64) bool {
	for _, c := range s.members() {
		if c.awaits(goroutine) {
			return true
		}
	}
	return false
}

func (s *scope) stuck() []Stuck {
	var list []Stuck
	for _, c := range s.members() {
		list = append(list, c.stuck()...)
	}
	return list
}

func (s *scope) stats() Stats {
	s.mu.Lock()
	st := Stats{Stage: s.label, Kind: kindPipeline, Running: s.result == nil, Runs: s.number}
	st.At, st.State.Kind = time.Now(), StateBusy
	if s.result != nil {
		st.Err = s.result.reason
		st.State = State{Kind: StateEnded, Since: s.over}
	}
	s.mu.Unlock()
	for _, c := range s.members() {
		st.Members = append(st.Members, c.stats())
	}
	return st
}

// goesOn reports whether this is a pipeline that no failure and no abort has reached.
func (s *scope) goesOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.alone && s.keeper == nil && s.failure == nil && s.aborted == nil
}

// ended is told by each member when it has ended, once, before the member counts as finished.
// spared says that the failed member has subscribers and all of them are temporary.
func (s *scope) ended(e *ending, spared bool) {
	s.mu.Lock()
	s.left--
	if s.last == nil || !e.clean || e.reason != nil {
		s.last = e
	}
	for _, stuck := range stuckIn(e.reason) {
		if !slices.Contains(s.named, stuck) { // a neighbour may pass it on
			s.named = append(s.named, stuck)
		}
	}
	fails := !e.clean && !spared && !s.alone && s.keeper == nil && s.failure == nil && s.aborted == nil
	if fails {
		s.failure = e
	}
	over, opened := s.left == 0, s.opened
	if over {
		s.conclude()
	}
	result, runs := s.result, s.runs[:len(s.runs):len(s.runs)]
	s.mu.Unlock()

	if fails {
		for _, c := range runs {
			c.abort(e)
		}
	}
	if !over {
		return
	}
	if s.onOver != nil {
		s.onOver()
	}
	switch {
	case !opened:
	case s.keeper != nil:
		s.keeper.memberEnded(s)
	case s.parent != nil:
		s.parent.ended(result, false)
	}
	close(s.done)
}

// conclude says how it all ended. The caller holds mu.
func (s *scope) conclude() {
	s.over = time.Now()
	switch {
	case s.failure != nil:
		s.result = s.failure
	case s.alone || s.keeper != nil:
		s.result = s.last
	case s.aborted != nil:
		s.result = s.aborted
	default:
		s.result = &ending{clean: true, completed: true}
	}
	if len(s.named) > len(stuckIn(s.result.reason)) {
		s.result = endedBy(s.label, &StuckError{Stuck: s.named, Cause: s.result.reason}, s.tenure)
		s.result.clean = false
	}
}
