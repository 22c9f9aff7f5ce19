package stage

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
)

const kindSupervisor = "supervisor"

// Supervisor runs stages, its members, and starts again what fails. It is a [Stage] itself: it can be a member of a
// [Pipeline] or of another supervisor, and pipelines and supervisors can be its members. Make one with
// [NewSupervisor]. It must not be copied.
//
// It starts its members in the order in which they were added, as a pipeline does. When one ends, its restart mode
// says whether it is started again ([Restart]; by default after a failure, not after a normal or clean end), and
// the strategy who is restarted with it: by default those that were added after it ([RestForOne]). They are stopped
// in reverse order, each when the one before has ended, and started in order. A member that is stopped so is
// aborted, with [ErrShutdown] as the cause.
//
// A member that runs again is the same stage: its OnInit makes its state anew, its declared subscriptions are made
// again, and those of consumers that have outlived it come back. What it had received and not begun has gone back
// to its producers; what was in hand is lost. A producer whose subscribers have gone is not ended while one of them
// is about to come back.
//
// A member's end counts once by its cause: when a failure takes down consumers through their subscriptions, they are
// restarted with the stage that failed, and that is one restart; so it is if that stage itself is not started again. When more are needed than [MaxRestarts] allows, the
// supervisor stops all members in reverse order and ends with an error that wraps [ErrIntensity] and the last
// failure. A failure of OnInit at a restart is one more failure; at the first start it ends the supervisor, as it
// ends a pipeline.
type Supervisor struct {
	conf config // set by the constructor, read-only after

	mu      sync.Mutex
	specs   []memberSpec // guarded by mu
	fault   error        // guarded by mu: the first fault of Add
	run     *supervision // guarded by mu; nil when not running
	current *supervision // guarded by mu: run, or the last one
	runs    int          // guarded by mu
	last    Stats        // guarded by mu
	stuck   []*Stuck     // guarded by mu: functions that were abandoned and have not returned
}

// memberSpec is one Add or AddFunc.
type memberSpec struct {
	stage Stage        // as realOf returns it; nil of AddFunc
	fresh func() Stage // of AddFunc
	mode  RestartMode
	site  string // of the call
}

// memberConfig is what the options of one member came to.
type memberConfig struct {
	mode   RestartMode
	faults []error
}

type (
	// SupervisorOption is an option of [NewSupervisor].
	SupervisorOption interface{ forSupervisor(*config) }
	// MemberOption is an option of [Supervisor.Add] and [Supervisor.AddFunc].
	MemberOption interface{ forMember(*memberConfig) }
	// CommonOption fits every kind of stage, and supervisors.
	CommonOption interface {
		Option
		SupervisorOption
	}
	// RestartOption fits the children of a [ConsumerSupervisor] and the members of a [Supervisor].
	RestartOption interface {
		ConsumerSupervisorOption
		MemberOption
	}
	// IntensityOption fits both kinds of supervisor.
	IntensityOption interface {
		ConsumerSupervisorOption
		SupervisorOption
	}
)

// NewSupervisor makes a supervisor without members. Its options are a [Strategy], [MaxRestarts], [Backoff], [Name], [Logger]
// and [Grace]; those out of range are reported by Run.
func NewSupervisor(opts ...SupervisorOption) *Supervisor {
	s := &Supervisor{}
	s.conf.name, s.conf.grace = kindSupervisor+" "+callSite(1), DefaultGrace
	s.conf.children = &childPolicy{}
	for _, o := range opts {
		if o == nil {
			s.conf.fault("a nil SupervisorOption")
			continue
		}
		o.forSupervisor(&s.conf)
	}
	s.conf.children.complete(&s.conf)
	return s
}

