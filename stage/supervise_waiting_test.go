package stage_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// A consumer is stopped while its subscription waits for a restart, and takes its time to end: the producer does not wait for
// it (R2), as it does not for one that has cancelled.
func TestStopWhileASubscriptionWaits(t *testing.T) {
	for _, waits := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			source, kept := silent(stage.Name("source")), stage.FromSlice(upTo(1), stage.Name("kept"))
			var held *stage.Subscription
			sink := stage.NewConsumer(func(_ context.Context, events []int, sub *stage.Subscription) error {
				held = sub
				return sub.Hold(len(events))
			}, stage.Name("sink"))
			sink.SubscribeTo(source, stage.Cancel(stage.CancelTemporary))
			sink.SubscribeTo(kept)
			sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(time.Second, time.Second))
			for _, s := range []stage.Stage{source, kept, sink} {
				sup.Add(s)
			}
			run := start(t.Context(), sup)
			if waits {
				source.Abort(errBoom)
				synctest.Wait()
			}
			stopped := make(chan error, 1)
			go func() { stopped <- sink.Stop(context.Background()) }()
			time.Sleep(time.Minute)
			require.True(t, sink.Stats().Running, "it holds an event")
			require.False(t, source.Stats().Running, "it waits for nobody")
			require.NoError(t, held.Release(1))
			require.NoError(t, <-stopped)
			require.NoError(t, run.wait(t))
			closed(t, sup)
		})
	}
}

// What a consumer's own end of a subscription brings it to, it is started again from: the producer waits for that (V8). It
// takes its time to end, so that the producer has heard of the subscription's end long before.
func TestSupervisorOfAConsumerThatEndsBehindItsSubscription(t *testing.T) {
	tests := map[string]struct {
		mode stage.RestartMode
		end  func(t *testing.T, k *stage.Consumer[int], sub *stage.Subscription)
	}{
		"it cancels with a failure": {stage.RestartTransient, func(t *testing.T, _ *stage.Consumer[int], sub *stage.Subscription) {
			require.NoError(t, sub.Cancel(errBoom))
		}},
		"it cancels, and is permanent": {stage.RestartPermanent, func(t *testing.T, _ *stage.Consumer[int], sub *stage.Subscription) {
			require.NoError(t, sub.Cancel(nil))
		}},
		"it is stopped, and permanent": {stage.RestartPermanent, func(t *testing.T, k *stage.Consumer[int], _ *stage.Subscription) {
			require.NoError(t, k.Stop(context.Background()))
		}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				source := silent(stage.Name("source"))
				var sub *stage.Subscription
				sink := newSink(0, stage.Name("sink"), stage.OnTerminate(func(error) { time.Sleep(time.Second) }),
					stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub = s; return nil }))
				sink.SubscribeTo(source)
				sup := stage.NewSupervisor(quiet, stage.OneForOne)
				sup.Add(source)
				sup.Add(sink, stage.Restart(test.mode))
				run := start(t.Context(), sup)
				test.end(t, sink.Consumer, sub)
				time.Sleep(time.Minute)
				hasItsConsumerBack(t, source, sink)
				abortAll(t, run)
				closed(t, sup)
			})
		})
	}
}

// A producer refuses a consumer, which fails by that: it waits for its next run (V8).
func TestSupervisorOfAConsumerThatIsRefusedOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		source := silent(stage.Name("source"), stage.OnConsumer(func(context.Context, *stage.Subscription) error {
			if calls++; calls == 1 {
				return stage.ErrRefused
			}
			return nil
		}))
		sink := newSink(0, stage.Name("sink"), stage.OnTerminate(func(error) { time.Sleep(time.Second) }))
		sink.SubscribeTo(source)
		sup := stage.NewSupervisor(quiet, stage.OneForOne)
		sup.Add(source)
		sup.Add(sink)
		run := start(t.Context(), sup)
		time.Sleep(time.Minute)
		hasItsConsumerBack(t, source, sink)
		abortAll(t, run)
		closed(t, sup)
	})
}

