package flow_test

// What went wrong in other libraries, and must not here. The numbers are those of the catalogue of tests.

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/flow"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// withPauses yields 0 to n-1 with a pause of up to ten milliseconds before each, and before the end.
func withPauses(r *rand.Rand, n int) func(yield func(int) bool) {
	pauses := make([]time.Duration, n+1)
	for i := range pauses {
		pauses[i] = time.Duration(r.IntN(11)) * time.Millisecond
	}
	return func(yield func(int) bool) {
		for i := range n {
			time.Sleep(pauses[i])
			if !yield(i) {
				return
			}
		}
		time.Sleep(pauses[n])
	}
}

// requireEach holds that got has each of 0 to n-1 once, in any order.
func requireEach(t *testing.T, seed uint64, n int, got []int) {
	t.Helper()
	slices.Sort(got)
	require.Len(t, got, n, "seed %d", seed)
	for i, v := range got {
		require.Equal(t, i, v, "seed %d", seed)
	}
}

// Batches by time, whatever the phase of the timer at the end: what goes in comes out, and no batch is empty.
func TestB22GroupingByTimeLosesNothing(t *testing.T) {
	testkit.Report(t, "B22", int(seeds(t)))
	for seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 22))
			n, within := r.IntN(9), time.Duration(1+r.IntN(12))*time.Millisecond
			f := flow.FromSeq(withPauses(r, n), flow.Stages(1), flow.MaxDemand(1+r.IntN(3)))
			size := r.IntN(4) // 0: by time alone
			var batches [][]int
			var err error
			switch r.IntN(3) {
			case 0:
				batches, err = flow.Batch(f, size, within).Collect(t.Context())
			case 1:
				batches, err = flow.BatchWeight(f, int64(1+size), func(v int) int64 { return int64(v % 3) }, within).Collect(t.Context())
			case 2:
				byKey := flow.BatchBy(f, func(v int) int { return v % 2 }, size, within, flow.Stages(1+r.IntN(3)))
				batches, err = flow.Map(byKey, func(p flow.Pair[int, []int]) []int {
					for _, v := range p.Value {
						if v%2 != p.Key {
							panic(fmt.Sprintf("%d in the batch of %d", v, p.Key))
						}
					}
					return p.Value
				}).Collect(t.Context())
			}
			require.NoError(t, err)
			var all []int
			for _, b := range batches {
				require.NotEmpty(t, b, "seed %d", seed)
				all = append(all, b...)
			}
			requireEach(t, seed, n, all)
		})
	}
}

// One source fails in the very instant in which the other one ends, or a function does with the last value: it is a failure.
func TestB23AnErrorInTheInstantOfTheEnd(t *testing.T) {
	testkit.Report(t, "B23", int(seeds(t)))
	for seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 23))
			boom := fmt.Errorf("seed %d", seed)
			at := time.Duration(r.IntN(3)) * time.Millisecond
			n := r.IntN(4)
			fails := flow.FromSeq2(func(yield func(int, error) bool) {
				for i := range n {
					if !yield(i, nil) {
						return
					}
				}
				time.Sleep(at)
				yield(-1, boom)
			}, flow.MaxDemand(1+r.IntN(3)))
			ends := flow.FromSeq(func(yield func(int) bool) {
				time.Sleep(at)
				_ = n > 0 && yield(0)
			}, flow.MaxDemand(1+r.IntN(3)))
			if r.IntN(2) == 0 { // the function fails instead, with what both give it at once
				fails = flow.MapErr(flow.FromSeq(func(yield func(int) bool) {
					time.Sleep(at)
					yield(-1)
				}), func(_ context.Context, v int) (int, error) { return v, boom })
			}
			both := flow.Merge(ends, fails)
			if r.IntN(2) == 0 {
				both = flow.Merge(fails, ends)
			}
			both = both.Shuffle(flow.Stages(1 + r.IntN(3)))
			if r.IntN(2) == 0 {
				both = flow.Sum(both)
			}
			switch r.IntN(3) {
			case 0:
				got, err := both.Collect(t.Context())
				require.ErrorIs(t, err, boom)
				require.Nil(t, got)
			case 1:
				require.ErrorIs(t, both.Run(t.Context()), boom)
			case 2:
				var last error
				for _, err := range both.Seq(t.Context()) {
					last = err
				}
				require.ErrorIs(t, last, boom)
			}
		})
	}
}