// Add adds a member, behind those that were added before: that is the order of starting. By default it is started
// again when it has failed ([RestartTransient]); [Restart] changes that. A fault (a nil stage, one that is in it
// already, an option out of range) is reported by Run, with the file and line of this call. A member that is added
// while the supervisor runs belongs to its next run. Safe for concurrent use.
func (s *Supervisor) Add(stage Stage, opts ...MemberOption) {
	if !s.made() {
		return
	}
	site := callSite(1)
	stage = realOf(stage)
	if stage == nil {
		s.addFault(fmt.Errorf("%s: Add: %w: a nil stage", site, ErrInvalidStage))
		return
	}
	nesting.Lock()
	defer nesting.Unlock()
	if holds(stage, s) {
		s.addFault(fmt.Errorf("%s: Add: %w: %q would be a member of itself", site, ErrCycle, s.Name()))
		return
	}
	if slices.Contains(s.stages(), stage) { // it may have no members yet
		s.addFault(fmt.Errorf("%s: Add: %w: %q is in the supervisor already", site, ErrInvalidStage, stage.Name()))
		return
	}
	inside := s.members()
	for _, h := range stage.members() {
		if slices.Contains(inside, h) {
			s.addFault(fmt.Errorf("%s: Add: %w: %q is in the supervisor already", site, ErrInvalidStage, h.conf.name))
			return
		}
	}
	s.add("Add", memberSpec{stage: stage, site: site}, opts)
}

// AddFunc adds a member of which each run is of another stage: fresh makes it, wired, before each start, on a
// goroutine for which the supervisor waits. So the member needs nothing of the stage that was before: not its
// subscriptions, and not the return of a callback that hangs. A panic of fresh, or a nil stage, is a start that has
// failed. If fresh does not return it is abandoned when [Grace] is over since Abort, Stop or the end of Run's context,
// of the supervisor or of what it is part of: it is named in the error of Run and in [Stats].Stuck, and Run is
// [ErrStuck] until it has returned; what it makes is not run. In all else it is [Supervisor.Add].
func (s *Supervisor) AddFunc(fresh func() Stage, opts ...MemberOption) {
	if !s.made() {
		return
	}
	site := callSite(1)
	if fresh == nil {
		s.addFault(fmt.Errorf("%s: AddFunc: %w: a nil function", site, ErrInvalidStage))
		return
	}
	s.add("AddFunc", memberSpec{fresh: fresh, site: site}, opts)
}

func (s *Supervisor) add(call string, m memberSpec, opts []MemberOption) {
	c := memberConfig{mode: RestartTransient}
	for _, o := range opts {
		if o == nil {
			c.faults = append(c.faults, fmt.Errorf("%w: a nil MemberOption", ErrInvalidOption))
			continue
		}
		o.forMember(&c)
	}
	if len(c.faults) > 0 {
		s.addFault(fmt.Errorf("%s: %s: %w", m.site, call, c.faults[0]))
		return
	}
	m.mode = c.mode
	s.mu.Lock()
	defer s.mu.Unlock()
	s.specs = append(s.specs, m)
}

func (s *Supervisor) addFault(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault == nil {
		s.fault = err
	}
}

// nesting guards who is a member of whom: it is held from a look for rings until what was looked at is a member, and
// across nothing that waits or is the user's.
var nesting sync.Mutex

// holds reports whether sup is stage, or in it. The caller holds nesting.
func holds(stage Stage, sup *Supervisor) bool {
	switch in := stage.(type) {
	case *Pipeline:
		return slices.ContainsFunc(in.stages, func(s Stage) bool { return holds(s, sup) })
	case *Supervisor:
		return in == sup || slices.ContainsFunc(in.stages(), func(s Stage) bool { return holds(s, sup) })
	}
	return false
}

// Name returns the supervisor's name: what [Name] gave it, or its kind and the line where it was made.
func (s *Supervisor) Name() string {
	if s == nil {
		return ""
	}
	return s.conf.name
}

func (s *Supervisor) itself() Stage {
	if s == nil {
		return nil
	}
	return s
}

// made reports whether NewSupervisor made it; s may be nil.
func (s *Supervisor) made() bool { return s != nil && s.conf.name != "" }

// Run starts the members in order and blocks until the supervisor has ended: all members have, and none will be
// started again. Then it returns nil. It returns an error that wraps [ErrIntensity] when too many restarts were
// needed; the failure of a member at the first start; or, after Abort or the end of ctx, an error that wraps the
// cause. Options out of range and faults of Add come back from here, before anything is started. It returns
// [ErrRunning] when it, or a member, runs already.
func (s *Supervisor) Run(ctx context.Context) error {
	if !s.made() {
		return unmade("Run")
	}
	if ctx.Err() != nil {
		return &Error{Stage: s.Name(), Err: cause(ctx)}
	}
	root := &scope{label: s.Name(), alone: true, launch: &launch{}, done: make(chan struct{})}
	return root.run(ctx, []member{s})
}

