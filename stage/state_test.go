package stage_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// is checks what a stage does and for how long it has.
func is(t *testing.T, s stage.Stage, kind stage.StateKind, since time.Duration) stage.Stats {
	t.Helper()
	synctest.Wait()
	stats := s.Stats()
	require.Equal(t, kind.String(), stats.State.Kind.String(), stage.Explain(stats))
	require.Equal(t, since, stats.At.Sub(stats.State.Since), stage.Explain(stats))
	return stats
}

// What a dispatcher of the user's is asked before the stage parks is not what the stage does.
func TestStateBehindADispatcherOfTheUsers(t *testing.T) {
	type own struct{ stage.QueueingDispatcher[int] }
	bubble(t, func(t *testing.T) {
		p, mid, c := stage.NewQueue[int](9), relay(0), newSink(0)
		mid.DispatchWith(func(opts ...stage.DispatchOption) (stage.Dispatcher[int], error) {
			d, err := stage.Broadcast[int](opts...)
			return own{d.(stage.QueueingDispatcher[int])}, err
		})
		mid.SubscribeTo(p)
		c.SubscribeTo(mid)
		run := start(t.Context(), stage.NewPipeline(p, mid, c))
		is(t, mid, stage.StateForEvents, 0)
		time.Sleep(time.Second)
		require.NoError(t, p.Push(t.Context(), 1))
		is(t, mid, stage.StateForEvents, 0)
		p.Close()
		require.NoError(t, run.wait(t))
	})
}

// What began before the first look is since that look; what begins behind it has its time.
func TestStateIsSinceTheFirstLookOrSinceItBegan(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.NewQueue[int](9)
		c := newSink(10*time.Second, patient)
		c.SubscribeTo(p, stage.MaxDemand(1))
		runs := runAlone(t.Context(), p, c)
		require.NoError(t, p.TryPush(1, 2))
		time.Sleep(3 * time.Second)
		is(t, c, stage.StateCallback, 0) // for three seconds, but nobody had looked
		time.Sleep(2 * time.Second)
		is(t, c, stage.StateCallback, 2*time.Second)
		time.Sleep(6 * time.Second) // the second callback began five seconds after the look
		require.Equal(t, "events", is(t, c, stage.StateCallback, time.Second).Callback)
		time.Sleep(9 * time.Second)
		is(t, c, stage.StateForEvents, 0)
		time.Sleep(time.Minute)
		is(t, c, stage.StateForEvents, time.Minute)
		is(t, p, stage.StateForEvents, 0) // the queue: it had not been looked at
		time.Sleep(time.Minute)
		is(t, p, stage.StateForEvents, time.Minute)
		require.NoError(t, p.TryPush(3))
		is(t, p, stage.StateForDemand, 0)
		abortAll(t, runs...)
		is(t, c, stage.StateEnded, 0)
		time.Sleep(time.Hour)
		is(t, c, stage.StateEnded, time.Hour)
	})
}

// A message that brings no callback does not end a wait.
func TestStateOutlastsMessages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		c := newSink(0)
		c.SubscribeTo(p, stage.MaxDemand(5))
		runs := runAlone(t.Context(), p, c)
		is(t, c, stage.StateForEvents, 0)
		time.Sleep(time.Minute)
		d := newSink(0)
		d.SubscribeTo(p, stage.MaxDemand(5))
		runs = append(runs, start(t.Context(), d)) // p hears of it, c does not
		c.SubscribeTo(silent(), stage.MaxDemand(5))
		is(t, c, stage.StateForEvents, time.Minute)
		abortAll(t, runs...)
	})
}

func TestStateBeforeAndAfterRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := stage.FromSlice(upTo(1), stage.OnInit(func(context.Context) error {
			time.Sleep(time.Minute)
			return nil
		}))
		c := newSink(0)
		c.SubscribeTo(slow)
		pipeline := stage.NewPipeline(slow, c)
		require.Equal(t, stage.State{}, c.Stats().State)
		require.Equal(t, stage.State{}, pipeline.Stats().State)
		require.Equal(t, stage.StateNotRun, pipeline.Stats().State.Kind)
		run := start(t.Context(), pipeline)
		require.Equal(t, "OnInit", is(t, slow, stage.StateCallback, 0).Callback)
		is(t, c, stage.StateStarting, 0)
		require.Equal(t, stage.State{Kind: stage.StateBusy}, pipeline.Stats().State)
		require.NoError(t, run.wait(t))
		time.Sleep(time.Hour)
		is(t, slow, stage.StateEnded, time.Hour)
		is(t, pipeline, stage.StateEnded, time.Hour)
		for _, m := range pipeline.Stats().Members {
			require.Equal(t, stage.StateEnded, m.State.Kind)
			require.Equal(t, time.Hour, pipeline.Stats().At.Sub(m.State.Since))
		}
	})
}

