package stage_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestResubscribeToTheSameProducer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, dispatch := range []stage.DispatcherFactory[int]{stage.Demand[int], stage.Broadcast[int]} {
			p, asks := asksOf()
			p.DispatchWith(dispatch)
			c := newSink(0)
			var ends told
			ends.onCancel(c.Consumer)
			runs := runAlone(t.Context(), p, c)
			old, err := c.Subscribe(t.Context(), p, stage.Cancel(stage.CancelTemporary), stage.MaxDemand(10))
			require.NoError(t, err)
			synctest.Wait() // it has asked
			give(t, p, 0, 1, 2)
			sub, err := c.Resubscribe(t.Context(), old, errBoom, p, stage.MaxDemand(20), stage.Label("new"))
			require.NoError(t, err)
			require.Equal(t, "new", sub.Label())
			synctest.Wait()
			require.Len(t, ends.list(), 1)
			require.Equal(t, stage.Cancelled, ends.list()[0].Kind)
			require.ErrorIs(t, ends.list()[0].Reason, errBoom)
			require.ErrorIs(t, old.Cancel(nil), stage.ErrEnded)
			require.Len(t, p.Stats().Downstreams, 1)
			require.EqualValues(t, 20, p.Stats().Downstreams[0].Asked)
			sum := 0
			for _, n := range asks() {
				sum += n
			}
			require.Equal(t, 23, sum, "ten, of which three came; the rest is not asked for twice")
			give(t, p, 3, 4)
			synctest.Wait()
			require.Equal(t, upTo(5), c.events())
			closed(t)
			ledger(t, p, c)
			abortAll(t, runs...)
			closed(t, p, c)
		}
	})
}

func TestResubscribeToAnotherProducer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, q := silent(), silent()
		c := newSink(0)
		var gone told
		runs := runAlone(t.Context(), p, q, c)
		old, err := c.Subscribe(t.Context(), p, stage.Cancel(stage.CancelTemporary))
		require.NoError(t, err)
		give(t, p, 0)
		_, err = c.Resubscribe(t.Context(), old, nil, q)
		require.NoError(t, err)
		give(t, q, 1)
		synctest.Wait()
		require.Equal(t, upTo(2), c.events())
		require.Empty(t, p.Stats().Downstreams)
		require.Empty(t, gone.list())
		ledger(t, p, q, c)
		abortAll(t, runs...)
		closed(t, p, q, c)
	})
}

// It ends as if it had been cancelled: by its mode.
func TestResubscribeOfAPermanentSubscriptionEndsTheConsumer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		c := newSink(0)
		runs := runAlone(t.Context(), p, c)
		old, err := c.Subscribe(t.Context(), p)
		require.NoError(t, err)
		_, _ = c.Resubscribe(t.Context(), old, errBoom, p)
		require.ErrorIs(t, runs[1].wait(t), errBoom)
		abortAll(t, runs[0])
		closed(t, p, c)
	})
}

func TestResubscribeOfWhatHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		c := newSink(0)
		runs := runAlone(t.Context(), p, c)
		old, err := c.Subscribe(t.Context(), p, stage.Cancel(stage.CancelTemporary))
		require.NoError(t, err)
		require.NoError(t, old.Cancel(nil))
		synctest.Wait()
		for range 5 {
			sub, err := c.Resubscribe(t.Context(), old, nil, p, stage.Cancel(stage.CancelTemporary))
			require.NoError(t, err)
			require.NoError(t, sub.Cancel(nil))
			synctest.Wait()
		}
		first, err := c.Subscribe(t.Context(), p)
		require.NoError(t, err)
		_, err = c.Resubscribe(t.Context(), old, nil, p)
		require.ErrorIs(t, err, stage.ErrAlreadySubscribed, "it replaces the one, not the other")
		require.NoError(t, first.Cancel(stage.ErrShutdown))
		_ = runs[1].wait(t)
		_, err = c.Resubscribe(t.Context(), old, nil, p)
		require.ErrorIs(t, err, stage.ErrEnded)
		abortAll(t, runs[0])
		closed(t, p, c)
	})
}

