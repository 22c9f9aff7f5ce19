package explore

import (
	"slices"

	"github.com/go-genstage/genstage/stage"
)

// What a stage does with what it emits, as in stage/emit.go and stage/ask_source.go.

// emit dispatches events, behind what waits already; the rest waits.
func (n *node) emit(events []int) {
	o, k := n.out, int64(len(events))
	o.emitted += k
	if n.in != nil {
		if o.made == nil {
			o.made = make([]bool, n.w.plan.Events+1)
		}
		for _, e := range events {
			o.made[e] = true
		}
	}
	o.owed = max(0, o.owed-k)
	if o.buf.Len() == 0 || n.w.plan.Wrong == Debt {
		events = n.dispatch(events)
	}
	if discarded := o.buf.Put(events); len(discarded) > 0 {
		n.w.violated("%s: an unlimited buffer discards", n.name)
	}
	n.conclusions()
}

// dispatch hands out events and returns the rest.
func (n *node) dispatch(events []int) []int {
	o := n.out
	live := o.disp.Live()
	before := n.inQueues()
	rest := o.disp.Dispatch(events, n)
	if len(rest) > 0 && o.disp.Live() > 0 || int64(len(events)-len(rest)) < min(live, int64(len(events))) {
		n.w.violated("%s: the dispatcher took %d of %d events, with a demand of %d", n.name, len(events)-len(rest), len(events), live)
	}
	n.account(len(events)-len(rest), before)
	return rest
}

func (n *node) account(taken, queued int) {
	o := n.out
	o.emitted -= int64(taken + queued - n.inQueues())
	o.droppedAll += o.dropped
	o.dropped = 0
	o.toldAll = false
}

func (n *node) inQueues() int {
	if q, ok := n.out.disp.(stage.QueueingDispatcher[int]); ok {
		return q.Queued()
	}
	return 0
}

// flush has the dispatcher send what it keeps and has demand for.
func (n *node) flush() {
	if q, ok := n.out.disp.(stage.QueueingDispatcher[int]); ok {
		before := n.inQueues()
		q.Flush(n)
		if n.inQueues() != before {
			n.account(0, before)
		}
		n.conclusions()
	}
}

// Send implements [stage.Outlet], as the methods below do.
func (n *node) Send(id stage.SubID, events []int) {
	o, w := n.out, n.w
	if id < 1 || int(id) > len(o.edges) || o.edges[id-1] == nil {
		w.violated("%s: D1: the dispatcher sends to nobody", n.name)
		return
	}
	s := o.edges[id-1]
	s.sent += int64(len(events))
	s.pending -= int64(len(events))
	switch {
	case s.pending < 0:
		w.violated("%s: D2: %s is sent %d events more than it asked for", n.name, s.consumer.name, -s.pending)
	case len(events) == 0 || cap(events) != len(events):
		w.violated("%s: D7: a slice of %d with room for %d is sent", n.name, len(events), cap(events))
	}
	for _, e := range events {
		n.checkOrder(s, e)
	}
	if !s.down(message{kind: stage.MessageEvents, events: events}) {
		s.refused += int64(len(events))
		o.refused = append(o.refused, refusal{s, events})
	}
}

func (n *node) Filtered(stage.SubID, int) {} // checkLive sees whether they use up demand
func (n *node) Lagged(stage.SubID, int)   { n.w.violated("%s: nobody has Lag", n.name) }
func (n *node) Dropped(k int, _ error)    { n.out.dropped += int64(k) }
func (n *node) Discarded([]int)           { n.w.violated("%s: an unlimited queue discards", n.name) }

func (n *node) Refuse(id stage.SubID, err error) {
	n.w.violated("%s: %d is refused: %v", n.name, id, err)
}

func (n *node) Admit(int, []stage.SubID) stage.Admission {
	n.w.violated("%s: nobody is charged", n.name)
	return stage.Refused
}
func (n *node) Due(any) { n.w.violated("%s: a mark that nobody made is due", n.name) }

// conclusions puts what closed mailboxes refused in front of what waits.
func (n *node) conclusions() {
	refused := n.out.refused
	n.out.refused = nil
	for _, r := range slices.Backward(refused) {
		n.out.disp.Cancel(r.sub.id)
		r.sub.void = true
		n.takeBack(r.sub, r.events)
	}
}

// serveBuffer dispatches what waits, as far as there is demand.
func (n *node) serveBuffer() {
	o := n.out
	n.flush()
	for o.buf.Len() > 0 {
		live := min(n.live(), int64(o.buf.Len()))
		if live <= 0 {
			return
		}
		o.allow = max(0, o.allow-live)
		if rest := n.dispatch(o.buf.Take(int(live))); len(rest) > 0 {
			return // it has been reported
		}
		n.conclusions()
		n.flush()
	}
}

// live is the demand that may be served.
func (n *node) live() int64 {
	switch live := n.out.disp.Live(); n.w.plan.Wrong {
	case Debt:
		return min(live, n.out.allow)
	case NoReask:
		return live - n.out.droppedAll
	default:
		return live
	}
}

// askSource asks for what is open.
func (n *node) askSource() {
	o := n.out
	open := n.live() - o.owed - int64(o.buf.Len())
	if n.w.plan.Wrong == Debt {
		open, o.allow = o.allow, 0
	}
	if open > 0 && n.life == running {
		o.owed += open
	}
}
