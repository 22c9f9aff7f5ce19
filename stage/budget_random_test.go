package stage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Random pipelines over two budgets: the limits hold, nothing waits for ever, all comes back.
func TestBudgetsAtRandom(t *testing.T) {
	for seed := range uint64(300) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			budgetedAtRandom(t, rand.New(rand.NewPCG(seed, 5)))
		})
	}
}

// dice is drawn by callbacks, too.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand // guarded by mu
}

func (d *dice) n(most int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(most)
}

func budgetedAtRandom(t *testing.T, r *rand.Rand) {
	d := &dice{r: r}
	weigh := func(n int) int64 { return int64(1 + n%7 + n%13/12*30) }
	budgets, meters := [2]*stage.Budget{}, [2]*meter{}
	for k := range budgets {
		limit := int64(1 + d.n(20))
		budgets[k], meters[k] = stage.NewBudget(limit), newMeter(limit)
	}
	var sources, stages []stage.Stage
	var charged [2][]stage.Source[int] // for each budget, of all sources
	total := 0
	for i := range 1 + d.n(3) {
		events := make([]int, d.n(60))
		for k := range events {
			events[k] = 1000*i + k
		}
		total += len(events)
		p := stage.FromSlice(events, stage.BufferSize(d.n(3)))
		parts := []stage.Source[int]{p}
		if d.n(3) == 0 {
			p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
			parts = []stage.Source[int]{stage.Partition(p, 0), stage.Partition(p, 1)}
		}
		sources = append(sources, p)
		for k, b := range budgets {
			for _, part := range parts {
				charged[k] = append(charged[k], stage.Charge(part, b, weigh))
			}
		}
	}
	fails := d.n(3) == 0
	for i := range 2 + d.n(3) {
		k := i % 2
		work := func(_ context.Context, event int) error {
			meters[k].begin(event, weigh(event))
			time.Sleep(time.Duration(d.n(5)) * time.Second)
			meters[k].end(weigh(event))
			if fails && i > 1 && d.n(10) == 0 { // the first two see the others' events to their end
				return errBoom
			}
			return nil
		}
		var subscribe func(stage.Source[int], ...stage.SubscribeOption)
		if d.n(2) == 0 {
			pool := stage.NewConsumerSupervisor(work, stage.Name(fmt.Sprint("pool ", i)), quiet)
			stages, subscribe = append(stages, pool), pool.SubscribeTo
		} else {
			c := stage.ForEach(work, stage.Name(fmt.Sprint("consumer ", i)), quiet)
			stages, subscribe = append(stages, c), c.SubscribeTo
		}
		for _, src := range charged[k] {
			most := 1 + d.n(10)
			subscribe(src, stage.MaxDemand(most), stage.MinDemand(d.n(most)), stage.AllowDuplicate())
		}
	}
	var runs []*started // each alone: one that fails ends no other
	all := append(stages, sources...)
	for _, s := range all {
		runs = append(runs, start(t.Context(), s))
	}
	for i, run := range runs {
		if err := run.wait(t); err != nil {
			require.True(t, fails && i < len(stages), "%v", err)
		}
	}
	for k, m := range meters {
		require.False(t, m.beyond, "budget %d: more than its limit was at work", k)
		stats := budgets[k].Stats()
		require.Zero(t, stats.Used)
		require.Empty(t, stats.Holders)
		require.Empty(t, stats.Waiters)
	}
	begun := 0
	for _, m := range meters {
		for event, times := range m.seen {
			require.Equal(t, 1, times, "event %d", event)
			begun++
		}
	}
	if !fails {
		require.Equal(t, total, begun)
	}
	for _, s := range sources {
		require.Zero(t, s.Stats().Output.Discarded)
	}
	closed(t, all...)
}

// What a budget costs an event, beside the plain path.
func BenchmarkBudget(b *testing.B) {
	for name, charge := range map[string]bool{"plain": false, "charged": true} {
		b.Run(name, func(b *testing.B) {
			left := b.N
			source := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
				n := min(demand, left)
				if left -= n; left == 0 {
					return make([]int, n), stage.ErrDone
				}
				return make([]int, n), nil
			})
			src := stage.Source[int](source)
			if charge {
				src = stage.Charge(src, stage.NewBudget(stage.MaxBudget), one)
			}
			c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil })
			c.SubscribeTo(src)
			b.ReportAllocs()
			b.ResetTimer()
			if err := stage.Run(b.Context(), source, c); err != nil {
				b.Fatal(err)
			}
		})
	}
}
