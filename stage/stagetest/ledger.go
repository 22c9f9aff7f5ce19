package stagetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/go-genstage/genstage/stage"
)

// Ledger fails the test, without ending it, if an event of the stages is unaccounted for, those of pipelines' members
// included: it says which of the identities in the documentation of [stage.Stats] does not hold, and prints the Stats.
// They hold at quiescent points; call it when the stages have ended, or after synctest.Wait. It does not block.
func Ledger(t testing.TB, stages ...stage.Stage) {
	t.Helper()
	report(t, Faults, stages)
}

// Ended fails the test, without ending it, if one of the stages still runs, or if the ledger over all of them together
// does not add up: beyond [Ledger], that what was sent was received or came back. It is for stages that have exchanged
// events with each other only, and have all been given to it. A subscriber with [stage.Where] or [stage.Lag] that ended
// before its producer leaves figures that cannot be told from a loss: then use Ledger. It does not block.
func Ended(t testing.TB, stages ...stage.Stage) {
	t.Helper()
	report(t, FaultsAtEnd, stages)
}

func report(t testing.TB, find func(...stage.Stats) []string, stages []stage.Stage) {
	t.Helper()
	var stats []stage.Stats
	for _, s := range stages {
		stats = append(stats, s.Stats())
	}
	faults := find(stats...)
	for _, fault := range faults {
		t.Errorf("ledger: %s", fault)
	}
	if len(faults) > 0 {
		for _, s := range stats {
			t.Logf("%+v", s)
		}
	}
}

// Faults is [Ledger] for those who have Stats and no test: it returns what does not add up, each fault with the name of
// its stage, or nil.
func Faults(stats ...stage.Stats) []string {
	var list []string
	for _, s := range stats {
		list = append(list, Faults(s.Members...)...)
		fault := func(format string, args ...any) {
			list = append(list, fmt.Sprintf("%q: ", s.Stage)+fmt.Sprintf(format, args...))
		}
		inputFaults(s, fault)
		outputFaults(s, fault)
		edgeFaults(s, fault)
		negative(s, fault)
		in, out := s.Input, s.Output
		if s.Running || s.Runs == 0 { // a queue may be filled before its first run
			continue
		}
		if in.Queued+in.InHand+out.Buffered+out.Held+s.WaitingTells != 0 || s.Callback != "" || len(s.Upstreams) > 0 {
			fault("ended, but something is left in it")
		}
	}
	return list
}

// FaultsAtEnd is [Ended] for those who have Stats and no test.
func FaultsAtEnd(stats ...stage.Stats) []string {
	list := Faults(stats...)
	var copies, received, takenBack, handedBack int64
	var add func(s stage.Stats)
	add = func(s stage.Stats) {
		if s.Running {
			list = append(list, fmt.Sprintf("%q is still running", s.Stage))
		}
		copies += s.Output.Copies
		takenBack += s.Output.TakenBack
		received += s.Input.Received
		handedBack += s.Input.HandedBack
		for _, m := range s.Members {
			add(m)
		}
	}
	for _, s := range stats {
		add(s)
	}
	refused := takenBack - handedBack
	if copies != received+refused || refused < 0 {
		list = append(list, fmt.Sprintf("over all stages: %d dispatched, %d received, %d taken back, %d handed back",
			copies, received, takenBack, handedBack))
	}
	return list
}

func inputFaults(s stage.Stats, fault func(string, ...any)) {
	in := s.Input
	if sum := in.Handled + in.Failed + in.HandedBack + in.Lost + in.Late + in.Queued + in.InHand; in.Received != sum {
		fault("input: received %d, accounted for %d", in.Received, sum)
	}
}

func outputFaults(s stage.Stats, fault func(string, ...any)) {
	out := s.Output
	came := out.Emitted + out.TakenBack
	if went := out.Dispatched + out.Discarded + out.Dropped + out.Lost + out.Buffered + out.Held; came != went {
		fault("output: emitted and taken back %d, accounted for %d", came, went)
	}
	sent, lags := out.Departed, false
	for _, d := range s.Downstreams {
		sent += d.Sent + d.Filtered + d.Lagged
		lags = lags || d.Lag > 0
	}
	if out.Copies != sent && !(s.Running && lags && out.Copies > sent) { // the rest waits for those that lag
		fault("output: %d copies dispatched, %d sent, filtered and lagged", out.Copies, sent)
	}
	if out.Copies < out.Dispatched && len(s.Downstreams) > 0 {
		fault("output: dispatched %d, but only %d copies", out.Dispatched, out.Copies)
	}
}

func edgeFaults(s stage.Stats, fault func(string, ...any)) {
	for _, sub := range slices.Concat(s.Upstreams, s.Downstreams) {
		edge := sub.Producer + " → " + sub.Consumer
		if sub.Sent > sub.Asked {
			fault("%s: asked %d, sent %d", edge, sub.Asked, sub.Sent)
		}
		if sub.InMailbox < 0 || sub.InMailbox != sub.Sent-sub.Received-sub.Refused {
			fault("%s: sent %d, received %d, refused %d, in mailbox %d", edge, sub.Sent, sub.Received, sub.Refused, sub.InMailbox)
		}
		if sub.Held < 0 || sub.Finished+sub.Held > sub.Received {
			fault("%s: received %d, finished %d, held %d", edge, sub.Received, sub.Finished, sub.Held)
		}
	}
}

func negative(s stage.Stats, fault func(string, ...any)) {
	in, out := s.Input, s.Output
	for _, c := range []struct {
		name string
		n    int64
	}{
		{"received", in.Received},
		{"handled", in.Handled},
		{"failed", in.Failed},
		{"handed back", in.HandedBack},
		{"lost input", in.Lost},
		{"late", in.Late},
		{"queued", in.Queued},
		{"in hand", in.InHand},
		{"emitted", out.Emitted},
		{"taken back", out.TakenBack},
		{"dispatched", out.Dispatched},
		{"departed", out.Departed},
		{"discarded", out.Discarded},
		{"dropped", out.Dropped},
		{"lost output", out.Lost},
		{"buffered", out.Buffered},
		{"held", out.Held},
		{"waiting tells", s.WaitingTells},
	} {
		if c.n < 0 {
			fault("%s is %d", c.name, c.n)
		}
	}
}
