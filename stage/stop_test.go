package stage_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// docs/protocol.md, C1 and E8: Stop and Abort.

// Stop of a pipeline: what was emitted arrives, and Run returns nil.
func TestStopDrainsAPipeline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, middle, c := endless(), relay(time.Second), newSink(time.Second)
		middle.SubscribeTo(source, stage.MaxDemand(10))
		c.SubscribeTo(middle, stage.MaxDemand(10))
		p := stage.NewPipeline(source, middle, c)
		run := start(t.Context(), p)
		time.Sleep(10500 * time.Millisecond)
		require.NoError(t, p.Stop(t.Context()))
		require.False(t, run.running())
		require.NoError(t, run.wait(t))
		require.EqualValues(t, source.Stats().Output.Emitted, len(c.events()))
		require.Equal(t, upTo(len(c.events())), c.events())
		closed(t, p)
	})
}

// Stop of a producer alone: it is asked no more, and delivers what it has.
func TestStopProducerAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, c := silent(), newSink(time.Second)
		c.SubscribeTo(source, stage.MaxDemand(2))
		runs := runAlone(t.Context(), source, c)
		require.NoError(t, source.Do(t.Context(), func(context.Context) ([]int, error) { return upTo(20), nil }))
		require.NoError(t, source.Stop(t.Context()))
		require.NoError(t, runs[0].wait(t))
		require.NoError(t, runs[1].wait(t), "completed")
		require.Equal(t, upTo(20), c.events())
		closed(t, source, c)
	})
}

// Stop of a consumer alone: what was sent is handled, the producer goes on.
func TestStopConsumerAlone(t *testing.T) {
	for _, mode := range []stage.CancelMode{stage.CancelPermanent, stage.CancelTransient, stage.CancelTemporary} {
		bubble(t, func(t *testing.T) {
			var gone told
			source, c := endless(gone.onGone()), newSink(time.Second)
			var completes count
			c.OnComplete(func(context.Context) error { completes.Add(1); return stage.ErrDone })
			c.SubscribeTo(source, stage.MaxDemand(10), stage.Cancel(mode))
			runs := runAlone(t.Context(), source, c)
			require.NoError(t, c.Stop(t.Context()))
			require.NoError(t, runs[1].wait(t))
			require.EqualValues(t, 1, completes.Load())
			require.EqualValues(t, source.Stats().Output.Emitted, len(c.events()))
			require.True(t, runs[0].running())
			require.Len(t, gone.list(), 1)
			require.ErrorIs(t, gone.list()[0].Reason, stage.ErrShutdown)
			abortAll(t, runs...)
			closed(t, source, c)
		})
	}
}

// Stop of a producer-consumer alone: input and output are brought to their end.
func TestStopProducerConsumerAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, middle, c := endless(), relay(time.Second), newSink(2*time.Second)
		middle.OnComplete(func(context.Context) ([]int, error) { return []int{-1}, stage.ErrDone })
		middle.SubscribeTo(source, stage.MaxDemand(10))
		c.SubscribeTo(middle, stage.MaxDemand(3))
		runs := runAlone(t.Context(), source, middle, c)
		time.Sleep(10500 * time.Millisecond)
		require.NoError(t, middle.Stop(t.Context()))
		require.NoError(t, runs[1].wait(t))
		require.NoError(t, runs[2].wait(t))
		n := int(source.Stats().Output.Emitted)
		require.Equal(t, append(upTo(n), -1), c.events())
		require.True(t, runs[0].running())
		abortAll(t, runs...)
		closed(t, source, middle, c)
	})
}

