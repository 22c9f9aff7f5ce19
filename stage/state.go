package stage

import (
	"math"
	"time"
)

// StateKind says what a stage does, or what it waits for.
type StateKind uint8

const (
	// StateNotRun: it was never run.
	StateNotRun StateKind = iota
	// StateStarting: it waits for its turn, or its pipeline, to begin.
	StateStarting
	// StateBusy: it is at work between two callbacks. Pipelines and supervisors are busy while they run.
	StateBusy
	// StateCallback: it is in the callback that [Stats].Callback names.
	StateCallback
	// StateCalling: its callback waits in Do, or a method like it, of another stage: Of.
	StateCalling
	// StatePushing: its callback waits for room in a [Queue]: Of.
	StatePushing
	// StateForEvents: it waits for events: of its producers or, as a Queue, a channel or a reader, from outside.
	StateForEvents
	// StateForDemand: it waits for its consumers to ask, or for one to come.
	StateForDemand
	// StateForProducer: none of the stages that it is subscribed to runs, or it is subscribed to none.
	StateForProducer
	// StateForBudget: there is demand, and no room in the [Budget] of those who asked.
	StateForBudget
	// StateHolding: all that it asked for has come; it waits for held events to be released, or its
	// children to end.
	StateHolding
	// StateOwing: it was asked for events that its callback did not return, and waits for Do, Tell or, if it was made
	// with [Retry], Wake. Of a producer-consumer: OnDemand holds demand back, and it waits for Wake.
	StateOwing
	// StatePaused: it is a [Poll] that has found nothing, and waits before it looks again.
	StatePaused
	// StateAccumulating: it keeps back demand and events, and waits for Forward.
	StateAccumulating
	// StateCompleting: it is done, and waits for its consumers to begin all events.
	StateCompleting
	// StateForCalls: all its input is complete, OnComplete did not end it, and it waits for Do or Tell.
	StateForCalls
	// StateStuck: functions that were abandoned ([Grace]) have not returned, as Stuck says, whether or not the
	// run has ended.
	StateStuck
	// StateEnded: its last run has ended.
	StateEnded
)

var stateNames = [...]string{
	StateNotRun: "not run", StateStarting: "starting", StateBusy: "busy", StateCallback: "in a callback",
	StateCalling: "waits for a call", StatePushing: "waits for room in a queue", StateForEvents: "waits for events",
	StateForDemand: "waits for demand", StateForProducer: "waits for a producer", StateForBudget: "waits for a budget",
	StateHolding: "holds events", StateOwing: "owes events", StatePaused: "paused", StateAccumulating: "accumulates",
	StateCompleting: "completing", StateForCalls: "waits for Do or Tell", StateStuck: "stuck", StateEnded: "ended",
}

// String returns the kind in words, as "waits for demand".
func (k StateKind) String() string {
	if int(k) < len(stateNames) {
		return stateNames[k]
	}
	return "unknown"
}

// State is what a stage did, or waited for, when its [Stats] were taken.
type State struct {
	Kind StateKind
	Of   string // StateCalling, StatePushing: the name of the stage that is waited for; else ""

	// Since is when that began. The stage reads the clock for it only when somebody has looked: what began
	// before the first Stats of a run is since that first look. Zero for StateNotRun and StateBusy.
	Since time.Time
}

// What a stage does is one word, written by the stage goroutine and read by anyone: in its upper 8 bits a
// StateKind or, from callbackBit on, the name of a callback; below that, in nanoseconds after the first
// look, when it began. 0 below: before that look.
const (
	stampBits   = 56
	callbackBit = 1 << 7
)

// stamp makes the word for something that begins now.
func (c *core) stamp(what uint64) uint64 {
	var since uint64
	if first := c.looked.Load(); first != nil {
		since = uint64(time.Since(*first)) & (1<<stampBits - 1)
	}
	return what<<stampBits | since
}

// begins notes that a callback begins, before c.callback says so, if somebody has looked. What comes behind it
// is noted by rest.
func (c *core) begins(cb callbackName) {
	if c.looked.Load() != nil {
		c.doing.Store(c.stamp(callbackBit | uint64(cb)))
	}
}

// rest notes what the stage waits for, before it parks. What it waited for before, and no callback has begun
// since, it still waits for.
func (c *core) rest(kind StateKind) {
	if c.doing.Load()>>stampBits != uint64(kind) {
		c.doing.Store(c.stamp(uint64(kind)))
	}
}

