package stage_test

import (
	"context"
	"math"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// A cache answers a part of the demand, and has its input answer the rest.
func TestOnDemandAnswersPartOfTheDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := endless()
		cached := []int{-3, -2, -1}
		cache := relay(0)
		var shown []int
		cache.OnDemand(func(_ context.Context, demand int) ([]int, int, error) {
			shown = append(shown, demand)
			n := min(demand, len(cached))
			out := cached[:n:n]
			cached = cached[n:]
			return out, demand - n, nil
		})
		cache.SubscribeTo(p, stage.MaxDemand(4), stage.MinDemand(0))
		c, sub := manualSink(t, cache)
		runs := runAlone(t.Context(), p, cache, c)
		synctest.Wait()
		require.Empty(t, shown)
		require.EqualValues(t, 4, cache.Stats().Input.Queued, "its input is prefetched")
		require.NoError(t, sub().Ask(2))
		synctest.Wait()
		require.Equal(t, []int{-3, -2}, c.events())
		require.EqualValues(t, 4, cache.Stats().Input.Queued, "no input is begun for what the cache has")
		require.NoError(t, sub().Ask(3))
		synctest.Wait()
		require.Equal(t, []int{-3, -2, -1, 0, 1}, c.events())
		require.Equal(t, []int{2, 3}, shown)
		ledger(t, p, cache, c)
		abortAll(t, runs...)
		closed(t, p, cache, c)
	})
}

// A rate limiter holds demand back and lets it go by the clock, event by event.
func TestOnDemandHoldsDemandBackUntilWake(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(40))
		limiter := relay(0)
		tokens := 0
		limiter.OnDemand(func(_ context.Context, demand int) ([]int, int, error) {
			n := min(demand, tokens)
			tokens -= n
			return nil, n, nil
		})
		limiter.SubscribeTo(p, stage.MaxDemand(30), stage.MinDemand(10))
		c := newSink(0)
		c.SubscribeTo(limiter, stage.MaxDemand(100))
		pipeline := stage.NewPipeline(p, limiter, c)
		run := start(t.Context(), pipeline)
		for passed := 0; passed < 40; passed += 3 {
			synctest.Wait()
			require.Equal(t, upTo(passed), append([]int{}, c.events()...), "three for each second")
			time.Sleep(time.Second)
			require.NoError(t, limiter.Do(t.Context(), func(context.Context) ([]int, error) { tokens = 3; return nil, nil }))
			require.NoError(t, limiter.Wake())
		}
		require.NoError(t, run.wait(t))
		require.Equal(t, upTo(40), c.events())
		closed(t, p, limiter, c)
	})
}

// What has been passed on is not shown again, and not passed on twice.
func TestWakeShowsOnlyWhatIsHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		pc := relay(0)
		var shown []int
		var pass atomic.Int64
		pc.OnDemand(func(_ context.Context, demand int) ([]int, int, error) {
			shown = append(shown, demand)
			return nil, int(pass.Load()), nil
		})
		pc.SubscribeTo(p)
		c, sub := manualSink(t, pc)
		runs := runAlone(t.Context(), p, pc, c)
		pass.Store(4)
		require.NoError(t, sub().Ask(10))
		synctest.Wait()
		require.Equal(t, []int{10}, shown)
		pass.Store(0)
		require.NoError(t, pc.Wake())
		synctest.Wait()
		require.Equal(t, []int{10, 6}, shown)
		give(t, p, upTo(10)...)
		synctest.Wait()
		require.Equal(t, upTo(4), c.events())
		require.EqualValues(t, 6, pc.Stats().Input.Queued)
		pass.Store(100)
		require.NoError(t, pc.Wake())
		synctest.Wait()
		require.Equal(t, []int{10, 6, 6}, shown)
		require.Equal(t, upTo(10), c.events())
		ledger(t, p, pc, c)
		abortAll(t, runs...)
		closed(t, p, pc, c)
	})
}

