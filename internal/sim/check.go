package sim

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
)

// quiescent is called when nothing moves: every stage is parked, or in a callback that waits.
func (w *world) quiescent() {
	w.within()
	for _, n := range w.nodes {
		if n.quiet {
			continue
		}
		s := n.stage.Stats()
		n.quiet = !s.Running && s.Runs > 0 && n.inside == "" // it is not run again
		for _, fault := range stagetest.Faults(s) {
			if s.Callback != "" && n.o.Dispatch == Broadcast && strings.Contains(fault, "copies") {
				continue // the end of a subscriber that refuses may be in the mailbox
			}
			w.violate("ledger: %s", fault)
		}
		if n.o.Kind == Lines { // that is between the two
			s.Upstreams, s.Input = nil, stage.InputStats{}
		}
		if n.life == nil || !s.Running || n.life.terminated || n.life.dead || n.life.abandoned { // a run may not have come to its OnInit
			continue
		}
		w.seen(n, s)
		n.counted(s)
		if s.Callback == "" && n.inside == "" {
			n.parked(s)
		}
	}
}

// seen notes the interesting states that Stats shows.
func (w *world) seen(n *node, s stage.Stats) {
	if s.Output.Held > 0 {
		w.reach(KeptBack)
	}
	for _, u := range s.Upstreams {
		t := w.tieOf(u)
		if !t.subscribed && n.life != nil && t.from.life == nil {
			w.reach(Waiting)
		}
	}
	if n.out != nil && n.in != nil && s.Input.Queued > 0 && n.open(s) == 0 {
		w.reach(ZeroDemandWithQueue)
	}
	w.seenOutput(n, s)
}

func (w *world) seenOutput(n *node, s stage.Stats) {
	if s.Output.Dropped > 0 {
		w.reach(Dropped)
	}
	owned := map[int]bool{}
	for _, d := range s.Downstreams {
		if d.Refused > 0 {
			w.reach(RefusedEnqueue)
		}
		if d.Filtered > 0 {
			w.reach(Filtered)
		}
		if d.Lagged > 0 {
			w.reach(Lagged)
		}
		owned[w.input(d).Part] = true
	}
	if n.o.Dispatch == Partition && len(owned) < n.o.Parts && s.Output.Buffered > 0 {
		w.reach(PartitionWithoutOwner)
	}
}

// input returns the options of a subscription that Stats shows.
func (w *world) input(s stage.SubscriptionStats) *InputOptions {
	at, err := strconv.Atoi(s.Label)
	if err != nil {
		w.violate("a subscription without label: %s → %s", s.Producer, s.Consumer)
	}
	return &w.inputs[at]
}

// tieOf finds the last subscription with the label of s.
func (w *world) tieOf(s stage.SubscriptionStats) *tie {
	for i := len(w.order) - 1; i >= 0; i-- {
		if w.order[i].sub.Label() == s.Label {
			return w.order[i]
		}
	}
	at, _ := strconv.Atoi(s.Label)
	in := w.input(s)
	return &tie{in: in, from: w.nodes[in.From], to: w.consumerOf(at)}
}

// counted holds Stats against what the callbacks were given and have returned.
func (n *node) counted(s stage.Stats) {
	in, out := s.Input, s.Output
	switch n.o.Kind {
	case Slice, Sequence, Queue, Channel, Lines, Expander, Automatic, Manual, Each, Children:
	default:
		if out.Emitted != n.life.emitted {
			n.w.violate("%s: %d emitted, its callbacks have returned %d", n.name, out.Emitted, n.life.emitted)
		}
	}
	begun := in.Handled + in.Failed + in.InHand + in.Late
	if n.in != nil && (n.life.begun > begun+in.Lost || n.o.Kind != Each && n.o.Kind != Children && n.life.begun < begun) {
		n.w.violate("%s: its callback was given %d events, of %+v", n.name, n.life.begun, in)
	}
	if n.out != nil && n.life.discarded > out.Discarded {
		n.w.violate("%s: OnDiscard was given %d events, %d were discarded", n.name, n.life.discarded, out.Discarded)
	}
}

