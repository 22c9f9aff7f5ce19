package stage

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/internal/hop"
	"github.com/go-genstage/genstage/internal/mailbox"
)

// supervision is one run of a supervisor, as the launcher and the pipeline around it see it. Each run of a member has
// a scope of its own, which tells the supervision when it has ended; what that means is decided on the supervision's
// goroutine (supervisor_loop.go, supervisor_start.go), by the rules in supervisor_plan.go.
type supervision struct {
	sup    *Supervisor
	ctx    context.Context // of the call of Run; read-only
	parent *scope          // read-only
	number int             // which run of the supervisor it is; read-only
	policy *childPolicy    // read-only
	past   []Stage         // what factories made in the run before; read-only

	box   mailbox.Box[*scope] // the runs of members that have ended
	turn  func()              // waits for the turn of the goroutine (internal/hop)
	onGo  atomic.Uint64       // number of the goroutine
	aside atomic.Uint64       // number of a goroutine that it waits for; 0: none

	mu       sync.Mutex
	members  []keptMember       // the slice is read-only; guarded by mu: what may change in its elements, unless said otherwise
	released bool               // guarded by mu: the first start is over
	aborted  *ending            // guarded by mu: the first abort from outside
	stopped  func(*handle) bool // guarded by mu: what the first Stop said is inside; nil before
	failure  *ending            // guarded by mu: why it ends, if it fails
	last     error              // guarded by mu: the last failure of a member
	named    []Stuck            // guarded by mu: what was abandoned as everything ended
	restarts int                // guarded by mu
	calling  string             // guarded by mu: the function of the user's in progress; "" for none
	result   *ending            // guarded by mu: how it ended
	over     time.Time          // guarded by mu: when

	// owned by the supervision's goroutine
	plan     plan
	stopping int  // the member that is being stopped, and waited for; -1: none
	dropped  bool // nobody is started any more

	launch     launch         // of its restarts
	halted     chan struct{}  // closed when nothing is started any more
	loggerGone atomic.Bool    // the log handler was abandoned: it is not called any more
	starts     sync.WaitGroup // goroutines of start
	done       chan struct{}  // closed when it has ended
}

// keptMember is one member of a supervision.
type keptMember struct {
	spec    memberSpec // read-only
	keeping *keeping   // read-only

	stage   Stage  // guarded by supervision.mu: that runs, or has run last; nil before a factory's first
	opening Stage  // guarded by supervision.mu: what a factory has made and is not stage yet; nil for none
	run     *scope // guarded by supervision.mu, written by the supervision's goroutine: nil when it does not run

	// owned by the supervision's goroutine
	failed *ending     // its failure, until it has been started again
	held   []heldEnd   // ends of others, which began in its run, or were not begun for it: they are acted on behind its own
	behind *keptMember // who has failed to start before its present run could begin; nil: nobody
}

// heldEnd is the end of a member that waits for another one's.
type heldEnd struct {
	index int
	end   *ending
}

func newSupervision(ctx context.Context, s *Supervisor, specs []memberSpec, parent *scope) *supervision {
	r := &supervision{sup: s, ctx: ctx, parent: parent, number: s.runs, policy: s.conf.children, stopping: -1, halted: make(chan struct{}), done: make(chan struct{})}
	r.box.Init()
	r.plan = plan{strategy: s.conf.strategy, restarted: intensity{max: r.policy.max, within: r.policy.within}}
	if r.policy.pause.first > 0 {
		draw := hop.Draw(ctx)
		r.plan.pause = func(n int) time.Duration { return r.policy.backoff(n, draw) }
	}
	for i, m := range specs {
		k := &keeping{of: r, index: i, mode: m.mode, fresh: m.fresh != nil}
		r.members = append(r.members, keptMember{spec: m, keeping: k, stage: m.stage})
		r.plan.members = append(r.plan.members, planned{mode: m.mode})
	}
	return r
}

// open opens the mailboxes of all members, in order, and begins to supervise. If one refuses, those before it are
// ended again and nothing has run. What ends everything meanwhile leaves the rest alone.
func (r *supervision) open() error {
	for i := range r.members {
		if _, halted := r.phase(); halted {
			r.plan.members[i].state = memberEnded
		} else if err := r.openMember(i); err != nil {
			r.abort(&ending{reason: err})
			for _, s := range r.runs() {
				<-s.done
			}
			r.forsakeAll()
			r.forsakePast()
			r.mu.Lock()
			r.result, r.over = &ending{reason: err}, time.Now()
			r.mu.Unlock()
			return err
		}
	}
	if r.turn = hop.Join(r.ctx, r.name()); r.turn == nil {
		r.turn = func() {}
	}
	go r.supervise() // ends when all members have ended; who waits for the supervision waits for it
	return nil
}