func TestOnDemandPassOutOfRange(t *testing.T) {
	for _, c := range []struct {
		name       string
		pass       int
		out        int // events that meet a part of it
		got, began int
	}{
		{"below 0", -5, 0, 0, 0},
		{"the least number", math.MinInt, 0, 0, 0},
		{"more than was asked for", 1000, 0, 10, 10},
		{"the largest number", math.MaxInt, 0, 10, 10},
		{"more than is left", 10, 4, 10, 6},
		{"all is met", 10, 10, 10, 0},
		{"more than all is met", 10, 12, 10, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := endless()
				var began atomic.Int64
				pc := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
					began.Add(int64(len(events)))
					return events, nil
				})
				pc.OnDemand(func(context.Context, int) ([]int, int, error) {
					defer func() { c.pass, c.out = 0, 0 }() // the first time only
					return make([]int, c.out), c.pass, nil
				})
				pc.SubscribeTo(p, stage.MaxDemand(50))
				k, sub := manualSink(t, pc)
				runs := runAlone(t.Context(), p, pc, k)
				require.NoError(t, sub().Ask(10))
				synctest.Wait()
				require.Len(t, k.events(), c.got)
				require.EqualValues(t, c.began, began.Load())
				require.NoError(t, sub().Ask(20))
				synctest.Wait()
				require.EqualValues(t, c.began, began.Load(), "nothing more was passed on")
				ledger(t, p, pc, k)
				abortAll(t, runs...)
				closed(t, p, pc, k)
			})
		})
	}
}

// A producer-consumer that emits nothing for its input goes on with what was passed on.
func TestOnDemandWithAFilter(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(1000))
		pc := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
			var out []int
			for _, e := range events {
				if e%100 == 99 {
					out = append(out, e)
				}
			}
			return out, nil
		})
		pc.OnDemand(func(_ context.Context, demand int) ([]int, int, error) { return nil, min(demand, 3), nil })
		pc.SubscribeTo(p, stage.MaxDemand(7))
		k := newSink(0)
		k.SubscribeTo(pc, stage.MaxDemand(4), stage.MinDemand(3))
		run := start(t.Context(), stage.NewPipeline(p, pc, k))
		for range 10 {
			_ = pc.Wake()
			synctest.Wait()
		}
		require.NoError(t, run.wait(t))
		require.Equal(t, []int{99, 199, 299, 399, 499, 599, 699, 799, 899, 999}, k.events())
		closed(t, p, pc, k)
	})
}

func TestOnDemandEndsItsStage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		pc := relay(0)
		pc.OnDemand(func(context.Context, int) ([]int, int, error) { return upTo(3), 0, stage.ErrDone })
		pc.SubscribeTo(p)
		c := newSink(0)
		c.SubscribeTo(pc)
		pipeline := stage.NewPipeline(p, pc, c)
		require.NoError(t, start(t.Context(), pipeline).wait(t))
		require.Equal(t, upTo(3), c.events())
		closed(t, p, pc, c)

		pc.OnDemand(func(context.Context, int) ([]int, int, error) { return upTo(3), 0, errBoom })
		require.ErrorIs(t, start(t.Context(), pipeline).wait(t), errBoom)
		closed(t, p, pc, c)
		pc.OnDemand(func(context.Context, int) ([]int, int, error) { panic("OnDemand") })
		require.ErrorContains(t, start(t.Context(), pipeline).wait(t), "OnDemand")
		closed(t, p, pc, c)
	})
}

func TestStopWithDemandHeldBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(10))
		pc := relay(0)
		pc.OnDemand(func(context.Context, int) ([]int, int, error) { return nil, 0, nil })
		pc.SubscribeTo(p)
		c := newSink(0)
		c.SubscribeTo(pc)
		pipeline := stage.NewPipeline(p, pc, c)
		run := start(t.Context(), pipeline)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var stopped *stage.StopError
		require.ErrorAs(t, pipeline.Stop(ctx), &stopped, "what it holds back it must let go, or be aborted")
		_ = run.wait(t)
		require.EqualValues(t, 10, p.Stats().Output.Lost+pc.Stats().Input.Lost)
		closed(t, p, pc, c)
	})
}