// parked holds a stage that waits for messages against what would be unmet.
func (n *node) parked(s stage.Stats) {
	for _, u := range s.Upstreams {
		n.parkedInput(s, u)
	}
	n.connected(s)
	if n.in != nil && n.out == nil && s.Input.Queued > 0 && !n.outlives(s) {
		n.w.violate("%s waits, with %d events to begin", n.name, s.Input.Queued)
	}
	if n.out != nil && !n.accumulating {
		n.parkedOutput(s)
	}
}

// outlives reports whether the stage may be waiting for its children to end, and do nothing else.
func (n *node) outlives(s stage.Stats) bool {
	return n.o.Kind == Children && s.Input.InHand > 0 && !n.w.undisturbed()
}

func (n *node) parkedInput(s stage.Stats, u stage.SubscriptionStats) {
	w := n.w
	ending := n.outlives(s)
	if u.InMailbox > 0 && !ending {
		w.violate("%s waits, with %d events of %s in its mailbox", n.name, u.InMailbox, u.Producer)
	}
	t := w.tieOf(u)
	if u.Manual || t.sub == nil || !t.subscribed || t.cancelled || t.life != n.life {
		return
	}
	switch n.o.Kind {
	case Children:
		ended := u.Received - u.Held
		free := t.max - (u.Asked - ended)
		if !t.changed && !ending && free >= max(t.min, 1) {
			w.violate("%s: %d of %d slots are free, and nothing is asked of %s (K2)", n.name, free, t.max, u.Producer)
		}
		if u.Asked-ended > t.max {
			w.violate("%s has %d children of %s, or asks for them; max demand %d (K1)", n.name, u.Asked-ended, u.Producer, t.max)
		}
	case Automatic, Identity, Filter, Expand, Reduce, Limiter:
		outstanding := u.Asked - t.returned
		if outstanding <= t.min {
			w.violate("%s: %d events are outstanding, min demand is %d, and nothing is asked of %s (A6)", n.name, outstanding, t.min, u.Producer)
		}
		if outstanding > t.max {
			w.violate("%s: %d events are outstanding of %s, max demand is %d (A7)", n.name, outstanding, u.Producer, t.max)
		}
	}
}

// open is how many events the stage's subscribers have asked for and could be sent, as far as that is known:
// 0 may be too little, never too much.
func (n *node) open(s stage.Stats) int64 { return n.openBut(s, n.w.blocked()) }

// openBut is open, when those with these labels wait for room in a budget.
func (n *node) openBut(s stage.Stats, blocked map[string]bool) int64 {
	var sum, least, largest int64
	least = -1
	parts := map[int]int64{}
	for _, d := range s.Downstreams {
		if d.Refused > 0 { // its mailbox has closed, and its demand is void
			continue
		}
		open := d.Asked - d.Sent
		if blocked[d.Label] {
			if n.o.Dispatch == Broadcast {
				return 0
			}
			open = 0
		}
		sum += open
		if sum < 0 {
			sum = 1<<63 - 1
		}
		parts[n.w.input(d).Part] += open
		switch {
		case d.Lag > 0:
			largest = max(largest, open)
		case least < 0 || open < least:
			least = open
		}
	}
	switch n.o.Dispatch {
	case Broadcast:
		if least < 0 { // all lag
			return largest
		}
		return least
	case Partition:
		for i := range n.o.Parts {
			if parts[i] == 0 {
				return 0 // perhaps everything waits for this one
			}
		}
	}
	return sum
}

// most is how many events the subscribers have asked for at the most: what they ask may be on its way.
func (n *node) most(s stage.Stats) int64 {
	if n.o.Dispatch == Broadcast {
		return n.openBut(s, nil)
	}
	var sum int64
	for _, d := range s.Downstreams {
		if sum += d.Asked - d.Sent; sum < 0 {
			return 1<<63 - 1
		}
	}
	return sum
}

