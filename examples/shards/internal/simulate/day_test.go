package simulate

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/stage/stagetest"
	"github.com/stretchr/testify/require"
)

// A burst of shards with snapshots of all sizes, up to one that is larger than the budget.
func burst() []*Shard {
	var shards []*Shard
	for i, s := range many(40, 6) {
		s.Pieces = nil
		for k := range 6 {
			s.Pieces = append(s.Pieces, Piece{Takes: unit, Bytes: int64(1 + (i*7+k*13)%97)})
		}
		shards = append(shards, s)
	}
	shards[20].Pieces[3].Bytes = 5000
	return shards
}

// What is in transit keeps to its half of the budget, or is one snapshot alone; without a budget it does not.
func TestTransitKeepsToItsBudget(t *testing.T) {
	for _, design := range []string{"manual", "manual-supervised", "pool", "pool-supervised", "budget", "naive", "limited"} {
		t.Run(design, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := build.Options{Design: design, Budget: 1000}
				free := strings.HasPrefix(design, "naive") || design == "limited"
				if free {
					o.Budget = 0
				}
				shards := burst()
				r, err := Build(t.Context(), o, shards)
				require.NoError(t, err)
				require.Equal(t, 40, r.Report.ShardsBuilt)
				require.Empty(t, stagetest.FaultsAtEnd(r.Stats))
				if free {
					require.Greater(t, r.Report.PeakTransit, int64(5000))
					return
				}
				require.EqualValues(t, 5000, r.Report.PeakTransit, "the one that is larger than all goes alone")

				shards = burst()
				shards[20].Pieces[3].Bytes = 50
				r, err = Build(t.Context(), o, shards)
				require.NoError(t, err)
				require.LessOrEqual(t, r.Report.PeakTransit, int64(500))
				require.Greater(t, r.Report.PeakTransit, int64(400), "and is used")
			})
		})
	}
}

// The makespan is near its bound, and slots stay full while enough waits, for any mix of ages.
func TestMakespanOfTheMix(t *testing.T) {
	seeds := 100
	if testing.Short() {
		seeds = 10
	}
	worst := 0.0
	synctest.Test(t, func(t *testing.T) {
		for seed := range seeds {
			var shards []*Shard
			for i, s := range many(40, 1) {
				weeks := 1
				if i%4 == 0 {
					weeks = 1 + (i*31+seed*17)%60
				}
				s.Pieces = many(1, weeks)[0].Pieces
				shards = append(shards, s)
			}
			shards = append(many(1, 240), shards...)
			shards[0].Name = "old"
			r, err := Build(t.Context(), build.Options{}, shards)
			require.NoError(t, err)
			require.LessOrEqual(t, r.Report.Makespan, 1.05*r.Report.LowerBound, "seed %d", seed)
			require.GreaterOrEqual(t, r.Report.MeanInFlight, 19.5, "seed %d", seed)
			hand, err := Build(t.Context(), build.Options{Design: BySemaphores}, shards)
			require.NoError(t, err)
			require.Equal(t, len(shards), hand.Report.ShardsBuilt)
			worst = max(worst, r.Report.Makespan/hand.Report.Makespan)
		}
	})
	t.Logf("at most %.4f times as long as two semaphores", worst)
	require.LessOrEqual(t, worst, 1.02)
}

func TestMeanChildren(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		means := map[int]float64{0: 20, 5: 18, 10: 15.5, 15: 13, 19: 11}
		if testing.Short() {
			means = map[int]float64{0: 20, 15: 13}
		}
		for least, want := range means {
			mean, err := MeanChildren(t.Context(), 20, least)
			require.NoError(t, err)
			require.InDelta(t, want, mean, 1e-9, "min %d", least)
		}
	})
}

func TestDayHasWhatItSays(t *testing.T) {
	day := Day(1)
	require.Greater(t, len(day), 1100)
	last := time.Duration(0)
	for _, s := range day {
		require.GreaterOrEqual(t, s.Arrives, last)
		last = s.Arrives
		require.Contains(t, []int{1, 200}, len(s.Pieces))
		for _, p := range s.Pieces {
			require.LessOrEqual(t, p.Bytes, int64(5e9))
		}
	}
	synctest.Test(t, func(t *testing.T) {
		r, err := Build(t.Context(), build.Options{Budget: 40e9}, Day(1)[:200])
		require.NoError(t, err)
		require.LessOrEqual(t, r.Report.PeakTransit, int64(20e9))
		median, most := r.Lag()
		require.Positive(t, median)
		require.GreaterOrEqual(t, most, median)
	})
}

// Workers compress side by side. An owner does it one after the other, and if it hands out the pieces as well, the next ones
// wait behind what has come: a round of 20 takes t and all their compressing. With the pieces in a queue only the last
// round's is waited for, until the owner is busy all the time.
func TestWhoCompressesALoneShard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, takes := range []float64{0.01, 0.05, 0.1} {
			c, err := MeasureCompressing(t.Context(), time.Duration(takes*float64(unit)))
			require.NoError(t, err)
			t.Logf("%+v", c)
			require.InDelta(t, 12*(1+takes), c.Worker.Makespan, 1e-9)
			require.Zero(t, c.Worker.Busy)
			require.LessOrEqual(t, c.Owner.Makespan, 12*(1+20*takes)+1e-9)
			require.LessOrEqual(t, c.Pool.Makespan, max(12, 240*takes)+1+20*takes+1e-9)
			require.Less(t, c.Worker.Makespan, c.Pool.Makespan)
			require.Less(t, c.Pool.Makespan, c.Owner.Makespan)
			require.InDelta(t, 240*takes/c.Owner.Makespan, c.Owner.Busy, 1e-9)
			require.InDelta(t, 240*takes/c.Pool.Makespan, c.Pool.Busy, 1e-9)
		}
	})
}
