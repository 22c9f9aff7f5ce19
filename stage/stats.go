package stage

import (
	"sync"
	"sync/atomic"
	"time"
)

// Stats tells what a stage has done since its run began, what waits in it, and over which
// subscriptions. Every event is accounted for: at every quiescent point (no message on its way,
// no callback in progress)
//
//	Received = Handled + Failed + HandedBack + Lost + Late + Queued + InHand
//	Emitted + TakenBack = Dispatched + Discarded + Dropped + Lost + Buffered + Held
//
// and for a subscription Sent = Received + Refused + InMailbox, and Sent ≤ Asked.
type Stats struct {
	Stage   string
	Kind    string // "producer", "producer-consumer", "consumer", "consumer-supervisor", "pipeline" or "supervisor"
	Running bool
	Runs    int // how often it was run, this run included

	At    time.Time // when these Stats were taken
	State State     // what it does or waits for, and since when; [Explain] says it in words

	Callback     string  // the callback in progress, "" for none
	WaitingTells int64   // told and not begun
	Stuck        []Stuck // functions that were abandoned ([Grace]) and have not returned; also when the run has ended
	Err          error   // why the last run ended, as Run returned it; nil while running

	Input  InputStats  // zero for a producer
	Output OutputStats // zero for a consumer

	Upstreams   []SubscriptionStats // as consumer; those that have not ended
	Downstreams []SubscriptionStats // as producer; those that have not ended, and after the end those that were left

	Children    ChildCounts // of a consumer supervisor
	OldestChild time.Time   // when the child was started that is there longest; zero: there is none

	Members []Stats // of a pipeline or a supervisor: its stages, in order

	Earlier Earlier // the runs of the stage before this one

	Restarts int   // of a supervisor: how often it has started a member again
	Failure  error // of a supervisor: the last failure of a member

	endedAt time.Time // of a run that has ended, for when nothing is stuck in it any more
}

// Earlier is the sum over runs of a stage that have ended, so that no event leaves the books when the stage runs
// again.
type Earlier struct {
	Input  InputStats
	Output OutputStats
}

// InputStats counts the events that came to a stage.
type InputStats struct {
	Received   int64 // taken from the mailbox
	Handled    int64 // finished: the callback returned, or they were released
	Failed     int64 // of callbacks that failed; of children that ended with an error and were not restarted
	HandedBack int64 // not begun, returned to their producers when the stage ended
	Lost       int64 // held when the stage ended, or not begun and no producer left to take them
	Late       int64 // of callbacks and children that were abandoned ([Grace])
	Queued     int64 // waiting to be begun
	InHand     int64 // in a callback, held, or with a child
}

// OutputStats counts the events that a stage emitted.
type OutputStats struct {
	Emitted      int64 // returned by callbacks
	TakenBack    int64 // returned by consumers that had not begun them
	Dispatched   int64 // given to a subscriber, or by a broadcast to all
	Copies       int64 // the same, a broadcast's once for each subscriber: Departed + what waits for subscribers with Lag + Sent, Filtered and Lagged over Downstreams
	Departed     int64 // of those copies, the ones over subscriptions that have ended
	Discarded    int64 // did not fit into the buffer, or into the queue of a partition without subscriber
	Dropped      int64 // by a dispatcher: for nobody
	Lost         int64 // waiting when the stage ended, or handed back to a broadcast
	Buffered     int64 // waiting for demand, in the stage, its dispatcher or, of a [Queue], in that
	InQueue      int64 // of Buffered, those in the Queue
	InDispatcher int64 // of Buffered, those that the dispatcher keeps
	InMailbox    int64 // sent, and waiting in the mailboxes of consumers: the sum of InMailbox over Downstreams; dispatched already
	Held         int64 // kept back while the producer accumulates

	Demand int64 // asked for and not sent, over Downstreams; of a broadcast, what all wait for. Saturates
	Owed   int64 // asked of the callback and not emitted; at the time when the stage last waited, or called it

	LateResults int64 // returned by callbacks that had been abandoned; they are nowhere else in these counts
}

// SubscriptionStats counts what crossed between one producer and one consumer.
type SubscriptionStats struct {
	Producer, Consumer, Label string
	Manual                    bool

	Lag       int   // of the option
	Asked     int64 // saturates at math.MaxInt64
	Sent      int64
	Open      int64 // Asked - Sent: the demand
	Received  int64
	Filtered  int64 // rejected by Where
	Lagged    int64 // not sent, as the subscriber was too slow for its Lag, or it or the producer has ended before
	Refused   int64 // by a mailbox that had closed; the producer has taken them back
	InMailbox int64 // sent and not received
	Finished  int64 // handled and released
	Held      int64
	Waiting   bool // declared, and the producer does not run
}

// tally is what a run counts, and what Stats may read of it while it runs.
type tally struct {
	received, failed, handedBack, inputLost, inputLate, queued atomic.Int64 // written by the stage goroutine
	tells                                                      atomic.Int64
	running                                                    atomic.Bool
	chunkOf                                                    atomic.Pointer[Subscription] // of the last chunk; written by the stage goroutine

	mu sync.Mutex // guards writes to intake.ups, sending.edges and sending.gone; only the stage goroutine writes
}