// Stop waits for what is held.
func TestStopWaitsForHeldEvents(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := endless()
		var finished atomic.Int64
		c := stage.NewConsumer(func(_ context.Context, events []int, sub *stage.Subscription) error {
			if err := sub.Hold(len(events)); err != nil {
				return err
			}
			for range events {
				time.AfterFunc(time.Minute, func() {
					finished.Add(1)
					_ = sub.Next(1)
				})
			}
			return nil
		}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(5) }))
		c.SubscribeTo(source, stage.Manual())
		p := stage.NewPipeline(source, c)
		run := start(t.Context(), p)
		begin := time.Now()
		require.NoError(t, p.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		require.Equal(t, time.Minute, time.Since(begin))
		require.EqualValues(t, 5, finished.Load())
		require.EqualValues(t, 5, c.Stats().Input.Handled)
		closed(t, p)
	})
}

// When Stop's context ends, it names what is stuck and what is left, and the run is aborted.
func TestStopDeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		because := errors.New("no patience")
		source, middle := endless(stage.Name("source")), stage.NewProducerConsumer(
			func(_ context.Context, e []int, _ *stage.Subscription) ([]int, error) {
				return make([]int, 10*len(e)), nil
			},
			stage.Name("middle"))
		c := newSink(time.Hour/2, stage.Name("c"), patient) // does not look at its context
		middle.SubscribeTo(source, stage.MaxDemand(10))
		c.SubscribeTo(middle, stage.MaxDemand(4))
		p := stage.NewPipeline(source, middle, c)
		run := start(t.Context(), p)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, because)
		defer cancel()
		begin := time.Now()
		err := p.Stop(ctx)
		require.Equal(t, time.Minute, time.Since(begin))
		var stop *stage.StopError
		require.ErrorAs(t, err, &stop)
		require.ErrorIs(t, err, because)
		require.Equal(t, []stage.Stuck{{Stage: "c", Callback: "events"}}, stop.Stuck)
		left := map[string]stage.Leftover{}
		for _, l := range stop.Left {
			left[l.Stage] = l
		}
		require.Equal(t, stage.Leftover{Stage: "c", Queued: 2, InHand: 2}, left["c"])
		require.Positive(t, left["middle"].Buffered)
		require.Contains(t, err.Error(), `"c" was in events`)
		require.Contains(t, err.Error(), `"c" had 2 queued, 2 in hand;`, "no more than there was")

		err = run.wait(t)
		require.ErrorAs(t, err, &stop)
		require.ErrorIs(t, err, because)
		require.Equal(t, time.Hour/2, time.Since(begin), "Run waits for the callback")
		closed(t, p)
	})
}

// What a thousand stages had left is one line, not a thousand.
func TestStopErrorIsBounded(t *testing.T) {
	stop := &stage.StopError{Cause: context.Canceled, Left: []stage.Leftover{{Stage: "none"}, {Stage: "all", Queued: 1, InHand: 2, Buffered: 3}}}
	const two = `stage: stop did not drain: context canceled; "none" had no events; "all" had 1 queued, 2 in hand, 3 buffered`
	require.EqualError(t, stop, two)
	stop.Left = append(stop.Left, make([]stage.Leftover, 8)...)
	require.NotContains(t, stop.Error(), "more")
	stop.Left = append(stop.Left, make([]stage.Leftover, 990)...)
	require.Contains(t, stop.Error(), two)
	require.Contains(t, stop.Error(), "; and 990 more")
}

func TestStopWithAnEndedContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, c := endless(), newSink(time.Second)
		c.SubscribeTo(source, stage.MaxDemand(1))
		run := start(t.Context(), stage.NewPipeline(source, c))
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, run.Stop(ctx), context.Canceled)
		require.ErrorIs(t, run.wait(t), context.Canceled)
		closed(t, run.Stage)
	})
}

