package stage_test

import (
	"context"
	"iter"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// What the simulator has found (internal/sim), each reduced to what it takes.

func TestForEachBeginsNoEventAfterAbort(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var began count
		source := stage.FromSlice(upTo(10))
		c := stage.ForEach(func(context.Context, int) error {
			began.Add(1)
			time.Sleep(time.Second)
			return nil
		})
		c.SubscribeTo(source, stage.MaxDemand(10), stage.MinDemand(0), stage.Cancel(stage.CancelTemporary))
		runs := runAlone(t.Context(), source, c)
		time.Sleep(2500 * time.Millisecond) // in the third event
		c.Abort(errBoom)
		require.ErrorIs(t, runs[1].wait(t), errBoom)
		require.EqualValues(t, 3, began.Load())
		s := c.Stats().Input
		require.EqualValues(t, 3, s.Handled)
		require.EqualValues(t, 7, s.HandedBack, "what it has not begun goes back")
		abortAll(t, runs[0])
		closed(t, source, c)
	})
}

// A producer's OnConsumer has the subscription before its consumer knows that it was accepted.
func TestSetDemandBeforeTheFirstAsk(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var asked []int
		var sub *stage.Subscription
		source := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
			asked = append(asked, demand)
			return nil, nil
		}, stage.OnConsumer(func(_ context.Context, s *stage.Subscription) error {
			sub = s
			return s.SetDemand(7, 3)
		}))
		c := newSink(0)
		c.SubscribeTo(source, stage.MaxDemand(100))
		runs := runAlone(t.Context(), c, source)
		require.Equal(t, []int{7}, asked)
		require.NoError(t, sub.SetDemand(9, 8))
		synctest.Wait()
		require.Equal(t, []int{7, 2}, asked)
		abortAll(t, runs...)
	})
}

// The call is over before the stage waits for its children: one of them waits for it.
func TestGoexitInTheDoOfAChild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(1))
		var c *stage.ConsumerSupervisor[int]
		heard := make(chan error, 1)
		c = stage.NewConsumerSupervisor(func(ctx context.Context, _ int) error {
			err := c.Do(ctx, func(context.Context) error { runtime.Goexit(); return nil })
			heard <- err
			return err
		}, quiet)
		c.SubscribeTo(source)
		run := start(t.Context(), stage.NewPipeline(source, c))
		require.ErrorIs(t, run.wait(t), stage.ErrGoexit)
		require.ErrorIs(t, <-heard, stage.ErrGoexit)
		closed(t, source, c)
	})
}

// A member that ends before it has subscribed leaves its producers as if it had (R2): they would wait for ever.
func TestAConsumerThatIsDoneBeforeItSubscribes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		done := stage.OnInit(func(context.Context) error { return stage.ErrDone })
		source := endless()
		middle := relay(0)
		middle.SubscribeTo(source)
		last := newSink(0, done)
		last.SubscribeTo(middle)
		gone := &told{}
		aside := silent(gone.onGone())
		other := newSink(0, done)
		other.SubscribeTo(aside)
		run := start(t.Context(), stage.NewPipeline(last, source, middle, other, aside))
		require.NoError(t, run.wait(t))
		require.ErrorIs(t, source.Stats().Err, stage.ErrShutdown)
		require.Len(t, gone.list(), 1)
		closed(t, source, middle, last, other, aside)
	})
}

// What answers a subscription does not queue behind the events of other producers: a stage that holds those back until
// its start is over would wait for itself.
func TestAnAnswerDoesNotWaitBehindTheEventsOfOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		full := stage.FromSlice(upTo(4))
		refuses := silent(stage.OnConsumer(func(context.Context, *stage.Subscription) error {
			time.Sleep(time.Second) // full's events are there by then
			return errBoom
		}))
		limiter := relay(0)
		limiter.OnDemand(func(_ context.Context, demand int) ([]int, int, error) { return nil, demand, nil })
		limiter.SubscribeTo(refuses, stage.Cancel(stage.CancelTemporary))
		limiter.SubscribeTo(full)
		last := newSink(0)
		last.SubscribeTo(limiter)
		failed := start(t.Context(), refuses)
		var runs []*started
		for _, s := range []stage.Stage{last, limiter, full} {
			runs = append(runs, start(t.Context(), s))
		}
		require.ErrorIs(t, failed.wait(t), errBoom)
		for _, run := range runs {
			require.NoError(t, run.wait(t))
		}
		require.Equal(t, upTo(4), last.events())
		closed(t, full, refuses, limiter, last)
	})
}

