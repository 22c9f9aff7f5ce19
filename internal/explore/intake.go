package explore

import "github.com/go-genstage/genstage/stage"

// intake is the consuming half of a stage, as in stage/intake.go and stage/work.go.
type intake struct {
	source *node
	place  int             // among the consumers
	subs   []*subscription // of this run
	queue  []message       // arrived and not begun
	handOf *subscription
	hand   []int // arrived and being worked, chunk by chunk

	done, stopping, failed bool
}

// reset makes the state of a new run.
func (i *intake) reset() {
	*i = intake{source: i.source, place: i.place}
}

// current returns the subscription that has not ended, if there is one.
func (i *intake) current() *subscription {
	if len(i.subs) == 0 || i.subs[len(i.subs)-1].state == subEnded {
		return nil
	}
	return i.subs[len(i.subs)-1]
}

func (n *node) accepted(s *subscription) {
	if s.state == subEnded {
		return
	}
	s.state = subActive
	s.ask(s.account.Open(0))
}

func (n *node) arrived(s *subscription, events []int) {
	if s.goodbye {
		n.w.violated("%s: events after the goodbye", n.name)
	}
	if now := n.in.current(); n.w.plan.Wrong == NoRef && now != nil {
		s = now
	}
	n.received += int64(len(events))
	s.received += int64(len(events))
	switch {
	case s.state == subEnded:
		n.handBack(s, events)
	case n.out != nil:
		n.in.queue = append(n.in.queue, message{kind: stage.MessageEvents, sub: s, events: events})
	default:
		n.in.handOf, n.in.hand = s, events
	}
}

func (n *node) upstreamSaid(m message) {
	if m.kind != stage.MessageThatIsAll {
		if m.sub.goodbye {
			n.w.violated("%s: a second goodbye", n.name)
		}
		m.sub.goodbye = true
	}
	if len(n.in.queue) > 0 && n.w.plan.Wrong != Overtake {
		n.in.queue = append(n.in.queue, m)
		return
	}
	n.heard(m)
}

func (n *node) heard(m message) {
	s := m.sub
	if s.state == subEnded {
		return
	}
	switch m.kind {
	case stage.MessageThatIsAll:
		if n.w.plan.Wrong == Careless {
			m.n = s.received
		}
		s.up(message{kind: stage.MessageBegunAll, n: m.n})
	case stage.MessageRefused: // it came too late
		n.endSubscription(s, s.producer.out.completed)
	default:
		n.endSubscription(s, m.kind == stage.MessageComplete)
	}
}

// endSubscription acts on an end: after a completion the stage is complete, as by mode permanent; after a cancel
// it stays, as by mode temporary. When the stage before it has failed it ends as well.
func (n *node) endSubscription(s *subscription, completed bool) {
	s.state = subEnded
	switch {
	case completed:
		n.in.done = true
	case s.producer.life >= failing: // it is down
		n.in.failed = true
		n.life = failing
	case n.w.plan.Again && !n.in.stopping:
		n.subscribe()
	}
}

// workQueue takes the next delivery in hand when those behind this stage wait for events.
func (n *node) workQueue() {
	for n.life == running && len(n.in.hand) == 0 && len(n.in.queue) > 0 {
		m := n.in.queue[0]
		if m.kind == stage.MessageEvents && n.w.plan.Wrong != Restless && (n.out.buf.Len() > 0 || n.out.disp.Live() == 0) {
			return
		}
		n.in.queue = n.in.queue[1:]
		if m.kind == stage.MessageEvents {
			n.in.handOf, n.in.hand = m.sub, m.events
			return
		}
		n.heard(m)
		n.serveBuffer()
	}
}

// handleChunk is one call of the events callback, and what follows it.
func (n *node) handleChunk() {
	s := n.in.handOf
	k := s.account.Chunk(len(n.in.hand))
	chunk := n.in.hand[:k:k]
	n.in.hand = n.in.hand[k:]
	if len(n.in.hand) == 0 {
		n.in.handOf = nil
	}
	n.begin(s, chunk)
	n.received -= int64(k)
	if n.out != nil {
		n.emit(chunk)
	}
	if s.state == subActive {
		s.ask(s.account.Handled(k))
	}
}

// begin notes that events are given to the callback.
func (n *node) begin(s *subscription, events []int) {
	s.open -= int64(len(events))
	bit := uint8(1)
	if n.w.plan.All && n.out == nil {
		bit <<= n.in.place
	}
	for _, e := range events {
		if s.producer.out.begun[e]&bit != 0 {
			n.w.violated("event %d is begun by %s, and has been begun before", e, n.name)
		}
		s.producer.out.begun[e] |= bit
	}
}

// checkInput completes the stage when its input is complete and handled.
func (n *node) checkInput() {
	if n.life != running || len(n.in.hand) > 0 || len(n.in.queue) > 0 {
		return
	}
	if n.in.done || n.in.stopping && n.in.current() == nil {
		n.finish()
	}
}

// leaveUpstreams ends the subscriptions and hands back what has not been begun.
func (n *node) leaveUpstreams() {
	back := map[*subscription][]int{}
	if len(n.in.hand) > 0 {
		back[n.in.handOf] = n.in.hand
	}
	for _, m := range n.in.queue {
		if m.kind == stage.MessageEvents {
			back[m.sub] = append(back[m.sub][:len(back[m.sub]):len(back[m.sub])], m.events...)
		}
	}
	n.in.handOf, n.in.hand, n.in.queue = nil, nil, nil
	for _, s := range n.in.subs {
		events := back[s]
		switch {
		case s.state != subEnded:
			s.state = subEnded
			if n.w.plan.Wrong == NoDown {
				n.count(s, s.up(message{kind: stage.MessageHandBack, events: events}), len(events))
				continue
			}
			n.count(s, s.up(message{kind: stage.MessageConsumerDown, n: s.received, events: events}), len(events))
		case len(events) > 0:
			n.handBack(s, events)
		}
	}
}

// handBack returns events that came too late to be begun.
func (n *node) handBack(s *subscription, events []int) {
	n.count(s, s.up(message{kind: stage.MessageHandBack, events: events}), len(events))
}

// count books events as handed back or, when nobody is left to take them, as lost.
func (n *node) count(s *subscription, taken bool, k int) {
	n.received -= int64(k)
	if taken {
		return
	}
	n.inputLost += int64(k)
	if s.cancels { // a producer that is done does not wait for one that has cancelled
		n.excused += int64(k)
	}
}
