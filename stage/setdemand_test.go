package stage_test

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestSetDemandWhileRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, asks := asksOf()
		c := newSink(0)
		runs := runAlone(t.Context(), p, c)
		sub, err := c.Subscribe(t.Context(), p, stage.MaxDemand(10), stage.MinDemand(5))
		require.NoError(t, err)
		set := func(max, min int, want ...int) {
			t.Helper()
			require.NoError(t, sub.SetDemand(max, min))
			synctest.Wait()
			require.Equal(t, want, asks())
		}
		synctest.Wait()
		require.Equal(t, []int{10}, asks())
		set(20, 5, 10) // 10 are outstanding: not yet
		give(t, p, upTo(5)...)
		synctest.Wait()
		require.Equal(t, []int{10, 15}, asks(), "5 are outstanding: up to 20")
		set(30, 25, 10, 15, 10) // 20 are at most min: up to 30 at once
		set(4, 0, 10, 15, 10)   // what was asked for stays
		give(t, p, upTo(29)...)
		synctest.Wait()
		require.Equal(t, []int{10, 15, 10}, asks())
		give(t, p, 0)
		synctest.Wait()
		require.Equal(t, []int{10, 15, 10, 4}, asks(), "now it is 4")
		set(4, 3, 10, 15, 10, 4) // min only
		give(t, p, 0)
		synctest.Wait()
		require.Equal(t, []int{10, 15, 10, 4, 1}, asks())
		for _, bad := range [][2]int{{0, 0}, {-1, 0}, {5, 5}, {5, -1}, {5, 6}, {math.MinInt, 0}} {
			require.ErrorIs(t, sub.SetDemand(bad[0], bad[1]), stage.ErrInvalidOption)
		}
		set(math.MaxInt, 0, 10, 15, 10, 4, 1)
		give(t, p, upTo(4)...)
		synctest.Wait()
		require.Equal(t, []int{10, 15, 10, 4, 1, math.MaxInt}, asks())
		ledger(t, p, c)
		require.NoError(t, sub.Cancel(stage.ErrShutdown))
		_ = runs[1].wait(t)
		require.ErrorIs(t, sub.SetDemand(4, 2), stage.ErrEnded)
		abortAll(t, runs...)
		closed(t, p, c)

		d, manual := manualSink(t, p)
		runs = runAlone(t.Context(), p, d)
		require.ErrorIs(t, manual().SetDemand(4, 2), stage.ErrInvalidOption)
		abortAll(t, runs...)
	})
}

// Whatever is set, and when: never more than the larger one outstanding, and everything comes.
func TestSetDemandAtAnyMoment(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			p := stage.FromSlice(upTo(1000))
			mid := relay(time.Duration(random.IntN(2)) * time.Millisecond)
			c := newSink(time.Duration(random.IntN(2)) * time.Millisecond)
			c.SubscribeTo(mid, stage.MaxDemand(7))
			runs := runAlone(t.Context(), mid, c)
			run := start(t.Context(), p)
			sub, err := mid.Subscribe(t.Context(), p, stage.MaxDemand(1+random.IntN(50)))
			require.NoError(t, err)
			for range 50 {
				time.Sleep(time.Duration(random.IntN(10)) * time.Millisecond)
				max := 1 + random.IntN(100)
				if sub.SetDemand(max, random.IntN(max)) != nil {
					break
				}
				synctest.Wait() // else what was finished is read before what was asked since
				s := p.Stats()
				if len(s.Downstreams) > 0 {
					d := s.Downstreams[0]
					require.LessOrEqual(t, d.Asked-d.Finished, int64(100), "seed %d", seed)
				}
			}
			require.NoError(t, run.wait(t))
			for _, r := range runs {
				require.NoError(t, r.wait(t))
			}
			require.Equal(t, upTo(1000), c.events(), "seed %d", seed)
			closed(t, p, mid, c)
		})
	}
}

