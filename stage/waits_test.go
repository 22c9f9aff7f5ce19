package stage_test

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// A stage that is about to go on waits for nobody, though its goroutine may not know yet. With one processor it does not,
// until the one that has answered, or the end of its context, has gone on to its own call.

func oneProcessor(t *testing.T) {
	before := runtime.GOMAXPROCS(1)
	t.Cleanup(func() { runtime.GOMAXPROCS(before) })
}

func nothing(context.Context) error { return nil }

// callers starts two consumers, which are patient.
func callers(t *testing.T, opts ...stage.ConsumerOption) (a, b *sink, end func()) {
	a, b = newSink(0, append(opts, stage.Name("a"))...), newSink(0, stage.Name("b"))
	runs := runAlone(t.Context(), a, b)
	return a, b, func() {
		abortAll(t, runs...)
		closed(t, a, b)
	}
}

func TestACallThatIsAnsweredMakesNoRing(t *testing.T) {
	oneProcessor(t)
	bubble(t, func(t *testing.T) {
		a, b, end := callers(t)
		defer end()
		got := make(chan error, 2)
		require.NoError(t, b.Tell(func(context.Context) error { time.Sleep(2 * time.Second); return nil }))
		require.NoError(t, a.Tell(func(ctx context.Context) error { got <- b.Do(ctx, nothing); return nil }))
		time.Sleep(time.Second) // a waits for b
		require.NoError(t, b.Tell(func(ctx context.Context) error { got <- a.Do(ctx, nothing); return nil }))
		require.NoError(t, <-got)
		require.NoError(t, <-got)
	})
}

func TestACallThatIsGivenUpMakesNoRing(t *testing.T) {
	oneProcessor(t)
	bubble(t, func(t *testing.T) {
		a, b, end := callers(t)
		defer end()
		got := make(chan error, 1)
		giveUp := make(chan context.CancelFunc, 1)
		require.NoError(t, b.Tell(func(ctx context.Context) error {
			time.Sleep(time.Second) // a waits for b
			(<-giveUp)()
			got <- a.Do(ctx, nothing)
			return nil
		}))
		require.NoError(t, a.Tell(func(ctx context.Context) error {
			ctx, cancel := context.WithCancel(ctx)
			giveUp <- cancel
			if err := b.Do(ctx, nothing); err != context.Canceled {
				t.Error(err)
			}
			return nil
		}))
		require.NoError(t, <-got)
	})
}

// Once the call has begun, the end of the context changes nothing.
func TestACallThatHasBegunIsARing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, end := callers(t)
		defer end()
		got := make(chan error, 1)
		require.NoError(t, a.Tell(func(ctx context.Context) error {
			ctx, giveUp := context.WithCancel(ctx)
			return b.Do(ctx, func(ctx context.Context) error {
				giveUp()
				got <- a.Do(ctx, nothing)
				return nil
			})
		}))
		require.ErrorIs(t, <-got, stage.ErrCallCycle)
	})
}

// A callback that was abandoned makes its stage wait for nothing.
func TestAnAbandonedCallMakesNoRing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		slow := stage.Logger(slog.New(logHandler(func() { time.Sleep(2 * time.Second) }))) // as a says that it abandons
		a, b, end := callers(t, stage.Grace(4*time.Second), slow)
		defer end()
		got := make(chan error, 1)
		require.NoError(t, b.Tell(func(ctx context.Context) error {
			time.Sleep(5 * time.Second)
			got <- a.Do(ctx, nothing)
			return nil
		}))
		require.NoError(t, a.Tell(func(ctx context.Context) error { return b.Do(context.WithoutCancel(ctx), nothing) }))
		time.Sleep(time.Second / 2)
		a.Abort(nil) // abandoned four seconds later; it has ended two more later
		require.ErrorIs(t, <-got, stage.ErrEnded)
		time.Sleep(time.Minute)
	})
}

// OnInit of a stage that is started again may call one that another supervisor starts again at that time: that does not
// wait for it.
func TestOnInitMayCallWhatOthersStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var second *sink
		var starts [2]atomic.Int32
		again := func(i int, fn func(context.Context) error) stage.Option {
			return stage.OnInit(func(ctx context.Context) error {
				if starts[i].Add(1) == 1 {
					return nil
				}
				return fn(ctx)
			})
		}
		first := newSink(0, again(0, func(ctx context.Context) error { return second.Do(ctx, nothing) }))
		second = newSink(0, again(1, func(context.Context) error { time.Sleep(time.Minute); return nil }))
		one, other := stage.NewSupervisor(quiet), stage.NewSupervisor(quiet)
		one.Add(first)
		other.Add(second)
		whole := stage.NewPipeline(one, other)
		run := start(t.Context(), whole)
		require.True(t, run.running())
		second.Abort(errBoom)
		synctest.Wait() // it is in its second OnInit
		first.Abort(errBoom)
		time.Sleep(time.Second)
		require.True(t, run.running())
		require.Equal(t, stage.StateCalling, first.Stats().State.Kind)
		time.Sleep(time.Hour)
		require.EqualValues(t, 2, starts[0].Load())
		require.EqualValues(t, 2, starts[1].Load())
		abortAll(t, run)
		closed(t, whole)
	})
}

// A ring that goes through a start: one stage calls a second, which is not started before the OnInit of a third has
// returned, and that calls the first.
func TestRingThroughAStart(t *testing.T) {
	for _, last := range []string{"the call", "OnInit"} {
		t.Run(last, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				first := newSink(0)
				got := make(chan error, 2)
				again := 0
				third := newSink(0, stage.OnInit(func(ctx context.Context) error {
					if again++; again == 1 {
						return nil
					}
					if last == "OnInit" {
						time.Sleep(2 * time.Second)
					}
					got <- first.Do(ctx, nothing)
					return nil
				}))
				second := newSink(0)
				sup := stage.NewSupervisor(quiet)
				sup.Add(third)
				sup.Add(second)
				whole := stage.NewPipeline(first, sup)
				run := start(t.Context(), whole)
				require.True(t, run.running())
				require.NoError(t, first.Tell(func(ctx context.Context) error {
					time.Sleep(time.Second)
					got <- second.Do(ctx, nothing)
					return nil
				}))
				third.Abort(errBoom)
				within(t, "the ring", func() {
					if err := <-got; !errors.Is(err, stage.ErrCallCycle) {
						t.Error(err)
					}
					if err := <-got; err != nil {
						t.Error(err)
					}
				})
				abortAll(t, run)
				closed(t, whole)
			})
		})
	}
}
