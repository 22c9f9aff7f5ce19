package window

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSpansCoverAllOfTime(t *testing.T) {
	times := []time.Time{
		{},
		time.Time{}.Add(-1), time.Time{}.Add(1),
		time.Unix(0, 0), time.Unix(0, -1), epoch, epoch.Add(-1), epoch.Add(123456789),
		time.Date(-5000, 1, 1, 0, 0, 0, 0, time.UTC),
		time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.FixedZone("far", 14*3600)),
		time.Unix(-farthest, 0), time.Unix(farthest, 0),
	}
	durations := []time.Duration{
		1, 7, time.Microsecond, time.Second, 90 * time.Minute, 7 * 24 * time.Hour,
		math.MaxInt64,
	}
	offsets := []time.Duration{0, 1, -1, time.Hour, -time.Hour, math.MinInt64, math.MaxInt64}
	for _, d := range durations {
		for _, offset := range offsets {
			fresh := func() assigner { return assignerOf(Spec{Kind: Fixed, Duration: d, Offset: offset}) }
			one := func(a assigner, at time.Time) Window {
				windows := a.assign(nil, at)
				require.Len(t, windows, 1)
				return windows[0]
			}
			kept := fresh()
			for _, at := range times {
				w := one(fresh(), at)
				require.Equal(t, d, w.End.Sub(w.Start), "%v %v %v", d, offset, at)
				require.False(t, at.Before(w.Start), "%v %v %v", d, offset, at)
				require.True(t, at.Before(w.End), "%v %v %v", d, offset, at)
				require.Equal(t, w, one(kept, at), "whatever was before")
				require.True(t, w == one(fresh(), at.In(time.FixedZone("", 3600))), "a window is one value in all zones")
				require.True(t, w == one(fresh(), w.Start), "the start is inside")
				next := one(fresh(), w.End)
				require.True(t, w.End.Equal(next.Start), "the end is the start of the next: %v %v %v", d, offset, at)
			}
		}
	}
}

func TestSpansBeginAtMultiplesOfTheirDuration(t *testing.T) {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8, time.UTC) // a Wednesday
	for _, c := range []struct {
		d, offset time.Duration
		want      time.Time
	}{
		{time.Hour, 0, time.Date(2026, 3, 4, 5, 0, 0, 0, time.UTC)},
		{24 * time.Hour, 0, time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)},
		{7 * 24 * time.Hour, 0, time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC)}, // a Monday
		{time.Hour, 10 * time.Minute, time.Date(2026, 3, 4, 4, 10, 0, 0, time.UTC)},
		{time.Hour, -10 * time.Minute, time.Date(2026, 3, 4, 4, 50, 0, 0, time.UTC)},
		{time.Hour, -130 * time.Minute, time.Date(2026, 3, 4, 4, 50, 0, 0, time.UTC)},
	} {
		w := assignerOf(Spec{Kind: Fixed, Duration: c.d, Offset: c.offset}).assign(nil, at)[0]
		require.Equal(t, c.want, w.Start, "%v %v", c.d, c.offset)
	}
}

func TestAnEventTimeOutOfRangeIsAnError(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: math.MaxInt64, Lateness: math.MaxInt64, Disorder: math.MaxInt64})
	s := e.AddSource(nil, sec(0))
	for _, at := range []time.Time{time.Unix(farthest+1, 0), time.Unix(-farthest-1, 0), time.Unix(math.MaxInt64, 0), time.Unix(math.MinInt64, 0)} {
		require.ErrorIs(t, e.Add(s, 1, at, sec(0)), ErrTime)
	}
	_, ok := e.Watermark()
	require.False(t, ok, "nothing has changed")
	require.Zero(t, e.Open())
	require.Zero(t, e.Late())
	for i, at := range []time.Time{time.Unix(-farthest, 0), {}, time.Unix(farthest, 0)} {
		require.NoError(t, e.Add(s, i, at, sec(0)))
	}
	e.End()
	require.Len(t, r.take(), 3)
	require.Empty(t, r.late)
}

func TestTheOtherKindsIgnoreTheEventTime(t *testing.T) {
	for _, spec := range []Spec{{}, {Kind: Count, Size: 1}, {Kind: Periodic, Duration: time.Second}} {
		e, r := record(t, spec)
		require.NoError(t, e.Add(nil, 1, time.Unix(math.MinInt64, 0), sec(0)))
		e.End()
		require.Len(t, r.take(), 1)
	}
}

