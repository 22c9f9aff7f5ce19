package explore

import (
	"github.com/go-genstage/genstage/internal/buffer"
	"github.com/go-genstage/genstage/stage"
)

// outlet is the emitting half of a stage, as in stage/outlet.go.
type outlet struct {
	disp  stage.Dispatcher[int]
	buf   *buffer.Buffer[int, int]
	edges []*subscription // that are served, by id from 1 on; nil: has left
	owed  int64           // asked of the source and not emitted
	debt  int64           // see [Debt]
	allow int64           // see [Debt]
	made  []bool          // by event: it has been emitted; of a stage with an intake
	begun []uint8         // by event: it has been begun; where each goes to all, by whom

	toldAll    bool
	comingBack int64
	completed  bool            // it has ended, normally
	late       []*subscription // that came when it was ending

	refused []refusal // of the dispatch in progress
	dropped int64

	emitted          int64 // and taken back, less those that are accounted for
	droppedAll, lost int64
	excused          int64 // of those lost, the ones that nobody had to wait for

	last int         // the last event sent that was never handed back
	of   map[any]int // the same for each partition
}

type refusal struct {
	sub    *subscription
	events []int
}

// subscribed takes a new consumer.
func (n *node) subscribed(s *subscription) {
	o, p := n.out, n.w.plan
	o.edges = append(o.edges, s)
	s.id = stage.SubID(len(o.edges))
	r := stage.Request[int]{Consumer: s.consumer.name}
	if s.consumer.out == nil {
		if i := s.consumer.in.place; i < len(p.Wants) {
			r.Where = p.Wants[i]
		}
		if i := s.consumer.in.place; i < len(p.Keys) {
			r.Key = p.Keys[i]
		}
	}
	if err := o.disp.Subscribe(s.id, r); err != nil {
		n.w.violated("%s: Subscribe: %v", n.name, err)
		return
	}
	s.served, o.toldAll = true, false
	s.down(message{kind: stage.MessageAccepted})
}

// edge returns the subscription that a message is about, nil if it has left.
func (n *node) edge(s *subscription) *subscription {
	if n.w.plan.Wrong == NoRef {
		for _, e := range n.out.edges {
			if e != nil && e.consumer == s.consumer && e.served {
				return e
			}
		}
		return nil
	}
	if !s.served {
		return nil
	}
	return s
}

// asked adds what has been asked since the last time.
func (n *node) asked(s *subscription) {
	k := s.asks
	s.asks = 0
	e := n.edge(s)
	if e == nil {
		return
	}
	e.pending += k
	if open := e.pending; open > int64(n.w.plan.Max) {
		n.w.violated("%s holds a demand of %d of %s, whose max is %d", n.name, open, e.consumer.name, n.w.plan.Max)
	}
	if n.w.plan.Wrong == Debt {
		paid := min(n.out.debt, k)
		n.out.debt -= paid
		n.out.allow += k - paid
	}
	n.out.disp.Ask(e.id, k)
}

// consumerGone ends a subscription whose consumer has cancelled or ended.
func (n *node) consumerGone(m message) {
	s := m.sub
	if !s.served {
		n.takeBack(s, m.events)
		return
	}
	n.dropEdge(s)
	if m.kind == stage.MessageCancel {
		s.down(message{kind: stage.MessageCancelled})
		return
	}
	n.takeBack(s, m.events)
	s.away = s.sent - s.refused - m.n
	n.out.comingBack += s.away
}

func (n *node) dropEdge(s *subscription) {
	if n.w.plan.Wrong == Debt {
		n.out.debt += s.pending
	}
	n.out.disp.Cancel(s.id)
	s.served = false
	n.out.edges[s.id-1] = nil
}

// lateHandBack takes events that reached a consumer after it had gone.
func (n *node) lateHandBack(s *subscription, events []int) {
	k := min(s.away, int64(len(events)))
	s.away -= k
	n.out.comingBack -= k
	n.takeBack(s, events)
}

// takeBack puts events where the dispatcher says: in front, or nowhere.
func (n *node) takeBack(s *subscription, events []int) {
	if len(events) == 0 {
		return
	}
	for _, e := range events {
		n.w.back[e] = true
	}
	n.out.emitted += int64(len(events))
	r := stage.Request[int]{Consumer: s.consumer.name}
	if i := s.consumer.in.place; i < len(n.w.plan.Keys) && s.consumer.out == nil {
		r.Key = n.w.plan.Keys[i]
	}
	again, lost := n.out.disp.HandBack(r, events)
	n.out.emitted -= int64(lost)
	n.out.lost += int64(lost)
	if s.cancels && n.life >= completing {
		n.out.excused += int64(len(events))
	}
	n.out.buf.PutFront(again)
}

func (n *node) begunAll(s *subscription, k int64) {
	if s.served && k == s.sent {
		s.begun = k
	}
}

// allBegun reports whether everything emitted has been begun, and asks those that have not said so.
func (n *node) allBegun() bool {
	o := n.out
	if n.somethingWaits() || o.comingBack > 0 {
		return false
	}
	all := true
	for _, s := range o.edges {
		if s == nil {
			continue
		}
		all = all && s.begun == s.sent
		if !o.toldAll && s.told != s.sent {
			s.told = s.sent
			s.down(message{kind: stage.MessageThatIsAll, n: s.sent})
		}
	}
	o.toldAll = true
	return all || n.w.plan.Wrong == Hasty
}

func (n *node) somethingWaits() bool {
	q, ok := n.out.disp.(stage.QueueingDispatcher[int])
	return n.out.buf.Len() > 0 || ok && q.Deliverable() > 0
}

// leaveConsumers says the end to all that are left, and counts what they did not get.
func (n *node) leaveConsumers() {
	o := n.out
	lost, _ := o.buf.Drain()
	lost += n.inQueues()
	o.lost += int64(lost)
	o.emitted -= int64(lost)
	for i, s := range o.edges {
		if s == nil {
			continue
		}
		o.edges[i] = nil
		s.served = false
		kind := stage.MessageProducerDown
		if o.completed {
			kind = stage.MessageComplete
		}
		s.down(message{kind: kind})
	}
	for _, s := range o.late {
		s.down(message{kind: stage.MessageRefused})
	}
	o.disp, o.owed, o.late = nil, 0, nil
}
