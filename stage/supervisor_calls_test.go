package stage_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Calls that would wait for their caller are answered at once.
func TestSupervisorCallsOfItself(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var s *stage.ConsumerSupervisor[int]
		var p *stage.Pipeline
		source := stage.FromSlice([]int{1, 2})
		ctx := t.Context() // of the test: nothing tells the stage who calls
		result := 0        // owned by the stage goroutine
		calls := func() map[string]error {
			_, subscribe := s.Subscribe(ctx, source)
			_, startChild := s.StartChild(ctx, 1)
			return map[string]error{
				"Do": s.Do(ctx, func(context.Context) error { result++; return nil }), "Subscribe": subscribe, "StartChild": startChild,
				"StopChild": s.StopChild(ctx, 1), "Stop": s.Stop(ctx), "Run": s.Run(ctx), "Pipeline.Stop": p.Stop(ctx), "Pipeline.Run": p.Run(ctx),
			}
		}
		s = stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
			if event == 2 {
				for name, err := range calls() {
					if !errors.Is(err, stage.ErrSelfCall) {
						return nil, fmt.Errorf("start: %s: %w", name, err)
					}
				}
				return nil, nil
			}
			return func(context.Context) error {
				for _, name := range []string{"Stop", "Run", "Pipeline.Stop", "Pipeline.Run"} {
					if err := map[string]func() error{
						"Stop": func() error { return s.Stop(ctx) }, "Run": func() error { return s.Run(ctx) },
						"Pipeline.Stop": func() error { return p.Stop(ctx) }, "Pipeline.Run": func() error { return p.Run(ctx) },
					}[name](); !errors.Is(err, stage.ErrSelfCall) {
						return fmt.Errorf("child: %s: %w", name, err)
					}
				}
				if err := s.StopChild(ctx, s.Children()[0].ID); !errors.Is(err, stage.ErrSelfCall) {
					return fmt.Errorf("child: StopChild: %w", err)
				}
				return s.Do(ctx, func(context.Context) error { result++; return nil })
			}, nil
		})
		dead := new(letters).of(s)
		s.OnComplete(func(context.Context) error { result *= 10; return stage.ErrDone })
		s.SubscribeTo(source)
		p = stage.NewPipeline(source, s)
		within(t, "a call", func() { require.NoError(t, p.Run(ctx)) })
		require.Empty(t, dead.list())
		require.Equal(t, 10, result, "the child came home, and then the stage completed")
		closed(t, source, s)
	})
}

func TestSupervisorStartChild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		crew, source := newCrew(), askedOnly()
		s := stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
			switch event {
			case 10:
				return nil, errBoom
			case 11:
				return nil, nil
			}
			return func(ctx context.Context) error { return crew.child(ctx, event) }, nil
		}, stage.Restart(stage.RestartTransient))
		dead := new(letters).of(s)
		_, err := s.StartChild(t.Context(), 1)
		require.ErrorIs(t, err, stage.ErrNotRunning)
		s.SubscribeTo(source, stage.MaxDemand(1))
		run := start(t.Context(), stage.NewPipeline(source, s))
		source.emit(t, 1)
		source.take()
		id, err := s.StartChild(t.Context(), 2)
		require.NoError(t, err)
		require.EqualValues(t, 2, id)
		_, err = s.StartChild(t.Context(), 10)
		require.ErrorIs(t, err, errBoom)
		id, err = s.StartChild(t.Context(), 11)
		require.NoError(t, err)
		require.Zero(t, id)
		require.Equal(t, []int{1, 2}, crew.running(), "outside the limit")
		crew.end(t, 2, errBoom)
		require.Equal(t, 2, crew.attempts(2), "it is restarted as any other")
		crew.end(t, 2, nil)
		require.Empty(t, source.take(), "its end asks nothing")
		require.Empty(t, dead.list(), "the caller has it")
		balanced(t, source, s)
		in := s.Stats().Input
		require.Equal(t, [4]int64{4, 2, 1, 1}, [4]int64{in.Received, in.Handled, in.Failed, in.InHand})

		_, err = s.StartChild(t.Context(), 3)
		require.NoError(t, err)
		crew.end(t, 1, nil)
		require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, stage.ErrDone }))
		require.True(t, run.running(), "a child by hand keeps it from completing")
		crew.end(t, 3, nil)
		require.NoError(t, run.wait(t))
		_, err = s.StartChild(t.Context(), 3)
		require.ErrorIs(t, err, stage.ErrEnded)
		ledger(t, source, s)
	})
}

// A hook that fails ends the stage; what it was told of is accounted for.
func TestSupervisorDeadLetterHookFails(t *testing.T) {
	for name, fail := range map[string]func(){"panic": func() { panic("x") }, "Goexit": runtime.Goexit} {
		for _, inStart := range []bool{false, true} {
			bubble(t, func(t *testing.T) {
				source := stage.FromSlice(upTo(5), stage.KeepRunning())
				s := stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
					if event == 2 && inStart {
						return nil, errBoom
					}
					return func(ctx context.Context) error {
						if event == 2 {
							return errBoom
						}
						<-ctx.Done()
						return context.Cause(ctx)
					}, nil
				})
				s.OnDeadLetter(func(context.Context, int, int, error) { fail() })
				s.SubscribeTo(source)
				var panicked *stage.PanicError
				require.ErrorAs(t, stage.Run(t.Context(), source, s), &panicked, name)
				require.Equal(t, "OnDeadLetter", panicked.Callback)
				in := s.Stats().Input
				require.EqualValues(t, 1, in.Failed)
				if inStart {
					require.Equal(t, [2]int64{2, 2}, [2]int64{in.Lost, in.HandedBack}, "what was not begun goes back")
				} else {
					require.EqualValues(t, 4, in.Lost)
				}
				closed(t, source, s)
			})
		}
	}
}

// Nobody is kept waiting by Children and Counts, at any time.
func TestSupervisorBeforeAndAfterARun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := stage.NewConsumerSupervisor(func(context.Context, int) error { return nil })
		require.Empty(t, s.Children())
		require.Zero(t, s.Counts())
		for range 2 {
			run := start(t.Context(), s)
			require.Empty(t, s.Children())
			for range 3 {
				_, err := s.StartChild(t.Context(), 1)
				require.NoError(t, err)
			}
			synctest.Wait()
			require.Equal(t, stage.ChildCounts{Started: 3, Ended: 3}, s.Counts())
			require.NoError(t, s.Stop(t.Context()))
			require.NoError(t, run.wait(t))
			require.Equal(t, stage.ChildCounts{Started: 3, Ended: 3}, s.Counts(), "each run counts anew")
			require.Nil(t, s.Children())
			ledger(t, s)
		}
	})
}