// What is asked before the producer runs waits for it. An observer has the subscription that early.
func TestAnAskBeforeTheProducerRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sub *stage.Subscription
		source := endless()
		last := newSink(0, stage.Observe(func(m stage.Message) {
			if m.Kind == stage.MessageSubscribe {
				sub = m.Sub
			}
		}))
		last.SubscribeTo(source, stage.Manual())
		consumer := start(t.Context(), last)
		require.NoError(t, sub.Ask(2))
		producer := start(t.Context(), source)
		require.Len(t, last.events(), 2)
		require.NoError(t, sub.Ask(1))
		synctest.Wait()
		require.Len(t, last.events(), 3)
		abortAll(t, consumer, producer)
		closed(t, source, last)
	})
}

// The batch of an expansion is in hand until the sequence has ended, also when its subscription ends before.
func TestTheBatchOfAnExpansionStaysInHand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(2))
		x := stage.NewExpander(func(_ context.Context, events []int, _ *stage.Subscription) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for range 10 {
					if !yield(events[0], nil) {
						return
					}
				}
			}
		})
		x.SubscribeTo(source)
		var sub *stage.Subscription
		slow := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
			stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub = s; return s.Ask(3) }))
		slow.SubscribeTo(x, stage.Manual())
		run := start(t.Context(), stage.NewPipeline(source, x, slow))
		require.NoError(t, x.Do(t.Context(), func(context.Context) ([]int, error) { return nil, stage.ErrDone }))
		synctest.Wait()
		require.EqualValues(t, 2, x.Stats().Input.InHand)
		ledger(t, source, x, slow)
		require.NoError(t, sub.Ask(100))
		require.NoError(t, run.wait(t))
		closed(t, source, x, slow)
	})
}

// "Begun all" is about what came before the question, not about what has arrived since (C3): else the producer
// ends while some of its events are in a queue, and nobody is there to take them back.
func TestBegunAllDoesNotCountWhatCameAfterTheQuestion(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var up, down *stage.Subscription
		source := stage.FromSlice(upTo(4))
		middle := relay(0, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { up = s; return s.Ask(1) }))
		middle.SubscribeTo(source, stage.Manual())
		last := newSink(0, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { down = s; return nil }))
		last.SubscribeTo(middle, stage.Manual(), stage.Cancel(stage.CancelTemporary))
		runs := runAlone(t.Context(), source, middle, last)
		victim := newSink(time.Minute, stage.Grace(time.Hour))
		victim.SubscribeTo(source, stage.MaxDemand(3), stage.MinDemand(2))
		runs = append(runs, runAlone(t.Context(), victim)...) // begins 1; 2 and 3 wait
		require.NoError(t, up.Ask(2))
		victim.Abort(errBoom)
		require.ErrorIs(t, runs[3].wait(t), errBoom) // 2 and 3 go back, and to middle
		synctest.Wait()
		require.EqualValues(t, 3, middle.Stats().Input.Queued)

		require.NoError(t, down.Ask(1))
		synctest.Wait()
		require.EqualValues(t, 2, middle.Stats().Input.Queued)
		require.True(t, source.Stats().Running, "2 and 3 are not begun")
		middle.Abort(errBoom)
		require.ErrorIs(t, runs[1].wait(t), errBoom)
		synctest.Wait()
		require.EqualValues(t, 2, source.Stats().Output.Buffered, "they have come back")
		abortAll(t, runs...)
		closed(t, source, middle, last, victim)
	})
}

// A declared subscriber that is refused has been one, for R2.
func TestAProducerWhoseOnlySubscriberIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, how := range []string{"by the dispatcher", "by OnConsumer"} {
			refuse := stage.OnConsumer(func(context.Context, *stage.Subscription) error {
				if how == "by OnConsumer" {
					return stage.ErrRefused
				}
				return nil
			})
			source := endless(refuse)
			source.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
			c := newSink(0)
			c.SubscribeTo(stage.Partition(source, 7), stage.Cancel(stage.CancelTemporary))
			require.NoError(t, start(t.Context(), stage.NewPipeline(source, c)).wait(t), how)
			require.ErrorIs(t, source.Stats().Err, stage.ErrShutdown, how)
		}
	})
}

