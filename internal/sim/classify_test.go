package sim_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/internal/sim"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// T10: why nothing moves, on cases that are planted.

// standstill runs stages until nothing moves, and ends them.
func standstill(t *testing.T, begin func(), stages ...stage.Stage) (reason sim.Standstill) {
	p := stage.NewPipeline(stages...)
	done := make(chan struct{})
	go func() { // ends with the run
		_ = p.Run(t.Context())
		close(done)
	}()
	synctest.Wait()
	if begin != nil {
		begin()
		synctest.Wait()
	}
	reason = sim.Classify(p.Stats())
	p.Abort(nil)
	return reason
}

func nothing(context.Context, []int, *stage.Subscription) error { return nil }

// standstills has each of the three cases classified a third of the times.
func standstills(t *testing.T, classify func(t *testing.T, rng *rand.Rand)) {
	n := testkit.Rounds(334, 3340)
	for seed := range uint64(n) {
		synctest.Test(t, func(t *testing.T) { classify(t, rand.New(rand.NewPCG(seed, 10))) })
	}
	testkit.Report(t, "T10", n)
}

func TestIdle(t *testing.T) {
	standstills(t, func(t *testing.T, rng *rand.Rand) {
		asks := stage.NewConsumer(nothing)
		silent := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil })
		asks.SubscribeTo(silent, stage.MaxDemand(1+rng.IntN(100)))
		require.Equal(t, sim.AtRest, standstill(t, nil, silent, asks))

		size := 1 + rng.IntN(20)
		ready := stage.NewQueue[int](size)
		require.NoError(t, ready.Push(t.Context(), make([]int, 1+rng.IntN(size))...))
		never := stage.NewConsumer(nothing)
		never.SubscribeTo(ready, stage.Manual())
		require.Equal(t, sim.AtRest, standstill(t, nil, ready, never))
	})
}

// mean is a dispatcher that says that nobody has asked.
type mean struct{ stage.Dispatcher[int] }

func (mean) Live() int64 { return 0 }

func (mean) Dispatch(events []int, _ stage.Outlet[int]) []int { return events }

func TestStarved(t *testing.T) {
	standstills(t, func(t *testing.T, rng *rand.Rand) {
		p := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil })
		p.DispatchWith(func(opts ...stage.DispatchOption) (stage.Dispatcher[int], error) {
			d, err := stage.Demand[int](opts...)
			return mean{d}, err
		})
		c := stage.NewConsumer(nothing)
		c.SubscribeTo(p, stage.MaxDemand(1+rng.IntN(100)))
		emit := func() {
			require.NoError(t, p.Tell(func(context.Context) ([]int, error) { return make([]int, 1+rng.IntN(20)), nil }))
		}
		require.Equal(t, sim.Starving, standstill(t, emit, p, c))
	})
}

func TestDeadlocked(t *testing.T) {
	standstills(t, func(t *testing.T, rng *rand.Rand) {
		// Not the context of the callbacks: so nobody sees the ring, and only the test ends it.
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		var all []*stage.Consumer[int]
		var stages []stage.Stage
		for range 2 + rng.IntN(6) {
			c := stage.NewConsumer(nothing)
			all, stages = append(all, c), append(stages, c)
		}
		both := make(chan struct{}) // closed when all are in a callback
		calls := func(c *stage.Consumer[int]) func(context.Context) error {
			return func(context.Context) error {
				<-both
				_ = c.Do(ctx, func(context.Context) error { return nil })
				return nil
			}
		}
		begin := func() {
			for i, c := range all {
				require.NoError(t, c.Tell(calls(all[(i+1)%len(all)])))
			}
			synctest.Wait()
			close(both)
		}
		require.Equal(t, sim.Deadlocked, standstill(t, begin, stages...))
	})
}
