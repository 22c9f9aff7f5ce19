package explore

import (
	"fmt"
	"math"

	"github.com/go-genstage/genstage/stage"
)

// check is what must hold in every state.
func (w *world) check() {
	for _, n := range w.nodes {
		if n.in != nil {
			for _, s := range n.in.subs {
				n.checkDemand(s)
			}
		}
		if n.out != nil && n.life < leaving && n.life != unborn {
			n.checkLive()
		}
	}
	for _, n := range w.nodes {
		n.forget()
	}
}

// checkDemand: no more than max is asked for and not handled.
func (n *node) checkDemand(s *subscription) {
	plan := n.w.plan
	switch out := s.account.Outstanding(); {
	case out < 0 || out > int64(plan.Max):
		n.w.violated("%s: %d events are outstanding, max is %d", n.name, out, plan.Max)
	case s.open < 0 || s.open > int64(plan.Max):
		n.w.violated("%s: %d events are asked for and not begun, max is %d", n.name, s.open, plan.Max)
	}
}

// checkLive: the dispatcher asks for what is open, neither more nor less.
func (n *node) checkLive() {
	plan, last := n.w.plan, n.isLast()
	sum, least, someone := int64(0), int64(math.MaxInt64), false
	for _, s := range n.out.edges {
		if s != nil && !s.void {
			someone = true
			sum += s.pending
			least = min(least, s.pending)
		}
	}
	want := sum
	switch q, queues := n.out.disp.(stage.QueueingDispatcher[int]); {
	case plan.All && last && someone:
		want = least
	case queues:
		want = max(0, sum-int64(q.Deliverable()))
	}
	if live := n.out.disp.Live(); live != want {
		n.w.violated("%s: the dispatcher has a demand of %d, %d is open", n.name, live, want)
	}
	fresh := n.out.buf.Len()
	for _, back := range n.w.back {
		if back {
			fresh--
		}
	}
	if n.in != nil && fresh >= plan.Max {
		n.w.violated("%s has made %d events that nobody waits for, max is %d", n.name, fresh, plan.Max)
	}
}

// isLast reports whether the consumers subscribe to n.
func (n *node) isLast() bool { return !n.w.plan.Middle || n.in != nil }

// checkOrder: an event that was never handed back comes in the order of the source.
func (n *node) checkOrder(s *subscription, e int) {
	w, last := n.w, &n.out.last
	if w.back[e] {
		return
	}
	switch {
	case !n.isLast():
	case w.plan.All:
		last = &s.last
		for missed := s.last + 1; s.last > 0 && missed < e; missed++ {
			if want := w.wants(s); want == nil || want(missed) {
				w.violated("%s misses event %d", s.consumer.name, missed)
			}
		}
		if want := w.wants(s); want != nil && !want(e) {
			w.violated("%s gets event %d, which it does not want", s.consumer.name, e)
		}
	case w.plan.Key != nil:
		key := w.plan.Key(e)
		if key != w.plan.Keys[s.consumer.in.place] {
			w.violated("%s gets event %d of another partition", s.consumer.name, e)
		}
		if n.out.of == nil {
			n.out.of = map[any]int{}
		}
		if n.out.of[key] >= e {
			w.violated("%s: order: event %d is sent behind %d", n.name, e, n.out.of[key])
		}
		n.out.of[key] = e
		return
	}
	if *last >= e {
		w.violated("%s: order: event %d is sent behind %d", n.name, e, *last)
	}
	*last = e
}

func (w *world) wants(s *subscription) func(int) bool {
	if i := s.consumer.in.place; i < len(w.plan.Wants) {
		return w.plan.Wants[i]
	}
	return nil
}

// forget lets go of subscriptions that have ended on both sides: what they counted tells no states apart.
func (n *node) forget() {
	if n.in == nil {
		return
	}
	var kept []*subscription
	for _, s := range n.in.subs {
		waits := s.state != subEnded || s.served || n.in.handOf == s
		for _, m := range n.in.queue {
			waits = waits || m.sub == s
		}
		if waits {
			kept = append(kept, s)
		}
	}
	n.in.subs = kept
}

// AtRest implements [Model].
func (w *world) AtRest() error {
	for _, n := range w.nodes {
		if n.in != nil {
			if err := n.inputAtRest(); err != nil {
				return err
			}
		}
		if n.out != nil {
			if err := n.outputAtRest(); err != nil {
				return err
			}
		}
	}
	return nil
}