// Stop drains all members together, as [Pipeline.Stop] does, and starts none of them again from the moment it is
// called. It blocks until all have ended, and returns nil or a [*StopError]: when ctx ended first (everything is
// aborted then), or when a member had failed that was not started again for it. It returns [ErrNotRunning] if the
// supervisor was never run, nil if it has ended, and [ErrSelfCall] from a callback of a member.
func (s *Supervisor) Stop(ctx context.Context) error {
	if !s.made() {
		return unmade("Stop")
	}
	inside := func(h *handle) bool { return slices.Contains(s.members(), h) }
	run, runs := s.currentRun()
	return stopCurrent(ctx, s.Name(), run, runs, inside)
}

func (s *Supervisor) currentRun() (run controller, runs int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run != nil {
		run = s.run
	}
	return run, s.runs
}

// Abort ends all members at once, without draining, and starts none again; see [Producer.Abort]. A nil cause stands
// for [ErrShutdown]. It never blocks and may be called from any goroutine.
func (s *Supervisor) Abort(cause error) {
	if !s.made() {
		return
	}
	run, _ := s.currentRun()
	abortCurrent(s.Name(), run, cause)
}

// Stats returns how often members were restarted, and the Stats of the members, in order, in Members. A member that
// was never started is not among them.
func (s *Supervisor) Stats() Stats {
	if s == nil {
		return Stats{}
	}
	s.mu.Lock()
	run, before, last, runs := s.run, s.current, s.last, s.runs
	stuck := s.stuckNow()
	s.mu.Unlock()
	if run != nil {
		last = run.stats()
	} else if before != nil {
		last.Members = slices.Clone(last.Members)
		for i, stage := range before.stages() {
			last.Members[i] = stage.showStuck(last.Members[i])
		}
	}
	last.At = time.Now()
	last.Stage, last.Kind, last.Runs, last.Stuck = s.Name(), kindSupervisor, runs, stuck
	return last
}

// showStuck brings Stats of an ended run up to date: what was abandoned may have returned.
func (s *Supervisor) showStuck(st Stats) Stats {
	if now := s.Stats(); now.Runs == st.Runs {
		return now
	}
	return st
}

// stages returns the members that there are at this moment: of a factory, what it made last.
func (s *Supervisor) stages() []Stage {
	s.mu.Lock()
	specs, current := s.specs[:len(s.specs):len(s.specs)], s.current
	s.mu.Unlock()
	var all []Stage
	for _, m := range specs {
		if m.stage != nil {
			all = append(all, m.stage)
		}
	}
	if current != nil {
		all = append(all, current.made()...)
	}
	return all
}

// members makes the supervisor a member of pipelines and other supervisors.
func (s *Supervisor) members() []*handle {
	var all []*handle
	for _, stage := range s.stages() {
		all = append(all, stage.members()...)
	}
	return all
}

// open makes the supervisor a member of a run.
func (s *Supervisor) open(ctx context.Context, parent *scope) error {
	if !s.made() {
		return unmade("Run")
	}
	if s.conf.unsound != nil {
		return &Error{Stage: s.Name(), Err: s.conf.unsound}
	}
	s.mu.Lock()
	fault := s.fault
	switch {
	case fault != nil:
		fault = &Error{Stage: s.Name(), Err: fault}
	case s.run != nil && s.run.awaits(goid.Current()):
		fault = fmt.Errorf("%s: Run: %w", s.Name(), ErrSelfCall)
	case s.run != nil:
		fault = fmt.Errorf("%s: Run: %w", s.Name(), ErrRunning)
	case len(s.stuck) > 0:
		fault = &Error{Stage: s.Name(), Err: &StuckError{Stuck: s.stuckNow()}}
	}
	if fault != nil {
		s.mu.Unlock()
		return fault
	}
	s.runs++
	r := newSupervision(ctx, s, s.specs[:len(s.specs):len(s.specs)], parent)
	if s.current != nil {
		r.past = s.current.made()
	}
	s.run, s.current = r, r
	s.mu.Unlock()
	parent.joins(r)
	if err := r.open(); err != nil {
		s.over(r)
		close(r.done) // Stop may wait for it
		return err
	}
	return nil
}

// over forgets the run that has ended.
func (s *Supervisor) over(r *supervision) {
	last := r.stats()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.run, s.last = nil, last
}
