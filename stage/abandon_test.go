package stage_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Functions that do not return although their context has ended. They wait on a channel that the test closes.

// stuckAt returns what an error names as stuck: the stages and their functions.
func stuckAt(t testing.TB, err error) []string {
	t.Helper()
	require.ErrorIs(t, err, stage.ErrStuck)
	var stuck *stage.StuckError
	require.ErrorAs(t, err, &stuck)
	return namesOf(stuck.Stuck)
}

func namesOf(list []stage.Stuck) []string {
	var names []string
	for _, s := range list {
		names = append(names, fmt.Sprintf("%s/%s", s.Stage, s.Callback))
	}
	return names
}

// Every function of the user's, in a stage of each kind: Run returns when Grace is over, and no later; nothing
// else of that stage is called; the ledger adds up, before and after it returns; then the stage runs again.
func TestStuckInEveryCallback(t *testing.T) {
	endings := map[string]func() error{
		"returns": func() error { return nil },
		"fails":   func() error { return errBoom },
		"panics":  func() error { panic("late") },
		"exits":   func() error { runtime.Goexit(); return nil },
	}
	testkit.Report(t, "T23", len(places)*len(endings))
	for _, p := range places {
		for name, end := range endings {
			t.Run(fmt.Sprintf("%s/%s %v, %s", p.kind, p.name, p.observe, name), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					because := errors.New("because")
					release := make(chan struct{})
					v := newVictim(p, fault{does: func() error {
						<-release
						return end()
					}, check: func(t *testing.T, err error, _ *victim) {
						if !errors.Is(err, stage.ErrStuck) {
							t.Errorf("the caller got %v", err)
						}
					}})
					pipeline := stage.NewPipeline(v.stages()...)
					run := start(t.Context(), pipeline)
					go v.provoke(t) // ends with the run
					for v.armed.Load() == 0 {
						time.Sleep(time.Millisecond)
						synctest.Wait()
					}
					terminated := v.terminated.Load()
					time.Sleep(time.Minute)
					require.True(t, run.running(), "while its context has not ended, it is waited for")

					aborted := time.Now()
					run.Abort(because)
					err := run.wait(t)
					require.Equal(t, stage.DefaultGrace, time.Since(aborted))
					require.ErrorIs(t, err, because)
					require.Equal(t, []string{"victim/" + p.callback}, stuckAt(t, err))
					closed(t, pipeline)
					if p.name != "Observe" { // which runs apart
						require.Equal(t, terminated, v.terminated.Load(), "no other callback")
					}
					require.Equal(t, []string{"victim/" + p.callback}, namesOf(v.self.Stats().Stuck))
					require.Equal(t, []string{"victim/" + p.callback}, stuckAt(t, v.self.Stats().Err))
					require.False(t, v.self.Stats().Stuck[0].Since.IsZero())
					require.Equal(t, []string{"victim/" + p.callback}, stuckAt(t, v.self.Run(t.Context())))

					close(release)
					time.Sleep(time.Second) // the callback has more to do
					require.Empty(t, v.self.Stats().Stuck)
					for _, m := range pipeline.Stats().Members {
						require.Empty(t, m.Stuck)
					}
					require.Equal(t, terminated+p.apart(), v.terminated.Load())
					closed(t, pipeline)
					again := start(t.Context(), v.self)
					require.NotErrorIs(t, again.err, stage.ErrStuck)
					abortAll(t, again)
				})
			})
		}
	}
}

// apart is how often OnTerminate is called in spite of the function that is stuck.
func (p place) apart() int64 {
	if p.name == "Observe" {
		return 1
	}
	return 0
}

// What an abandoned callback returns goes nowhere, and neither do its asks; the batch in its hand is late, what
// was behind that goes back, what was held is lost.
func TestLateResults(t *testing.T) {
	counts := []int{0, 1, 7, 1000}
	for _, results := range counts {
		lateResults(t, results)
	}
	testkit.Report(t, "T24", len(counts))
}

