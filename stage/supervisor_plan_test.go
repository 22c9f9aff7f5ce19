package stage

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// newPlan makes a plan whose members all run.
func newPlan(s Strategy, modes ...RestartMode) *plan {
	p := &plan{strategy: s, restarted: intensity{max: DefaultMaxRestarts, within: DefaultRestartsWithin}}
	for _, m := range modes {
		p.members = append(p.members, planned{mode: m})
	}
	return p
}

func sixOf(mode RestartMode) []RestartMode { return slices.Repeat([]RestartMode{mode}, 6) }

// carryOut does what the plan says until it has nothing to do at that moment.
func (p *plan) carryOut(now time.Time) (stopped, startedAgain []int) {
	for i := p.toStop(); i >= 0; i = p.toStop() {
		stopped = append(stopped, i)
		p.ended(i, memberEnd{clean: true, caused: i}, now)
	}
	list, _ := p.toStart(now)
	for _, i := range list {
		p.started(i, now)
	}
	return stopped, list
}

// ownEnd is the end of member i by a failure of its own.
func ownEnd(i int) memberEnd { return memberEnd{caused: i, cause: new(int)} }

// T39: who is stopped, in which order, and who is started, is what OTP's supervisor does.
func TestPlanRestartsWhomOTPRestarts(t *testing.T) {
	for failing := range 6 {
		for strategy, want := range map[Strategy]struct{ stopped, started []int }{
			OneForOne:  {nil, []int{failing}},
			RestForOne: {below(5, failing+1), between(failing, 5)},
			OneForAll:  {without(below(5, 0), failing), between(0, 5)},
		} {
			p := newPlan(strategy, sixOf(RestartTransient)...)
			require.True(t, p.ended(failing, ownEnd(failing), time.Unix(0, 0)))
			stopped, started := p.carryOut(time.Unix(0, 0))
			require.Equal(t, want.stopped, stopped, "%v, %d stops", strategy, failing)
			require.Equal(t, want.started, started, "%v, %d starts", strategy, failing)
			require.False(t, p.over())
		}
	}
}

// between returns first..last, below last..first, without all but one.
func between(first, last int) (list []int) {
	for i := first; i <= last; i++ {
		list = append(list, i)
	}
	return list
}

func below(last, first int) []int {
	list := between(first, last)
	slices.Reverse(list)
	return list
}

func without(list []int, i int) []int {
	return slices.DeleteFunc(list, func(j int) bool { return j == i })
}

// What a neighbour's failure brings about is counted, if the neighbour is not started again for it: else there may be no
// end of it.
func TestPlanCountsWhatNobodyElseCounts(t *testing.T) {
	now := time.Unix(0, 0)
	for what, p := range map[string]*plan{
		"temporary":             newPlan(OneForOne, RestartTemporary, RestartTransient, RestartTransient),
		"it has mended itself":  newPlan(OneForOne, RestartTransient, RestartTransient, RestartTransient),
		"it was stopped anyway": newPlan(OneForOne, RestartTransient, RestartTransient, RestartTransient),
	} {
		p.restarted.max = 1
		cause := new(int)
		switch what {
		case "temporary":
			p.ended(0, memberEnd{caused: 0, cause: cause}, now)
		case "it was stopped anyway":
			p.members[0].state = memberStopping
			p.ended(0, memberEnd{caused: 0, cause: cause}, now)
		}
		for _, i := range []int{1, 2} {
			require.True(t, p.ended(i, memberEnd{caused: 0, cause: cause}, now), "%s: one failure is one restart", what)
			p.started(i, now)
		}
		require.False(t, p.ended(1, memberEnd{caused: 0, cause: new(int)}, now), what)
		require.True(t, p.exceeded, what)
	}
}

// OTP's table of restart types: which end starts a member again.
func TestPlanModes(t *testing.T) {
	for _, c := range []struct {
		mode         RestartMode
		clean, again bool
	}{
		{RestartTemporary, false, false},
		{RestartTemporary, true, false},
		{RestartTransient, false, true},
		{RestartTransient, true, false},
		{RestartPermanent, false, true},
		{RestartPermanent, true, true},
	} {
		for _, s := range []Strategy{RestForOne, OneForOne, OneForAll} {
			p := newPlan(s, c.mode, c.mode)
			require.Equal(t, c.again, p.ended(0, memberEnd{clean: c.clean, caused: 0}, time.Unix(0, 0)), "%+v", c)
			stopped, started := p.carryOut(time.Unix(0, 0))
			require.Equal(t, c.again, len(started) > 0)
			if !c.again {
				require.Empty(t, stopped, "nobody is touched")
				p.ended(1, memberEnd{clean: c.clean, caused: 1}, time.Unix(0, 0))
				require.True(t, p.over())
			}
		}
	}
}