func TestExpectedMaxIsLoggedOncePerSubscription(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, dispatch := range []stage.DispatcherFactory[int]{stage.Demand[int], stage.Broadcast[int]} {
			var text bytes.Buffer // written by the stage, read when it is blocked
			p := silent(stage.Logger(slog.New(slog.NewTextHandler(&text, nil))))
			p.DispatchWith(dispatch, stage.ExpectedMax(10))
			modest, subA := manualSink(t, p)
			greedy, subB := manualSink(t, p)
			runs := runAlone(t.Context(), p, modest, greedy)
			for range 3 {
				require.NoError(t, subA().Ask(10))
				require.NoError(t, subB().Ask(11))
				synctest.Wait()
			}
			require.Equal(t, 1, strings.Count(text.String(), "asks for more than was expected"), text.String())
			require.Contains(t, text.String(), "expected_max=10")
			again, subC := manualSink(t, p)
			runs = append(runs, start(t.Context(), again))
			require.NoError(t, subC().Ask(1000))
			synctest.Wait()
			require.Equal(t, 2, strings.Count(text.String(), "asks for more than was expected"))
			abortAll(t, runs...)
			closed(t, p, modest, greedy, again)
		}
		p := silent()
		p.DispatchWith(stage.Demand, stage.ExpectedMax(0))
		require.ErrorIs(t, p.Run(t.Context()), stage.ErrInvalidOption)
		p = silent()
		p.DispatchWith(stage.Broadcast, stage.Shuffle(1))
		require.ErrorIs(t, p.Run(t.Context()), stage.ErrInvalidOption)
		p = silent()
		p.DispatchWith(nil)
		require.ErrorIs(t, p.Run(t.Context()), stage.ErrInvalidOption)
		p = silent()
		p.DispatchWith(stage.Demand, nil)
		require.ErrorIs(t, p.Run(t.Context()), stage.ErrInvalidOption)
	})
}

// Who is served first among equals is a function of the seed, run after run.
func TestShuffleInAPipeline(t *testing.T) {
	order := func(seed uint64) (first []string) {
		synctest.Test(t, func(t *testing.T) {
			p := silent()
			p.DispatchWith(stage.Demand, stage.Shuffle(seed))
			all := []stage.Stage{p}
			for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
				c := stage.NewConsumer(func(_ context.Context, _ []int, sub *stage.Subscription) error {
					return nil
				}, stage.Name(name))
				c.SubscribeTo(p, stage.MaxDemand(1))
				all = append(all, c)
			}
			runs := runAlone(t.Context(), all...)
			give(t, p, 0, 1, 2)
			synctest.Wait()
			for _, s := range all[1:] {
				if s.Stats().Input.Received > 0 {
					first = append(first, s.Name())
				}
			}
			abortAll(t, runs...)
			closed(t, all...)
		})
		return first
	}
	require.Equal(t, order(1), order(1))
	different := false
	for seed := range uint64(10) {
		different = different || strings.Join(order(seed), "") != "abc"
	}
	require.True(t, different)
}

// What waits is seen wherever it waits: in the buffer, in a partition's queue, in the producer-consumer's input.
func TestBufferedSeesWhatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
		mid := relay(0)
		mid.SubscribeTo(stage.Partition(p, 1), stage.MaxDemand(5))
		require.Zero(t, p.Buffered())
		runs := runAlone(t.Context(), p, mid)
		give(t, p, upTo(20)...)
		synctest.Wait()
		// Live is 5: 1, 3, 5, 7, 9 go to mid; 0, 2, .. 8 wait for partition 0, the rest in the buffer.
		require.EqualValues(t, 15, p.Buffered())
		require.EqualValues(t, 5, mid.Stats().Input.Queued)
		require.Zero(t, mid.Buffered())
		require.NoError(t, mid.Do(t.Context(), func(context.Context) ([]int, error) { return upTo(3), nil }))
		require.EqualValues(t, 3, mid.Buffered())
		require.NoError(t, p.Accumulate())
		give(t, p, 20)
		require.EqualValues(t, 15, p.Buffered())
		require.EqualValues(t, 1, p.Stats().Output.Held)
		ledger(t, p, mid)
		abortAll(t, runs...)
		require.Zero(t, p.Buffered())
		closed(t, p, mid)
	})
}