func (n *node) parkedOutput(s stage.Stats) {
	w, open := n.w, n.open(s)
	if open == 0 {
		return
	}
	waiting := s.Output.Buffered
	if n.queue != nil {
		waiting -= int64(n.queue.Len())
	}
	if waiting > 0 {
		w.violate("%s waits, with %d events buffered and demand for %d (P2)", n.name, waiting, open)
	}
	if n.in != nil && s.Input.Queued > 0 && n.o.Kind != Limiter && n.o.Kind != Expander && !n.done {
		w.violate("%s waits, with %d events to begin and demand for %d (A11)", n.name, s.Input.Queued, open)
	}
	if w.rerun() && s.State.Kind == stage.StateStarting { // a supervisor in a pipeline, or in another one, may begin late, or be stopped before
		return
	}
	if n.done || n.stopped || !w.started && w.o.Layout != Apart {
		return
	}
	switch n.o.Kind {
	case Slice:
		if s.Output.Emitted < int64(n.o.Events) {
			w.violate("%s is not asked, with demand for %d and %d emitted (P1)", n.name, open, s.Output.Emitted)
		}
	case Callback, Endless, Sequence:
		if n.o.Kind != Sequence || s.Output.Emitted < int64(n.o.Events) {
			w.violate("%s is not asked, with demand for %d (P1)", n.name, open)
		}
	case Queue:
		if n.queue.Len() > 0 {
			w.violate("%s waits, with %d events in the queue and demand for %d (P7)", n.name, n.queue.Len(), open)
		}
	case Channel:
		if len(n.ch) > 0 {
			w.violate("%s waits, with %d events in the channel and demand for %d (P7)", n.name, len(n.ch), open)
		}
	}
}

// atEnd checks what must hold when all is over.
func (w *world) atEnd() {
	var all []stage.Stats
	comparable := w.byHand == 0 && len(w.loops) == 0 // nobody has sent those, and nobody sees what these lose
	for _, n := range append(w.former, w.nodes...) {
		s := n.stage.Stats()
		all = append(all, s)
		if n.extra != nil {
			all = append(all, n.extra.Stats())
		}
		n.ended(s)
	}
	for _, in := range w.inputs {
		comparable = comparable && in.Where == 0 && in.Lag == 0
	}
	w.returned()
	w.groupsGaveUp()
	w.paid()
	if comparable {
		w.balanced(all)
	}
	for _, n := range w.nodes {
		n.accounted()
	}
}

// balanced holds what producers have sent, in all runs, against what consumers have received.
func (w *world) balanced(all []stage.Stats) {
	for _, fault := range stagetest.Faults(all...) {
		w.violate("ledger at the end: %s", fault)
	}
	var copies, takenBack, received, handedBack int64
	for _, s := range all {
		copies += s.Output.Copies + s.Earlier.Output.Copies
		takenBack += s.Output.TakenBack + s.Earlier.Output.TakenBack
		received += s.Input.Received + s.Earlier.Input.Received
		handedBack += s.Input.HandedBack + s.Earlier.Input.HandedBack
	}
	if refused := takenBack - handedBack; copies != received+refused || refused < 0 {
		w.violate("over all stages: %d dispatched, %d received, %d taken back, %d handed back", copies, received, takenBack, handedBack)
	}
}

// returned looks at what the runs have returned.
func (w *world) returned() {
	for _, r := range w.runs {
		if !w.legal(r.err) {
			w.violate("%s: Run returned what nobody made: %v", r.name, r.err)
		}
		if r.err != nil && w.undisturbed() {
			w.violate("%s: nothing has gone wrong, and Run returned %v", r.name, r.err)
		}
	}
}

// undisturbed reports whether nothing was made that may fail a run.
func (w *world) undisturbed() bool {
	for _, in := range w.inputs {
		if in.Part >= w.nodes[in.From].o.Parts || in.Lag > 0 && in.Policy == stage.LagDisconnect {
			return false
		}
	}
	for i := range w.o.Groups { // the end of a member may be one too many
		if w.o.Groups[i].Mode == stage.RestartPermanent {
			return false
		}
	}
	for i := range w.o.Stages {
		if w.o.Stages[i].Mode == stage.RestartPermanent {
			return false
		}
	}
	return !w.disturbed
}