// waits says what the stage waits for when it parks, as far as its goroutine knows it. The rest is found by who
// looks: see state.
func (r *run[In, Out]) waits() StateKind {
	kind := r.waitsWithoutBudget()
	if kind == StateForDemand && r.def.out != nil && r.budgeting != nil && r.budgeting.Blocked() > 0 {
		return StateForBudget
	}
	return kind
}

// waitsWithoutBudget is waits as if there were room in all budgets.
func (r *run[In, Out]) waitsWithoutBudget() StateKind {
	switch {
	case !r.initialized:
		return StateStarting
	case r.finishing && r.heldNow.Load() > 0:
		return StateHolding
	case r.accumulating:
		return StateAccumulating
	case r.finishing && r.def.out != nil && (r.somethingWaits() || r.expansion != nil):
		return StateForDemand
	case r.finishing:
		return StateCompleting
	case r.def.in != nil:
		return r.inputWaits()
	default:
		return r.sourceWaits()
	}
}

// inputWaits is waits of a stage that consumes.
func (r *run[In, Out]) inputWaits() StateKind {
	unbegun := r.queueHead < len(r.queue) || r.expansion != nil
	switch {
	case unbegun && r.def.onDemand != nil && r.disp.Live() > int64(r.buf.Len()):
		return StateOwing
	case unbegun || r.def.out != nil && r.buf.Len() > 0:
		return StateForDemand
	case r.inputDone:
		return StateForCalls
	default:
		return StateForEvents
	}
}

// sourceWaits is waits of a producer.
func (r *run[In, Out]) sourceWaits() StateKind {
	switch {
	case !r.released:
		return StateStarting
	case r.timer != nil:
		return StatePaused
	case r.feed != nil && r.feedOpen() > 0:
		return StateForEvents
	case r.owed > 0 && r.disp.Live() > int64(r.buf.Len()):
		return StateOwing
	default:
		return StateForDemand
	}
}

// look makes the stage keep the time from now on, and returns since when it does.
func (c *core) look(now time.Time) time.Time {
	if c.looked.Load() == nil {
		c.looked.CompareAndSwap(nil, &now)
	}
	return *c.looked.Load()
}

// state says what a stage that has not ended does, given the rest of its Stats. Safe for concurrent use.
func (r *run[In, Out]) state(s *Stats) State {
	first := r.look(s.At)
	word, callback := r.doing.Load(), r.callback.Load()
	for again := r.doing.Load(); word != again; again = r.doing.Load() {
		word, callback = again, r.callback.Load()
	}
	what := word >> stampBits
	since := first.Add(time.Duration(word & (1<<stampBits - 1)))
	if callback&abandoned != 0 {
		return State{Kind: StateStuck, Since: s.At} // until Stuck says since when
	}
	s.Callback = callbackNames[callback]
	switch {
	case callback == uint32(inNone) && what&callbackBit != 0:
		return State{Kind: StateBusy}
	case callback == uint32(inNone):
		return State{Kind: r.refine(StateKind(what), s), Since: since}
	case what&callbackBit == 0: // it began before the first look
		since = first
	}
	kind, of := StateCallback, ""
	if target := r.waitingFor(); target != nil {
		kind, of = StateCalling, target.name()
	} else if queue := r.pushing.Load(); queue != nil {
		kind, of = StatePushing, queue.conf.name
	}
	return State{Kind: kind, Of: of, Since: since}
}

// refine tells apart what the stage goroutine does not, as it would have to look at each subscription.
func (r *run[In, Out]) refine(kind StateKind, s *Stats) StateKind {
	if kind != StateForEvents || r.def.in == nil {
		return kind
	}
	coming, served := false, false
	for _, up := range s.Upstreams {
		coming = coming || up.Open > 0 || up.InMailbox > 0
		served = served || !up.Waiting
	}
	switch {
	case !coming && s.Input.InHand > 0:
		return StateHolding
	case !served:
		return StateForProducer
	default:
		return kind
	}
}

// openDemand returns how many events may be sent now. multicast: to all of them.
func openDemand(downstreams []SubscriptionStats, multicast bool) int64 {
	var sum int64
	least, most := int64(math.MaxInt64), int64(0)
	lagging := 0
	for _, d := range downstreams {
		if sum += d.Open; sum < 0 {
			sum = math.MaxInt64
		}
		if d.Lag > 0 {
			lagging++
			most = max(most, d.Open)
		} else {
			least = min(least, d.Open)
		}
	}
	switch {
	case !multicast || len(downstreams) == 0:
		return sum
	case lagging == len(downstreams):
		return most
	default:
		return least
	}
}
