package stage

import (
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/internal/mailbox"
)

// The messages that cross between stages, and the two sides of a subscription that they cross
// between. What a stage does on receiving one stands in intake.go, intake_end.go and outlet.go.
//
//	consumer                                   producer
//	   | -- subscribe ------------------------->  |   answered by accepted or refused
//	   | -- ask n ----------------------------->  |   any number of times; they add up
//	   |  <------------------------- events ----  |   never more than was asked
//	   | -- cancel reason --------------------->  |   answered by cancelled
//	   |  <----------------------- that is all -  |   the producer is done, its buffer empty
//	   | -- begun all n ----------------------->  |   n events have come and all are begun
//	   |  <------------------------ complete ---  |   nothing comes behind it
//	   | -- hand back ------------------------->  |   events that came too late to be begun
//	   | -- consumer down --------------------->  |   with the events not begun
//	   |  <-------------------- producer down --  |
//
// A producer that is done asks "that is all" of every subscriber and completes none of them
// before all have begun everything: until then one that dies can still hand events back, and
// another must be there to get them.

// kind says what a message is.
type kind uint8

const (
	// Up, from a consumer to its producer.
	msgSubscribe    kind = iota + 1 // arg *edge[Out]
	msgAsk                          // the amount waits in sub.asks
	msgCancel                       // arg error
	msgBegunAll                     // n: that of the msgThatIsAll it answers
	msgHandBack                     // arg []Out
	msgConsumerDown                 // arg *ending; n: events received so far; those not begun in edge.returned

	// Down, from a producer to its consumer.
	msgAccepted
	msgRefused   // arg error
	msgEvents    // events
	msgThatIsAll // n: events sent so far
	msgComplete
	msgCancelled    // arg error
	msgProducerDown // arg *ending

	// From users' goroutines and timers to a stage.
	msgCall        // arg *call[Out]: Do, Tell
	msgWake        // Wake, or a feed
	msgSubscribeTo // arg *edge[In]: a subscription to make now
	msgChild       // arg *child[In]: it has ended, or its pause before a restart has
	msgSetDemand   // sub, arg [2]int: max and min
	msgMode        // n: modeForward or modeAccumulate
	msgRoom        // sub: there is room for it in its budget
	msgRecheck     // a consumer that was expected has come, or will not
	msgStop        // arg func(*handle) bool: which sources are inside what is being stopped

	// From the launcher, in this order (scope.go).
	msgInit
	msgConnect
	msgRelease
)

// The n of msgMode.
const (
	modeForward int64 = iota
	modeAccumulate
)

// message is one entry of a mailbox. In is what the receiving stage consumes: only events need
// it, everything else is as untyped as it is rare.
type message[In any] struct {
	kind   kind
	sub    *Subscription
	events []In
	arg    any
	n      int64
}

// edge is the typed half of a subscription, made by the consumer for one run of its own and
// shared with one run of the producer.
type edge[T any] struct {
	Subscription

	source *outPort[T]              // set before the edge is shared
	inbox  *mailbox.Box[message[T]] // of the consumer; set before the edge is shared
	in     runID                    // what the consumer's run is part of; set before the edge is shared
	kept   *tenure                  // what a supervisor says of the consumer; set before the edge is shared
	site   string                   // of the call of SubscribeTo; set before the edge is shared
	index  int                      // of the declaration; set before the edge is shared

	dynamic bool // made by Subscribe; set before the edge is shared
	waits   bool // may wait for the producer to run; set before the edge is shared
	until   bool // waits for a first run, or as long as a supervisor will run the producer again; set before the edge is shared

	// owned by the consumer's goroutine
	counted  bool // the pipeline's start waits for its answer
	closed   bool // the producer has said its last word
	replaced bool // another one has taken its place; its end is on its way
	again    bool // takes the place of one whose producer has ended, and has not been accepted yet
	unasked  bool // OnSubscribe refused it or its caller has gone: its end means nothing to the stage

	greedy bool // an ask above the expected maximum has been logged; owned by the producer's goroutine

	replied atomic.Uint32 // 0, then replyGiven or replyUnwanted, once

	replaces  *Subscription // of Resubscribe: ended for this one; set before the edge is shared
	replacing error         // the reason for that

	reply chan error // of Subscribe; nil for a declared subscription

	returned []T // written by the consumer before msgConsumerDown, read by the producer after it

	request Request[T] // to the dispatcher; set before the edge is shared

	// owned by the producer's goroutine
	served *core // the run that serves this edge
	joined int64 // events dispatched before
	told   int64 // events sent when "that is all" was last said; -1 before
	begun  int64 // events that the consumer has confirmed as begun; -1 before
	away   int64 // events that had not reached the consumer when it went: it hands them back
}