// ended holds a stage that has ended against its callbacks.
func (n *node) ended(s stage.Stats) {
	w := n.w
	switch {
	case n.life != nil && !n.life.terminated && !n.life.dead && !n.life.abandoned:
		w.violate("%s: OnInit without OnTerminate", n.name)
	case s.Running:
		w.violate("%s still runs", n.name)
	case !w.legal(s.Err):
		w.violate("%s ended with what nobody made: %v", n.name, s.Err)
	}
	if s.Output.LateResults > 0 {
		w.reach(LateResult)
	}
	if s.Input.Late > 0 {
		w.reach(LateInput)
	}
	if errors.Is(s.Err, stage.ErrIntensity) {
		w.reach(Intensity)
	}
	// What comes back over a subscription that was cancelled may find the stage at its end.
	if s.Err == nil && s.Output.Lost > s.Output.TakenBack && n.o.Dispatch != Broadcast && n.o.Dispatch != Partition {
		w.violate("%s ended normally and lost %d events", n.name, s.Output.Lost)
	}
	if s.Err == nil && s.Input.Lost > 0 && n.o.Kind != Lines && !w.disturbed && !n.leaves() {
		w.violate("%s ended normally and lost %d events of its input", n.name, s.Input.Lost)
	}
	switch {
	case s.Input.Lost > 0:
		w.reach(HeldLost)
	case s.Output.Lost > 0 && n.o.Dispatch == Broadcast && s.Output.TakenBack > 0:
		w.reach(BroadcastHandBackLost)
	case s.Output.Lost > 0 && errors.Is(s.Err, stage.ErrShutdown):
		w.reach(Abandoned)
	}
	if s.Err != nil && w.o.Layout < Apart && w.runs[0].err == nil {
		w.reach(Spared)
	}
}

// leaves reports whether the stage may complete while a producer goes on to send it events.
func (n *node) leaves() bool {
	for _, at := range n.o.Inputs {
		if n.w.inputs[at].Cancel != stage.CancelPermanent {
			return true
		}
	}
	return false
}

// accounted holds the events that a stage has emitted, in all its runs, if each goes to one, against what became of them.
func (n *node) accounted() {
	if n.out == nil || n.o.Dispatch == Broadcast {
		return
	}
	s := n.stage.Stats()
	out, before := s.Output, s.Earlier.Output
	emitted := out.Emitted + before.Emitted
	known := int64(len(n.begun)) + out.Discarded + before.Discarded + out.Dropped + before.Dropped + out.Lost + before.Lost
	var unbegun int64 // at most so many ended at a consumer without having been given to its callback
	for _, c := range append(n.w.former, n.w.nodes...) {
		if c.in == nil {
			continue
		}
		s := c.stage.Stats()
		unbegun += s.Input.Lost + s.Earlier.Input.Lost + s.Input.Late + s.Earlier.Input.Late
		if c.o.Kind == Each || c.o.Kind == Children {
			unbegun += s.Input.Failed + s.Earlier.Input.Failed
		}
	}
	if known > emitted || known+unbegun < emitted && len(n.w.loops) == 0 {
		n.w.violate("%s has emitted %d events: %d were begun, at most %d lost without; %+v, before %+v", n.name, emitted, len(n.begun), unbegun, out, before)
	}
}

// legal reports whether err is nothing, or something that this simulation has made.
func (w *world) legal(err error) bool {
	if err == nil {
		return true
	}
	var panicked *stage.PanicError
	if errors.As(err, &panicked) {
		return panicked.Value == planted || panicked.Value == error(stage.ErrGoexit)
	}
	for _, made := range []error{
		errBoom, errCancelled, stage.ErrShutdown, stage.ErrKilled, stage.ErrRefused, stage.ErrNoStage, stage.ErrLagging, stage.ErrIntensity,
		context.DeadlineExceeded, stage.ErrEnded, stage.ErrStuck,
	} {
		if errors.Is(err, made) {
			return true
		}
	}
	return false
}

// mayLinger reports whether what runs has a stage that keeps events for subscribers to come: it runs by itself, or
// with KeepRunning.
func (w *world) mayLinger(r *running) bool {
	for _, n := range w.nodes {
		if n.extra != nil && r.run == n.extra {
			return true
		}
		if (w.o.Layout != Apart || n.stage == r.run) && (w.o.Layout == Apart || n.o.KeepRunning) && n.lingers() {
			return true
		}
	}
	return false
}

func (n *node) lingers() bool {
	if n.out == nil {
		return false
	}
	alone := true
	for _, t := range n.w.order {
		if t.from != n || !t.subscribed || t.cancelled || t.gone || t.life != t.to.life || t.life.terminated || t.life.dead {
			continue
		}
		alone = false
		if t.to.out != nil && t.to.lingers() {
			return true
		}
	}
	return alone
}
