// Package stagetest is for tests of what is built of stages: probes that a test leads by hand, the ledger, and a suite of
// checks for dispatchers. It needs nothing but the standard library.
//
// # Probes
//
// A [Producer] emits what the test has it emit and says what it was asked for; a [Consumer] asks for what the test asks
// for and says what it got. [Start] runs them, together with what is tested between them, in a bubble of
// [testing/synctest]:
//
//	synctest.Test(t, func(t *testing.T) {
//		in := stagetest.NewProducer[int](t)
//		double := newDouble() // a producer-consumer, to be tested
//		double.SubscribeTo(in, stage.MaxDemand(2), stage.MinDemand(0))
//		out := stagetest.Consume(t, double)
//		run := stagetest.Start(t, in, double, out)
//
//		in.ExpectDemand(2)
//		in.Emit(1, 2)
//		out.ExpectNone() // it has not asked
//		out.Ask(1)
//		out.Expect(2)
//		in.Complete()
//		out.Ask(5)
//		out.Expect(4)
//		out.ExpectComplete()
//		run.ExpectEnd(nil)
//	})
//
// Each of these calls first waits until every goroutine of the bubble is blocked: then nothing more can happen by itself.
// So there are no time-outs, and "nothing comes" is checked as surely as "this comes". Time passes in time.Sleep only.
//
// # The ledger
//
// Every event is accounted for, in [stage.Stats], whenever all stages are at rest. [Ledger] checks that, [Ended] also that
// the stages have ended and none of their events was left between them. Start checks the ledger when the test ends.
//
// # Dispatchers
//
// Who writes a [stage.Dispatcher] calls [TestDispatcher] in a test, [FuzzDispatcher] in a fuzz target.
//
//	func TestRoundRobin(t *testing.T) {
//		stagetest.TestDispatcher(t, newRoundRobin)
//	}
//
// The rules D1 to D7 and D14 are those of [stage.Dispatcher] and of docs/protocol.md:
//
//   - D1: only subscribers are sent events.
//   - D2: no subscriber is sent more events than it asked for.
//   - D3: Dispatch takes Live events if it is given as many, and returns rest only when Live is 0. Live is not more
//     than what was asked for, and when all subscribers have open demand it is not 0.
//   - D4: each event that is taken is sent, kept or reported to the Outlet, once; never twice to one subscriber.
//   - D5: each subscriber is sent its events in the order in which they were given; marks keep their place.
//   - D6: an error of Subscribe changes nothing.
//   - D7: a slice that is sent has cap equal to len.
//   - D14: a subscriber that is charged is sent what Admit admitted, all of that, and nothing else; one that was refused an event is not asked
//     about again before Wake.
//
// A failure names the rule, and prints the operations that lead to it, as few as were found, and the seed.
package stagetest

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/go-genstage/genstage/stage"
)

// Option changes what is tested.
type Option func(*config)

type config struct {
	request func(i int) stage.Request[int]
	seed    uint64
	runs    int
	length  int
}

// Requests sets what the i-th subscriber brings along for the dispatcher: a partition's Key, a Where, a Lag. By
// default it is nothing but the Consumer, another for each i. A request may be refused: then it must change nothing.
func Requests(request func(i int) stage.Request[int]) Option {
	return func(c *config) { c.request = request }
}

// Seed sets the first seed of the random operations, 1 by default. Each run takes the next one; for [FuzzDispatcher] it makes the inputs to
// begin with.
func Seed(seed uint64) Option { return func(c *config) { c.seed = seed } }

// Runs sets how many runs of random operations are made: 500 by default, a tenth of that with -short; with 0 only the short
// cases are played. It has no effect on [FuzzDispatcher].
func Runs(n int) Option { return func(c *config) { c.runs = n } }

func configure(opts []Option) config {
	c := config{seed: 1, runs: 500, length: 200}
	if testing.Testing() && testing.Short() {
		c.runs = 50
	}
	c.request = func(i int) stage.Request[int] { return stage.Request[int]{Consumer: i} }
	for _, o := range opts {
		o(&c)
	}
	return c
}