// outputTally is the part of a run's tally that only a stage which emits has.
type outputTally struct {
	emitted, takenBack, dispatched, departed, discarded, outputLost atomic.Int64 // written by the stage goroutine
	copies, dropped, keptEvents, spokenFor, buffered                atomic.Int64 // written by the stage goroutine
	inDispatcher, owedNow                                           atomic.Int64 // written by the stage goroutine
	forwarding                                                      atomic.Bool
	toAll                                                           atomic.Bool // each event goes to all; written by the stage goroutine
}

// publish brings the gauges up to date.
func (r *run[In, Out]) publish() {
	var spoken, inQueues int64
	if r.accumulating {
		spoken = min(r.disp.Live(), int64(r.buf.Len())) // they wait for nothing but the mode: there is demand for them
	}
	if r.queueing != nil {
		inQueues = int64(r.inQueues())
	}
	if r.spokenFor.Load() != spoken {
		r.spokenFor.Store(spoken)
	}
	if r.inDispatcher.Load() != inQueues {
		r.inDispatcher.Store(inQueues)
	}
	if n := int64(r.buf.Len()) + inQueues - spoken; r.buffered.Load() != n {
		r.buffered.Store(n)
	}
}

// publishOwed brings the gauge of what the source owes up to date.
func (r *run[In, Out]) publishOwed() {
	if r.owedNow.Load() != r.owed {
		r.owedNow.Store(r.owed)
	}
}

// stats is safe for concurrent use. It reads counters one by one: between quiescent points they
// may be a batch apart.
func (r *run[In, Out]) stats() Stats {
	s := Stats{
		Stage: r.name(), Kind: r.h.kind, Running: r.running.Load(), Runs: r.number, At: time.Now(),
		Callback:     r.inProgressNow(),
		WaitingTells: r.tells.Load(),
	}
	if r.earlier != nil {
		s.Earlier = *r.earlier
	}
	if r.kids != nil {
		s.Children, s.OldestChild = r.kids.counts()
	}
	inHand := r.heldNow.Load()
	if sub := r.chunkOf.Load(); sub != nil {
		inHand += sub.holdable.Load()
	}
	r.mu.Lock()
	if r.endedAs != nil {
		s.Err = r.endedAs.reason
		s.State, s.endedAt = State{Kind: StateEnded, Since: r.endedAt}, r.endedAt
		s.WaitingTells = 0 // what is told now is being refused
	}
	for _, e := range r.ups {
		s.Upstreams = append(s.Upstreams, e.stats())
	}
	if r.def.out != nil {
		for _, e := range r.subscribers() {
			s.Downstreams = append(s.Downstreams, e.stats())
		}
		for _, sub := range r.gone {
			s.Downstreams = append(s.Downstreams, sub.stats())
		}
	}
	r.mu.Unlock()
	s.Input = InputStats{
		Received: r.received.Load(), Handled: r.handled.Load(), Failed: r.failed.Load(),
		HandedBack: r.handedBack.Load(), Lost: r.inputLost.Load(), Late: r.inputLate.Load(), Queued: r.queued.Load(), InHand: inHand,
	}
	if r.def.out != nil {
		s.Output = r.outputStats(s.Downstreams)
	}
	if s.State.Kind != StateEnded {
		s.State = r.state(&s)
		if r.def.out != nil {
			s.Output.Demand = openDemand(s.Downstreams, r.toAll.Load())
		}
	}
	r.h.stuck.show(&s)
	return s
}

// outputStats is the part of the stats of a stage that emits, but for Demand. Safe for concurrent use.
func (r *run[In, Out]) outputStats(downstreams []SubscriptionStats) OutputStats {
	s := OutputStats{
		Emitted: r.emitted.Load(), TakenBack: r.takenBack.Load(), Dispatched: r.dispatched.Load(), Departed: r.departed.Load(),
		Copies: r.copies.Load(), Discarded: r.discarded.Load(), Dropped: r.dropped.Load(), Lost: r.outputLost.Load(),
		Buffered: r.buffered.Load(), InDispatcher: r.inDispatcher.Load(),
		Held: r.keptEvents.Load() + r.spokenFor.Load(), Owed: r.owedNow.Load(),
	}
	for _, d := range downstreams {
		s.InMailbox += d.InMailbox
	}
	if r.feed != nil {
		waiting := int64(r.feed.waiting())
		s.Emitted += waiting
		s.Buffered += waiting
		s.InQueue = waiting
	}
	return s
}

func (s *Subscription) stats() SubscriptionStats {
	st := SubscriptionStats{
		Producer: s.Producer(), Consumer: s.Consumer(), Label: s.options.label, Manual: s.options.manual,
		Filtered: s.filtered.Load(), Lagged: s.lagged.Load(), Lag: s.options.lag,
	}
	// Against the way of the events: what is read first is part of what is read next, whatever the other
	// side does meanwhile. The last Stats of a stage stay, but its neighbour may be busy as they are taken.
	st.Finished, st.Held = s.finished.Load(), max(0, s.held.Load())
	st.Received, st.Refused = s.received.Load(), s.refused.Load()
	st.Sent = s.sent.Load()
	st.Asked = s.asked.Load()
	st.InMailbox = st.Sent - st.Received - st.Refused
	st.Open = st.Asked - st.Sent
	st.Waiting = s.waiting.Load()
	return st
}