// A member that has ended long before its pipeline keeps the time of its end.
func TestStateOfAMemberThatHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(3))
		c := newSink(0)
		c.SubscribeTo(p)
		forever := silent()
		d := newSink(0)
		d.SubscribeTo(forever)
		run := start(t.Context(), stage.NewPipeline(p, c, forever, d))
		time.Sleep(time.Hour)
		stats := run.Stats()
		require.Equal(t, stage.StateEnded, stats.Members[0].State.Kind)
		require.Equal(t, time.Hour, stats.At.Sub(stats.Members[0].State.Since))
		abortAll(t, run)
	})
}

func TestStateOfAConsumerWithoutProducer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		c := newSink(0)
		c.SubscribeTo(p)
		run := start(t.Context(), c)
		s := is(t, c, stage.StateForProducer, 0)
		require.True(t, s.Upstreams[0].Waiting)
		other := start(t.Context(), p)
		s = is(t, c, stage.StateForEvents, 0)
		require.False(t, s.Upstreams[0].Waiting)
		require.EqualValues(t, 1000, s.Upstreams[0].Open)
		abortAll(t, run, other)

		lone := newSink(0)
		run = start(t.Context(), lone)
		is(t, lone, stage.StateForProducer, 0)
		abortAll(t, run)
	})
}

func TestStateOfACallbackThatWaitsForAnotherStage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil }, stage.Name("slow"))
		full := stage.NewQueue[int](1, stage.Name("full"))
		p := stage.FromSlice(upTo(2))
		c := stage.ForEach(func(ctx context.Context, n int) error {
			if n == 0 {
				return slow.Do(ctx, func(context.Context) error { return nil })
			}
			return full.Push(ctx, 1, 2)
		})
		c.SubscribeTo(p, stage.MaxDemand(1))
		runs := runAlone(t.Context(), slow, full)
		require.NoError(t, slow.Tell(func(context.Context) error {
			time.Sleep(time.Hour)
			return nil
		}))
		runs = append(runs, runAlone(t.Context(), p, c)...)
		require.Equal(t, "slow", is(t, c, stage.StateCalling, 0).State.Of)
		require.Equal(t, "Do", is(t, slow, stage.StateCallback, 0).Callback)
		time.Sleep(2 * time.Hour)
		s := is(t, c, stage.StatePushing, time.Hour)
		require.Equal(t, "full", s.State.Of)
		require.Equal(t, "events", s.Callback)
		abortAll(t, runs...)
	})
}

func TestStateOfAStageThatHolds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(5))
		var sub *stage.Subscription
		c := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
			return from.Hold(len(events))
		}, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error {
			sub = s
			return nil
		}))
		c.SubscribeTo(p, stage.Manual())
		runs := runAlone(t.Context(), p, c)
		is(t, c, stage.StateForEvents, 0) // that it has not asked for
		require.NoError(t, sub.Ask(2))
		is(t, c, stage.StateHolding, 0)
		require.NoError(t, sub.Ask(3))
		is(t, c, stage.StateHolding, 0)
		is(t, p, stage.StateEnded, 0) // held events have been begun
		require.NoError(t, sub.Release(5))
		for _, r := range runs {
			require.NoError(t, r.wait(t))
		}
	})
}

func TestStateOfASupervisor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(3))
		sup := stage.StartWith(func(_ context.Context, n int) (func(context.Context) error, error) {
			time.Sleep(time.Second)
			return func(ctx context.Context) error {
				time.Sleep(time.Minute)
				return nil
			}, nil
		}, patient)
		sup.SubscribeTo(p, stage.MaxDemand(2))
		began := time.Now()
		run := start(t.Context(), stage.NewPipeline(p, sup))
		require.Equal(t, "start", is(t, sup, stage.StateCallback, 0).Callback)
		time.Sleep(1500 * time.Millisecond)
		require.Equal(t, "start", is(t, sup, stage.StateCallback, 500*time.Millisecond).Callback)
		time.Sleep(1500 * time.Millisecond)
		s := is(t, sup, stage.StateHolding, time.Second)
		require.Equal(t, began, s.OldestChild)
		time.Sleep(time.Minute)
		s = is(t, sup, stage.StateHolding, time.Second)
		require.Equal(t, began.Add(61*time.Second), s.OldestChild)
		sup.Abort(nil)
		is(t, sup, stage.StateHolding, 0) // its children end first
		require.NoError(t, run.wait(t))
		require.Zero(t, sup.Stats().OldestChild)
	})
}