// A subscription of another stage is not this stage's to replace.
func TestResubscribeOfAnothersSubscription(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, q := silent(), silent()
		c, other := newSink(0), newSink(0)
		runs := runAlone(t.Context(), p, q, c, other)
		theirs, err := other.Subscribe(t.Context(), p)
		require.NoError(t, err)
		for _, src := range []stage.Source[int]{p, q} {
			_, err = c.Resubscribe(t.Context(), theirs, nil, src)
			require.ErrorIs(t, err, stage.ErrInvalidOption)
		}
		synctest.Wait()
		require.True(t, runs[3].running())
		require.Len(t, p.Stats().Downstreams, 1)
		require.Empty(t, q.Stats().Downstreams)
		abortAll(t, runs...)
		closed(t, p, q, c, other)
	})
}

func TestResubscribeMisuse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		c := newSink(0)
		runs := runAlone(t.Context(), p, c)
		old, err := c.Subscribe(t.Context(), p, stage.Cancel(stage.CancelTemporary))
		require.NoError(t, err)
		_, err = c.Resubscribe(t.Context(), old, nil, nil)
		require.ErrorIs(t, err, stage.ErrInvalidStage)
		_, err = c.Resubscribe(t.Context(), old, nil, p, stage.MaxDemand(0))
		require.ErrorIs(t, err, stage.ErrInvalidOption)
		require.NoError(t, c.Do(t.Context(), func(ctx context.Context) error {
			_, err := c.Resubscribe(ctx, old, nil, p)
			if err == nil {
				return errBoom
			}
			return nil
		}))
		require.Len(t, p.Stats().Downstreams, 1, "the old one is unharmed")
		sub, err := c.Resubscribe(t.Context(), nil, nil, silent())
		require.ErrorIs(t, err, stage.ErrNoStage, "nil is a plain Subscribe")
		require.Nil(t, sub)
		abortAll(t, runs...)
		closed(t, p, c)
	})
}

// During traffic, of a consumer and of a producer-consumer: nothing is lost, nothing comes twice, all in order.
func TestResubscribeDuringTraffic(t *testing.T) {
	for seed := range counted(t, "T38", 5_000, 100_000) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			const n = 120
			p := stage.FromSlice(upTo(n))
			var dispatch stage.DispatcherFactory[int] = stage.Demand[int]
			if seed%3 == 1 {
				dispatch = stage.PartitionBy(func(int) int { return 0 }, 0)
			}
			p.DispatchWith(dispatch)
			src := func() stage.Source[int] {
				if seed%3 == 1 {
					return stage.Partition(p, 0)
				}
				return p
			}
			opts := func() []stage.SubscribeOption {
				max := 1 + random.IntN(20)
				return []stage.SubscribeOption{stage.MaxDemand(max), stage.MinDemand(random.IntN(max)), stage.Cancel(stage.CancelTemporary)}
			}
			pause := time.Duration(random.IntN(3)) * time.Millisecond
			c := newSink(pause)
			mid := relay(pause)
			resubscribe := c.Resubscribe
			all := []stage.Stage{p, c}
			if seed%2 == 0 {
				c.SubscribeTo(mid, stage.MaxDemand(1+random.IntN(9)), stage.MinDemand(0))
				resubscribe = mid.Resubscribe
				all = []stage.Stage{p, mid, c}
			}
			runs := runAlone(t.Context(), all[1:]...)
			var sub *stage.Subscription
			go func() { runs = append(runs, start(t.Context(), p)) }() // ends when the producer has begun
			time.Sleep(time.Millisecond)
			var err error
			sub, err = resubscribe(t.Context(), nil, nil, src(), opts()...)
			for range 10 {
				if err != nil { // because the producer is done
					synctest.Wait()
					require.False(t, p.Stats().Running, "seed %d: %v", seed, err)
					break
				}
				time.Sleep(time.Duration(random.IntN(8000)) * time.Microsecond)
				sub, err = resubscribe(t.Context(), sub, nil, src(), opts()...)
			}
			_ = sub
			time.Sleep(10 * time.Second)
			synctest.Wait()
			require.Equal(t, upTo(n), c.events(), "seed %d", seed)
			abortAll(t, runs...)
			closed(t, all...)
		})
	}
}
