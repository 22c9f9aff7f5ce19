package batch

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func ms(n int64) time.Time { return epoch.Add(time.Duration(n) * time.Millisecond) }

// collect adds events one millisecond apart and flushes.
func collect(t *testing.T, limits Limits, weigh func(int) int64, events ...int) [][]int {
	t.Helper()
	b, err := New(limits, weigh)
	require.NoError(t, err)
	var done [][]int
	for i, event := range events {
		done, err = b.Add(done, event, ms(int64(i)))
		require.NoError(t, err)
	}
	return b.Flush(done)
}

func self(n int) int64 { return int64(n) }

func TestBatches(t *testing.T) {
	for _, c := range []struct {
		name   string
		limits Limits
		events []int
		want   [][]int
	}{
		{"no event, no batch", Limits{Count: 2}, nil, nil},
		{"by number", Limits{Count: 2}, []int{1, 2, 3}, [][]int{{1, 2}, {3}}},
		{"no empty batch behind a full one", Limits{Count: 2}, []int{1, 2}, [][]int{{1, 2}}},
		{"one at a time", Limits{Count: 1}, []int{1, 2}, [][]int{{1}, {2}}},
		{"by time from the first event on", Limits{Within: 2 * time.Millisecond}, []int{1, 2, 3, 4, 5}, [][]int{{1, 2}, {3, 4}, {5}}},
		{"a full batch is handed out at once", Limits{Weight: 3}, []int{1, 2, 3, 1, 1}, [][]int{{1, 2}, {3}, {1, 1}}},
		{"what no longer fits begins the next", Limits{Weight: 3}, []int{2, 2, 1}, [][]int{{2}, {2, 1}}},
		{"what is too heavy goes alone", Limits{Weight: 3}, []int{1, 9, 1, 1}, [][]int{{1}, {9}, {1, 1}}},
		{"the first limit counts", Limits{Count: 2, Weight: 10, Within: time.Second}, []int{1, 1, 9, 2, 9}, [][]int{{1, 1}, {9}, {2}, {9}}},
		{"weight 0 weighs nothing", Limits{Weight: 1}, []int{0, 0, 0}, [][]int{{0, 0, 0}}},
		{"weights do not overflow", Limits{Weight: math.MaxInt64}, []int{math.MaxInt64 - 1, math.MaxInt64, 2}, [][]int{{math.MaxInt64 - 1}, {math.MaxInt64}, {2}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.want, collect(t, c.limits, self, c.events...))
		})
	}
}

func TestTheTimerIsThatOfTheFirstEvent(t *testing.T) {
	b, err := New[int](Limits{Count: 3, Within: 10 * time.Millisecond}, nil)
	require.NoError(t, err)
	_, ok := b.Next()
	require.False(t, ok, "no batch, no timer")
	require.Empty(t, b.Advance(nil, ms(5)), "no batch, no empty one")
	for i, at := range []int64{7, 12} {
		done, err := b.Add(nil, i, ms(at))
		require.NoError(t, err)
		require.Empty(t, done)
		next, ok := b.Next()
		require.True(t, ok)
		require.Equal(t, ms(17), next)
	}
	require.Empty(t, b.Advance(nil, ms(17).Add(-1)))
	require.Equal(t, 2, b.Len())
	require.Equal(t, [][]int{{0, 1}}, b.Advance(nil, ms(17)))
	require.Empty(t, b.Advance(nil, ms(100)))

	_, err = b.Add(nil, 2, ms(100))
	require.NoError(t, err)
	_, err = b.Add(nil, 3, ms(50))
	require.NoError(t, err)
	done, err := b.Add(nil, 4, ms(110))
	require.NoError(t, err)
	require.Equal(t, [][]int{{2, 3}}, done, "an event before the timer makes no difference")
	require.Equal(t, [][]int{{4}}, b.Flush(nil))
}

func TestAFullBatchIsHandedOutWithItsLastEvent(t *testing.T) {
	for _, limits := range []Limits{{Count: 2}, {Weight: 2}} {
		b, err := New(limits, func(int) int64 { return 1 })
		require.NoError(t, err)
		done, err := b.Add(nil, 1, ms(0))
		require.NoError(t, err)
		require.Empty(t, done)
		done, err = b.Add(done, 2, ms(0))
		require.NoError(t, err)
		require.Equal(t, [][]int{{1, 2}}, done)
	}
}

func TestAClockThatGoesBackStands(t *testing.T) {
	b, err := New[int](Limits{Within: 10 * time.Millisecond}, nil)
	require.NoError(t, err)
	b.Advance(nil, ms(100))
	_, err = b.Add(nil, 1, ms(50))
	require.NoError(t, err)
	next, _ := b.Next()
	require.Equal(t, ms(110), next)
}

