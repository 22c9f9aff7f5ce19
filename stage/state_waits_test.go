package stage_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestStateOfProducers(t *testing.T) {
	t.Run("owes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p, c := silent(), newSink(0)
			c.SubscribeTo(p, stage.MaxDemand(5))
			runs := runAlone(t.Context(), p, c)
			s := is(t, p, stage.StateOwing, 0)
			require.EqualValues(t, 5, s.Output.Owed)
			require.EqualValues(t, 5, s.Output.Demand)
			give(t, p, 1)
			require.EqualValues(t, 4, is(t, p, stage.StateOwing, 0).Output.Owed)
			abortAll(t, runs...)
			require.Zero(t, p.Stats().Output.Owed)
		})
	})
	t.Run("owes while it is called", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := stage.NewProducer(func(context.Context, int) ([]int, error) {
				time.Sleep(time.Minute)
				return nil, nil
			}, patient)
			c := newSink(0)
			c.SubscribeTo(p, stage.MaxDemand(5))
			run := start(t.Context(), p)
			is(t, p, stage.StateForDemand, 0)
			other := start(t.Context(), c)
			require.EqualValues(t, 5, is(t, p, stage.StateCallback, 0).Output.Owed)
			abortAll(t, run, other)
		})
	})
	t.Run("pauses", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := stage.Poll(func(context.Context, int) ([]int, error) { return nil, nil }, stage.PollEvery(time.Minute, time.Minute))
			c := newSink(0)
			c.SubscribeTo(p)
			runs := runAlone(t.Context(), p, c)
			is(t, p, stage.StatePaused, 0)
			time.Sleep(90 * time.Second)
			is(t, p, stage.StatePaused, 30*time.Second)
			abortAll(t, runs...)
		})
	})
	t.Run("accumulates", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p := silent(stage.Accumulating())
			c := newSink(0)
			c.SubscribeTo(p)
			runs := runAlone(t.Context(), p, c)
			give(t, p, 1, 2)
			require.EqualValues(t, 2, is(t, p, stage.StateAccumulating, 0).Output.Held)
			require.NoError(t, p.Forward())
			is(t, p, stage.StateOwing, 0)
			abortAll(t, runs...)
		})
	})
	t.Run("completes", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p, c := stage.FromSlice(upTo(3)), newSink(time.Minute)
			c.SubscribeTo(p, stage.MaxDemand(3), stage.MinDemand(2))
			runs := runAlone(t.Context(), p, c)
			is(t, p, stage.StateCompleting, 0)
			time.Sleep(110 * time.Second)
			is(t, p, stage.StateCompleting, 110*time.Second)
			for _, r := range runs {
				require.NoError(t, r.wait(t))
			}
		})
	})
	t.Run("receives", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			ch := make(chan int)
			p := stage.FromChannel(ch)
			c := newSink(0)
			run := start(t.Context(), p)
			is(t, p, stage.StateForDemand, 0)
			c.SubscribeTo(p)
			other := start(t.Context(), c)
			is(t, p, stage.StateForEvents, 0)
			ch <- 1
			is(t, p, stage.StateForEvents, 0)
			abortAll(t, run, other)
		})
	})
}

func TestStateOfAProducerThatABudgetHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, c := stage.FromSlice(upTo(9), stage.Name("p")), newSink(time.Minute, stage.Name("c"), patient)
		c.SubscribeTo(stage.Charge(p, stage.NewBudget(2), nil), stage.MaxDemand(5), stage.MinDemand(4))
		runs := runAlone(t.Context(), p, c)
		is(t, p, stage.StateForBudget, 0)
		require.Contains(t, stage.Explain(statsOf([]stage.Stage{p, c})...), "It is up to \"c\".")
		abortAll(t, runs...)
	})
}

func TestStateOfAProducerConsumer(t *testing.T) {
	t.Run("has events, and no demand", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p, pc := stage.FromSlice(upTo(5)), relay(0)
			pc.SubscribeTo(p)
			runs := runAlone(t.Context(), p, pc)
			s := is(t, pc, stage.StateForDemand, 0)
			require.EqualValues(t, 5, s.Input.Queued)
			giveOn(t, pc, 7)
			require.EqualValues(t, 1, is(t, pc, stage.StateForDemand, 0).Output.Buffered)
			abortAll(t, runs...)
		})
	})
	t.Run("OnDemand holds demand back", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p, pc, c := stage.FromSlice(upTo(5)), relay(0), newSink(0)
			pc.OnDemand(func(context.Context, int) ([]int, int, error) { return nil, 0, nil })
			pc.SubscribeTo(p)
			c.SubscribeTo(pc)
			runs := runAlone(t.Context(), p, pc, c)
			is(t, pc, stage.StateOwing, 0)
			abortAll(t, runs...)
		})
	})
	t.Run("stays after its input", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			p, pc, c := stage.FromSlice(upTo(5)), relay(0), newSink(0)
			pc.OnComplete(func(context.Context) ([]int, error) { return nil, nil })
			pc.SubscribeTo(p)
			c.SubscribeTo(pc)
			runs := runAlone(t.Context(), p, pc, c)
			is(t, pc, stage.StateForCalls, 0)
			require.ErrorIs(t, pc.Do(t.Context(), func(context.Context) ([]int, error) { return nil, stage.ErrDone }), nil)
			for _, r := range runs {
				require.NoError(t, r.wait(t))
			}
		})
	})
}

// giveOn has a producer-consumer emit.
func giveOn(t *testing.T, pc *stage.ProducerConsumer[int, int], events ...int) {
	t.Helper()
	require.NoError(t, pc.Tell(func(context.Context) ([]int, error) { return events, nil }))
}

func TestStatsSayInWhichPartOfTheOutputEventsWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
		c := newSink(0)
		c.SubscribeTo(stage.Partition(p, 0), stage.MaxDemand(2))
		runs := runAlone(t.Context(), p, c)
		give(t, p, 1, 3, 0, 5, 7) // up to the demand of partition 0
		s := is(t, p, stage.StateOwing, 0)
		require.EqualValues(t, 4, s.Output.InDispatcher, "nobody has partition 1")
		require.EqualValues(t, 4, s.Output.Buffered)
		abortAll(t, runs...)
		require.Zero(t, p.Stats().Output.InDispatcher)

		q := stage.NewQueue[int](5)
		require.NoError(t, q.TryPush(1, 2))
		run := start(t.Context(), q)
		require.EqualValues(t, 2, q.Stats().Output.InQueue)
		require.EqualValues(t, 2, q.Stats().Output.Buffered)
		abortAll(t, run)
	})
}

// The demand of a broadcast is what all wait for, but for those that may fall behind.
func TestStatsOfDemand(t *testing.T) {
	for _, c := range []struct {
		name      string
		broadcast bool
		lag       bool
		want      int64
	}{{"sum", false, false, 15}, {"least", true, false, 5}, {"without those that lag", true, true, 10}} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p, a, b := silent(), newSink(0), newSink(0)
				options := []stage.SubscribeOption{stage.MaxDemand(5)}
				if c.broadcast {
					p.DispatchWith(stage.Broadcast)
				}
				if c.lag {
					options = append(options, stage.Lag(3, stage.LagDropOldest))
				}
				a.SubscribeTo(p, stage.MaxDemand(10))
				b.SubscribeTo(p, options...)
				runs := runAlone(t.Context(), p, a, b)
				require.Equal(t, c.want, p.Stats().Output.Demand)
				abortAll(t, runs...)
				require.Zero(t, p.Stats().Output.Demand)
			})
		})
	}
}
