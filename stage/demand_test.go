package stage_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestFirstDemandIsTheSumOfAllFirstAsks(t *testing.T) {
	for range 100 { // the order in which stages start is not ours
		synctest.Test(t, func(t *testing.T) {
			var asked []int
			p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
				asked = append(asked, demand)
				return nil, stage.ErrDone
			})
			drop := func(context.Context, int) error { return nil }
			c, d := stage.ForEach(drop), stage.ForEach(drop)
			c.SubscribeTo(p, stage.MaxDemand(3))
			d.SubscribeTo(p, stage.MaxDemand(4))
			require.NoError(t, stage.Run(t.Context(), c, p, d))
			require.Equal(t, []int{7}, asked)
			ledger(t, p, c, d)
		})
	}
}

// The example of the package documentation.
func TestDemandWaitsForTheConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
			asked.Add(int64(demand))
			return make([]int, demand), nil
		})
		c := stage.ForEach(func(context.Context, int) error {
			time.Sleep(time.Second)
			return nil
		})
		c.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(5))
		f := startFlow(t, p, c)

		require.EqualValues(t, 10, asked.Load(), "the first ask is max demand")
		time.Sleep(4500 * time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 10, asked.Load(), "the batch is not handled")
		time.Sleep(time.Second)
		synctest.Wait()
		require.EqualValues(t, 15, asked.Load(), "one batch handled, max-min asked again")
		f.abort()
	})
}

func TestAutomaticAccount(t *testing.T) {
	for _, c := range []struct {
		max, min int
		batches  []int // sizes sent
		chunks   []int // sizes of callbacks
		asks     []int
	}{
		{1, 0, []int{1, 1, 1}, []int{1, 1, 1}, []int{1, 1, 1, 1}},
		{2, 0, []int{1, 1, 1}, []int{1, 1, 1}, []int{2, 2}},
		{2, 1, []int{2, 1}, []int{1, 1, 1}, []int{2, 1, 1, 1}},
		{5, 0, []int{2, 2, 1, 5}, []int{2, 2, 1, 5}, []int{5, 5, 5}},
		{7, 3, []int{7}, []int{4, 3}, []int{7, 4}},
		{10, 4, []int{10, 6}, []int{6, 4, 6}, []int{10, 6, 10}},
		{10, 9, []int{10}, []int{1, 1, 1, 1, 1, 1, 1, 1, 1, 1}, []int{10, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1}},
		{10, 0, []int{3, 3, 3, 1, 10}, []int{3, 3, 3, 1, 10}, []int{10, 10, 10}},
		{1000, 500, []int{1000}, []int{500, 500}, []int{1000, 500, 500}},
		{1000, 500, []int{499, 1, 500}, []int{499, 1, 500}, []int{1000, 500, 500}},
		{1000, 500, []int{501}, []int{500, 1}, []int{1000, 500}},
		// The documentation of GenStage says something else of this case; its code does this.
		{
			1000, 750,
			[]int{100, 100, 100, 100, 100, 100, 100},
			[]int{100, 100, 100, 100, 100, 100, 100},
			[]int{1000, 300, 300},
		},
		{1000, 750, []int{1000}, []int{250, 250, 250, 250}, []int{1000, 250, 250, 250, 250}},
	} {
		t.Run(fmt.Sprintf("max %d min %d batches %v", c.max, c.min, c.batches), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log messageLog
				p, s := newSource(), newGatherer[int](stage.Observe(log.add))
				s.SubscribeTo(p, stage.MaxDemand(c.max), stage.MinDemand(c.min))
				f := startFlow(t, p, s)
				for _, n := range c.batches {
					p.push(t, make([]int, n)...)
				}
				require.Equal(t, c.chunks, s.sizes())
				require.Equal(t, c.asks, log.sizes(stage.MessageAsk))
				require.Equal(t, sum(c.asks), sum(p.demands), "each ask reaches the source, alone or with others")
				require.LessOrEqual(t, len(p.demands), len(c.asks))
				f.stop()
			})
		})
	}
}

func TestDefaultsAreThousandAndHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log messageLog
		p, s := newSource(), newGatherer[int](stage.Observe(log.add))
		s.SubscribeTo(p)
		f := startFlow(t, p, s)
		p.push(t, make([]int, 499)...)
		require.Equal(t, []int{stage.DefaultMaxDemand}, log.sizes(stage.MessageAsk))
		p.push(t, 0)
		require.Equal(t, []int{1000, 500}, log.sizes(stage.MessageAsk))
		f.stop()
	})
}

func TestNeverMoreThanMaxInFlight(t *testing.T) {
	for _, c := range []struct{ max, min int }{{1, 0}, {2, 1}, {3, 0}, {10, 5}, {10, 9}, {100, 1}} {
		t.Run(fmt.Sprintf("max %d min %d", c.max, c.min), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const total = 500
				var emitted, handled, most atomic.Int64
				n := 0
				p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
					demand = min(demand, total-n)
					n += demand
					inFlight := emitted.Add(int64(demand)) - handled.Load()
					most.Store(max(most.Load(), inFlight))
					if n == total {
						return make([]int, demand), stage.ErrDone
					}
					return make([]int, demand), nil
				})
				s := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
					if len(events)%3 == 0 {
						time.Sleep(time.Second)
					}
					handled.Add(int64(len(events)))
					return nil
				})
				s.SubscribeTo(p, stage.MaxDemand(c.max), stage.MinDemand(c.min))
				require.NoError(t, stage.Run(t.Context(), p, s))
				require.EqualValues(t, c.max, most.Load(), "the window is used, and kept")
				require.EqualValues(t, total, handled.Load())
				ledger(t, p, s)
			})
		})
	}
}

// A source that gives something other than it was asked for is not asked in a loop.
func TestSourceMayReturnFewerOrMore(t *testing.T) {
	for _, c := range []struct {
		name    string
		gives   [][]int // by the first calls; nil after that
		demands []int
		got     int
	}{
		{"nil", [][]int{nil}, []int{10}, 0},
		{"none", [][]int{{}}, []int{10}, 0},
		{"fewer", [][]int{upTo(3)}, []int{10}, 3},
		{"fewer, then asked for what was handled", [][]int{upTo(6)}, []int{10, 5}, 6},
		{"as many", [][]int{upTo(10), upTo(5)}, []int{10, 5, 5, 5}, 15},
		{"more", [][]int{upTo(12)}, []int{10, 3, 5}, 12},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log messageLog
				var demands []int
				p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
					demands = append(demands, demand)
					if len(demands) > len(c.gives) {
						return nil, nil
					}
					return c.gives[len(demands)-1], nil
				})
				s := newGatherer[int](stage.Observe(log.add))
				s.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(5))
				f := startFlow(t, p, s)
				asks := log.sizes(stage.MessageAsk)
				require.Len(t, s.events(), c.got)
				require.LessOrEqual(t, len(demands), len(asks)+1)
				require.LessOrEqual(t, sum(demands), sum(asks))
				require.Equal(t, c.demands[0], demands[0])
				require.Equal(t, sum(c.demands), sum(demands), "asks may meet on their way, or not")
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				require.LessOrEqual(t, len(demands), len(asks)+1, "nobody asks again for what is owed")
				f.stop()
			})
		})
	}
}