// Stop from many goroutines, and again afterwards.
func TestStopIsIdempotent(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, middle, c := endless(), relay(time.Second), newSink(time.Second)
		middle.SubscribeTo(source, stage.MaxDemand(10))
		c.SubscribeTo(middle, stage.MaxDemand(10))
		p := stage.NewPipeline(source, middle, c)
		run := start(t.Context(), p)
		errs := make(chan error, 40)
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				time.Sleep(time.Duration(i) * 100 * time.Millisecond)
				errs <- []stage.Stage{p, source}[i%2].Stop(t.Context())
			})
		}
		all.Wait()
		for range 40 {
			require.NoError(t, <-errs)
		}
		require.NoError(t, run.wait(t))
		require.NoError(t, p.Stop(t.Context()))
		require.EqualValues(t, source.Stats().Output.Emitted, len(c.events()))
		closed(t, p)
	})
}

// Stop while the pipeline starts: it starts, and drains what came with the start.
func TestStopWhileStarting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := silent()
		slow := newSink(0, stage.OnInit(func(context.Context) error { time.Sleep(time.Minute); return nil }))
		slow.SubscribeTo(source)
		p := stage.NewPipeline(source, slow)
		run := start(t.Context(), p)
		require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return upTo(3), nil }))
		require.NoError(t, p.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		require.Equal(t, upTo(3), slow.events())
		closed(t, p)
	})
}

// A subscription to a member which has ended is not waited for.
func TestStopWithAWaitingSubscription(t *testing.T) {
	bubble(t, func(t *testing.T) {
		gone, source, c := silent(quiet), endless(), newSink(time.Second)
		c.SubscribeTo(source, stage.MaxDemand(1))
		c.SubscribeTo(gone, stage.Cancel(stage.CancelTemporary))
		p := stage.NewPipeline(gone, source, c)
		run := start(t.Context(), p)
		gone.Abort(errBoom)
		synctest.Wait()
		c.SubscribeTo(gone, stage.AllowDuplicate(), stage.Cancel(stage.CancelTemporary))
		require.NoError(t, p.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		closed(t, p)
	})
}

// After Abort has returned no callback begins, except OnTerminate.
func TestAbortIsTheLastCallback(t *testing.T) {
	for _, cause := range []error{nil, errBoom, stage.ErrKilled, stage.ErrShutdown} {
		t.Run(fmt.Sprint(cause), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var aborted atomic.Bool
				var calls, terminated count
				at := func() {
					if aborted.Load() {
						calls.Add(1)
					}
				}
				source := stage.NewProducer(func(_ context.Context, n int) ([]int, error) { at(); return make([]int, n), nil },
					terminated.onTerminate(), stage.OnConsumerGone(func(context.Context, *stage.Subscription, stage.Cancellation) error {
						at()
						return nil
					}))
				middle := stage.NewProducerConsumer(func(_ context.Context, e []int, _ *stage.Subscription) ([]int, error) {
					at()
					time.Sleep(time.Second)
					return e, nil
				}, terminated.onTerminate())
				middle.OnCancel(func(context.Context, *stage.Subscription, stage.Cancellation) ([]int, error) {
					at()
					return nil, nil
				})
				c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error {
					at()
					time.Sleep(time.Second)
					return nil
				}, terminated.onTerminate())
				c.OnCancel(func(context.Context, *stage.Subscription, stage.Cancellation) error { at(); return nil })
				c.OnComplete(func(context.Context) error { at(); return nil })
				middle.SubscribeTo(source, stage.MaxDemand(10))
				c.SubscribeTo(middle, stage.MaxDemand(10))
				p := stage.NewPipeline(source, middle, c)
				p.Abort(cause) // before the run: nothing
				run := start(t.Context(), p)
				time.Sleep(10500 * time.Millisecond)
				require.NoError(t, c.Tell(func(context.Context) error { at(); return nil }))
				p.Abort(cause)
				aborted.Store(true)
				p.Abort(errors.New("a second one"))
				want := cause
				if want == nil {
					want = stage.ErrShutdown
				}
				require.Equal(t, &stage.Error{Stage: p.Name(), Err: want}, run.wait(t))
				require.Zero(t, calls.Load(), "callbacks that began after Abort")
				require.EqualValues(t, 3, terminated.Load())
				require.ErrorIs(t, c.Tell(func(context.Context) error { return nil }), stage.ErrEnded)
				p.Abort(cause) // after the run: nothing
				closed(t, p)
			})
		})
	}
}