func TestStateOfACallbackThatWasAbandoned(t *testing.T) {
	bubble(t, func(t *testing.T) {
		blocked := make(chan struct{})
		c := stage.ForEach(func(context.Context, int) error {
			<-blocked
			return nil
		}, stage.Name("c"), stage.Grace(time.Second), quiet)
		p := stage.FromSlice(upTo(1), stage.Name("p"))
		c.SubscribeTo(p)
		pipeline := stage.NewPipeline(p, c)
		run := start(t.Context(), pipeline)
		is(t, c, stage.StateCallback, 0)
		run.Abort(errBoom)
		time.Sleep(time.Second)
		require.ErrorIs(t, run.wait(t), stage.ErrStuck)
		time.Sleep(time.Minute)
		is(t, c, stage.StateStuck, time.Minute)
		require.Equal(t, "consumer \"c\": is stuck in events, 1m0s\nIt is up to \"c\".\n", stage.Explain(c.Stats()))
		close(blocked)
		is(t, c, stage.StateEnded, time.Minute)
		require.Equal(t, c.Stats().State, pipeline.Stats().Members[1].State)
	})
}

func TestStateOfASupervisorOfStages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, c := silent(), newSink(0)
		c.SubscribeTo(p)
		sup := stage.NewSupervisor()
		sup.Add(p)
		sup.Add(c)
		require.Equal(t, stage.StateNotRun, sup.Stats().State.Kind)
		run := start(t.Context(), sup)
		s := sup.Stats()
		require.Equal(t, stage.StateBusy, s.State.Kind)
		require.Equal(t, stage.StateOwing, s.Members[0].State.Kind)
		require.Equal(t, stage.StateForEvents, s.Members[1].State.Kind)
		abortAll(t, run)
		time.Sleep(time.Hour)
		is(t, sup, stage.StateEnded, time.Hour)
		is(t, c, stage.StateEnded, time.Hour)
	})
}

// A watched callback that was abandoned is seen to end when it returns after all.
func TestAnAbandonedCallbackIsSeenToEndWhenItReturns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w watcher
		blocked := make(chan struct{})
		c := stage.ForEach(func(context.Context, int) error {
			<-blocked
			return nil
		}, stage.Name("c"), stage.Grace(time.Second), quiet, stage.ObserveCallbacks(w.add), stage.Profile())
		p := stage.FromSlice(upTo(1))
		c.SubscribeTo(p)
		run := start(t.Context(), stage.NewPipeline(p, c))
		run.Abort(errBoom)
		require.ErrorIs(t, run.wait(t), stage.ErrStuck)
		require.Equal(t, []string{"events begins"}, w.words(c))
		close(blocked)
		synctest.Wait()
		require.Equal(t, []string{"events begins", "events 1→0 1s"}, w.words(c))
		closed(t, p, c)
	})
}

// Stats may be taken at any moment, by anyone; what they say of the time is never older than the truth by more
// than the stage has been looked at.
func TestStatsWhileStagesAreBusy(t *testing.T) {
	began := time.Now()
	p := stage.FromSlice(upTo(20_000))
	pc := relay(0)
	c := newSink(0)
	pc.SubscribeTo(p, stage.MaxDemand(10))
	c.SubscribeTo(pc, stage.MaxDemand(10))
	pipeline := stage.NewPipeline(p, pc, c)
	var over atomic.Bool
	looked := make(chan int)
	go func() { // ends with the run
		n := 0
		for ; !over.Load(); n++ {
			for _, m := range pipeline.Stats().Members {
				if m.State.Kind == stage.StateNotRun || m.State.Kind == stage.StateBusy {
					continue
				}
				if since := m.State.Since; since.Before(began) || since.After(time.Now()) {
					t.Errorf("%q: since %v", m.Stage, since)
				}
				_ = stage.Explain(m)
			}
		}
		looked <- n
	}()
	require.NoError(t, pipeline.Run(t.Context()))
	over.Store(true)
	require.Positive(t, <-looked)
}

func TestEveryStateHasWords(t *testing.T) {
	for k := stage.StateNotRun; k <= stage.StateEnded; k++ {
		require.NotEmpty(t, k.String())
		require.NotEqual(t, "unknown", k.String())
	}
	require.Equal(t, "unknown", (stage.StateEnded + 1).String())
}
