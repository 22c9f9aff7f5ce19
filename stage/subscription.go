package stage

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/go-genstage/genstage/internal/demand"
)

// Subscription is one consumer's tie to one producer: the handle for its demand. A callback gets
// it with the events that came over it; OnSubscribe gets it when it begins. It lives within one
// run of either side: a stage that runs again has new ones.
//
// All methods are safe for concurrent use and never block, except Do. What they do is always
// credited to the consumer that subscribed, whoever calls.
type Subscription struct {
	// set before the subscription is shared, read-only after
	options  subscribeConfig
	consumer consumerEnd
	producer *handle
	typed    any // the *edge this is part of

	id SubID // given by the producer on accepting; set before msgAccepted is posted

	tab *tab // of a charged subscription, else nil; set before the subscription is shared

	up atomic.Pointer[upstream] // where asks and cancels go; nil until a producer's run has it

	// owned by the consumer's goroutine
	state   subState
	account account       // nil on a manual subscription; set before the subscription is shared
	slots   *demand.Slots // the account again, of a consumer supervisor's subscription, else nil

	over    atomic.Bool // the consumer has seen the end
	waiting atomic.Bool // for its producer to run; written under the producer's handle.mu

	asks     atomic.Int64 // asked and not yet seen by the producer
	holdable atomic.Int64 // events of the callback in progress that may still be held
	held     atomic.Int64

	asked, received, finished atomic.Int64 // written by the consumer's side
	sent, refused             atomic.Int64 // written by the producer's side
	filtered, lagged          atomic.Int64 // written by the producer's side
}

// account says how much an automatic subscription asks for, and when: a [demand.Account], or
// [demand.Slots] where each event is a child.
type account interface {
	Open(held int64) int64 // the first ask
	Chunk(n int) int       // how many of n events the callback is given
	Handled(n int) int64   // the callback has returned from n events: what to ask for now
	Change(max, min int) int64
}

// subState is where a subscription stands, as its consumer sees it.
type subState uint8

const (
	subNew     subState = iota
	subWaiting          // declared, the producer does not run yet
	subPending          // sent, not answered
	subActive
	subEnded
)

// upstream is what a subscription knows of the producer's run.
type upstream interface {
	postUp(k kind, sub *Subscription, n int64, arg any) bool
}

// consumerEnd is what a subscription knows of the consumer's run.
type consumerEnd interface {
	name() string
	observing() bool
	observe(Message)
	observeAnywhere(Message)
	releaseHeld(n int64)
	beginRelease()
	endRelease()
	changeDemand(sub *Subscription, max, min int) bool
	callIn(ctx context.Context, fn func(context.Context) error) error
	tellIn(fn func(context.Context) error) error
}

// Label returns what [Label] gave the subscription; "" by default.
func (s *Subscription) Label() string {
	if !s.made() {
		return ""
	}
	return s.options.label
}

// made reports whether a stage made the subscription; s may be nil.
func (s *Subscription) made() bool { return s != nil && s.consumer != nil }

// errUnmadeSubscription is the answer of one that no stage made.
var errUnmadeSubscription = fmt.Errorf("%w: a Subscription that is nil, or that no stage made (%w)", ErrInvalidStage, ErrEnded)

// Producer returns the name of the stage that the events come from.
func (s *Subscription) Producer() string {
	if !s.made() {
		return ""
	}
	return s.producer.Name()
}

// Consumer returns the name of the stage that the events go to.
func (s *Subscription) Consumer() string {
	if !s.made() {
		return ""
	}
	return s.consumer.name()
}

// Ask lets the producer send n more events over a subscription made with [Manual]. Asks add up,
// up to math.MaxInt64. It returns [ErrInvalidDemand] for n < 1, [ErrNotManual] on an automatic
// subscription and [ErrEnded] when the consumer has seen the subscription end; then nothing
// changes.
//
// An ask to a producer that has ended a moment ago, or that is done, is no error: it is void,
// and the end comes behind the last event as always.
func (s *Subscription) Ask(n int) error {
	if !s.made() {
		return errUnmadeSubscription
	}
	switch {
	case n < 1:
		return ErrInvalidDemand
	case !s.options.manual:
		return ErrNotManual
	case s.ended():
		return ErrEnded
	}
	s.askAnywhere(int64(n))
	return nil
}

// ask adds n to what the producer owes. One message is pending at the most, whatever is added
// before the producer reads it. The caller is the stage goroutine.
func (s *Subscription) ask(n int64) {
	saturate(&s.asked, n)
	s.observe(MessageAsk, n, nil)
	s.postAsk(n)
}

