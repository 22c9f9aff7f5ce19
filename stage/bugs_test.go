package stage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// The bugs that others have had with these features, each as a test. B11 concerns consumer supervisors and stands with
// them; B13 (malformed messages) cannot be written: messages are typed, and nobody outside the package can send one.

// seedsOf is fewer with the race detector, and with -short.
func seedsOf(n int) uint64 {
	if testing.Short() || raceEnabled {
		n /= 20
	}
	return uint64(n)
}

// B1: the demand of a consumer that was killed hides the buffer, and what comes later overtakes it.
// Pass: max 4, c1 is killed, two are pushed, c2 asks for 2 and gets [1 2] at once; with three more the order is 1 to 5.
func TestB01StaleDemandHidesTheBuffer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		c1 := newSink(0)
		c1.SubscribeTo(p, stage.MaxDemand(4))
		c2, sub := manualSink(t, p)
		runs := runAlone(t.Context(), p, c1, c2)
		runs[1].Abort(stage.ErrKilled)
		_ = runs[1].wait(t)
		give(t, p, 1, 2)
		require.NoError(t, sub().Ask(2))
		synctest.Wait()
		require.Equal(t, []int{1, 2}, c2.events())
		give(t, p, 3, 4, 5)
		require.NoError(t, sub().Ask(5))
		synctest.Wait()
		require.Equal(t, []int{1, 2, 3, 4, 5}, c2.events())
		abortAll(t, runs...)
		closed(t, p, c1, c2)
	})
}

// B2: a late broadcast subscriber doubles the demand. Pass: A asks for 1000, B joins and asks for 1000: the source sees 1000.
func TestB02LateBroadcastSubscriberDoublesDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, asks := asksOf()
		p.DispatchWith(stage.Broadcast)
		a, b := newSink(0), newSink(0)
		a.SubscribeTo(p)
		b.SubscribeTo(p)
		runs := runAlone(t.Context(), p, a, b)
		require.Equal(t, []int{1000}, asks())
		abortAll(t, runs...)
		closed(t, p, a, b)
	})
}

// B3: a broadcast with max 10 and max 4 stops. Pass: accumulate, forward, 10,000 events: both get 10,000.
func TestB03BroadcastWithDifferentMaxStops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(10_000), stage.Accumulating())
		p.DispatchWith(stage.Broadcast)
		a, b := newSink(0), newSink(0)
		a.SubscribeTo(p, stage.MaxDemand(10))
		b.SubscribeTo(p, stage.MaxDemand(4))
		run := start(t.Context(), stage.NewPipeline(p, a, b))
		require.NoError(t, p.Forward())
		require.NoError(t, run.wait(t))
		require.Equal(t, upTo(10_000), a.events())
		require.Equal(t, upTo(10_000), b.events())
		closed(t, p, a, b)
	})
}

// B4: what a selector rejects uses up demand. Pass: selectors true and false, 1,001 events: 1,001 and 0, no stall.
func TestB04SelectorDropsUseUpDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(1001))
		p.DispatchWith(stage.Broadcast)
		yes, no := newSink(0), newSink(0)
		yes.SubscribeTo(stage.Where(p, func(int) bool { return true }), stage.MaxDemand(10))
		no.SubscribeTo(stage.Where(p, func(int) bool { return false }), stage.MaxDemand(10))
		require.NoError(t, start(t.Context(), stage.NewPipeline(p, yes, no)).wait(t))
		require.Equal(t, upTo(1001), yes.events())
		require.Empty(t, no.events())
		ledger(t, p, yes, no)
	})
}

// B5: events that a partition function drops starve the rest. Pass: 3 of 4 dropped, defaults, 100,000 in: 25,000 out, 75,000
// counted as dropped.
func TestB05PartitionNoneStarves(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(100_000))
		p.DispatchWith(stage.PartitionWith(func(n int) (int, int, bool) { return n, 0, n%4 == 0 }, 0))
		c := newSink(0)
		c.SubscribeTo(stage.Partition(p, 0))
		require.NoError(t, start(t.Context(), stage.NewPipeline(p, c)).wait(t))
		require.Len(t, c.events(), 25_000)
		require.EqualValues(t, 75_000, p.Stats().Output.Dropped)
		closed(t, p, c)
	})
}