// A channel that is closed at once, after none to three values: every window is emitted, and Run returns only when the
// consumer is through.
func TestB33AnEarlyCloseLosesNoWindow(t *testing.T) {
	testkit.Report(t, "B33", int(seeds(t)))
	for seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 33))
			n := r.IntN(4)
			ch := make(chan int, r.IntN(4))
			go func() { // ends with the last value
				defer close(ch)
				for i := range n {
					ch <- i
				}
			}()
			f := flow.FromChannel(ch, flow.Stages(1+r.IntN(2)))
			windows := []flow.Windows[int]{
				f.GlobalWindow(),
				f.CountWindows(1 + r.IntN(3)),
				f.PeriodicWindows(time.Second),
				f.FixedWindows(time.Second, func(v int) time.Time { return time.Unix(int64(v), 0) }, flow.Disorder(time.Hour)),
			}
			sums := flow.Reduce(windows[r.IntN(4)], func() []int { return nil }, func(all []int, v int) []int { return append(all, v) }).EmitState()
			var got []int
			slow := stage.ForEach(func(_ context.Context, w []int) error {
				time.Sleep(time.Second)
				got = append(got, w...)
				return nil
			})
			require.NoError(t, flow.Into(sums, slow).Run(t.Context()))
			requireEach(t, seed, n, got)
		})
	}
}

// Stop in any instant: what the source has given is in exactly one window, and each window is emitted.
func TestB18AStopLosesNoWindow(t *testing.T) {
	testkit.Report(t, "B18", int(seeds(t)))
	for seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 18))
			given := 0
			endless := flow.FromSeq(func(yield func(int) bool) {
				for i := 0; ; i++ {
					time.Sleep(time.Millisecond)
					given++ // also when it is the last that is taken
					if !yield(i) {
						return
					}
				}
			}, flow.Stages(1), flow.MaxDemand(1+r.IntN(3)))
			layer := endless.Shuffle(flow.Stages(1 + r.IntN(3)))
			windows := []flow.Windows[int]{
				layer.GlobalWindow().TriggerEvery(3),
				layer.CountWindows(1 + r.IntN(7)),
				layer.PeriodicWindows(time.Duration(1+r.IntN(7)) * time.Millisecond),
				layer.FixedWindows(7*time.Second, func(v int) time.Time { return time.Unix(int64(v), 0) }, flow.Disorder(time.Hour)),
			}
			counts := flow.Reduce(windows[r.IntN(4)], func() []int { return nil }, func(all []int, v int) []int { return append(all, v) })
			seen := make(chan []int, 1000)
			p := flow.OnTrigger(counts, func(all []int, tr flow.Trigger, _ func(int)) []int {
				if tr.Timing == flow.Final {
					seen <- all
				}
				return all
			}).Pipeline()
			result := make(chan error, 1)
			go func() { result <- p.Run(t.Context()) }()
			time.Sleep(time.Duration(r.IntN(50_000)) * time.Microsecond)
			if err := p.Stop(t.Context()); err != nil {
				require.ErrorIs(t, err, stage.ErrNotRunning)
				p.Abort(errors.New("before it ran"))
				<-result
				return
			}
			require.NoError(t, <-result)
			close(seen)
			var got []int
			for all := range seen {
				require.NotEmpty(t, all, "seed %d", seed)
				got = append(got, all...)
			}
			requireEach(t, seed, given, got)
		})
	}
}
