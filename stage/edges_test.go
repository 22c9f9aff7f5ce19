package stage_test

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// A consumer that is being stopped does not wait for the next run of a producer that ends while it
// subscribes.
func TestStopWhileSubscribingToARunThatEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent(stage.OnTerminate(func(error) { time.Sleep(time.Second) }))
		producer := start(t.Context(), p)
		p.Abort(errBoom)
		synctest.Wait() // it terminates for a second
		c := newSink(0)
		c.SubscribeTo(p)
		consumer := start(t.Context(), c)
		within(t, "Stop", func() { require.NoError(t, c.Stop(t.Context())) })
		require.NoError(t, consumer.wait(t))
		require.ErrorIs(t, producer.wait(t), errBoom)
		ledger(t, p, c)
	})
}

// A producer that takes one subscription for another and then refuses it has none left (R2).
func TestResubscribeRefusedLeavesTheProducerAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		taken := 0
		p := silent(stage.OnConsumer(func(context.Context, *stage.Subscription) error {
			if taken++; taken > 1 {
				return stage.ErrRefused
			}
			return nil
		}))
		var sub *stage.Subscription
		c := newSink(0, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub = s; return nil }))
		c.SubscribeTo(p, stage.Cancel(stage.CancelTemporary))
		run := start(t.Context(), stage.NewPipeline(p, c))
		_, err := c.Resubscribe(t.Context(), sub, nil, p)
		require.ErrorIs(t, err, stage.ErrRefused)
		require.NoError(t, run.wait(t))
		closed(t, p, c)
	})
}

// A child that waits for a subscription of its supervisor does not keep that from ending.
func TestChildSubscribesWhileItsSupervisorEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		busy := silent(patient, stage.OnInit(func(context.Context) error { time.Sleep(10 * time.Second); return nil }))
		late := start(t.Context(), busy)
		p := stage.FromSlice([]int{1})
		var s *stage.ConsumerSupervisor[int]
		var err error
		s = stage.NewConsumerSupervisor(func(context.Context, int) error {
			_, err = s.Subscribe(context.Background(), busy, stage.Cancel(stage.CancelTemporary))
			return err
		})
		s.SubscribeTo(p)
		run := start(t.Context(), stage.NewPipeline(p, s))
		s.Abort(errBoom)
		require.ErrorIs(t, run.wait(t), errBoom)
		require.Error(t, err)
		abortAll(t, late)
		ledger(t, p, s)
	})
}

// What a channel brings while the producer accumulates stays in the channel.
func TestFromChannelAccumulates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ch := make(chan int)
		p := stage.FromChannel(ch)
		c := newSink(0)
		c.SubscribeTo(p)
		run := start(t.Context(), stage.NewPipeline(p, c))
		require.NoError(t, p.Accumulate())
		go func() { // ends when all are taken
			defer close(ch)
			for i := range 5 {
				ch <- i
			}
		}()
		time.Sleep(time.Second)
		ledger(t, p, c)
		require.NoError(t, p.Forward())
		require.NoError(t, run.wait(t))
		require.Equal(t, upTo(5), c.events())
		closed(t, p, c)
	})
}

// A Do from OnInit to a stage whose own OnInit comes later would wait for itself.
func TestOnInitCallsALaterMember(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newSink(0)
		var later, earlier error
		nothing := func(context.Context) ([]int, error) { return nil, nil }
		p := stage.FromSlice(upTo(3), stage.OnInit(func(ctx context.Context) error {
			later = c.Do(ctx, func(context.Context) error { return nil })
			return nil
		}))
		pc := relay(0, stage.OnInit(func(ctx context.Context) error {
			earlier = p.Do(ctx, nothing)
			return nil
		}))
		pc.SubscribeTo(p)
		c.SubscribeTo(pc)
		require.NoError(t, start(t.Context(), stage.NewPipeline(p, stage.NewPipeline(pc, c))).wait(t))
		require.ErrorIs(t, later, stage.ErrCallCycle)
		require.NoError(t, earlier)
		closed(t, p, pc, c)
	})
}

// A Release beside an abort is counted as handled or as lost, never in between.
func TestReleaseRacesAbort(t *testing.T) {
	for range 200 {
		bubble(t, func(t *testing.T) {
			begun := make(chan *stage.Subscription, 1)
			c := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
				err := from.Hold(len(events))
				begun <- from
				return err
			})
			p := silent()
			c.SubscribeTo(p, stage.MaxDemand(10_000), stage.MinDemand(0))
			run := start(t.Context(), stage.NewPipeline(p, c))
			require.NoError(t, p.Tell(func(context.Context) ([]int, error) { return upTo(10_000), nil }))
			from := <-begun
			go func() { // ends with the run
				for from.Release(1) == nil {
				}
			}()
			runtime.Gosched()
			c.Abort(errBoom)
			require.ErrorIs(t, run.wait(t), errBoom)
			closed(t, p, c)
		})
	}
}

// A subscription that moves from one producer to another is looked into by its own only (with -race).
func TestResubscribeToAnotherProducerRaces(t *testing.T) {
	for range 20 {
		bubble(t, func(t *testing.T) {
			p, q := silent(), silent()
			subs := make(chan *stage.Subscription, 2)
			c := newSink(0, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { subs <- s; return nil }))
			c.SubscribeTo(p, stage.Cancel(stage.CancelTemporary))
			runs := runAlone(t.Context(), p, q, c)
			_, err := c.Resubscribe(t.Context(), <-subs, nil, q)
			require.NoError(t, err)
			abortAll(t, runs...)
			closed(t, p, q, c)
		})
	}
}

// A broadcast counts no copies for a subscriber that has ended and whose Down is still on its way.
func TestBroadcastCountsNoCopiesForAClosedMailbox(t *testing.T) {
	bubble(t, func(t *testing.T) {
		asked := 0
		p := stage.NewProducer(func(context.Context, int) ([]int, error) {
			if asked++; asked > 1 {
				return nil, nil
			}
			time.Sleep(time.Second)
			return upTo(6), nil
		})
		p.DispatchWith(stage.Broadcast)
		wide, narrow := newSink(0), newSink(0)
		wide.SubscribeTo(p, stage.MaxDemand(10), stage.Cancel(stage.CancelTemporary))
		narrow.SubscribeTo(p, stage.MaxDemand(2))
		runs := runAlone(t.Context(), wide, narrow, p)
		synctest.Wait() // both have asked, and the producer is at it
		narrow.Abort(nil)
		time.Sleep(2 * time.Second)
		require.Equal(t, upTo(6), wide.events())
		require.EqualValues(t, 8, p.Stats().Output.Copies) // two for both, and four for one
		ledger(t, p, wide, narrow)
		abortAll(t, runs...)
		ledger(t, p, wide, narrow)
	})
}