func TestANegativeWeightIsAnError(t *testing.T) {
	b, err := New(Limits{Weight: 5}, self)
	require.NoError(t, err)
	_, err = b.Add(nil, 1, ms(0))
	require.NoError(t, err)
	_, err = b.Add(nil, -1, ms(0))
	require.ErrorIs(t, err, ErrWeight)
	require.Equal(t, [][]int{{1}}, b.Flush(nil), "nothing is lost")
}

func TestLimitsOutOfRangeAreNamed(t *testing.T) {
	for _, c := range []struct {
		limits Limits
		want   string
	}{
		{Limits{}, "neither count nor weight nor time"},
		{Limits{Count: -1}, "count -1 is negative"},
		{Limits{Weight: -1}, "weight -1 is negative"},
		{Limits{Count: 1, Within: -time.Second}, "time -1s is negative"},
	} {
		_, err := New[int](c.limits, nil)
		require.EqualError(t, err, "batch: "+c.want)
	}
	require.Panics(t, func() { _, _ = New[int](Limits{Weight: 1}, nil) })
}

// The end comes at each phase of the timer: nothing is lost or empty, and every batch keeps its limits.
func TestNothingIsLostOrEmptyAtAnyPhaseOfTheTimer(t *testing.T) {
	for seed := range uint64(10_000) {
		r := rand.New(rand.NewPCG(seed, 4))
		limits := Limits{Count: r.IntN(4), Weight: r.Int64N(20), Within: time.Duration(r.IntN(12)) * time.Millisecond}
		if limits == (Limits{}) {
			limits.Count = 1
		}
		play(t, limits, r.IntN(30), func(n int64) int64 { return r.Int64N(n) })
	}
}

func FuzzBatches(f *testing.F) {
	f.Add(uint8(3), uint8(9), uint8(5), []byte{1, 2, 3, 4, 200, 6, 7})
	f.Add(uint8(0), uint8(0), uint8(10), []byte{9, 0, 0, 10, 0, 0})
	f.Fuzz(func(t *testing.T, count, weight, within uint8, data []byte) {
		limits := Limits{Count: int(count), Weight: int64(weight), Within: time.Duration(within) * time.Millisecond}
		if limits == (Limits{}) {
			t.Skip("refused")
		}
		n := len(data) / 3
		play(t, limits, n, func(n int64) int64 {
			if len(data) == 0 {
				return 0
			}
			b := data[0]
			data = data[1:]
			return int64(b) % n
		})
	})
}

// play adds n events, each at a random time and with a random weight, lets some of the timers fire, and checks the batches.
func play(t *testing.T, limits Limits, n int, random func(int64) int64) {
	type event struct {
		n      int
		weight int64
		at     time.Time
	}
	b, err := New(limits, func(e event) int64 { return e.weight })
	require.NoError(t, err)
	next, now := 0, int64(0)
	check := func(done [][]event, flush bool) {
		for _, batch := range done {
			require.NotEmpty(t, batch)
			require.Equal(t, len(batch), cap(batch))
			var weight int64
			for _, e := range batch {
				require.Equal(t, next, e.n, "in order, each once")
				next++
				weight += e.weight
			}
			if limits.Count > 0 {
				require.LessOrEqual(t, len(batch), limits.Count)
			}
			if limits.Weight > 0 && len(batch) > 1 {
				require.LessOrEqual(t, weight, limits.Weight)
			}
			if limits.Within > 0 {
				require.True(t, batch[len(batch)-1].at.Before(batch[0].at.Add(limits.Within)))
			}
			full := limits.Count > 0 && len(batch) == limits.Count || limits.Weight > 0 && weight >= limits.Weight
			over := limits.Within > 0 && !ms(now).Before(batch[0].at.Add(limits.Within))
			heavy := limits.Weight > 0 && next < n // what came next did not fit: checked by the table
			require.True(t, full || over || heavy || flush, "handed out for a reason")
		}
	}
	for i := range n {
		now += random(6)
		if random(3) == 0 {
			check(b.Advance(nil, ms(now)), false)
		}
		done, err := b.Add(nil, event{i, random(25), ms(now)}, ms(now))
		require.NoError(t, err)
		check(done, false)
		if due, ok := b.Next(); ok {
			require.True(t, due.After(ms(now)))
		}
	}
	now += random(20)
	if random(2) == 0 {
		check(b.Advance(nil, ms(now)), false)
	}
	check(b.Flush(nil), true)
	require.Equal(t, n, next, "all of them")
	require.Zero(t, b.Len())
	require.Empty(t, b.Flush(nil))
}
