package stage

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/go-genstage/genstage/internal/demand"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

// T9: what a subscription's consumer asks, from any goroutine, and what its producer takes of it, can be put into one
// order that agrees with real time and in which each operation answers as it did. The search for that order is the one of
// Wing and Gong, which remembers where it has been.

// step is one operation on the counter of asks. call and end are moments: one that ended before another was called
// comes before it.
type step struct {
	add       int64 // 0: the producer takes all
	old       int64 // what the counter held before
	call, end int64
}

// linear reports whether there is a legal order of the steps, at most 32.
func linear(steps []step) bool {
	type place struct {
		done  uint32
		value int64
	}
	seen := map[place]bool{}
	var search func(at place) bool
	search = func(at place) bool {
		if at.done == 1<<len(steps)-1 {
			return true
		}
		if seen[at] {
			return false
		}
		seen[at] = true
		first := int64(math.MaxInt64) // the first end of those that are open: what was called later comes later
		for i, s := range steps {
			if at.done&(1<<i) == 0 {
				first = min(first, s.end)
			}
		}
		for i, s := range steps {
			if at.done&(1<<i) != 0 || s.call > first || s.old != at.value {
				continue
			}
			next := place{at.done | 1<<i, 0}
			if s.add > 0 {
				next.value = demand.Add(at.value, s.add)
			}
			if search(next) {
				return true
			}
		}
		return false
	}
	return search(place{})
}

// history has 8 askers ask twice each while 2 producers take, four times each: 24 steps. (A subscription has one
// producer; two are harder.)
func history(seed uint64, ask func(*atomic.Int64, int64) int64) (steps []step, left int64) {
	var counter, clock atomic.Int64
	steps = make([]step, 24)
	begin := make(chan struct{})
	var all sync.WaitGroup
	do := func(own *rand.Rand, s *step) {
		for range own.IntN(3) {
			runtime.Gosched()
		}
		s.call = clock.Add(1)
		if s.add > 0 {
			s.old = ask(&counter, s.add)
		} else {
			s.old = counter.Swap(0)
		}
		s.end = clock.Add(1)
	}
	for who := range 10 {
		own := rand.New(rand.NewPCG(seed, uint64(who)))
		mine := steps[2*min(who, 8)+4*max(0, who-8):]
		mine = mine[:2+2*(who/8)]
		for i := range mine {
			if who < 8 {
				mine[i].add = 1 + own.Int64N(5)
				if own.IntN(10) == 0 {
					mine[i].add = math.MaxInt64 - own.Int64N(5)
				}
			}
		}
		all.Go(func() {
			<-begin
			for i := range mine {
				do(own, &mine[i])
			}
		})
	}
	close(begin)
	all.Wait()
	return steps, counter.Load()
}

func TestAsksAreLinearizable(t *testing.T) {
	histories := testkit.Rounds(10_000, 200_000)
	for seed := range uint64(histories) {
		steps, left := history(seed, saturate)
		require.True(t, linear(steps), "seed %d: %+v", seed, steps)
		messages, taken := 0, 0 // an ask that finds nothing posts a message, which finds all that was added until then
		for _, s := range steps {
			switch {
			case s.add > 0 && s.old == 0:
				messages++
			case s.add == 0 && s.old > 0:
				taken++
			}
		}
		if left > 0 {
			taken++
		}
		require.Equal(t, messages, taken, "seed %d", seed)
	}
	testkit.Report(t, "T9", histories)
}

// The search finds a counter that loses asks, and one that is not in order.
func TestWhatIsNotLinearizableIsFound(t *testing.T) {
	loses := func(counter *atomic.Int64, n int64) int64 {
		old := counter.Load()
		runtime.Gosched()
		counter.Store(demand.Add(old, n))
		return old
	}
	found := false
	for seed := uint64(0); !found && seed < 10_000; seed++ {
		steps, _ := history(seed, loses)
		found = !linear(steps)
	}
	require.True(t, found)

	for name, c := range map[string]struct {
		steps []step
		legal bool
	}{
		"one after the other":     {[]step{{add: 2, call: 1, end: 2}, {old: 2, call: 3, end: 4}}, true},
		"at the same time":        {[]step{{add: 2, call: 1, end: 4}, {old: 0, call: 2, end: 3}}, true},
		"taken before it came":    {[]step{{old: 2, call: 1, end: 2}, {add: 2, call: 3, end: 4}}, false},
		"overlooked":              {[]step{{add: 2, call: 1, end: 2}, {old: 0, call: 3, end: 4}}, false},
		"taken twice":             {[]step{{add: 2, call: 1, end: 2}, {old: 2, call: 3, end: 5}, {old: 2, call: 4, end: 6}}, false},
		"as much as there can be": {[]step{{add: math.MaxInt64, call: 1, end: 2}, {add: 5, old: math.MaxInt64, call: 3, end: 4}, {old: math.MaxInt64, call: 5, end: 6}}, true},
	} {
		require.Equal(t, c.legal, linear(c.steps), name)
	}
}