// askAnywhere is ask on any goroutine.
func (s *Subscription) askAnywhere(n int64) {
	saturate(&s.asked, n)
	s.observeAnywhere(MessageAsk, n, nil)
	s.postAsk(n)
}

func (s *Subscription) postAsk(n int64) {
	if saturate(&s.asks, n) == 0 {
		s.post(msgAsk, 0, nil)
	}
}

// saturate adds n to counter and returns what it was before.
func saturate(counter *atomic.Int64, n int64) int64 {
	for {
		old := counter.Load()
		if counter.CompareAndSwap(old, demand.Add(old, n)) {
			return old
		}
	}
}

// Cancel asks the producer to end the subscription. Events that are on their way still come and
// are handled; then OnCancel is called with [Cancelled] and the reason, and the consumer acts by
// its cancel mode: with [CancelPermanent], the default, it ends with that reason. A nil reason
// is a normal end. It returns [ErrEnded] when the subscription has ended already; a second
// Cancel before that changes nothing.
func (s *Subscription) Cancel(reason error) error {
	if !s.made() {
		return errUnmadeSubscription
	}
	if s.ended() {
		return ErrEnded
	}
	s.cancel(sound(reason))
	return nil
}

// ended reports whether the consumer has seen the end.
func (s *Subscription) ended() bool { return s.over.Load() }

func (s *Subscription) cancel(reason error) {
	s.observeAnywhere(MessageCancel, 0, reason)
	s.post(msgCancel, 0, reason)
}

// post sends a message to the producer's run; false if there is none any more.
func (s *Subscription) post(k kind, n int64, arg any) bool {
	up := s.up.Load()
	return up != nil && (*up).postUp(k, s, n, arg)
}

// SetDemand changes max and min demand of an automatic subscription while it runs. It applies from the
// next message that the consumer handles: more is asked at once if what is outstanding is at most min;
// what has been asked already is not taken back. It returns an error that wraps [ErrInvalidOption] for
// values out of range (see [MaxDemand], [MinDemand]) or a manual subscription, and [ErrEnded] when the
// subscription has ended.
func (s *Subscription) SetDemand(max, min int) error {
	if !s.made() {
		return errUnmadeSubscription
	}
	switch {
	case s.options.manual:
		return fmt.Errorf("%w: SetDemand: the subscription is manual", ErrInvalidOption)
	case max < 1:
		return fmt.Errorf("%w: SetDemand(%d, %d): max must be at least 1", ErrInvalidOption, max, min)
	case min < 0 || min >= max:
		return fmt.Errorf("%w: SetDemand(%d, %d): min must be from 0 to max-1", ErrInvalidOption, max, min)
	case s.ended() || !s.consumer.changeDemand(s, max, min):
		return ErrEnded
	}
	return nil
}

// Hold says that n of the events that the callback in progress received over this subscription
// are not finished when it returns: work on them goes on elsewhere. Until [Subscription.Release]
// says that they are, the stage does not complete and Stop waits. It may be called only by the
// events callback that received them, several times, for at most their number; else it returns an
// error that wraps [ErrInvalidHold]. Call it before the work is handed out: what is not held cannot be released.
// Holding does not touch demand. Events that are held when the stage fails or is aborted are
// counted lost.
func (s *Subscription) Hold(n int) error {
	if !s.made() {
		return errUnmadeSubscription
	}
	if n < 1 {
		return fmt.Errorf("%w: Hold(%d)", ErrInvalidHold, n)
	}
	s.consumer.beginRelease() // an abandoned callback may hold while the run ends
	defer s.consumer.endRelease()
	for {
		free := s.holdable.Load()
		if int64(n) > free {
			return fmt.Errorf("%w: Hold(%d), and %d may be held, by the callback that received them", ErrInvalidHold, n, free)
		}
		if s.holdable.CompareAndSwap(free, free-int64(n)) {
			break
		}
	}
	s.held.Add(int64(n))
	s.consumer.releaseHeld(-int64(n))
	return nil
}

