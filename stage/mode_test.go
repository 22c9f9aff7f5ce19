package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// asksOf makes a producer that notes what it is asked for and emits nothing by itself.
func asksOf(opts ...stage.ProducerOption) (*stage.Producer[int], func() []int) {
	var mu sync.Mutex
	var asks []int
	p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		mu.Lock()
		defer mu.Unlock()
		asks = append(asks, demand)
		return nil, nil
	}, opts...)
	return p, func() []int {
		mu.Lock()
		defer mu.Unlock()
		return append([]int(nil), asks...)
	}
}

func give(t testing.TB, p *stage.Producer[int], events ...int) {
	t.Helper()
	require.NoError(t, p.Do(t.Context(), func(context.Context) ([]int, error) { return events, nil }))
}

// T19: nothing before, all after.
func TestAccumulatingUntilAHundredHaveSubscribed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, dispatcher := range []stage.DispatcherFactory[int]{stage.Demand[int], stage.Broadcast[int]} {
			p := stage.FromSlice(upTo(10_000), stage.Accumulating())
			p.DispatchWith(dispatcher)
			require.False(t, p.Forwarding())
			all := []stage.Stage{p}
			var sinks []*sink
			for range 100 {
				s := newSink(0)
				s.SubscribeTo(p, stage.MaxDemand(7))
				sinks, all = append(sinks, s), append(all, s)
			}
			run := start(t.Context(), stage.NewPipeline(all...))
			time.Sleep(time.Hour)
			synctest.Wait()
			require.Zero(t, p.Stats().Output.Emitted, "the demand callback is not called")
			require.NoError(t, p.Forward())
			require.NoError(t, run.wait(t))
			n := 0
			for _, s := range sinks {
				n += len(s.events())
			}
			if p.Stats().Output.Copies == 10_000 {
				require.Equal(t, 10_000, n)
			} else {
				require.Equal(t, 1_000_000, n)
			}
			closed(t, all...)
		}
	})
	testkit.Report(t, "T19", 200)
}

func TestAccumulatedAsksAndEventsAreReplayedInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, asks := asksOf()
		c, sub := manualSink(t, p)
		runs := runAlone(t.Context(), p, c)
		require.NoError(t, p.Accumulate())
		require.NoError(t, p.Accumulate(), "twice is once")
		require.NoError(t, sub().Ask(3))
		synctest.Wait()
		give(t, p, 0, 1)
		require.NoError(t, sub().Ask(4))
		synctest.Wait()
		give(t, p, 2)
		require.Empty(t, asks())
		require.Empty(t, c.events())
		require.EqualValues(t, 3, p.Stats().Output.Held)
		require.Zero(t, p.Buffered())
		require.False(t, p.Forwarding())
		ledger(t, p, c)

		require.NoError(t, p.Forward())
		require.NoError(t, p.Forward())
		synctest.Wait()
		require.True(t, p.Forwarding())
		require.Equal(t, []int{3, 4}, asks())
		require.Equal(t, []int{0, 1, 2}, c.events())
		require.Zero(t, p.Stats().Output.Held)
		give(t, p, 3, 4, 5, 6, 7)
		synctest.Wait()
		require.Equal(t, []int{3, 4}, asks(), "what was asked for is not asked for again")
		require.Equal(t, upTo(7), c.events())
		require.EqualValues(t, 1, p.Buffered())
		ledger(t, p, c)
		abortAll(t, runs...)
		ledger(t, p, c)
		require.ErrorIs(t, p.Forward(), stage.ErrEnded)
		require.ErrorIs(t, p.Accumulate(), stage.ErrEnded)
		require.True(t, p.Forwarding())
		require.ErrorIs(t, silent().Forward(), stage.ErrNotRunning)
	})
}

// manualSink is a sink with a manual subscription; the function returns it.
func manualSink(t testing.TB, src stage.Source[int], opts ...stage.SubscribeOption) (*sink, func() *stage.Subscription) {
	t.Helper()
	var mu sync.Mutex
	var last *stage.Subscription
	c := newSink(0, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error {
		mu.Lock()
		defer mu.Unlock()
		last = s
		return nil
	}))
	c.SubscribeTo(src, append([]stage.SubscribeOption{stage.Manual()}, opts...)...)
	return c, func() *stage.Subscription {
		mu.Lock()
		defer mu.Unlock()
		return last
	}
}