// Both subscriptions hear of the end, the one that is replaced and the one that is to take its place.
func TestGoexitInTheMiddleOfAResubscribe(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sub *stage.Subscription
		source := silent(stage.OnConsumerGone(func(context.Context, *stage.Subscription, stage.Cancellation) error {
			runtime.Goexit()
			return nil
		}))
		ends := &told{}
		c := newSink(0, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub = s; return nil }))
		ends.onCancel(c.Consumer)
		c.SubscribeTo(source, stage.Cancel(stage.CancelTemporary))
		runs := runAlone(t.Context(), source, c)
		_, err := c.Resubscribe(t.Context(), sub, nil, source, stage.Cancel(stage.CancelTemporary))
		require.Error(t, err)
		require.ErrorIs(t, runs[0].wait(t), stage.ErrGoexit)
		synctest.Wait()
		require.Empty(t, c.Stats().Upstreams)
		require.Len(t, ends.list(), 2)
		abortAll(t, runs...)
	})
}

// A subscription that comes and goes while the pipeline starts does not complete a stage that has not made its
// declared ones (R3, C6).
func TestASubscriptionThatEndsBeforeTheDeclaredOnesAreMade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, side := stage.FromSlice(upTo(3)), silent()
		c := newSink(0)
		c.SubscribeTo(source)
		slow := newSink(0, stage.OnInit(func(context.Context) error { time.Sleep(time.Minute); return nil }))
		slow.SubscribeTo(side)
		run := start(t.Context(), stage.NewPipeline(source, side, c, slow))
		sub, err := c.Subscribe(t.Context(), side, stage.Cancel(stage.CancelTemporary))
		require.NoError(t, err)
		require.NoError(t, sub.Cancel(nil))
		synctest.Wait()
		require.True(t, c.Stats().Running)
		time.Sleep(2 * time.Minute)
		require.Equal(t, upTo(3), c.events())
		abortAll(t, run)
	})
}

// A stage that is done before it has made its declared subscriptions makes none: it would keep what it gets.
func TestAStageThatIsDoneMakesNoSubscriptions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(3))
		middle, other := relay(0), newSink(0)
		middle.SubscribeTo(source, stage.MaxDemand(2))
		other.SubscribeTo(source, stage.MaxDemand(1), stage.MinDemand(0))
		last := newSink(0, stage.OnInit(func(context.Context) error { time.Sleep(time.Minute); return nil }))
		last.SubscribeTo(middle, stage.Manual())
		run := start(t.Context(), stage.NewPipeline(source, middle, other, last))
		require.NoError(t, middle.Do(t.Context(), func(context.Context) ([]int, error) { return upTo(1), stage.ErrDone }))
		time.Sleep(2 * time.Minute)
		require.Len(t, other.events(), 3, "all of them")
		abortAll(t, run)
		closed(t, source, middle, other, last)
	})
}

// A DoAfter of a producer that is done emits when the last subscriber has gone: nobody will take that (R2).
func TestDoAfterEmitsBehindTheLastSubscriber(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := silent(stage.BufferSize(5))
		source.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
		sink := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil })
		sink.SubscribeTo(stage.Partition(source, 0), stage.Manual())
		other := newSink(0)
		other.SubscribeTo(stage.Partition(source, 1))
		pipeline := stage.NewPipeline(source, sink, other)
		run := start(t.Context(), pipeline)
		require.NoError(t, source.Do(t.Context(), func(context.Context) ([]int, error) { return []int{2}, nil }))
		require.NoError(t, source.TellAfter(func(context.Context) ([]int, error) { return []int{4}, nil }))
		require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, stage.ErrDone }))
		require.NoError(t, other.Tell(func(context.Context) error { return stage.ErrDone }))
		synctest.Wait()
		require.NoError(t, sink.Tell(func(context.Context) error { return stage.ErrDone }))
		require.NoError(t, run.wait(t))
		require.EqualValues(t, 2, source.Stats().Output.Lost)
		closed(t, pipeline)
	})
}
