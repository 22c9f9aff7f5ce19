package sim

import (
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// Standstill says why nothing moves.
type Standstill uint8

// The reasons.
const (
	// AtRest: everybody waits for something from outside, and nothing that is there could go on.
	AtRest Standstill = iota + 1
	// Starving: there are events, and demand for them, and nobody brings them together.
	Starving
	// Deadlocked: a callback waits for what will not happen.
	Deadlocked
)

func (s Standstill) String() string {
	return [...]string{"", "idle", "starved", "deadlocked"}[s]
}

// Classify says why stages that run do not go on. It is for a point at which nothing moves, and no time will
// change that.
func Classify(stats ...stage.Stats) Standstill {
	reason := AtRest
	for _, s := range stats {
		if s.Callback != "" {
			return Deadlocked
		}
		for _, m := range s.Members {
			reason = max(reason, Classify(m))
		}
		if starves(s) {
			reason = max(reason, Starving)
		}
	}
	return reason
}

// starves reports whether a stage has events that it could pass on, or begin.
func starves(s stage.Stats) bool {
	if !s.Running {
		return false
	}
	var open int64
	for _, d := range s.Downstreams {
		open = max(open, d.Asked-d.Sent)
		if d.InMailbox > 0 {
			return true
		}
	}
	emits := s.Kind == "producer" || s.Kind == "producer-consumer"
	return open > 0 && s.Output.Buffered+s.Input.Queued > 0 || !emits && s.Input.Queued > 0
}

// leftovers names the stages that still run, with what they wait for.
func (w *world) leftovers() (list []string) {
	for _, n := range w.nodes {
		if s := n.stage.Stats(); s.Running {
			list = append(list, fmt.Sprintf("%s %s in %+v out %+v up %+v down %+v", n.name, s.Callback, s.Input, s.Output, s.Upstreams, s.Downstreams))
		}
	}
	return list
}

// classify is Classify over the stages of a simulation, and counts what it found.
func (w *world) classify() Standstill {
	var all []stage.Stats
	for _, n := range w.nodes {
		all = append(all, n.stage.Stats())
	}
	return Classify(all...)
}
