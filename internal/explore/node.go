package explore

import (
	"github.com/go-genstage/genstage/internal/buffer"
	"github.com/go-genstage/genstage/internal/demand"
	"github.com/go-genstage/genstage/stage"
)

// node is a stage: a producer has no intake, a consumer no outlet.
type node struct {
	w    *world
	name string
	run  int

	box    []message
	closed bool
	life   life

	in  *intake
	out *outlet

	received  int64 // less those that are accounted for
	inputLost int64
	excused   int64 // of those lost, the ones that nobody had to wait for
}

// life is how far a stage has come.
type life uint8

const (
	unborn life = iota // its run has not begun
	running
	finishing  // it is done, and delivers what it emitted
	failing    // next it closes its mailbox
	completing // the same, after a normal end
	leaving    // its mailbox is closed; next it tells its neighbours
	over
)

// open makes the dispatcher and the buffer.
func (n *node) open(dispatch func() (stage.Dispatcher[int], error)) {
	d, err := dispatch()
	if err != nil {
		panic(err)
	}
	n.out.disp, n.out.buf = d, buffer.New[int, int](-1, buffer.KeepLast)
	n.out.begun = make([]uint8, n.w.plan.Events+1)
}

func (n *node) post(m message) bool {
	if n.closed {
		return false
	}
	n.box = append(n.box, m)
	return true
}

func (n *node) receive(m message) {
	switch m.kind {
	case stage.MessageSubscribe:
		n.subscribed(m.sub)
	case stage.MessageAsk:
		n.asked(m.sub)
	case stage.MessageCancel, stage.MessageConsumerDown:
		n.consumerGone(m)
	case stage.MessageHandBack:
		n.lateHandBack(m.sub, m.events)
	case stage.MessageBegunAll:
		n.begunAll(m.sub, m.n)
	case stage.MessageAccepted:
		n.accepted(m.sub)
	case stage.MessageEvents:
		n.arrived(m.sub, m.events)
	case stage.MessageThatIsAll, stage.MessageComplete, stage.MessageCancelled, stage.MessageProducerDown, stage.MessageRefused:
		n.upstreamSaid(m)
	case msgStop:
		n.stopNow()
	}
}

// settle does what has become possible, after every move of a stage.
func (n *node) settle() {
	if n.life != running && n.life != finishing {
		return
	}
	if n.out != nil {
		n.serveBuffer()
	}
	if n.in != nil {
		n.workQueue()
		n.checkInput()
	}
	if n.in == nil {
		n.askSource()
	}
	if n.life == finishing && (n.out == nil || n.allBegun()) {
		n.life = completing
	}
}

func (n *node) stopNow() {
	if n.in == nil {
		n.finish()
	} else {
		n.in.stopping = true
	}
}

// finish ends a stage normally: upstreams are left, what it emitted is delivered.
func (n *node) finish() {
	if n.life != running {
		return
	}
	if n.out == nil {
		n.life = completing
		return
	}
	n.life = finishing
	if n.in != nil {
		n.leaveUpstreams()
	}
}

// fail is a callback that fails, with a chunk in hand if there is one.
func (n *node) fail() {
	n.in.failed = true
	if s := n.in.handOf; len(n.in.hand) > 0 {
		k := s.account.Chunk(len(n.in.hand))
		n.begin(s, n.in.hand[:k])
		n.received -= int64(k)
		n.in.hand = n.in.hand[k:]
	}
	n.life = failing
}

// conclude makes the next step of a stage's end: between the two, others may still send to it.
func (n *node) conclude() {
	if n.life != leaving {
		n.refuse()
		return
	}
	if n.in != nil {
		n.leaveUpstreams()
	}
	if n.out != nil {
		n.leaveConsumers()
	}
	n.life = over
}

// refuse closes the mailbox, and takes what was in it as far as it has events.
func (n *node) refuse() {
	if n.out != nil {
		n.out.completed = n.life == completing
	}
	left := n.box
	n.life, n.closed, n.box = leaving, true, nil
	if n.w.plan.Wrong == Lossy {
		return
	}
	for _, m := range left {
		switch m.kind {
		case stage.MessageEvents:
			n.received += int64(len(m.events))
			m.sub.received += int64(len(m.events))
			n.in.queue = append(n.in.queue, m)
		case stage.MessageConsumerDown:
			if m.sub.served {
				n.dropEdge(m.sub)
			}
			n.takeBack(m.sub, m.events)
		case stage.MessageHandBack:
			n.takeBack(m.sub, m.events)
		case stage.MessageSubscribe:
			n.out.late = append(n.out.late, m.sub)
		}
	}
}

// start begins a run: a new mailbox, and the subscription anew.
func (n *node) start() {
	n.run++
	n.life, n.closed = running, false
	n.in.reset()
	n.subscribe()
}

// subscribe makes a subscription to the source.
func (n *node) subscribe() {
	w := n.w
	s := &subscription{producer: n.in.source, consumer: n, run: n.run, account: demand.NewAccount(w.plan.Max, w.plan.Min), told: -1, begun: -1}
	n.in.subs = append(n.in.subs, s)
	if !s.up(message{kind: stage.MessageSubscribe}) { // it has ended before
		n.endSubscription(s, n.in.source.out.completed)
		n.settle()
	}
}