func lateResults(t *testing.T, results int) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		given := silent(stage.Name("source"))
		var late []error
		middle := stage.NewProducerConsumer(func(ctx context.Context, events []int, sub *stage.Subscription) ([]int, error) {
			if events[0] == 1 {
				return events, sub.Hold(2)
			}
			if err := sub.Hold(1); err != nil {
				return nil, err
			}
			<-release
			late = []error{ctx.Err(), sub.Ask(3), sub.Hold(1), sub.Release(1), sub.Cancel(nil), sub.Tell(func(context.Context) error { return nil })}
			return make([]int, results), nil
		}, stage.Name("middle"), stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(20) }))
		middle.SubscribeTo(given, stage.Manual())
		middle.OnCancel(func(context.Context, *stage.Subscription, stage.Cancellation) ([]int, error) { panic("not called") })
		down := newSink(0)
		down.SubscribeTo(middle)
		runs := runAlone(t.Context(), given, middle, down)
		give(t, given, 1, 2)
		give(t, given, 3, 4, 5)
		give(t, given, 6, 7)
		synctest.Wait()
		require.Equal(t, []int{1, 2}, down.events())
		middle.Abort(errBoom)
		err := runs[1].wait(t)
		require.Equal(t, []string{"middle/events"}, stuckAt(t, err))
		require.ErrorIs(t, err, errBoom)
		in := middle.Stats().Input
		require.Equal(t, [4]int64{0, 3, 2, 2}, [4]int64{in.Handled, in.Lost, in.Late, in.HandedBack}) // held: 2 and 1
		synctest.Wait()
		require.EqualValues(t, 2, given.Buffered(), "6 and 7 are back")
		require.Equal(t, err, runs[2].wait(t), "the neighbour is told")
		ledger(t, given, middle, down)
		before := middle.Stats()

		close(release)
		synctest.Wait()
		require.ErrorIs(t, late[0], context.Canceled)
		for i, want := range []error{stage.ErrEnded, stage.ErrInvalidHold, stage.ErrEnded, stage.ErrEnded, stage.ErrEnded} {
			require.ErrorIs(t, late[i+1], want, "call %d of the callback that came late", i)
		}
		after := middle.Stats()
		require.EqualValues(t, results, after.Output.LateResults)
		require.Empty(t, after.Stuck)
		after.Output.LateResults, before.Stuck = 0, nil
		require.Equal(t, stage.StateStuck, before.State.Kind)
		before.State, before.At = after.State, after.At
		require.Equal(t, before, after, "nothing else has changed")
		require.Equal(t, []int{1, 2}, down.events())
		abortAll(t, runs[0])
	})
}

// A Do whose function is abandoned is answered, and so are those behind it.
func TestDoIsAnsweredWhenItsFunctionIsStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		c := newSink(0, stage.Grace(time.Second))
		run := start(t.Context(), c)
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- c.Do(context.Background(), func(context.Context) error { <-release; return nil }) }()
		synctest.Wait()
		go func() { second <- c.Do(context.Background(), func(context.Context) error { panic("not called") }) }()
		synctest.Wait()
		begin := time.Now()
		c.Abort(nil)
		require.ErrorIs(t, <-first, stage.ErrStuck)
		require.ErrorIs(t, <-second, stage.ErrEnded)
		require.Equal(t, time.Second, time.Since(begin))
		require.ErrorIs(t, run.wait(t), stage.ErrStuck)
		close(release)
	})
}

// A callback that waits in Do for another stage is not stuck, if that one is: it is told, and returns.
func TestWhoWaitsForAStuckStageIsNotStuck(t *testing.T) {
	for range 20 {
		bubble(t, func(t *testing.T) {
			release := make(chan struct{})
			stuck, waits := newSink(0, stage.Name("stuck")), newSink(0, stage.Name("waits"))
			p := stage.NewPipeline(stuck, waits)
			run := start(t.Context(), p)
			var answer error
			require.NoError(t, waits.Tell(func(ctx context.Context) error {
				answer = stuck.Do(context.WithoutCancel(ctx), func(context.Context) error { <-release; return nil })
				time.Sleep(time.Second) // it has a while for that
				return nil
			}))
			synctest.Wait()
			p.Abort(nil)
			require.Equal(t, []string{"stuck/Do"}, stuckAt(t, run.wait(t)))
			require.ErrorIs(t, answer, stage.ErrStuck)
			close(release)
			closed(t, p)
		})
	}
}

