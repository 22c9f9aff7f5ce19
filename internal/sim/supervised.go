package sim

import (
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// group is a supervisor, or a pipeline below one.
type group struct {
	o       *GroupOptions
	stage   stage.Stage
	members []member
	late    int // members that began their OnInit again while everything was stopping
}

// member is a stage of a group, or a group within it.
type member struct {
	node, group int // the other one is -1
}

// supervise makes the supervisors of all stages, and returns the first.
func (w *world) supervise() stage.Stage {
	for i := range w.o.Groups {
		w.groups = append(w.groups, &group{o: &w.o.Groups[i]})
	}
	for i, n := range w.nodes {
		g := w.groups[n.o.Group]
		g.members = append(g.members, member{i, -1})
	}
	for i, g := range w.groups[1:] {
		in := w.groups[g.o.Parent]
		in.members = append(in.members, member{-1, i + 1})
	}
	for i := len(w.groups) - 1; i >= 0; i-- { // those within come first
		g := w.groups[i]
		if w.once(2) {
			w.rng.Shuffle(len(g.members), func(i, j int) { g.members[i], g.members[j] = g.members[j], g.members[i] })
		}
		w.makeGroup(i, g)
	}
	return w.groups[0].stage
}

func (w *world) makeGroup(i int, g *group) {
	var stages []stage.Stage
	for at, m := range g.members {
		if m.node < 0 {
			stages = append(stages, w.groups[m.group].stage)
			continue
		}
		w.nodes[m.node].member = at
		stages = append(stages, w.nodes[m.node].stage)
	}
	if g.o.Pipeline {
		for _, m := range g.members {
			if m.node >= 0 && w.nodes[m.node].extra != nil {
				stages = append(stages, w.nodes[m.node].extra)
			}
		}
		g.stage = stage.NewPipeline(stages...)
		return
	}
	opts := []stage.SupervisorOption{g.o.Strategy, quiet, stage.Name(fmt.Sprintf("supervisor %d", i)), stage.MaxRestarts(g.o.Restarts, g.o.Within), stage.Grace(w.o.Grace)}
	if g.o.Pause > 0 {
		opts = append(opts, stage.Backoff(g.o.Pause, g.o.Most))
	}
	sup := stage.NewSupervisor(opts...)
	for at, m := range g.members {
		if m.node >= 0 && w.nodes[m.node].extra != nil {
			sup.Add(w.nodes[m.node].extra, stage.Restart(w.nodes[m.node].o.Mode))
		}
		switch {
		case m.node < 0:
			sup.Add(stages[at], stage.Restart(w.groups[m.group].o.Mode))
		case w.nodes[m.node].o.Fresh:
			sup.AddFunc(w.factory(m.node, sup), stage.Restart(w.nodes[m.node].o.Mode))
		default:
			sup.Add(stages[at], stage.Restart(w.nodes[m.node].o.Mode))
		}
	}
	g.stage = sup
}

// factory makes the stage of a sink anew for each of its runs but the first.
func (w *world) factory(index int, sup *stage.Supervisor) func() stage.Stage {
	return func() stage.Stage {
		old := w.nodes[index]
		if old.stage.Stats().Runs == 0 {
			return old.stage
		}
		if w.hangInFactory(old, sup) {
			return old.stage
		}
		w.trace.add(old.name, "is made anew")
		w.reach(FactoryAgain)
		_ = old.fault("factory")
		n := w.newNode(index)
		n.member, n.keptIn, n.before = old.member, old.keptIn, old.lastLife()
		n.buildSink()
		n.declare()
		w.former, w.nodes[index] = append(w.former, old), n
		return n.stage
	}
}

// hangInFactory is hang in a factory. It reports whether that was abandoned: what it returns is of no consequence then.
func (w *world) hangInFactory(n *node, sup *stage.Supervisor) bool {
	if w.o.Stuck == 0 || w.calm || w.ending || !w.once(3) {
		return false
	}
	w.atWork++
	defer func() { w.atWork-- }()
	w.trace.add(n.name, "hangs in its factory")
	w.sleep(n.name+" hangs in its factory", 400)
	if len(sup.Stats().Stuck) == 0 {
		return false
	}
	w.trace.add(n.name, "its factory returns, and was abandoned")
	w.reach(FactoryAbandoned)
	return true
}

func (n *node) lastLife() *life {
	if n.life != nil {
		return n.life
	}
	return n.before
}

// lives notes that a stage begins a run, and holds that against what its supervisor may do.
func (n *node) lives() {
	w := n.w
	w.tick++
	n.before = n.lastLife()
	n.life = &life{began: w.tick, said: map[int]bool{}}
	n.quiet, n.done, n.stopped, n.earlyStop, n.owed, n.asked, n.sum = false, false, n.earlyStop, false, 0, 0, 0
	n.afterDone = 0
	again := n.before != nil || n.stage.Stats().Runs > 1 // a run may have ended before its OnInit
	if again {
		n.accumulating = n.earlyMode || n.o.Accumulating && n.o.Kind.source()
	}
	if n.earlyMode = false; n.accumulating && (again || w.ending) { // else the director does it
		w.sched.Go(n.name+" forwards", func() {
			w.sleep(n.name+" forwards", 20)
			n.forward(n.name + " forwards")
		})
	}
	if n.queue != nil && n.fed { // it was closed in a run before
		w.sched.Go(n.name+" closes", func() {
			w.sleep(n.name+" closes", 20)
			n.queue.Close()
		})
	}
	if w.o.Layout != Supervised {
		return
	}
	g := w.groups[n.o.Group]
	runs := g.stage.Stats().Runs
	sameRun := runs == n.keptIn
	n.keptIn = runs
	if n.before != nil {
		n.restarted(g, sameRun)
	}
}

// stops notes that Stop is called: of a run that may not have come to its OnInit.
func (n *node) stops() {
	n.stopped = true
	n.earlyStop = n.life == nil || n.life.terminated || n.life.dead
}

// restarted holds the start of a member that has run before against the rules of its supervisor; again says that it was
// in the same run of that.
func (n *node) restarted(g *group, again bool) {
	w := n.w
	switch {
	case w.second && !again:
		return
	case w.aborted:
		w.violate("%s is started again after Abort has returned", n.name)
	case w.stopping && again && !g.o.Pipeline:
		if g.late++; g.late > 1 { // one may have been on its way
			w.violate("%s is started again after Stop", n.name)
		}
	}
	w.reach(MemberAgain)
	if !again {
		w.reach(SupervisorAgain)
		return
	}
	if g.o.Pipeline {
		return
	}
	switch {
	case n.o.Mode == stage.RestartTemporary:
		w.violate("%s is temporary, and started again", n.name)
	case g.o.Restarts == 0:
		w.violate("%s is started again, and no restart is allowed", n.name)
	}
	if g.o.Pause > 0 {
		w.reach(BackedOff)
	}
	if g.o.Strategy == stage.OneForOne {
		return
	}
	for i, m := range g.members {
		alive, began := w.alive(m)
		switch {
		case i > n.member && alive:
			w.violate("%s is started again before member %d of %v has ended", n.name, i, g.o.Strategy)
		case i < n.member && alive && g.o.Strategy == stage.OneForAll && began < n.before.over:
			w.violate("%s is started again, and member %d of %v is not", n.name, i, g.o.Strategy)
		case i != n.member && alive:
			w.reach(RestartedTogether)
		}
	}
}

// alive reports whether a member runs, as its callbacks have seen it, and when the first stage of it began.
func (w *world) alive(m member) (alive bool, began int) {
	if m.node >= 0 {
		l := w.nodes[m.node].life
		if l == nil || l.terminated || l.dead || l.abandoned || w.nodes[m.node].isStuck() {
			return false, 0
		}
		return true, l.began
	}
	for _, inner := range w.groups[m.group].members {
		yes, at := w.alive(inner)
		alive = alive || yes
		began = max(began, at)
	}
	return alive, began
}

// connected holds a member that runs again, and waits for messages, against the subscriptions that it was declared: of one
// of them it has heard, or one waits for its producer.
func (n *node) connected(s stage.Stats) {
	w := n.w
	if w.o.Layout != Supervised || n.before == nil || n.stopped || n.done || w.ending || w.inside() || len(n.o.Inputs) == 0 {
		return
	}
	if s.Input.InHand > 0 { // of children that nobody has sent: a run whose producer has failed at once waits for them
		return
	}
	if len(s.Upstreams)+len(n.life.said) == 0 {
		w.violate("%s runs again, and has not subscribed again", n.name)
	}
}

// rerun reports whether any stage runs again.
func (w *world) rerun() bool {
	for _, n := range w.nodes {
		if n.before != nil {
			return true
		}
	}
	return false
}

// waitsForAPart reports whether a stage waits for one that has ended alone, as a part of a pipeline that goes on: that runs
// again when the pipeline does, and the pipeline may wait for the one that waits (V7).
func (w *world) waitsForAPart() bool {
	if w.o.Layout != Supervised {
		return false
	}
	for _, n := range w.nodes {
		for _, up := range n.stage.Stats().Upstreams {
			if up.Waiting && w.endedAlone(up.Producer) {
				return true
			}
		}
	}
	return false
}

func (w *world) endedAlone(name string) bool {
	for _, n := range w.nodes {
		if n.name != name || n.stage.Stats().Running {
			continue
		}
		for g := n.o.Group; g >= 0; g = w.groups[g].o.Parent {
			if w.groups[g].o.Pipeline && w.groups[g].stage.Stats().Running {
				return true
			}
		}
	}
	return false
}

// inside reports whether any callback is in progress.
func (w *world) inside() bool {
	for _, n := range w.nodes {
		if n.inside != "" {
			return true
		}
	}
	return false
}

// repeat runs everything once more, when all has ended.
func (w *world) repeat() {
	w.trace.add("director", "runs it again")
	w.reach(SecondRun)
	w.returned()
	if w.o.Seed%2 == 0 {
		w.settled()
	}
	w.runs = nil
	w.second, w.ending, w.calm, w.stopping, w.aborted, w.started = true, false, false, false, false, false
	w.disturbed = true // who has completed says so at once
	for _, n := range w.nodes {
		n.before = n.lastLife()
	}
	for _, g := range w.groups {
		g.late = 0
	}
	w.begin()
	w.sched.Sleep("director", w.o.Storm/2)
	w.finish()
}

// groupsGaveUp notes which supervisors ended for too many restarts.
func (w *world) groupsGaveUp() {
	for i, g := range w.groups {
		s := g.stage.Stats()
		w.refusedStuck()
		if s.Err == nil {
			continue
		}
		w.trace.add("director", "group %d: %v", i, s.Err)
		if s.Restarts > 0 {
			w.reach(GaveUp)
		}
	}
}