// A group takes along what had ended normally, as OTP does, but not what is temporary: that is stopped and dropped.
func TestPlanGroupTakesAlong(t *testing.T) {
	p := newPlan(OneForAll, RestartTransient, RestartTransient, RestartTemporary, RestartTemporary, RestartPermanent)
	now := time.Unix(0, 0)
	require.False(t, p.ended(1, memberEnd{clean: true, caused: 1}, now))
	require.False(t, p.ended(2, ownEnd(2), now))
	require.True(t, p.ended(0, ownEnd(0), now))
	stopped, started := p.carryOut(now)
	require.Equal(t, []int{4, 3}, stopped)
	require.Equal(t, []int{0, 1, 4}, started)
	require.Equal(t, memberDropped, p.members[3].state)
	for _, i := range []int{0, 1} {
		p.ended(i, memberEnd{clean: true, caused: i}, now)
	}
	require.False(t, p.over(), "the permanent one runs")
}

// T40: 3 restarts in 5 s, the ends of that span included.
func TestPlanIntensityIsExact(t *testing.T) {
	for _, c := range []struct {
		at     []int
		deadly int // which one is too many; 0: none
	}{
		{[]int{0, 1, 2, 3}, 4},
		{[]int{0, 2, 4, 6}, 0},
		{[]int{0, 0, 0, 5}, 4},
		{[]int{0, 0, 0, 6}, 0},
		{[]int{0, 2, 4, 6, 7}, 5},
	} {
		for _, s := range []Strategy{RestForOne, OneForOne, OneForAll} {
			p := newPlan(s, sixOf(RestartTransient)...)
			for n, at := range c.at {
				now := time.Unix(int64(at), 0)
				i := n % 6
				again := p.ended(i, ownEnd(i), now)
				require.Equal(t, n+1 != c.deadly, again, "%v: %v", c.at, n)
				stopped, started := p.carryOut(now)
				if !again {
					require.Equal(t, without(below(5, 0), i), stopped, "all are stopped, in reverse order")
					require.Empty(t, started)
					require.True(t, p.over())
				}
			}
		}
	}
}

// What one failure takes down is one restart; the same failure does not excuse a member twice.
func TestPlanCountsByCause(t *testing.T) {
	now := time.Unix(0, 0)
	p := newPlan(OneForOne, sixOf(RestartTransient)...)
	p.restarted.max = 1
	cause := new(int)
	require.True(t, p.ended(0, memberEnd{caused: 0, cause: cause}, now))
	for i := 1; i < 6; i++ {
		require.True(t, p.ended(i, memberEnd{caused: 0, cause: cause}, now))
	}
	_, started := p.carryOut(now)
	require.Equal(t, between(0, 5), started, "in start order")
	require.False(t, p.ended(3, memberEnd{caused: 0, cause: cause}, now), "again for the same cause: that counts")

	p = newPlan(OneForOne, sixOf(RestartTransient)...)
	p.restarted.max = 1
	outside := new(int)
	for i := range 6 {
		require.True(t, p.ended(i, memberEnd{caused: -1, cause: outside}, now), "one failure outside is one")
	}
	p.carryOut(now)
	require.False(t, p.ended(0, memberEnd{caused: -1, cause: new(int)}, now), "another one is another")

	p = newPlan(OneForOne, sixOf(RestartTransient)...)
	causes := []*int{new(int), new(int), new(int)}
	for _, cause := range causes {
		require.True(t, p.ended(0, memberEnd{caused: 0, cause: cause}, now))
		p.carryOut(now)
	}
	for i, cause := range causes {
		require.True(t, p.ended(1+i, memberEnd{caused: 0, cause: cause}, now), "it ends late: the other one has failed again since")
	}
	require.False(t, p.ended(4, ownEnd(4), now))
}