// B6: a producer-consumer that filters halts. Pass: 100, 90 and 50 % of 100,000 dropped, 10 chains: the end is reached.
func TestB06FilteringProducerConsumerHalts(t *testing.T) {
	for _, keep := range []int{0, 1, 5} { // of ten
		for chain := range 10 {
			bubble(t, func(t *testing.T) {
				n := 100_000 / (1 + 9*(chain%2)) // half of the chains are shorter, with small windows
				p := stage.FromSlice(upTo(n))
				filter := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) (out []int, _ error) {
					for _, e := range events {
						if e%10 < keep {
							out = append(out, e)
						}
					}
					return out, nil
				})
				c := newSink(0)
				filter.SubscribeTo(p, stage.MaxDemand(1000>>chain+1))
				c.SubscribeTo(filter, stage.MaxDemand(1000>>(9-chain)+1))
				require.NoError(t, start(t.Context(), stage.NewPipeline(p, filter, c)).wait(t))
				require.Len(t, c.events(), n*keep/10)
				closed(t, p, filter, c)
			})
		}
	}
}

// B7: a producer-consumer asks on without demand from below. Pass: without a consumer, an endless source emits max demand.
func TestB07ProducerConsumerAsksWithoutDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, dispatch := range []stage.DispatcherFactory[int]{stage.Demand[int], stage.Broadcast[int], stage.PartitionBy(func(int) int { return 0 }, 0)} {
			p, mid := endless(), relay(0)
			mid.DispatchWith(dispatch)
			mid.SubscribeTo(p, stage.MaxDemand(50))
			runs := runAlone(t.Context(), p, mid)
			time.Sleep(time.Hour)
			require.EqualValues(t, 50, p.Stats().Output.Emitted)
			abortAll(t, runs...)
			closed(t, p, mid)
		}
	})
}

// B8: the end overtakes events that are queued in a producer-consumer. Pass: 1,000 and then the end, in each of 10,000 seeds.
func TestB08TheEndOvertakesQueuedEvents(t *testing.T) {
	for seed := range seedsOf(2_000) { // 10,000 were run once
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 8))
			n := 1 + random.IntN(1000)
			p, mid := stage.FromSlice(upTo(n)), relay(time.Duration(random.IntN(3))*time.Millisecond)
			mid.SubscribeTo(p, stage.MaxDemand(1+random.IntN(1000)))
			c := newSink(time.Duration(random.IntN(3)) * time.Millisecond)
			c.SubscribeTo(mid, stage.MaxDemand(1+random.IntN(200)))
			require.NoError(t, start(t.Context(), stage.NewPipeline(p, mid, c)).wait(t))
			require.Equal(t, upTo(n), c.events(), "seed %d", seed)
			closed(t, p, mid, c)
		})
	}
}

// B9: calls that wait behind events come last first. Pass: three behind a full buffer: 1, 2, 3.
func TestB09QueuedCallsInOrder(t *testing.T) {
	for name, dispatch := range map[string]stage.DispatcherFactory[int]{
		"demand": stage.Demand[int], "broadcast": stage.Broadcast[int], "partition": stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := silent(stage.BufferSize(10))
				p.DispatchWith(dispatch)
				var src stage.Source[int] = p
				if name == "partition" {
					src = stage.Partition(p, 0)
				}
				c, sub := manualSink(t, src)
				runs := runAlone(t.Context(), p, c)
				require.NoError(t, sub().Ask(1))
				synctest.Wait()
				give(t, p, upTo(10)...)
				var order []int // written by the stage
				for i := range 3 {
					require.NoError(t, p.TellAfter(func(context.Context) ([]int, error) { order = append(order, i+1); return nil, nil }))
				}
				synctest.Wait()
				require.Empty(t, order)
				if name == "partition" { // odd ones wait for an owner
					odd := newSink(0)
					odd.SubscribeTo(stage.Partition(p, 1))
					runs = append(runs, start(t.Context(), odd))
				}
				require.NoError(t, sub().Ask(20))
				synctest.Wait()
				require.Equal(t, []int{1, 2, 3}, order)
				abortAll(t, runs...)
				ledger(t, p, c)
			})
		})
	}
}