// inputAtRest: what a stage received is accounted for, and it has ended if what it consumes has.
func (n *node) inputAtRest() error {
	waits := int64(len(n.in.hand))
	for _, m := range n.in.queue {
		waits += int64(len(m.events))
	}
	if n.received != waits {
		return fmt.Errorf("%s: L1: of the events received %d are not accounted for, %d wait", n.name, n.received, waits)
	}
	source := n.in.source
	failed := source.life == over && !source.out.completed
	if n.inputLost > n.excused && !failed {
		return fmt.Errorf("%s: %d events are lost that it had not begun", n.name, n.inputLost)
	}
	if s := n.in.current(); s != nil && source.life == over {
		return fmt.Errorf("%s is not told that %s has ended", n.name, source.name)
	}
	return nil
}

// outputAtRest: every event is in one place, nothing waits that somebody asks for, and a source that is done has
// completed if somebody was there to take all.
func (n *node) outputAtRest() error {
	o, w := n.out, n.w
	waits, queued := 0, 0
	if o.disp != nil {
		waits, queued = o.buf.Len(), n.inQueues()
	}
	if o.emitted != int64(waits+queued) {
		return fmt.Errorf("%s: L2: of the events emitted %d are not accounted for, %d wait", n.name, o.emitted, waits+queued)
	}
	if err := n.eachInOnePlace(); err != nil {
		return err
	}
	if o.completed && o.lost > o.excused && !w.plan.All && w.plan.Key == nil {
		return fmt.Errorf("%s has completed, and %d events are lost", n.name, o.lost)
	}
	served, blocked := false, false
	for _, s := range o.edges {
		if s == nil {
			continue
		}
		if s.asks > 0 || s.sent != s.received+s.refused || s.state == subEnded {
			return fmt.Errorf("%s → %s: %d asked for and not seen; sent %d, received %d, refused %d; state %d",
				n.name, s.consumer.name, s.asks, s.sent, s.received, s.refused, s.state)
		}
		if s.state == subActive && n.in == nil == (s.consumer.out == nil) && s.pending == 0 && !s.void {
			return fmt.Errorf("%s asks %s for nothing", s.consumer.name, n.name)
		}
		served = served || s.state == subActive
		blocked = blocked || len(s.consumer.in.queue) > 0 // nobody asks it: what it has is looked at there
	}
	if n.life != running && n.life != finishing || !served {
		return nil
	}
	if o.disp.Live() > 0 {
		switch {
		case waits > 0:
			return fmt.Errorf("%s: %d events wait, and somebody asks for %d", n.name, waits, o.disp.Live())
		case n.in != nil && len(n.in.queue) > 0:
			return fmt.Errorf("%s: input waits, and somebody asks for %d", n.name, o.disp.Live())
		case n.in == nil && n.life == running && w.next <= w.plan.Events:
			return fmt.Errorf("stuck: %d events are asked for, and the source, which has some, is not asked", o.disp.Live())
		}
	}
	if n.life == finishing && !blocked {
		return fmt.Errorf("%s is done and does not complete", n.name)
	}
	return nil
}

// eachInOnePlace: no event is lost that is not counted, and none is in two places.
func (n *node) eachInOnePlace() error {
	if n.w.plan.All && n.isLast() {
		return nil // everyone has it
	}
	places := make([]int, n.w.plan.Events+1)
	if n.out.disp != nil {
		for _, e := range Clone(n.out).buf.Take(math.MaxInt) {
			places[e]++
		}
	}
	for e, k := range n.out.begun {
		places[e] += int(k)
	}
	var lost int64
	for _, c := range n.w.nodes {
		if c.in == nil || c.in.source != n {
			continue
		}
		lost += c.inputLost
		for _, e := range c.in.hand {
			places[e]++
		}
		for _, m := range c.in.queue {
			for _, e := range m.events {
				places[e]++
			}
		}
	}
	var gone int64
	for e, k := range places {
		switch {
		case k > 1:
			return fmt.Errorf("event %d is in %d places", e, k)
		case k == 0 && n.made(e):
			gone++
		}
	}
	counted := lost + n.out.lost + n.out.droppedAll
	if n.out.disp != nil {
		counted += int64(n.inQueues())
	}
	if gone != counted {
		return fmt.Errorf("%s: %d events are nowhere, %d are counted as lost, dropped or queued", n.name, gone, counted)
	}
	return nil
}

// made reports whether a stage has emitted an event.
func (n *node) made(e int) bool {
	if n.in == nil {
		return e > 0 && e < n.w.next
	}
	return n.out.made != nil && n.out.made[e]
}