// A group waits for the longest pause, a single one for its own; the pause grows with restarts in a row, and a long
// run begins anew.
func TestPlanPauses(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	pause := func(n int) time.Duration { return time.Duration(n) * 10 * time.Second }

	p := newPlan(OneForOne, sixOf(RestartTransient)...)
	p.pause = pause
	p.ended(4, ownEnd(4), at(0))
	p.ended(2, ownEnd(2), at(1))
	list, next := p.toStart(at(2))
	require.Empty(t, list)
	require.Equal(t, at(10), next)
	list, _ = p.toStart(at(10))
	require.Equal(t, []int{4}, list)
	p.started(4, at(10))
	_, next = p.toStart(at(10))
	require.Equal(t, at(11), next)
	p.ended(4, ownEnd(4), at(12))
	_, next = p.toStart(at(31))
	require.True(t, next.IsZero() || !next.After(at(32)))
	list, _ = p.toStart(at(32))
	require.Equal(t, []int{2, 4}, list)
	p.started(4, at(32))
	p.ended(4, ownEnd(4), at(38))
	require.Equal(t, at(48), p.members[4].due, "it ran for more than 5 s")

	p = newPlan(RestForOne, sixOf(RestartTransient)...)
	p.pause = pause
	p.ended(3, ownEnd(3), at(0))
	p.ended(1, ownEnd(1), at(5))
	stopped, started := p.carryOut(at(10))
	require.Equal(t, []int{5, 4, 2}, stopped)
	require.Empty(t, started)
	_, next = p.toStart(at(10))
	require.Equal(t, at(15), next)
	_, started = p.carryOut(at(15))
	require.Equal(t, between(1, 5), started)
}

// Whatever ends in whatever order: a plan never starts what runs, stops from the back, starts from the front, and
// comes to rest.
func TestPlanAtRandom(t *testing.T) {
	for seed := range uint64(2000) {
		random := rand.New(rand.NewPCG(seed, 39))
		p := newPlan(Strategy(random.IntN(3)))
		n := 1 + random.IntN(6)
		for range n {
			p.members = append(p.members, planned{mode: RestartMode(random.IntN(3))})
		}
		p.restarted.max = random.IntN(20)
		if random.IntN(2) == 0 {
			p.pause = func(n int) time.Duration { return time.Duration(n) * time.Second }
		}
		runs := slices.Repeat([]bool{true}, n)
		now := time.Unix(0, 0)
		for range 60 {
			now = now.Add(time.Duration(random.IntN(2000)) * time.Millisecond)
			if i := random.IntN(n); runs[i] {
				runs[i] = false
				caused := random.IntN(n+1) - 1
				p.ended(i, memberEnd{clean: random.IntN(3) == 0, caused: caused, cause: new(int)}, now)
			}
			if i := p.toStop(); i >= 0 {
				require.True(t, runs[i], "seed %d: stops what runs", seed)
				for _, m := range p.members[i+1:] {
					require.NotEqual(t, memberStopping, m.state)
				}
				if random.IntN(2) == 0 {
					runs[i] = false
					p.ended(i, memberEnd{clean: true, caused: i}, now)
				}
				continue
			}
			list, next := p.toStart(now)
			require.True(t, slices.IsSorted(list))
			require.True(t, len(list) == 0 || !p.exceeded, "seed %d", seed)
			due := slices.ContainsFunc(p.members, func(m planned) bool { return m.state == memberDue })
			require.Equal(t, due, len(list) > 0 || next.After(now), "seed %d: there is something to do, or a time", seed)
			for _, i := range list {
				require.False(t, runs[i], "seed %d: starts what does not run", seed)
				runs[i] = true
				p.started(i, now)
			}
		}
		require.Equal(t, p.over(), !slices.Contains(runs, true) && !slices.ContainsFunc(p.members, func(m planned) bool { return m.state == memberDue }))
	}
}

// What a stage counts, and no gauge, is in the sum over its runs.
func TestEarlierHasEveryCounter(t *testing.T) {
	gauges := []string{"Queued", "InHand", "Buffered", "InQueue", "InDispatcher", "InMailbox", "Held", "Demand", "Owed"}
	var one Stats
	for _, counts := range []any{&one.Input, &one.Output} {
		v := reflect.ValueOf(counts).Elem()
		for i := range v.NumField() {
			v.Field(i).SetInt(1)
		}
	}
	var e Earlier
	e.add(one)
	e.add(one)
	for _, counts := range []any{e.Input, e.Output} {
		v := reflect.ValueOf(counts)
		for i := range v.NumField() {
			name, want := v.Type().Field(i).Name, int64(2)
			if slices.Contains(gauges, name) {
				want = 0
			}
			require.Equal(t, want, v.Field(i).Int(), name)
		}
	}
}
