package sim_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/internal/sim"
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

func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := stage.NewConsumer(nothing)
		silent := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil })
		asks.SubscribeTo(silent)
		require.Equal(t, sim.AtRest, standstill(t, nil, silent, asks))

		ready := stage.NewQueue[int](3)
		require.NoError(t, ready.Push(t.Context(), 1, 2, 3))
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
	synctest.Test(t, func(t *testing.T) {
		p := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil })
		p.DispatchWith(func(opts ...stage.DispatchOption) (stage.Dispatcher[int], error) {
			d, err := stage.Demand[int](opts...)
			return mean{d}, err
		})
		c := stage.NewConsumer(nothing)
		c.SubscribeTo(p)
		emit := func() { require.NoError(t, p.Tell(func(context.Context) ([]int, error) { return []int{1}, nil })) }
		require.Equal(t, sim.Starving, standstill(t, emit, p, c))
	})
}

func TestDeadlocked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// Not the context of the callbacks: so nobody sees the ring, and only the test ends it.
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		a, b := stage.NewConsumer(nothing), stage.NewConsumer(nothing)
		both := make(chan struct{}) // closed when both are in a callback
		calls := func(c *stage.Consumer[int]) func(context.Context) error {
			return func(context.Context) error {
				<-both
				_ = c.Do(ctx, func(context.Context) error { return nil })
				return nil
			}
		}
		begin := func() {
			require.NoError(t, a.Tell(calls(b)))
			require.NoError(t, b.Tell(calls(a)))
			synctest.Wait()
			close(both)
		}
		require.Equal(t, sim.Deadlocked, standstill(t, begin, a, b))
	})
}
