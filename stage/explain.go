package stage

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Explain says in words, a few lines for each stage, what it does or waits for and since when, where events wait,
// and who has open demand: the answer to why nothing moves. The last line names the stages that it is up to: others
// wait for them, and they wait for no other stage. One that is waited for and was not given is marked so. If there
// are none, the last line names those that wait for each other. Stats of a pipeline stand for its members; stages that
// run by themselves are given one by one. Explain does not block.
//
//	fmt.Println(stage.Explain(pipeline.Stats()))
//
// The text is for people: it may change in any version.
func Explain(stats ...Stats) string {
	x := explanation{known: map[string]Stats{}}
	x.know(stats)
	x.write(stats, "")
	x.conclude(stats)
	return x.text.String()
}

type explanation struct {
	text  strings.Builder
	known map[string]Stats // by name; of two with one name, one
}

func (x *explanation) know(stats []Stats) {
	for _, s := range stats {
		x.known[s.Stage] = s
		x.know(s.Members)
	}
}

// write writes the lines of each stage.
func (x *explanation) write(stats []Stats, indent string) {
	for _, s := range stats {
		since := ""
		if !s.State.Since.IsZero() {
			since = ", " + brief(s.At.Sub(s.State.Since))
		}
		fmt.Fprintf(&x.text, "%s%s %q: %s%s\n", indent, s.Kind, s.Stage, does(s), since)
		for _, more := range []string{whatWaits(s), whoAsks(s), whatChildren(s)} {
			if more != "" {
				fmt.Fprintf(&x.text, "%s    %s\n", indent, more)
			}
		}
		x.write(s.Members, indent+"  ")
	}
}

// conclude names those that the others wait for; if there are none, those that wait for each other.
func (x *explanation) conclude(stats []Stats) {
	var from, ends []string
	x.follow(stats, &from, &ends)
	switch {
	case len(ends) > 0:
		quoted := make([]string, len(ends))
		for i, name := range ends {
			quoted[i] = fmt.Sprintf("%q", name)
			if _, known := x.known[name]; !known {
				quoted[i] += " (not among these stages)"
			}
		}
		fmt.Fprintf(&x.text, "It is up to %s.\n", strings.Join(quoted, ", "))
	case len(from) > 0:
		fmt.Fprintf(&x.text, "They wait for each other: %s.\n", names(from))
	}
}

// follow goes from each stage that has not ended along those that it waits for, to the last ones.
func (x *explanation) follow(stats []Stats, from, ends *[]string) {
	for _, s := range stats {
		if s.State.Kind != StateEnded && s.State.Kind != StateNotRun && len(s.Members) == 0 {
			*from = append(*from, s.Stage)
			x.walk(s.Stage, map[string]bool{}, ends)
		}
		x.follow(s.Members, from, ends)
	}
}

func (x *explanation) walk(name string, seen map[string]bool, ends *[]string) {
	if seen[name] {
		return
	}
	seen[name] = true
	s, known := x.known[name]
	next := waitsFor(s)
	if known && len(next) > 0 {
		for _, other := range next {
			x.walk(other, seen, ends)
		}
	} else if !slices.Contains(*ends, name) {
		*ends = append(*ends, name)
	}
}

// waitsFor names the stages that one waits for; none: it has only itself, or the world outside, to wait for.
func waitsFor(s Stats) []string {
	switch s.State.Kind {
	case StateCalling, StatePushing:
		return []string{s.State.Of}
	case StateForEvents:
		return producers(s, func(up SubscriptionStats) bool { return up.Open > 0 })
	case StateForProducer:
		return producers(s, func(up SubscriptionStats) bool { return up.Waiting })
	case StateForDemand:
		return consumers(s, func(down SubscriptionStats) bool { return down.Open == 0 })
	case StateCompleting, StateForBudget: // whose work makes room
		return consumers(s, func(down SubscriptionStats) bool { return down.InMailbox > 0 || down.Finished < down.Received })
	default:
		return nil
	}
}

func producers(s Stats, which func(SubscriptionStats) bool) (list []string) {
	for _, up := range s.Upstreams {
		if which(up) {
			list = append(list, up.Producer)
		}
	}
	return sorted(list)
}

func consumers(s Stats, which func(SubscriptionStats) bool) (list []string) {
	for _, down := range s.Downstreams {
		if which(down) {
			list = append(list, down.Consumer)
		}
	}
	return sorted(list)
}