// A producer-consumer is done, and what it has emitted waits for a consumer that does not ask: its producer does not wait for
// it (R2), whether it is kept or not.
func TestSupervisorOfAStageThatIsDoneAndLingers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := silent(stage.Name("source"))
		middle := relay(0, stage.Name("middle"))
		middle.SubscribeTo(source)
		sink := newSink(0, stage.Name("sink"))
		sink.SubscribeTo(middle, stage.Manual())
		sup := stage.NewSupervisor(quiet, stage.OneForOne)
		for _, s := range []stage.Stage{source, middle, sink} {
			sup.Add(s)
		}
		run := start(t.Context(), sup)
		require.NoError(t, middle.Tell(func(context.Context) ([]int, error) { return upTo(3), stage.ErrDone }))
		synctest.Wait()
		require.True(t, middle.Stats().Running, "it has something to deliver")
		require.False(t, source.Stats().Running, "it waits for nobody")
		abortAll(t, run)
		closed(t, sup)
	})
}

// A permanent consumer completes with its producer and takes its time to end; meanwhile that is started along with another. It
// waits for the consumer's next run (V8).
func TestSupervisorOfAConsumerThatCompletesAndComesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := silent(stage.Name("source"))
		other, sink := newSink(0, stage.Name("other")), newSink(0, stage.Name("sink"), stage.OnTerminate(func(error) { time.Sleep(time.Second) }))
		inner := stage.NewSupervisor(quiet, stage.OneForAll)
		inner.Add(source)
		inner.Add(other)
		sink.SubscribeTo(source)
		outer := stage.NewSupervisor(quiet, stage.OneForOne)
		outer.Add(inner)
		outer.Add(sink, stage.Restart(stage.RestartPermanent))
		run := start(t.Context(), outer)
		require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, stage.ErrDone }))
		synctest.Wait()
		fail(t, other.Consumer)
		time.Sleep(time.Minute)
		require.Equal(t, 2, source.Stats().Runs)
		hasItsConsumerBack(t, source, sink)
		abortAll(t, run)
		closed(t, outer)
	})
}

// One of two consumers goes while both wait for a restart, in whatever way: the other gets what there is, however it is
// dispatched, and all end.
func TestOneOfTwoThatWaitGoes(t *testing.T) {
	type made struct {
		source *stage.Producer[int]
		part   func(stage.Source[int], int) stage.Source[int]
		want   []int
	}
	whole := func(s stage.Source[int], _ int) stage.Source[int] { return s }
	finite := func(opts ...stage.ProducerOption) *stage.Producer[int] {
		return stage.NewProducer(func(context.Context, int) ([]int, error) { return upTo(4), stage.ErrDone }, append(opts, stage.Name("source"))...)
	}
	sources := map[string]func() made{
		"demand":       func() made { return made{finite(), whole, upTo(4)} },
		"accumulating": func() made { return made{finite(stage.Accumulating()), whole, upTo(4)} },
		"broadcast": func() made {
			p := finite(stage.Accumulating())
			p.DispatchWith(stage.Broadcast)
			return made{p, whole, upTo(4)}
		},
		"partition": func() made {
			p := finite(stage.Accumulating())
			p.DispatchWith(stage.PartitionBy(func(e int) int { return e % 2 }, 0, 1))
			return made{p, func(s stage.Source[int], k int) stage.Source[int] { return stage.Partition(s, k) }, []int{0, 2}}
		},
	}
	ways := map[string]struct {
		leave func(sink *sink, around *stage.Pipeline, other *stage.Producer[int])
		back  bool // it comes back
	}{
		"stopped":                     {leave: func(k *sink, _ *stage.Pipeline, _ *stage.Producer[int]) { _ = k.Stop(context.Background()) }},
		"aborted":                     {leave: func(k *sink, _ *stage.Pipeline, _ *stage.Producer[int]) { k.Abort(nil) }},
		"stopped with its pipeline":   {leave: func(_ *sink, p *stage.Pipeline, _ *stage.Producer[int]) { _ = p.Stop(context.Background()) }},
		"started again with its kind": {leave: func(_ *sink, _ *stage.Pipeline, other *stage.Producer[int]) { other.Abort(errBoom) }, back: true},
	}
	for sourceName, makeSource := range sources {
		for wayName, way := range ways {
			t.Run(sourceName+"/"+wayName, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					m := makeSource()
					gate := silent(stage.Name("gate"), stage.KeepRunning(), stage.OnInit(func(context.Context) error { m.source.Abort(errBoom); return nil }))
					stays, goes, other := newSink(0, stage.Name("stays")), newSink(0, stage.Name("goes")), silent(stage.Name("other"), stage.KeepRunning())
					stays.SubscribeTo(m.part(m.source, 0), stage.Cancel(stage.CancelTemporary))
					goes.SubscribeTo(m.part(m.source, 1), stage.Cancel(stage.CancelTemporary))
					around := stage.NewPipeline(goes, other)
					kept := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(2*time.Second, 2*time.Second))
					kept.Add(m.source)
					kept.Add(around)
					kept.Add(stays)
					kept.Add(gate, stage.Restart(stage.RestartTemporary))
					run := start(t.Context(), kept)
					require.True(t, goes.Stats().Upstreams[0].Waiting)
					way.leave(goes, around, other)
					time.Sleep(time.Minute)
					m.source.Forward()
					time.Sleep(time.Minute)
					require.Equal(t, 2, m.source.Stats().Runs)
					require.NoError(t, m.source.Stats().Err)
					require.False(t, m.source.Stats().Running, "%+v", m.source.Stats())
					if sourceName == "partition" || !way.back {
						require.Equal(t, m.want, stays.events())
					}
					require.False(t, stays.Stats().Running)
					abortAll(t, run)
					closed(t, kept)
				})
			})
		}
	}
}