// What was buffered before comes before what is held, also when it was asked for later.
func TestBufferedEventsComeBeforeAccumulatedOnes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		c, sub := manualSink(t, p)
		runs := runAlone(t.Context(), p, c)
		give(t, p, 0, 1)
		require.EqualValues(t, 2, p.Buffered())
		require.NoError(t, p.Accumulate())
		give(t, p, 2, 3)
		require.NoError(t, sub().Ask(9))
		synctest.Wait()
		require.Empty(t, c.events())
		ledger(t, p, c)
		require.NoError(t, p.Forward())
		synctest.Wait()
		require.Equal(t, upTo(4), c.events())
		abortAll(t, runs...)
		ledger(t, p, c)
	})
}

// Holding and releasing a running source at any moment loses nothing and reorders nothing.
func TestAccumulateAndForwardAtAnyMoment(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			opts := []stage.ProducerOption{}
			if seed%2 == 0 {
				opts = append(opts, stage.Accumulating())
			}
			p := stage.FromSlice(upTo(3000), opts...)
			c := newSink(time.Millisecond)
			c.SubscribeTo(p, stage.MaxDemand(1+random.IntN(40)), stage.MinDemand(0))
			pipeline := stage.NewPipeline(p, c)
			run := start(t.Context(), pipeline)
			for range 200 {
				if random.IntN(2) == 0 {
					_ = p.Accumulate() // it may have ended
				} else {
					_ = p.Forward()
				}
				time.Sleep(time.Duration(random.IntN(3000)) * time.Microsecond)
			}
			_ = p.Forward()
			require.NoError(t, run.wait(t), "seed %d", seed)
			require.Equal(t, upTo(3000), c.events(), "seed %d", seed)
			closed(t, p, c)
		})
	}
}

func TestStopWhileAccumulatingDeliversWhatIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, asks := asksOf(stage.Accumulating())
		c := newSink(0)
		c.SubscribeTo(p)
		pipeline := stage.NewPipeline(p, c)
		run := start(t.Context(), pipeline)
		give(t, p, upTo(20)...)
		require.NoError(t, pipeline.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		require.Equal(t, upTo(20), c.events())
		require.Empty(t, asks(), "a source that is stopped is not asked")
		closed(t, p, c)
	})
}

func TestDoneWhileAccumulatingWaitsForForward(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent(stage.Accumulating())
		c := newSink(0)
		c.SubscribeTo(p)
		run := start(t.Context(), stage.NewPipeline(p, c))
		require.NoError(t, p.Do(t.Context(), func(context.Context) ([]int, error) { return upTo(5), stage.ErrDone }))
		time.Sleep(time.Hour)
		require.True(t, run.running())
		require.NoError(t, p.Forward())
		require.NoError(t, run.wait(t))
		require.Equal(t, upTo(5), c.events())
		closed(t, p, c)
	})
}

// R2 holds for a producer that is done and accumulates: what it holds is for nobody.
func TestDoneWhileAccumulatingWithoutSubscribersEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent(stage.Accumulating())
		c := newSink(0)
		c.SubscribeTo(p)
		run := start(t.Context(), stage.NewPipeline(p, c))
		require.NoError(t, p.Do(t.Context(), func(context.Context) ([]int, error) { return upTo(5), stage.ErrDone }))
		require.NoError(t, c.Do(t.Context(), func(context.Context) error { return stage.ErrDone }))
		require.NoError(t, run.wait(t))
		require.EqualValues(t, 5, p.Stats().Output.Lost)
		closed(t, p, c)
	})
}

