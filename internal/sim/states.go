package sim

import (
	"fmt"
	"strings"
)

// State is something interesting that a campaign must have reached, or it has shown less than it seems.
type State int

// The states.
const (
	BufferFull State = iota
	RefusedEnqueue
	HandBack
	LateHandBack
	Redelivered
	Refused
	AskedTwice
	ZeroDemandWithQueue
	CancelDuringBatch
	CancelWhileEnding
	AfterBehindBuffer
	FailedInEvents
	DoneInEvents
	Panicked
	Exited
	AbortDuringCallback
	ContextCancelled
	HeldLost
	HomeTooLate
	AskAfterEnd
	Shrunk
	Resubscribed
	LateJoin
	JoinedEnding
	KeptBack
	Filtered
	Lagged
	Lagging
	PartitionWithoutOwner
	Dropped
	BroadcastHandBackLost
	StopWithBuffer
	StopDeadline
	Spared
	Abandoned
	PushRefused
	CallGivenUp
	CallTooLate
	CallCycle
	SelfCall
	ChildAgain
	ChildStopped
	RestartWhileDraining
	DeadLetter
	Intensity
	ExpansionCut
	Swizzled
	Waiting
	Saturated
	MemberAgain
	SupervisorAgain
	RestartedTogether
	BackedOff
	FactoryAgain
	FactoryAbandoned
	GaveUp
	SecondRun
	BudgetWaited
	Overdrawn
	WentAlone
	LimitCut
	Adjusted
	WeighFailed
	HolderFailed
	Duplicated
	CallbackAbandoned
	LateResult
	LateInput
	StartedStuck
	LoopEnded
	LoopLeft
	LoopFailed
	LinesRead
	LinesFailed
	states
)

var stateNames = [states]string{
	"buffer full", "refused enqueue", "hand back", "late hand back", "redelivered", "refused", "completion asked twice",
	"zero demand with queue", "cancel during batch", "cancel while ending", "DoAfter behind buffer", "failed in events", "done in events",
	"panic", "Goexit", "abort during callback", "context cancelled", "held lost", "home too late", "ask after end",
	"demand shrunk", "resubscribed", "late join", "joined an ending stage", "kept back", "filtered", "lagged", "lagging",
	"partition without owner", "dropped", "broadcast's hand back lost", "stop with buffer", "stop's deadline", "spared", "abandoned",
	"push refused", "call given up", "call too late", "call cycle", "self call", "child again", "child stopped", "restart while draining",
	"dead letter", "intensity", "expansion cut", "swizzled", "waiting for a source", "saturated",
	"member started again", "supervisor started again", "members restarted together", "restart after a pause", "factory called again", "factory abandoned",
	"supervisor gave up", "second run", "waited for a budget", "budget overdrawn", "heavier than its budget", "limit below what is in use", "weight corrected",
	"weighing failed", "a holder failed", "subscribed twice", "callback abandoned", "late result", "late input", "started while stuck", "loop ended", "loop left", "loop failed",
	"lines read", "lines failed",
}

func (s State) String() string { return stateNames[s] }

// States counts how often each was reached.
type States [states]int64

func (s *States) add(other *States) {
	for i, n := range other {
		s[i] += n
	}
}

// Enough is how many seeds reach all of them: some are rare.
const Enough = 5000

// Missing returns those that were never reached.
func (s *States) Missing() []State {
	var list []State
	for i, n := range s {
		if n == 0 {
			list = append(list, State(i))
		}
	}
	return list
}

// String lists all with their counts.
func (s *States) String() string {
	var b strings.Builder
	for i, n := range s {
		fmt.Fprintf(&b, "%10d  %v\n", n, State(i))
	}
	return b.String()
}