// Abort may be called from every callback; the cause counts, not what the callback then returns.
func TestAbortFromCallbacks(t *testing.T) {
	for _, p := range places {
		if p.kind != "producer" && p.kind != "producer-consumer" && p.kind != "consumer" {
			continue
		}
		name := fmt.Sprintf("%s/%s %v", p.kind, p.name, p.observe)
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				killed := fmt.Errorf("%s: %w", name, stage.ErrKilled)
				var v *victim
				v = newVictim(p, fault{
					does: func() error { v.self.Abort(killed); return errBoom },
					check: func(t *testing.T, err error, _ *victim) {
						require.True(t, errors.Is(err, errBoom) || errors.Is(err, stage.ErrEnded), "%v", err)
					},
				})
				pipeline := stage.NewPipeline(v.stages()...)
				run := start(t.Context(), pipeline)
				v.provoke(t)
				err := run.wait(t)
				terminated := int64(1)
				switch {
				case p.notRun:
					terminated = 0
					require.ErrorIs(t, err, killed)
				case p.name == "OnTerminate":
					require.NoError(t, err, "too late")
				default:
					require.Equal(t, &stage.Error{Stage: "victim", Err: killed}, err)
				}
				require.EqualValues(t, terminated, v.terminated.Load())
				closed(t, pipeline)
			})
		})
	}
}

// The callback in progress sees its context end, with the cause.
func TestAbortEndsTheContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen error
		c := stage.NewConsumer(func(ctx context.Context, _ []int, _ *stage.Subscription) error {
			<-ctx.Done()
			seen = context.Cause(ctx)
			return ctx.Err()
		}, stage.Name("c"))
		source := endless()
		c.SubscribeTo(source, stage.MaxDemand(1))
		runs := runAlone(t.Context(), source, c)
		c.Abort(errBoom)
		want := &stage.Error{Stage: "c", Err: errBoom}
		require.Equal(t, want, runs[1].wait(t))
		require.Equal(t, want, seen)
		require.EqualValues(t, 1, c.Stats().Input.Failed)
		abortAll(t, runs...)
		closed(t, source, c)
	})
}

// A clean abort hides no panic of the callback in progress.
func TestAbortHidesNoPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := stage.NewConsumer(func(ctx context.Context, _ []int, _ *stage.Subscription) error {
			<-ctx.Done()
			panic("while cleaning up")
		})
		source := endless()
		c.SubscribeTo(source, stage.MaxDemand(1))
		runs := runAlone(t.Context(), source, c)
		c.Abort(nil)
		var panicked *stage.PanicError
		require.ErrorAs(t, runs[1].wait(t), &panicked)
		abortAll(t, runs...)
		closed(t, source, c)
	})
}

// A goroutine of a callback may stop the pipeline with the callback's context, though that ends
// when its own stage has drained.
func TestStopWithTheContextOfAMember(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var p *stage.Pipeline
		stopped := make(chan error, 1)
		calls := 0
		source := stage.NewProducer(func(ctx context.Context, demand int) ([]int, error) {
			if calls++; calls == 5 {
				go func() { stopped <- p.Stop(ctx) }()
			}
			return make([]int, demand), nil
		})
		middle, c := relay(time.Second), newSink(time.Second)
		middle.SubscribeTo(source, stage.MaxDemand(10))
		c.SubscribeTo(middle, stage.MaxDemand(10))
		p = stage.NewPipeline(source, middle, c)
		run := start(t.Context(), p)
		require.NoError(t, run.wait(t))
		require.NoError(t, <-stopped)
		require.EqualValues(t, source.Stats().Output.Emitted, len(c.events()))
		closed(t, p)
	})
}