// Event times and windows are of the wall clock: two readings of one instant are the same, with or without a monotonic part.
func TestWindowsOfTheWallClockAreOneValue(t *testing.T) {
	now := time.Now()
	for _, kind := range []Kind{Fixed, Periodic} {
		e, _ := record(t, Spec{Kind: kind, Duration: 1000 * time.Hour})
		s := e.AddSource(nil, now)
		require.NoError(t, e.Add(s, 1, now, now))
		require.NoError(t, e.Add(s, 2, now.Round(0), now.Round(0)))
		require.NoError(t, e.Add(s, 3, now.UTC(), now.UTC()))
		require.Equal(t, 1, e.Open())
		if mark, ok := e.Watermark(); ok {
			require.True(t, mark == now.Round(0), "no monotonic reading")
		}
	}
}

func TestASpecOutOfRangeIsNamed(t *testing.T) {
	for _, c := range []struct {
		spec Spec
		want string
	}{
		{Spec{Kind: 4}, "unknown kind Kind(4)"},
		{Spec{Kind: Count}, "count 0 is less than 1"},
		{Spec{Kind: Count, Size: -1}, "count -1 is less than 1"},
		{Spec{Size: 1}, "count 1 given to a global window"},
		{Spec{Kind: Fixed}, "duration 0s is not above 0"},
		{Spec{Kind: Periodic, Duration: -time.Second}, "duration -1s is not above 0"},
		{Spec{Duration: time.Second}, "duration 1s given to a global window"},
		{Spec{Kind: Count, Size: 1, Offset: time.Second}, "offset 1s given to a count window"},
		{Spec{Every: -1}, "trigger every -1 is negative"},
		{Spec{Interval: -1}, "trigger interval -1ns is negative"},
		{Spec{Kind: Fixed, Duration: 1, Disorder: -1}, "disorder -1ns is negative"},
		{Spec{Kind: Fixed, Duration: 1, Lateness: -1}, "lateness -1ns is negative"},
		{Spec{Kind: Fixed, Duration: 1, Idle: -1}, "idle -1ns is negative"},
		{Spec{Disorder: 1}, "disorder 1ns given to a global window"},
		{Spec{Kind: Periodic, Duration: 1, Lateness: 1}, "lateness 1ns given to a periodic window"},
		{Spec{Kind: Count, Size: 1, Idle: 1}, "idle 1ns given to a count window"},
	} {
		_, err := New(c.spec, (&recorder{}).reducer())
		require.EqualError(t, err, "window: "+c.want)
	}
	require.Panics(t, func() { _, _ = New(Spec{}, Reducer[int, int]{}) })
}

// Whatever the kind and the triggers, with panes after which the window begins anew each event is in exactly one pane or late, and each window has one final pane, its last.
func TestEachEventIsInOnePaneOrLate(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 3))
		spec := Spec{Kind: Kind(seed % 4), Every: r.IntN(4), Interval: time.Duration(r.IntN(3) * 10)}
		switch spec.Kind {
		case Count:
			spec.Size = 1 + r.IntN(8)
		case Fixed, Periodic:
			spec.Duration, spec.Offset = time.Duration(1+r.IntN(30)), time.Duration(r.IntN(100)-50)
		}
		if spec.Kind == Fixed {
			spec.Disorder, spec.Lateness, spec.Idle = time.Duration(r.IntN(20)), time.Duration(r.IntN(20)), time.Duration(r.IntN(100))
		}
		var seen []int
		panes := map[Window]int{}
		closed := map[Window]bool{}
		e, err := New(spec, Reducer[int, []int]{
			Init: func() []int { return nil },
			Add:  func(acc []int, n int) []int { return append(acc, n) },
			Fire: func(p Pane[[]int]) []int {
				require.False(t, closed[p.Window], "seed %d: a pane after the final one", seed)
				require.Equal(t, panes[p.Window], p.Number)
				require.Len(t, p.Acc, int(p.Events))
				require.True(t, len(p.Acc) > 0 || p.Timing == Final || p.Timing == OnTime)
				require.Equal(t, p.Timing == Early, p.Trigger != "")
				panes[p.Window]++
				closed[p.Window] = p.Timing == Final
				seen = append(seen, p.Acc...)
				return nil
			},
			Late: func(n int) { seen = append(seen, n) },
			Before: func() func(int) bool {
				return func(n int) bool { return n%11 == 0 }
			},
			After: func() func(int) bool {
				return func(n int) bool { return n%13 == 0 }
			},
		})
		require.NoError(t, err)
		sources := []*Source{e.AddSource(nil, at(0)), e.AddSource(nil, at(0))}
		now, n := int64(0), r.IntN(100)
		for i := range n {
			now += r.Int64N(8)
			if r.IntN(10) == 0 {
				e.Message("m", at(now))
			}
			require.NoError(t, e.Add(sources[r.IntN(2)], i, at(now-r.Int64N(40)), at(now)))
		}
		e.End()
		slices.Sort(seen)
		for i, got := range seen {
			require.Equal(t, i, got, "seed %d", seed)
		}
		require.Len(t, seen, n)
		for w := range panes {
			require.True(t, closed[w])
		}
	}
}