// openMember begins a run of a member: its mailbox opens.
func (r *supervision) openMember(i int) error {
	m := &r.members[i]
	stage, err := r.stageOf(m)
	if err != nil {
		return err
	}
	s := &scope{
		label: stage.Name(), parent: r.parent, keeper: r, launch: r.launchNow(), done: make(chan struct{}),
		tenure: &tenure{keeping: m.keeping, outer: r.parent.tenure},
	}
	r.joins(m, s)
	err = s.open(r.ctx, []member{stage})
	if err == nil {
		m.keeping.returning.Store(false)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m.opening = nil
	if err != nil {
		m.run = nil
		return err
	}
	m.stage = stage
	r.plan.started(i, time.Now())
	return nil
}

// joins makes s the run of a member, which hears of what ends all of them: also while it opens, as it may have members of its own.
func (r *supervision) joins(m *keptMember, s *scope) {
	r.mu.Lock()
	m.run = s
	aborted, stopped := r.aborted, r.stopped
	if aborted == nil {
		aborted = r.failure
	}
	r.mu.Unlock()
	if aborted != nil { // it came while a factory made the member
		s.abort(aborted)
	}
	if stopped != nil {
		s.stop(stopped)
	}
}

// launchNow returns the start that a member is part of: the first one, of everything around it, or a restart by r.
func (r *supervision) launchNow() *launch {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.released {
		return &r.launch
	}
	return r.parent.launch
}

func (r *supervision) name() string { return r.sup.conf.name }

// runs returns the runs of members that have not ended.
func (r *supervision) runs() []*scope {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []*scope
	for i := range r.members {
		if s := r.members[i].run; s != nil {
			all = append(all, s)
		}
	}
	return all
}

// made returns what the factories have made last.
func (r *supervision) made() []Stage {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Stage
	for i := range r.members {
		m := &r.members[i]
		if m.spec.fresh != nil && m.stage != nil {
			all = append(all, m.stage)
		}
		if m.opening != nil {
			all = append(all, m.opening)
		}
	}
	return all
}

// The launcher's phases, of the first start. Nothing is started again before it is over.

func (r *supervision) initialize(turn func()) *ending {
	for _, s := range r.runs() {
		if failed := s.initialize(turn); failed != nil {
			<-s.done
			e := s.end()
			if e.reason == nil { // it was shut down before its start was over: no normal end for the others
				e = failed
			}
			r.fail(e)
			return e
		}
	}
	return nil
}

func (r *supervision) connect() {
	for _, s := range r.runs() {
		s.connect()
	}
}

func (r *supervision) awaitConnected() {
	for _, s := range r.runs() {
		s.awaitConnected()
	}
}

func (r *supervision) release() {
	for _, s := range r.runs() {
		s.release()
	}
	r.mu.Lock()
	r.released = true
	r.mu.Unlock()
	r.forsakePast()
	r.box.Ring()
}

// forsakePast gives up what factories made in the run before, as that is replaced now.
func (r *supervision) forsakePast() {
	for _, s := range r.past {
		if !slices.Contains(r.made(), s) {
			forsake(s, true)
		}
	}
}

// abort ends all members at once, and none is started any more.
func (r *supervision) abort(e *ending) {
	r.mu.Lock()
	r.halt()
	if r.aborted == nil {
		r.aborted = e
	}
	r.mu.Unlock()
	r.pass(e)
	for _, s := range r.runs() {
		s.abort(e)
	}
	r.box.Ring()
}

// fail is abort for a failure of its own.
func (r *supervision) fail(e *ending) {
	r.mu.Lock()
	if r.failure == nil && r.aborted == nil && !e.clean {
		r.failure = e
	}
	r.mu.Unlock()
	r.abort(e)
}

// stop drains all members, and none is started any more.
func (r *supervision) stop(inside func(*handle) bool) {
	r.mu.Lock()
	r.halt()
	if r.stopped == nil {
		r.stopped = inside
	}
	r.mu.Unlock()
	r.pass(&ending{clean: true, completed: true})
	for _, s := range r.runs() {
		s.stop(inside)
	}
	r.box.Ring()
}

// halt makes known that nothing is started any more. The caller holds mu.
func (r *supervision) halt() {
	if r.aborted == nil && r.stopped == nil {
		close(r.halted)
	}
}

// pass makes known that the supervision starts no member any more and ends so, unless it is known already. Whether
// a member runs again then depends on who keeps the supervisor.
func (r *supervision) pass(e *ending) {
	for i := range r.members {
		r.members[i].keeping.past.CompareAndSwap(nil, e)
	}
}

func (r *supervision) finished() <-chan struct{} { return r.done }

func (r *supervision) keptBy() *tenure { return r.parent.tenure }

func (r *supervision) end() *ending {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.result
}

func (r *supervision) awaits(goroutine uint64) bool {
	if r.onGo.Load() == goroutine || r.aside.Load() == goroutine {
		return true
	}
	for _, s := range r.runs() {
		if s.awaits(goroutine) {
			return true
		}
	}
	return false
}

func (r *supervision) stuck() []Stuck {
	var list []Stuck
	r.mu.Lock()
	if r.calling != "" {
		list = append(list, Stuck{Stage: r.name(), Callback: r.calling})
	}
	r.mu.Unlock()
	for _, s := range r.runs() {
		list = append(list, s.stuck()...)
	}
	return list
}

func (r *supervision) stats() Stats {
	r.mu.Lock()
	st := Stats{
		Stage: r.name(), Kind: kindSupervisor, Running: r.result == nil, Runs: r.number,
		Restarts: r.restarts, Failure: r.last, At: time.Now(), State: State{Kind: StateBusy},
	}
	if r.result != nil {
		st.Err = r.result.reason
		st.State = State{Kind: StateEnded, Since: r.over}
	}
	r.mu.Unlock()
	for _, s := range r.stages() {
		st.Members = append(st.Members, s.Stats())
	}
	return st
}

// stages returns the members that have a stage, in order.
func (r *supervision) stages() []Stage {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []Stage
	for i := range r.members {
		if s := r.members[i].stage; s != nil {
			all = append(all, s)
		}
	}
	return all
}
