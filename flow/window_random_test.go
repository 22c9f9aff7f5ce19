package flow_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-genstage/genstage/flow"
	"github.com/stretchr/testify/require"
)

// tick is a value of random flows with windows.
type tick struct {
	id, key int
	ns      int64 // when it happened
}

func (t tick) time() time.Time { return time.Unix(0, t.ns) }

// ticks makes n values whose times go on, none of them older than the newest one before it by more than disorder, and each so old with equal
// probability. Now and then there is a leap.
func ticks(r *rand.Rand, n int, disorder int64) []tick {
	all := make([]tick, n)
	head := r.Int64N(100) - 50
	for i := range all {
		if head += r.Int64N(4); r.IntN(40) == 0 {
			head += r.Int64N(1e9)
		}
		all[i] = tick{id: i, key: r.IntN(5), ns: head - r.Int64N(disorder+1)}
	}
	return all
}

// startOf is when the window of a time begins.
func startOf(ns, d, offset int64) int64 {
	start := (ns - offset) / d * d
	if start > ns-offset {
		start -= d
	}
	return start + offset
}

// In one stage everything is determined: which values are late, and what is in each window.
func TestRandomFixedWindows(t *testing.T) {
	for seed := range seeds(t) {
		r := rand.New(rand.NewPCG(seed, 10))
		// Days of nanoseconds would be multiples since the year 1, as all divisors of a second are.
		d := []int64{1, 2, 4, 5, 8, 10, 20, 25, 1000}[r.IntN(9)]
		disorder, lateness, offset := r.Int64N(20), r.Int64N(3)*r.Int64N(20), r.Int64N(30)-15
		values := ticks(r, r.IntN(60), r.Int64N(40))

		var late []int
		windows := flow.FromSlice(values, one, flow.MaxDemand(1+r.IntN(10))).
			FixedWindows(time.Duration(d), tick.time, flow.Disorder(time.Duration(disorder)),
				flow.Lateness(time.Duration(lateness)), flow.Offset(time.Duration(offset))).
			OnLate(func(_ context.Context, v tick) error { late = append(late, v.id); return nil })
		if every := r.IntN(5); every > 0 {
			windows = windows.TriggerEvery(every)
		}
		ids := flow.Reduce(windows, func() []int { return nil }, func(acc []int, v tick) []int { return append(acc, v.id) })
		got, err := flow.OnTrigger(ids, func(acc []int, tr flow.Trigger, emit func(string)) []int {
			if tr.Timing == flow.Final {
				emit(fmt.Sprint(tr.Window.Start.UnixNano(), tr.Window.End.Sub(tr.Window.Start).Nanoseconds(), acc))
			}
			return acc
		}).Collect(t.Context())
		require.NoError(t, err)

		// The model: a value is late if its window was closed by the values before it.
		contents := map[int64][]int{}
		var starts []int64
		var wantLate []int
		newest, any := int64(0), false
		for _, v := range values {
			start := startOf(v.ns, d, offset)
			if any && newest-disorder >= start+d+lateness {
				wantLate = append(wantLate, v.id)
			} else {
				if contents[start] == nil {
					starts = append(starts, start)
				}
				contents[start] = append(contents[start], v.id)
			}
			if !any || v.ns > newest {
				newest, any = v.ns, true
			}
		}
		slices.Sort(starts)
		var want []string
		for _, start := range starts {
			want = append(want, fmt.Sprint(start, d, contents[start]))
		}
		require.Equal(t, want, got, "seed %d", seed)
		require.Equal(t, wantLate, late, "seed %d", seed)
	}
}

// Over several sources and stages: as long as no source is out of order by more than was said, no value is late, and each window has what
// belongs to it, for each key and, merged, for all.
func TestRandomPartitionedWindows(t *testing.T) {
	type cell struct {
		start int64
		key   int // 0 where all keys are together
	}
	for seed := range seeds(t) {
		r := rand.New(rand.NewPCG(seed, 11))
		d := []int64{1, 2, 5, 10, 25, 1000}[r.IntN(6)]
		disorder := r.Int64N(20)
		var sources []flow.Flow[tick]
		want, wantAll := map[cell]int{}, map[cell]int{}
		for range 1 + r.IntN(3) {
			values := ticks(r, r.IntN(40), disorder)
			sources = append(sources, flow.FromSlice(values, flow.Stages(1+r.IntN(3)), flow.MaxDemand(1+r.IntN(20))))
			for _, v := range values {
				start := startOf(v.ns, d, 0)
				want[cell{start, v.key}]++
				wantAll[cell{start, 0}]++
			}
		}
		same := func(v tick) tick { return v }
		for i := range sources {
			sources[i] = flow.Map(sources[i], same)
		}
		all := flow.Merge(sources[0], sources[1:]...)
		byKey := flow.Partition(all, func(v tick) int { return v.key }, flow.Stages(1+r.IntN(3)), flow.MaxDemand(1+r.IntN(20)))
		var late atomic.Int64
		windows := byKey.FixedWindows(time.Duration(d), tick.time, flow.Disorder(time.Duration(disorder))).
			OnLate(func(context.Context, tick) error { late.Add(1); return nil })
		if r.IntN(2) == 0 {
			windows = windows.TriggerEvery(1 + r.IntN(5))
		}
		fresh := func() map[int]int { return map[int]int{} }
		counts := flow.Reduce(windows, fresh, func(acc map[int]int, v tick) map[int]int { acc[v.key]++; return acc })

		got, gotAll := map[cell]int{}, map[cell]int{}
		collect := func(counts flow.Reduction[map[int]int], to map[cell]int, key func(int) int) error {
			type part struct {
				cell
				n int
			}
			return flow.OnTrigger(counts, func(acc map[int]int, tr flow.Trigger, emit func(part)) map[int]int {
				for k, n := range acc {
					emit(part{cell{tr.Window.Start.UnixNano(), key(k)}, n})
				}
				return fresh()
			}).ForEach(t.Context(), func(_ context.Context, p part) error {
				to[p.cell] += p.n
				return nil
			})
		}
		require.NoError(t, collect(counts, got, func(k int) int { return k }))
		require.Equal(t, want, got, "seed %d", seed)

		merged := flow.Departition(counts, fresh, func(acc, part map[int]int) map[int]int {
			for k, n := range part {
				acc[k] += n
			}
			return acc
		})
		require.NoError(t, collect(merged, gotAll, func(int) int { return 0 }))
		require.Equal(t, wantAll, gotAll, "seed %d", seed)
		require.Zero(t, late.Load(), "seed %d", seed)
	}
}