// B10: subscribing twice to a broadcast. Pass: the second is refused with a reason, the first unaffected (and so the third:
// TestBroadcastRefusesTheSecondAndTheThird).
func TestB10DoubleBroadcastSubscription(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(100))
		p.DispatchWith(stage.Broadcast)
		c := newSink(0)
		c.SubscribeTo(p, stage.MaxDemand(3))
		c.SubscribeTo(p, stage.AllowDuplicate(), stage.Cancel(stage.CancelTemporary))
		require.NoError(t, start(t.Context(), stage.NewPipeline(p, c)).wait(t))
		require.Equal(t, upTo(100), c.events())
		closed(t, p, c)
	})
}

// B12: no demand after subscribing again. Pass: cancelled and subscribed again 1,000 times: the first ask each time.
func TestB12NoDemandAfterSubscribingAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, dispatch := range []stage.DispatcherFactory[int]{stage.Demand[int], stage.Broadcast[int]} {
			p := silent()
			p.DispatchWith(dispatch)
			c := newSink(0)
			runs := runAlone(t.Context(), p, c)
			for i := range 1000 {
				sub, err := c.Subscribe(t.Context(), p, stage.MaxDemand(10), stage.Cancel(stage.CancelTemporary))
				require.NoError(t, err)
				synctest.Wait()
				require.EqualValues(t, 10, p.Stats().Downstreams[0].Asked)
				give(t, p, i)
				require.NoError(t, sub.Cancel(nil))
				synctest.Wait()
			}
			require.Equal(t, upTo(1000), c.events())
			abortAll(t, runs...)
			closed(t, p, c)
		}
	})
}

// B14: a bad partition, selector or hash kills the producer. Pass: 5 variants, the producer is alive and the others' events
// complete. (The first three by themselves: TestABadSubscriberGetsAnError.)
func TestB14BadPartitionSelectorOrHash(t *testing.T) {
	for _, v := range []struct {
		name     string
		dispatch stage.DispatcherFactory[int]
		good     func(*stage.Producer[int]) stage.Source[int]
		bad      func(*stage.Producer[int]) stage.Source[int]
		want     int
	}{
		{"unknown partition", stage.PartitionBy(func(int) int { return 0 }, 0, 1), part(0), part(2), 1000},
		{"key of another type", stage.PartitionBy(func(int) int { return 0 }, 0, 1), part(0), part("0"), 1000},
		{"panicking selector", stage.Broadcast[int], plain, where(func(int) bool { panic("selector") }), 1000},
		{"panicking hash", stage.PartitionBy(func(n int) int { return 10 / (n % 10) * 0 }, 0), part(0), part(1), 900},
		{"hash without partition", stage.PartitionBy(func(n int) int { return n % 10 / 9 }, 0), part(0), part(1), 900},
	} {
		t.Run(v.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := stage.FromSlice(upTo(1000))
				p.DispatchWith(v.dispatch)
				good, bad := newSink(0), newSink(0)
				good.SubscribeTo(v.good(p), stage.MaxDemand(10))
				bad.SubscribeTo(v.bad(p))
				runs := runAlone(t.Context(), good, bad)
				require.NoError(t, start(t.Context(), p).wait(t))
				require.NoError(t, runs[0].wait(t))
				require.Error(t, runs[1].wait(t))
				require.Len(t, good.events(), v.want)
				require.EqualValues(t, 1000-v.want, p.Stats().Output.Dropped)
				ledger(t, p, good, bad)
			})
		})
	}
}