// TestDispatcher holds the dispatchers that make makes against the rules: by short cases, and by random operations.
// It makes a fresh one for each. The events are different integers, given in rising order; the dispatcher must
// pass them on as they are. It must do the same when the same is done to it again. A run has 200 operations.
func TestDispatcher(t *testing.T, make stage.DispatcherFactory[int], opts ...Option) {
	t.Helper()
	c := configure(opts)
	for _, scene := range scenes {
		t.Run(scene.name, func(t *testing.T) {
			if v := c.try(make, scene.ops); v != nil {
				t.Error(v)
			}
		})
	}
	t.Run("random operations", func(t *testing.T) {
		if v := c.search(make); v != nil {
			t.Error(v)
		}
	})
}

// FuzzDispatcher is the body of a fuzz target: it reads operations from what the fuzzer makes up, and holds the dispatchers that
// make makes against the rules, as [TestDispatcher] does.
//
//	func FuzzRoundRobin(f *testing.F) { stagetest.FuzzDispatcher(f, newRoundRobin) }
func FuzzDispatcher(f *testing.F, make stage.DispatcherFactory[int], opts ...Option) {
	f.Helper()
	c := configure(opts)
	random := rand.New(rand.NewPCG(c.seed, 0))
	for range 8 {
		seed := []byte{}
		for range 60 {
			seed = append(seed, byte(random.Uint32()))
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var ops []op
		for data = data[:min(len(data), 3*c.length)]; len(data) >= 3; data = data[3:] {
			ops = append(ops, decode(data[0], data[1], data[2]))
		}
		if v := c.try(make, ops); v != nil {
			t.Fatal(v)
		}
	})
}

// search looks for a violation with random operations.
func (c *config) search(make stage.DispatcherFactory[int]) *violation {
	for seed := c.seed; seed < c.seed+uint64(c.runs); seed++ {
		random := rand.New(rand.NewPCG(seed, 0))
		var ops []op
		for range c.length {
			ops = append(ops, decode(byte(random.Uint32()), byte(random.Uint32()), byte(random.Uint32())))
		}
		if v := c.try(make, ops); v != nil {
			v.seed = fmt.Sprintf("seed %d", seed)
			return v
		}
	}
	return nil
}

// try plays operations; what breaks a rule is made as short as possible.
func (c *config) try(make stage.DispatcherFactory[int], ops []op) *violation {
	v := c.judge(make, ops)
	if v == nil {
		return nil
	}
	for shorter := true; shorter; {
		shorter = false
		for size := max(1, len(ops)/2); size > 0; size /= 2 {
			for i := 0; i+size <= len(ops); {
				fewer := append(append([]op(nil), ops[:i]...), ops[i+size:]...)
				if w := c.judge(make, fewer); w != nil && w.rule == v.rule {
					ops, v, shorter = fewer, w, true
				} else {
					i += size
				}
			}
		}
	}
	return v
}

// judge plays operations once and, when a subscription was refused among them, once more without it: that must make
// no difference.
func (c *config) judge(make stage.DispatcherFactory[int], ops []op) *violation {
	with := c.play(make, ops, nil)
	if with.broken != nil || len(with.refused) == 0 {
		return with.broken
	}
	without := c.play(make, ops, with.refused)
	if at := differ(with.trace, without.trace); at >= 0 {
		if again := c.play(make, ops, nil); differ(with.trace, again.trace) >= 0 {
			return nil // it decides by something else; so nothing can be said
		}
		v := &violation{rule: "D6", log: with.log[:at+1]}
		v.text = fmt.Sprintf("after a refused subscription it does %q, without that subscription %q", with.trace[at], without.trace[at])
		return v
	}
	return nil
}

// differ returns the first place where a and b differ; -1: nowhere.
func differ(a, b []string) int {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	return -1
}