const (
	replyGiven    uint32 = iota + 1
	replyUnwanted        // the caller of Subscribe has gone
)

// answer tells the caller of Subscribe what became of it, once; false if nobody waits.
func (e *edge[T]) answer(err error) bool {
	if e.reply == nil || !e.replied.CompareAndSwap(0, replyGiven) {
		return false
	}
	e.reply <- err // has room for one
	return true
}

// MessageKind says what crossed, in a [Message].
type MessageKind uint8

// The kinds of message an observer sees.
const (
	MessageSubscribe    MessageKind = iota + 1 // consumer → producer
	MessageAsk                                 // consumer → producer, N events
	MessageCancel                              // consumer → producer, Reason
	MessageBegunAll                            // consumer → producer: all N events have been begun
	MessageHandBack                            // consumer → producer: N events that were not begun
	MessageConsumerDown                        // consumer → producer, Reason
	MessageAccepted                            // producer → consumer
	MessageRefused                             // producer → consumer, Reason
	MessageEvents                              // producer → consumer, N events
	MessageThatIsAll                           // producer → consumer: done, tell me when you have begun all
	MessageComplete                            // producer → consumer
	MessageCancelled                           // producer → consumer, Reason
	MessageProducerDown                        // producer → consumer, Reason
)

var messageNames = [...]string{
	MessageSubscribe: "subscribe", MessageAsk: "ask", MessageCancel: "cancel", MessageBegunAll: "begun all",
	MessageHandBack: "hand back", MessageConsumerDown: "consumer down", MessageAccepted: "accepted",
	MessageRefused: "refused", MessageEvents: "events", MessageThatIsAll: "that is all",
	MessageComplete: "complete", MessageCancelled: "cancelled", MessageProducerDown: "producer down",
}

// String returns the name of the kind, as "ask".
func (k MessageKind) String() string {
	if int(k) < len(messageNames) && messageNames[k] != "" {
		return messageNames[k]
	}
	return "unknown"
}

// Message is one message of the protocol, as an observer sees it at the moment it is sent.
type Message struct {
	Kind   MessageKind
	From   string // name of the sending stage
	To     string // name of the receiving stage
	Sub    *Subscription
	N      int64 // events asked, sent, begun or handed back
	Events any   // MessageEvents: the batch, a slice of the producer's type; not to be modified
	Reason error // MessageCancel, MessageRefused, MessageCancelled, the two downs
	At     time.Time
}

// observed translates for observers; 0 for messages that don't cross between stages.
var observed = [...]MessageKind{
	msgSubscribe: MessageSubscribe, msgAsk: MessageAsk, msgCancel: MessageCancel, msgBegunAll: MessageBegunAll,
	msgHandBack: MessageHandBack, msgConsumerDown: MessageConsumerDown, msgAccepted: MessageAccepted,
	msgRefused: MessageRefused, msgEvents: MessageEvents, msgThatIsAll: MessageThatIsAll,
	msgComplete: MessageComplete, msgCancelled: MessageCancelled, msgProducerDown: MessageProducerDown,
}