// hasItsConsumerBack checks that a source has not ended, and that its consumer is in its second run.
func hasItsConsumerBack(t *testing.T, source *stage.Producer[int], sink *sink) {
	t.Helper()
	require.True(t, source.Stats().Running, "%v", source.Stats().Err)
	require.Equal(t, 2, sink.Stats().Runs)
	require.True(t, sink.Stats().Running)
}

// A consumer has replaced a subscription that it declares by one that it makes itself, or cancelled it before: its next run declares
// it again. It hears late that the producer has failed, and fails by that: the producer, which is restarted long before, waits for it (V8).
func TestSupervisorOfAConsumerThatHasSubscribedAnew(t *testing.T) {
	for name, anew := range map[string]func(*sink, *stage.Subscription, *stage.Producer[int]) error{
		"replaced": func(sink *sink, old *stage.Subscription, source *stage.Producer[int]) error {
			_, err := sink.Resubscribe(context.Background(), old, nil, source, stage.MaxDemand(7))
			return err
		},
		"cancelled before": func(sink *sink, old *stage.Subscription, source *stage.Producer[int]) error {
			_ = old.Cancel(nil)
			synctest.Wait()
			_, err := sink.Subscribe(context.Background(), source)
			return err
		},
		"twice": func(sink *sink, _ *stage.Subscription, source *stage.Producer[int]) error {
			second, err := sink.Subscribe(context.Background(), source, stage.AllowDuplicate(), stage.Cancel(stage.CancelTemporary))
			if err == nil {
				_ = second.Cancel(nil)
			}
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var sub *stage.Subscription
				source, other := silent(stage.Name("source")), newSink(0, stage.Name("other"))
				sink := newSink(0, stage.Name("sink"), stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error {
					if sub == nil && s.Producer() == "source" {
						sub = s
					}
					return nil
				}))
				kept := silent(stage.Name("kept"))
				sink.SubscribeTo(source, stage.Cancel(stage.CancelTransient))
				sink.SubscribeTo(kept)
				other.SubscribeTo(source)
				sup := stage.NewSupervisor(quiet, stage.OneForOne)
				for _, s := range []stage.Stage{source, kept, other, sink} {
					sup.Add(s)
				}
				run := start(t.Context(), sup)
				require.NoError(t, anew(sink, sub, source))
				other.Abort(nil)
				synctest.Wait()
				require.NoError(t, sink.Tell(func(context.Context) error { time.Sleep(time.Second); return nil }))
				synctest.Wait()
				source.Abort(errBoom)
				time.Sleep(time.Minute)
				hasItsConsumerBack(t, source, sink)
				require.Equal(t, 2, source.Stats().Runs)
				abortAll(t, run)
				closed(t, sup)
			})
		})
	}
}
