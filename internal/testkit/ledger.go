// Package testkit is what the tests of this module share. It is imported from _test files only.
package testkit

import (
	"fmt"
	"testing"

	"github.com/go-genstage/genstage/stage"
)

// Ledger checks that every event is accounted for, in each of the stages and in the members of
// pipelines: the identities in the documentation of [stage.Stats]. They hold at quiescent points:
// call it when all stages have ended, or after synctest.Wait.
func Ledger(t testing.TB, stages ...stage.Stats) {
	t.Helper()
	for _, s := range stages {
		Ledger(t, s.Members...)
		for _, fault := range faults(s) {
			t.Errorf("ledger of %q: %s\n%+v", s.Stage, fault, s)
		}
	}
}

// Closed checks Ledger and, beyond it, what must hold over all stages together when they have all
// ended and exchanged events with each other only, without Where and Lag: what was sent was received or
// came back.
func Closed(t testing.TB, stages ...stage.Stats) {
	t.Helper()
	Ledger(t, stages...)
	var dispatched, received, takenBack, handedBack int64
	var add func(s stage.Stats)
	add = func(s stage.Stats) {
		if s.Running {
			t.Errorf("%q is still running", s.Stage)
		}
		dispatched += s.Output.Copies
		takenBack += s.Output.TakenBack
		received += s.Input.Received
		handedBack += s.Input.HandedBack
		for _, m := range s.Members {
			add(m)
		}
	}
	for _, s := range stages {
		add(s)
	}
	refused := takenBack - handedBack
	if dispatched != received+refused || refused < 0 {
		t.Errorf("ledger over all stages: %d dispatched, %d received, %d taken back, %d handed back",
			dispatched, received, takenBack, handedBack)
		for _, s := range stages {
			t.Logf("%+v", s)
		}
	}
}

// faults returns what does not add up in one stage.
func faults(s stage.Stats) []string {
	var list []string
	fault := func(format string, args ...any) { list = append(list, fmt.Sprintf(format, args...)) }

	in, out := s.Input, s.Output
	if sum := in.Handled + in.Failed + in.HandedBack + in.Lost + in.Late + in.Queued + in.InHand; in.Received != sum {
		fault("input: received %d, accounted for %d", in.Received, sum)
	}
	came := out.Emitted + out.TakenBack
	if went := out.Dispatched + out.Discarded + out.Dropped + out.Lost + out.Buffered + out.Held; came != went {
		fault("output: emitted and taken back %d, accounted for %d", came, went)
	}
	sent, lags := out.Departed, false
	for _, d := range s.Downstreams {
		sent += d.Sent + d.Filtered + d.Lagged
		lags = lags || d.Lag > 0
	}
	if out.Copies != sent && !(lags && out.Copies > sent) { // the rest waits for those that lag
		fault("output: %d copies dispatched, %d sent, filtered and lagged", out.Copies, sent)
	}
	if out.Copies < out.Dispatched && len(s.Downstreams) > 0 {
		fault("output: dispatched %d, but only %d copies", out.Dispatched, out.Copies)
	}
	for name, n := range map[string]int64{
		"received": in.Received, "handled": in.Handled, "failed": in.Failed, "handed back": in.HandedBack, "input lost": in.Lost,
		"late": in.Late, "queued": in.Queued, "in hand": in.InHand, "emitted": out.Emitted, "taken back": out.TakenBack,
		"dispatched": out.Dispatched, "departed": out.Departed, "discarded": out.Discarded, "dropped": out.Dropped,
		"output lost": out.Lost, "buffered": out.Buffered, "held": out.Held, "waiting tells": s.WaitingTells,
	} {
		if n < 0 {
			fault("%s is %d", name, n)
		}
	}
	for _, sub := range append(s.Upstreams[:len(s.Upstreams):len(s.Upstreams)], s.Downstreams...) {
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
	if s.Running || s.Runs == 0 { // a queue may be filled before its first run
		return list
	}
	if in.Queued+in.InHand+out.Buffered+out.Held+s.WaitingTells != 0 || s.Callback != "" || len(s.Upstreams) > 0 {
		fault("ended, but something is left in it")
	}
	return list
}