// While a callback is in progress, the rest of its delivery counts as queued: that is what a stuck
// stage still has.
func TestRestOfADeliveryIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(10))
		c := stage.NewConsumer(func(ctx context.Context, _ []int, _ *stage.Subscription) error {
			<-ctx.Done()
			return nil
		}, stage.Name("stuck"))
		c.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(4))
		f := startFlow(t, p, c)
		in := c.Stats().Input
		require.EqualValues(t, 6, in.InHand)
		require.EqualValues(t, 4, in.Queued)

		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var left *stage.StopError
		require.ErrorAs(t, f.Stop(ctx), &left)
		require.Contains(t, left.Left, stage.Leftover{Stage: "stuck", Queued: 4, InHand: 6})
		require.ErrorIs(t, f.end(), context.DeadlineExceeded)
		in = c.Stats().Input
		require.EqualValues(t, 6, in.Handled)
		require.EqualValues(t, 4, in.HandedBack+in.Lost, "lost where the producer ended first")
	})
}

func TestBufferIsServedBeforeTheSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newSource(), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		p.push(t, 1, 2, 3)
		p.push(t, 4, 5)
		require.EqualValues(t, 5, p.Stats().Output.Buffered)

		require.NoError(t, s.sub.Ask(2))
		f.rest()
		require.Equal(t, []int{1, 2}, s.events())
		require.Empty(t, p.demands)
		require.NoError(t, s.sub.Ask(7))
		f.rest()
		require.Equal(t, []int{1, 2, 3, 4, 5}, s.events())
		require.Equal(t, []int{4}, p.demands, "what the buffer could not serve")
		p.push(t, 6)
		require.Equal(t, []int{1, 2, 3, 4, 5, 6}, s.events())
		f.stop()
	})
}

func TestSeveralUpstreamsWithMaxOneAreServedInTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var order []int
		c := stage.ForEach(func(_ context.Context, event int) error {
			time.Sleep(time.Second) // meanwhile the others send
			order = append(order, event)
			return nil
		})
		stages := []stage.Stage{c}
		for i := range 3 {
			p := stage.FromSlice(slices.Repeat([]int{i}, 10))
			c.SubscribeTo(p, stage.MaxDemand(1))
			stages = append(stages, p)
		}
		require.NoError(t, stage.Run(t.Context(), stages...))
		require.Len(t, order, 30)
		for i := 3; i < 30; i++ {
			require.Equal(t, order[i-3], order[i], "%v", order)
		}
		require.ElementsMatch(t, upTo(3), order[:3])
		ledger(t, stages...)
	})
}

// Demand is divided by largest first: a consumer that asks for more gets its whole batch.
func TestBatchGoesToTheLargestDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, few, many := newSource(), newGatherer[int](), newGatherer[int]()
		few.SubscribeTo(p, stage.Manual())
		many.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, few, many)
		require.NoError(t, few.sub.Ask(2))
		require.NoError(t, many.sub.Ask(5))
		f.rest()
		p.push(t, upTo(6)...)
		require.Equal(t, [][]int{{0, 1, 2, 3, 4}}, many.batches)
		require.Equal(t, [][]int{{5}}, few.batches)
		require.Equal(t, 7, sum(p.demands))
		f.stop()
	})
}

// What a consumer had asked for and did not get when it went is not asked of the source twice.
func TestDemandOfADepartedConsumerIsNotAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, leaver, stayer := newSource(), newGatherer[int](), newGatherer[int]()
		leaver.SubscribeTo(p, stage.MaxDemand(10), stage.Cancel(stage.CancelTemporary))
		stayer.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, leaver, stayer)
		require.Equal(t, []int{10}, p.demands)
		require.NoError(t, leaver.sub.Cancel(nil))
		f.rest()
		require.NoError(t, stayer.sub.Ask(4))
		f.rest()
		require.Equal(t, []int{10}, p.demands, "the source owes 10 already")
		p.push(t, upTo(5)...)
		require.Equal(t, upTo(4), stayer.events())
		require.EqualValues(t, 1, p.Stats().Output.Buffered)
		require.NoError(t, stayer.sub.Ask(10))
		f.rest()
		require.Equal(t, []int{10, 4}, p.demands, "1 was buffered, 5 were owed")
		require.Equal(t, upTo(5), stayer.events())
		f.stop()
	})
}