// OnTerminate has its own Grace, from its beginning; in a run that ends by itself it has all the time, until
// its context ends.
func TestOnTerminateHasItsOwnGrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var takes atomic.Int64
		var ended atomic.Bool
		takes.Store(int64(4 * time.Second))
		c := newSink(4*time.Second, stage.OnTerminate(func(error) { time.Sleep(time.Duration(takes.Load())); ended.Store(true) }))
		p := endless()
		c.SubscribeTo(p)
		runs := runAlone(t.Context(), p, c)
		c.Abort(errBoom)
		err := runs[1].wait(t)
		require.ErrorIs(t, err, errBoom)
		require.NotErrorIs(t, err, stage.ErrStuck)
		require.True(t, ended.Load())

		takes.Store(int64(6 * time.Second))
		ended.Store(false)
		again := start(t.Context(), c)
		begin := time.Now()
		c.Abort(errBoom)
		err = again.wait(t)
		require.Contains(t, stuckAt(t, err)[0], "/OnTerminate")
		require.Equal(t, 9*time.Second, time.Since(begin)) // 4 in the callback
		time.Sleep(time.Minute)
		require.True(t, ended.Load())

		takes.Store(int64(20 * time.Minute))
		ended.Store(false)
		again = start(t.Context(), c)
		require.NoError(t, c.Tell(func(context.Context) error { return errBoom }))
		err = again.wait(t)
		require.ErrorIs(t, err, errBoom)
		require.NotErrorIs(t, err, stage.ErrStuck)
		require.True(t, ended.Load())

		again = start(t.Context(), c)
		require.NoError(t, c.Tell(func(context.Context) error { return errBoom }))
		time.Sleep(time.Minute)
		require.True(t, again.running())
		begin = time.Now()
		c.Abort(nil)
		err = again.wait(t)
		require.ErrorIs(t, err, errBoom, "it had failed before")
		require.Contains(t, stuckAt(t, err)[0], "/OnTerminate")
		require.Equal(t, stage.DefaultGrace, time.Since(begin))
		abortAll(t, runs[0])
		time.Sleep(time.Hour)
		ledger(t, p, c)
	})
}

// The deadline of Stop aborts: Stop says at once who has not returned, Run when Grace is over.
func TestStopNamesTheStuck(t *testing.T) {
	testkit.Report(t, "T23", 1)
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		source := stage.FromSlice(upTo(10))
		c := stage.ForEach(func(context.Context, int) error { <-release; return nil }, stage.Name("c"), stage.Grace(3*time.Second))
		c.SubscribeTo(source, stage.MaxDemand(1))
		other := newSink(time.Millisecond, stage.Name("other"))
		other.SubscribeTo(source, stage.MaxDemand(1))
		p := stage.NewPipeline(source, c, other)
		run := start(t.Context(), p)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		var stopped *stage.StopError
		require.ErrorAs(t, p.Stop(ctx), &stopped)
		require.Equal(t, 2*time.Second, time.Since(begin))
		require.Equal(t, []string{"c/events"}, namesOf(stopped.Stuck))
		require.Len(t, other.events(), 9, "all others have drained")
		err := run.wait(t)
		require.Equal(t, 5*time.Second, time.Since(begin))
		require.Equal(t, []string{"c/events"}, stuckAt(t, err))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(release)
		closed(t, p)
	})
}

// A callback that returns in time is not stuck, whatever it returns; and no timer runs while nothing is aborted.
func TestInTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := endless()
		c := stage.NewConsumer(func(ctx context.Context, _ []int, _ *stage.Subscription) error {
			<-ctx.Done()
			time.Sleep(stage.DefaultGrace - 1)
			return errBoom
		})
		c.SubscribeTo(p)
		run := start(t.Context(), stage.NewPipeline(p, c))
		time.Sleep(time.Hour)
		run.Abort(nil)
		err := run.wait(t)
		require.ErrorIs(t, err, stage.ErrShutdown)
		require.NotErrorIs(t, err, stage.ErrStuck)
		require.EqualValues(t, 0, c.Stats().Input.Late)
		closed(t, p, c)
	})
}

func TestGraceOutOfRange(t *testing.T) {
	for _, d := range []time.Duration{0, -1} {
		err := newSink(0, stage.Grace(d)).Run(t.Context())
		require.ErrorIs(t, err, stage.ErrInvalidOption)
		require.ErrorContains(t, err, "Grace")
	}
}

// In real time: a callback that never looks at its context, and never parks.
func TestBusyCallback(t *testing.T) {
	testkit.Report(t, "T23", 1)
	var enough atomic.Bool
	defer enough.Store(true)
	source := stage.FromSlice(upTo(100))
	c := stage.ForEach(func(context.Context, int) error {
		for !enough.Load() { //nolint:staticcheck // busy on purpose
		}
		return nil
	}, stage.Name("c"), stage.Grace(10*time.Millisecond))
	c.SubscribeTo(source)
	p := stage.NewPipeline(source, c)
	done := make(chan error, 1)
	go func() { done <- p.Run(context.Background()) }()
	for c.Stats().Callback == "" {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	var stopped *stage.StopError
	require.ErrorAs(t, p.Stop(ctx), &stopped)
	require.Equal(t, []string{"c/events"}, namesOf(stopped.Stuck))
	require.Equal(t, []string{"c/events"}, stuckAt(t, <-done))
	closed(t, p)
	enough.Store(true)
	for len(c.Stats().Stuck) > 0 {
		time.Sleep(time.Millisecond)
	}
}