func TestCrashWhileAccumulatingCountsWhatIsHeldAsLost(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent(stage.Accumulating())
		c := newSink(0)
		c.SubscribeTo(p, stage.Cancel(stage.CancelTemporary))
		runs := runAlone(t.Context(), p, c)
		give(t, p, upTo(5)...)
		var ran count
		require.NoError(t, p.TellAfter(func(context.Context) ([]int, error) { ran.Add(1); return nil, nil }))
		require.ErrorIs(t, p.Do(t.Context(), func(context.Context) ([]int, error) { return nil, errBoom }), errBoom)
		require.ErrorIs(t, runs[0].wait(t), errBoom)
		require.EqualValues(t, 5, p.Stats().Output.Lost)
		require.Zero(t, ran.Load())
		abortAll(t, runs[1:]...)
		closed(t, p, c)
	})
}

func TestDoAfterWhileAccumulatingWaitsForWhatIsHeld(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent(stage.Accumulating())
		c, sub := manualSink(t, p)
		runs := runAlone(t.Context(), p, c)
		var order []string // read when the stage is blocked
		tell := func(name string) {
			require.NoError(t, p.TellAfter(func(context.Context) ([]int, error) {
				order = append(order, fmt.Sprint(name, p.Stats().Output.Dispatched))
				return nil, nil
			}))
		}
		tell("a")
		give(t, p, 0, 1)
		tell("b")
		give(t, p, 2)
		tell("c")
		synctest.Wait()
		require.Equal(t, []string{"a0"}, order, "nothing was before a")
		require.NoError(t, p.Forward())
		synctest.Wait()
		require.Equal(t, []string{"a0"}, order, "nobody has asked")
		require.NoError(t, sub().Ask(2))
		synctest.Wait()
		require.Equal(t, []string{"a0", "b2"}, order)
		require.NoError(t, p.Accumulate())
		tell("d")
		require.NoError(t, sub().Ask(2))
		synctest.Wait()
		require.Equal(t, []string{"a0", "b2"}, order)
		require.NoError(t, p.Forward())
		synctest.Wait()
		require.Equal(t, []string{"a0", "b2", "c3", "d3"}, order)
		abortAll(t, runs...)
		closed(t, p, c)
	})
}

// A wake does not have held demand asked for twice.
func TestWakeWhileAccumulating(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, asks := asksOf(stage.Retry(), stage.Accumulating())
		c, sub := manualSink(t, p)
		runs := runAlone(t.Context(), p, c)
		require.NoError(t, sub().Ask(10))
		synctest.Wait()
		require.NoError(t, p.Wake())
		synctest.Wait()
		require.NoError(t, p.Wake())
		require.NoError(t, p.Forward())
		synctest.Wait()
		require.Equal(t, []int{10}, asks())
		require.NoError(t, p.Wake())
		synctest.Wait()
		require.Equal(t, []int{10, 10}, asks())
		abortAll(t, runs...)
		closed(t, p, c)
	})
}

// Demand of several subscribers is held; replaying it does not shorten the pause of a Poll.
func TestPollThatAccumulatedKeepsItsPause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var calls atomic.Int64
		p := stage.Poll(func(context.Context, int) ([]int, error) {
			calls.Add(1)
			return nil, nil
		}, stage.Accumulating())
		a, first := manualSink(t, p)
		b, second := manualSink(t, p)
		runs := runAlone(t.Context(), p, a, b)
		require.NoError(t, first().Ask(10))
		synctest.Wait()
		require.NoError(t, second().Ask(10))
		synctest.Wait()
		require.NoError(t, p.Forward())
		synctest.Wait()
		require.EqualValues(t, 1, calls.Load())
		time.Sleep(150 * time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 2, calls.Load())
		abortAll(t, runs...)
		closed(t, p, a, b)
	})
}

func TestAFailureWhileReplayingLosesTheRest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		fails := errors.New("the source fails")
		p := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, fails }, stage.Accumulating())
		c, sub := manualSink(t, p, stage.Cancel(stage.CancelTemporary))
		runs := runAlone(t.Context(), p, c)
		give(t, p, 0, 1)
		require.NoError(t, sub().Ask(9))
		synctest.Wait()
		give(t, p, 2, 3, 4)
		require.NoError(t, p.Forward())
		require.ErrorIs(t, runs[0].wait(t), fails)
		synctest.Wait()
		require.Equal(t, upTo(2), c.events())
		require.EqualValues(t, 3, p.Stats().Output.Lost)
		abortAll(t, runs[1:]...)
		closed(t, p, c)
	})
}