// does says what a stage does, after its name and a colon.
func does(s Stats) string {
	callback := "in its callback " + s.Callback
	others := waitsFor(s)
	switch s.State.Kind {
	case StateCallback:
		return callback
	case StateCalling:
		return fmt.Sprintf("%s, which waits in a call of %q", callback, s.State.Of)
	case StatePushing:
		return fmt.Sprintf("%s, which waits for room in %q", callback, s.State.Of)
	case StateForEvents:
		switch {
		case len(others) > 0:
			return "waits for events of " + names(others)
		case len(s.Upstreams) > 0:
			return "has asked for nothing"
		}
		return "waits for events from outside"
	case StateForDemand:
		switch {
		case len(s.Downstreams) == 0:
			return "waits for a subscriber"
		case len(others) == 0:
			return "waits for demand"
		}
		return "waits for demand of " + names(others)
	case StateForBudget:
		return "waits for room in a budget"
	case StateForProducer:
		if len(others) == 0 {
			return "has no subscription"
		}
		return "waits for " + names(others) + " to run"
	case StateHolding:
		if s.Children.Active+s.Children.Restarting > 0 {
			return "waits for its children"
		}
		return "waits for what it holds"
	case StateOwing:
		if s.Kind == kindProducerConsumer {
			return "holds demand back in OnDemand, waits for Wake"
		}
		return fmt.Sprintf("owes %d events, waits for Do, Tell or Wake", s.Output.Owed)
	case StatePaused:
		return "has found nothing, pauses"
	case StateAccumulating:
		return "keeps everything back until Forward"
	case StateCompleting:
		if len(others) == 0 {
			return "is done"
		}
		return "is done, waits for " + names(others) + " to begin everything"
	case StateForCalls:
		return "has had all its input, waits for Do or Tell"
	case StateStuck:
		return "is stuck in " + whatIsStuck(s.Stuck)
	case StateEnded:
		if s.Err != nil {
			return "ended: " + s.Err.Error()
		}
		return "ended"
	default:
		return s.State.Kind.String()
	}
}

// whatIsStuck names what was abandoned.
func whatIsStuck(stuck []Stuck) string {
	var parts []string
	for i, s := range stuck {
		if i == maxShown {
			parts = append(parts, fmt.Sprintf("%d more", len(stuck)-i))
			break
		}
		if part := s.Callback; s.Child != 0 {
			parts = append(parts, fmt.Sprintf("%s %d", part, s.Child))
		} else {
			parts = append(parts, part)
		}
	}
	return strings.Join(parts, ", ")
}

// whatWaits says where events wait.
func whatWaits(s Stats) string {
	var parts []string
	add := func(n int64, where string, args ...any) {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d ", n)+fmt.Sprintf(where, args...))
		}
	}
	for _, up := range s.Upstreams {
		add(up.InMailbox, "sent by %q and not taken", up.Producer)
	}
	add(s.Input.Queued, "not begun")
	add(s.Input.InHand, "in hand")
	add(s.Output.InQueue, "in the queue")
	add(s.Output.InDispatcher, "in the dispatcher")
	add(s.Output.Buffered-s.Output.InQueue-s.Output.InDispatcher, "in the buffer")
	add(s.Output.Held, "kept back")
	add(s.WaitingTells, "tells")
	if len(parts) == 0 {
		return ""
	}
	return "waiting: " + strings.Join(parts, ", ")
}

// whoAsks says who asks for how much.
func whoAsks(s Stats) string {
	if s.State.Kind == StateEnded || len(s.Downstreams) == 0 {
		return ""
	}
	var parts []string
	for _, down := range s.Downstreams {
		parts = append(parts, fmt.Sprintf("%d of %q", down.Open, down.Consumer))
	}
	return "demand: " + strings.Join(sorted(parts), ", ")
}

// whatChildren says how many there are, and how long the oldest has been there.
func whatChildren(s Stats) string {
	if s.OldestChild.IsZero() {
		return ""
	}
	return fmt.Sprintf("children: %d at work, %d to be started again; the oldest for %s",
		s.Children.Active, s.Children.Restarting, brief(s.At.Sub(s.OldestChild)))
}

// brief is d without the digits that nobody reads.
func brief(d time.Duration) string {
	if d > time.Millisecond {
		d = d.Round(time.Millisecond)
	}
	return d.String()
}

// names quotes names, and puts commas between them.
func names(list []string) string {
	quoted := make([]string, len(list))
	for i, name := range list {
		quoted[i] = fmt.Sprintf("%q", name)
	}
	return strings.Join(quoted, ", ")
}

func sorted(list []string) []string {
	slices.Sort(list)
	return list
}