// Release says that n held events are finished. It works until the consumer's run ends, also
// after the subscription has ended. It returns an error that wraps [ErrInvalidHold] for n < 1 or for more than is
// held, and then changes nothing; after the run has ended it returns [ErrEnded]. What a consumer
// supervisor holds for its children is not the caller's to release: [ErrInvalidHold].
func (s *Subscription) Release(n int) error {
	if !s.made() {
		return errUnmadeSubscription
	}
	switch {
	case n < 1:
		return fmt.Errorf("%w: Release(%d)", ErrInvalidHold, n)
	case s.slots != nil:
		return fmt.Errorf("%w: Release(%d): a child holds its event until it ends", ErrInvalidHold, n)
	}
	s.consumer.beginRelease()
	defer s.consumer.endRelease()
	for {
		held := s.held.Load()
		switch {
		case held < 0:
			return ErrEnded
		case int64(n) > held:
			return fmt.Errorf("%w: Release(%d), and %d are held", ErrInvalidHold, n, held)
		case !s.held.CompareAndSwap(held, held-int64(n)):
			continue
		}
		s.finished.Add(int64(n))
		s.tab.finish(int64(n))
		s.consumer.releaseHeld(int64(n))
		return nil
	}
}

// Adjust sets what the oldest event of the subscription that is not finished weighs in its budget ([Charge]), once that is
// known better than weigh could. It may exceed the limit: then nothing more is dispatched until that is paid
// back. 0 counts as 1. It returns [ErrEnded] when there is no such event, and an error that wraps [ErrInvalidOption] for less than
// 0, and on a subscription that is not charged; then nothing changes. Of a consumer supervisor each child corrects its own: [ChargeFrom].
func (s *Subscription) Adjust(units int64) error {
	if !s.made() {
		return errUnmadeSubscription
	}
	return s.tab.adjust(units)
}

// Next is Release(n) and then Ask(n), the way home for one piece of work: n held events are
// finished, and as many more may come. When the subscription has ended it releases, asks nothing
// and returns nil, so that the last results of a completed producer need no special case.
func (s *Subscription) Next(n int) error {
	if !s.made() {
		return errUnmadeSubscription
	}
	if n < 1 {
		return ErrInvalidDemand
	}
	if !s.options.manual {
		return ErrNotManual
	}
	if err := s.Release(n); err != nil {
		return err
	}
	if !s.over.Load() {
		s.askAnywhere(int64(n))
	}
	return nil
}

// Do runs fn on the goroutine of the stage that owns the subscription (the consumer), in the
// same run that the subscription belongs to, and returns when it has returned. It blocks while
// that stage is busy. Results of work that was handed out go home this way: if that run has
// ended, nothing is done and Do returns [ErrEnded].
//
// If ctx ends before fn has begun, Do returns the context's cause and fn never runs. An error of
// fn ends the stage, and Do returns it too; [ErrDone] ends the stage normally, and Do returns
// nil. fn cannot emit. From a callback of the same stage Do returns [ErrSelfCall].
func (s *Subscription) Do(ctx context.Context, fn func(context.Context) error) error {
	if !s.made() {
		return errUnmadeSubscription
	}
	return s.consumer.callIn(ctx, fn)
}

// Tell is Do without waiting: it returns nil when the stage's mailbox has taken fn, [ErrEnded]
// when that run has ended. What is told is not bounded by demand: it is for control and results,
// not for payload.
func (s *Subscription) Tell(fn func(context.Context) error) error {
	if !s.made() {
		return errUnmadeSubscription
	}
	return s.consumer.tellIn(fn)
}

// observe reports a message from the consumer to the producer. The caller is the stage goroutine.
func (s *Subscription) observe(k MessageKind, n int64, reason error) {
	if s.consumer.observing() {
		s.consumer.observe(s.message(k, n, reason))
	}
}

// observeAnywhere is observe on any goroutine.
func (s *Subscription) observeAnywhere(k MessageKind, n int64, reason error) {
	if s.consumer.observing() {
		s.consumer.observeAnywhere(s.message(k, n, reason))
	}
}

func (s *Subscription) message(k MessageKind, n int64, reason error) Message {
	return Message{Kind: k, From: s.Consumer(), To: s.Producer(), Sub: s, N: n, Reason: reason}
}

// Cancellation says how a subscription ended.
type Cancellation struct {
	Kind CancellationKind
	// Reason is why: what Cancel was given, or the producer's end; nil when the producer completed.
	Reason error

	clean bool
	root  *tenure // where the producer's end began; nil if no supervisor knows
}

// CancellationKind tells a cancel from an end of the other stage.
type CancellationKind uint8

const (
	// Cancelled: one side asked for the end.
	Cancelled CancellationKind = iota + 1
	// Down: the other stage ended; with a nil Reason it completed.
	Down
)

// String returns "cancelled" or "down".
func (k CancellationKind) String() string {
	if k == Cancelled {
		return "cancelled"
	}
	return "down"
}
