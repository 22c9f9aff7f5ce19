package explore_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-genstage/genstage/internal/explore"
	"github.com/go-genstage/genstage/internal/testargs"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

type plan = explore.Plan

func demand() (stage.Dispatcher[int], error)    { return stage.Demand[int]() }
func broadcast() (stage.Dispatcher[int], error) { return stage.Broadcast[int]() }

// byThree deals events to partitions 0, 1 and, for nobody, 2.
func byThree() (stage.Dispatcher[int], error) {
	return stage.PartitionBy(func(e int) int { return e % 3 }, 0, 1)()
}

// oneOfThree keeps every third event for partition 0.
func oneOfThree() (stage.Dispatcher[int], error) {
	return stage.PartitionWith(func(e int) (int, int, bool) { return e, 0, e%3 == 0 }, 0)()
}

// halves deals events to two partitions.
func halves() (stage.Dispatcher[int], error) {
	return stage.PartitionBy(func(e int) int { return e % 2 }, 0, 1)()
}

func half(e int) any  { return e % 2 }
func third(e int) any { return e % 3 }

func odd(e int) bool { return e%2 == 1 }

// star is one producer with two consumers.
func star(p plan) plan {
	p.Consumers = 2
	if p.Max == 0 {
		p.Max, p.Min = 2, 1
	}
	if p.Dispatch == nil {
		p.Dispatch = demand
	}
	return p
}

// chain is a producer, a producer-consumer and a consumer.
func chain(p plan) plan {
	p = star(p)
	p.Middle, p.Consumers = true, 1
	return p
}

// beside is a chain whose producer has a consumer more.
func beside(p plan) plan {
	p = chain(p)
	p.Beside = true
	return p
}

var models = []struct {
	name string
	plan plan
	long bool // more than 30,000 states
}{
	{"demand, K=3", star(plan{Events: 3}), false},
	{"demand, K=4, max 3", star(plan{Events: 4, Max: 3, Min: 1}), false},
	{"demand, K=6, max 1", star(plan{Events: 6, Max: 1}), false},
	{"demand, K=3, cancel", star(plan{Events: 3, Cancels: 1}), false},
	{"demand, K=2, cancel, subscribes again", star(plan{Events: 2, Cancels: 1, Again: true}), false},
	{"demand, K=3, crash", star(plan{Events: 3, Crashes: 1}), false},
	{"demand, K=2, crash, restart", star(plan{Events: 2, Crashes: 1, Restart: true}), false},
	{"demand, K=2, 1 unasked, crash", star(plan{Events: 2, Pushes: 1, Crashes: 1}), false},
	{"demand, K=2, ends", star(plan{Events: 2, Ends: true}), false},
	{"demand, K=2, ends, crash", star(plan{Events: 2, Ends: true, Crashes: 1}), false},
	{"demand, K=1, ends, crash, restart", star(plan{Events: 1, Ends: true, Crashes: 1, Restart: true}), false},
	{"demand, K=1, ends, cancel, crash, restart", star(plan{Events: 1, Ends: true, Cancels: 1, Again: true, Crashes: 1, Restart: true}), true},
	{"broadcast, K=2", star(plan{Events: 2, Dispatch: broadcast, All: true}), false},
	{"broadcast, K=2, leaver", star(plan{Events: 2, Dispatch: broadcast, All: true, Cancels: 1}), false},
	{"broadcast, K=4, Where", star(plan{Events: 4, Max: 1, Dispatch: broadcast, All: true, Wants: []func(int) bool{odd, nil}}), false},
	{"broadcast, K=2, crash, ends", star(plan{Events: 2, Max: 1, Dispatch: broadcast, All: true, Crashes: 1, Ends: true}), false},
	{"partition, K=4", star(plan{Events: 4, Dispatch: halves, Keys: []any{0, 1}, Key: half}), false},
	{"partition, K=3, crash, restart", star(plan{Events: 3, Max: 1, Dispatch: halves, Keys: []any{0, 1}, Key: half, Crashes: 1, Restart: true}), false},
	{"partition, K=3, cancel, subscribes again", star(plan{Events: 3, Max: 1, Dispatch: halves, Keys: []any{0, 1}, Key: half, Cancels: 1, Again: true}), false},
	{"filter, K=6, min 0", plan{Events: 6, Max: 2, Consumers: 1, Dispatch: oneOfThree, Keys: []any{0}}, false},
	{"filter, two owners, K=4", star(plan{Events: 4, Dispatch: byThree, Keys: []any{0, 1}, Key: third}), false},
	{"chain, K=3, stop", chain(plan{Events: 3, Stop: true}), false},
	{"chain, K=4, ends, max 3", chain(plan{Events: 4, Ends: true, Max: 3, Min: 1}), false},
	{"chain, K=2, stop, crash", chain(plan{Events: 2, Ends: true, Stop: true, Crashes: 1}), false},
	{"chain, K=2, stop, cancel", chain(plan{Events: 2, Ends: true, Stop: true, Cancels: 1, Again: true}), false},
	{"chain with a consumer beside it, K=2, ends", beside(plan{Events: 2, Ends: true, Max: 1}), false},

	{"chain with a consumer beside it, K=2, ends, crash", beside(plan{Events: 2, Ends: true, Max: 1, Crashes: 1}), true},
	{"demand, K=4, cancel, crash", star(plan{Events: 4, Cancels: 1, Crashes: 1}), true},
	{"demand, K=5, cancel, crash", star(plan{Events: 5, Cancels: 1, Crashes: 1}), true},
	{"demand, K=5, max 3, cancel, crash", star(plan{Events: 5, Max: 3, Min: 1, Cancels: 1, Crashes: 1}), true},
	{"demand, K=3, cancel, crash, restart", star(plan{Events: 3, Cancels: 1, Crashes: 1, Restart: true}), true},
	{"demand, K=4, cancel, crash, restart", star(plan{Events: 4, Cancels: 1, Crashes: 1, Restart: true}), true},
	{"demand, K=2, 2 cancels, 2 crashes", star(plan{Events: 2, Cancels: 2, Again: true, Crashes: 2}), true},
	{"demand, K=2, ends, cancel, crash, restart", star(plan{Events: 2, Ends: true, Cancels: 1, Again: true, Crashes: 1, Restart: true}), true},
	{"demand, K=7, max 1, crash, restart", star(plan{Events: 7, Max: 1, Crashes: 1, Restart: true}), true},
	{"broadcast, K=3, leaver, crash, ends", star(plan{Events: 3, Dispatch: broadcast, All: true, Cancels: 1, Crashes: 1, Ends: true}), true},
	{"partition, K=4, cancel, crash, restart", star(plan{Events: 4, Dispatch: halves, Keys: []any{0, 1}, Key: half, Cancels: 1, Again: true, Crashes: 1, Restart: true}), true},
	{"chain, K=4, stop, cancel, crash", chain(plan{Events: 4, Ends: true, Stop: true, Cancels: 1, Again: true, Crashes: 1}), true},
}

