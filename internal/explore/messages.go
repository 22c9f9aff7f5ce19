package explore

import (
	"github.com/go-genstage/genstage/internal/demand"
	"github.com/go-genstage/genstage/stage"
)

// message is one entry of a mailbox; docs/protocol.md has their meaning.
type message struct {
	kind   stage.MessageKind
	sub    *subscription
	n      int64 // MessageBegunAll, MessageThatIsAll, MessageConsumerDown
	events []int // MessageEvents, MessageHandBack, MessageConsumerDown
}

// msgStop is what Stop posts.
const msgStop stage.MessageKind = 100

// subscription is what both sides know of one, and what must hold of it.
type subscription struct {
	producer, consumer *node
	run                int // of the consumer

	// the consumer's side
	state    subState
	account  demand.Account
	cancels  bool // it has asked for the end
	goodbye  bool // the producer's last message has arrived
	received int64
	open     int64 // asked for and not begun

	asks int64 // asked for, what the producer has not seen

	// the producer's side
	id      stage.SubID
	served  bool
	pending int64 // asked for and not sent
	sent    int64
	refused int64
	told    int64
	begun   int64
	away    int64
	void    bool // its mailbox has refused events: what it asked for is void

	last int // the last event sent that was never handed back
}

type subState uint8

const (
	subPending subState = iota
	subActive
	subEnded
)

// down puts a message into the mailbox of the consumer's run; false if that has closed.
func (s *subscription) down(m message) bool {
	m.sub = s
	if s.run != s.consumer.run && s.consumer.w.plan.Wrong != NoRef {
		return false
	}
	return s.consumer.post(m)
}

// up puts a message into the producer's mailbox.
func (s *subscription) up(m message) bool {
	m.sub = s
	return s.producer.post(m)
}

// ask adds n to what the producer owes; one message is on its way at the most.
func (s *subscription) ask(n int64) {
	if n == 0 {
		return
	}
	s.open += n
	if s.asks += n; s.asks == n {
		s.up(message{kind: stage.MessageAsk})
	}
}