// B15: skewed partitions pile up. Pass: 60, 20 and 20 % of 1 M events: what waits is never more than the sum of max demand.
func TestB15SkewedPartitions(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 50_000
	}
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(n))
		p.DispatchWith(stage.PartitionBy(func(n int) int { return max(0, n%5-2) }, 0, 1, 2))
		var most atomic.Int64
		all := []stage.Stage{p}
		var handled [3]int
		for i := range 3 {
			c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
				time.Sleep(time.Millisecond)
				most.Store(max(most.Load(), p.Buffered()))
				handled[i] += len(events)
				return nil
			}, stage.Name(fmt.Sprint("partition ", i)))
			c.SubscribeTo(stage.Partition(p, i))
			all = append(all, c)
		}
		require.NoError(t, start(t.Context(), stage.NewPipeline(all...)).wait(t))
		require.Equal(t, [3]int{n * 3 / 5, n / 5, n / 5}, handled)
		require.NotZero(t, most.Load())
		require.LessOrEqual(t, most.Load(), int64(3000))
		closed(t, all...)
	})
}

// B16: the source ends before the last consumer subscribes. Pass: sources of 0, 1 and 2 events with 11 subscribers, 1,000 times:
// a clean result, no error.
func TestB16TheSourceEndsBeforeTheLastSubscribes(t *testing.T) {
	for seed := range seedsOf(1000) {
		for n := range 3 {
			synctest.Test(t, func(t *testing.T) {
				p := stage.FromSlice(upTo(n))
				if seed%2 == 0 {
					p.DispatchWith(stage.Broadcast)
				}
				all := []stage.Stage{p}
				for range 11 {
					s := newSink(0)
					s.SubscribeTo(p)
					all = append(all, s)
				}
				rand.New(rand.NewPCG(seed, uint64(n))).Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
				require.NoError(t, start(t.Context(), stage.NewPipeline(all...)).wait(t))
				closed(t, all...)
			})
		}
	}
}

// B30: goroutines leak in a merge; one consumer that is gone blocks all. Pass: a merge of two, many runs: nothing is left (a
// bubble with a goroutine in it does not end); one of three consumers gone: the others flow.
func TestB30MergesLeakAndOneGoneBlocksAll(t *testing.T) {
	for seed := range seedsOf(2_000) {
		synctest.Test(t, func(t *testing.T) {
			a, b, c := stage.FromSlice(upTo(10)), endless(), newSink(time.Millisecond) // or the clock would stand still
			c.SubscribeTo(a, stage.MaxDemand(3))
			c.SubscribeTo(b, stage.MaxDemand(5))
			run := start(t.Context(), stage.NewPipeline(a, b, newBomb(c, seed)))
			_ = run.wait(t)
			closed(t, a, b, c)
		})
	}
	for _, dispatch := range []stage.DispatcherFactory[int]{stage.Demand[int], stage.Broadcast[int]} {
		bubble(t, func(t *testing.T) {
			p := silent()
			p.DispatchWith(dispatch)
			a, b := newSink(0), newSink(0)
			gone, sub := manualSink(t, p)
			a.SubscribeTo(p, stage.MaxDemand(10))
			b.SubscribeTo(p, stage.MaxDemand(10))
			runs := runAlone(t.Context(), p, a, b, gone)
			require.NoError(t, sub().Cancel(stage.ErrShutdown))
			_ = runs[3].wait(t)
			for i := range 10 {
				give(t, p, upTo(100)[i*10:i*10+10]...)
			}
			synctest.Wait()
			require.GreaterOrEqual(t, len(a.events())+len(b.events()), 100)
			abortAll(t, runs...)
			closed(t, p, a, b, gone)
		})
	}
}

// newBomb makes a pipeline of c that fails, or stops, after a while.
func newBomb(c *sink, seed uint64) stage.Stage {
	go func() { // ends after the pause, in the bubble
		time.Sleep(time.Duration(1+seed%5) * time.Millisecond)
		_ = c.Tell(func(context.Context) error {
			if seed%2 == 0 {
				return errBoom
			}
			return stage.ErrDone
		})
	}()
	return c
}