func TestEveryState(t *testing.T) {
	limit := 10_000_000
	if raceEnabled {
		limit = 1_000
	}
	for _, m := range models {
		t.Run(m.name, func(t *testing.T) {
			if m.long && !testargs.Long() {
				t.Skip("-args -long")
			}
			begin := time.Now()
			r := explore.Search(explore.New(&m.plan), limit)
			t.Logf("%s, %v", r, time.Since(begin))
			require.NoError(t, r.Violation, "%s", r)
			require.True(t, raceEnabled || !r.Cut, "there are more states than %d", limit)
		})
	}
}

// Rules that are broken on purpose: what a search cannot find it does not check.
func TestABrokenRuleIsFound(t *testing.T) {
	for _, c := range []struct {
		name  string
		wrong explore.Wrong
		plan  plan
		says  string
	}{
		{"debt", explore.Debt, star(plan{Events: 3, Cancels: 1, Crashes: 1, Restart: true}), "wait, and somebody asks"},
		{"no reask", explore.NoReask, plan{Events: 6, Max: 2, Consumers: 1, Dispatch: oneOfThree, Keys: []any{0}}, "stuck"},
		{"no reference", explore.NoRef, star(plan{Events: 3, Crashes: 1, Restart: true}), "max is 2"},
		{"lossy", explore.Lossy, star(plan{Events: 3, Crashes: 1}), "are nowhere"},
		{"no down", explore.NoDown, star(plan{Events: 2, Ends: true, Crashes: 1, Restart: true}), "state 2"},
		{"overtake", explore.Overtake, chain(plan{Events: 2, Ends: true, Max: 1, Crashes: 1}), "not begun"},
		{"hasty", explore.Hasty, star(plan{Events: 2, Ends: true, Crashes: 1, Restart: true}), "lost"},
		{"careless", explore.Careless, beside(plan{Events: 2, Ends: true, Crashes: 2}), "not told"},
		{"restless", explore.Restless, chain(plan{Events: 4, Max: 2}), "nobody waits for"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if raceEnabled {
				t.Skip("a plain value has no races")
			}
			if c.wrong == explore.Careless && !testargs.Long() {
				t.Skip("-args -long: it takes 220,000 states to find")
			}
			right := explore.Search(explore.New(&c.plan), 20_000)
			require.NoError(t, right.Violation, "%s", right)
			c.plan.Wrong = c.wrong
			r := explore.Search(explore.New(&c.plan), 0)
			t.Logf("%s", r)
			require.Error(t, r.Violation)
			require.ErrorContains(t, r.Violation, c.says)
		})
	}
}

// A copy of a dispatcher goes on as the original does, and a fingerprint tells apart what goes on differently.
func TestACopyGoesOnAsTheOriginal(t *testing.T) {
	for seed := range uint64(50) {
		rng := rand.New(rand.NewPCG(seed, 0))
		var path []explore.Move
		m := explore.New(&models[9].plan)
		for {
			moves := m.Moves()
			if len(moves) == 0 {
				break
			}
			before, kept := explore.Fingerprint(m), explore.Clone(m)
			require.Equal(t, before, explore.Fingerprint(kept))
			move := moves[rng.IntN(len(moves))]
			path = append(path, move)
			require.NoError(t, m.Make(move))
			require.Equal(t, before, explore.Fingerprint(kept), "the copy shares something with the original")
			require.NotEqual(t, before, explore.Fingerprint(m), "%v", path)
			require.NoError(t, kept.Make(move))
			require.Equal(t, explore.Fingerprint(m), explore.Fingerprint(kept), "%v", path)
		}
	}
}
