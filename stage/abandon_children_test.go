package stage_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Four of four slots are stuck: they are named, and when they have returned the supervisor runs again.
func TestStuckChildren(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, run *started) error{
		"Abort": func(t *testing.T, run *started) error { run.Abort(errBoom); return run.wait(t) },
		"failure": func(t *testing.T, run *started) error {
			require.NoError(t, run.Stage.(*stage.ConsumerSupervisor[int]).Tell(func(context.Context) error { return errBoom }))
			return run.wait(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				release := make(chan struct{})
				source := stage.FromSlice(upTo(10))
				var terminated count
				s := stage.NewConsumerSupervisor(func(ctx context.Context, event int) error {
					if event == 3 {
						<-ctx.Done()
						time.Sleep(time.Second)
						return nil
					}
					<-release
					panic("late")
				}, stage.Name("s"), terminated.onTerminate(), quiet)
				s.SubscribeTo(source, stage.MaxDemand(4))
				runs := runAlone(t.Context(), source, s)
				begin := time.Now()
				err := end(t, runs[1])
				require.Equal(t, stage.DefaultGrace, time.Since(begin))
				require.ErrorIs(t, err, errBoom)
				require.Equal(t, []string{"s/child", "s/child", "s/child"}, stuckAt(t, err))
				require.EqualValues(t, 1, terminated.Load(), "the children run apart")
				in := s.Stats().Input
				require.Equal(t, [2]int64{3, 1}, [2]int64{in.Late, in.Handled})
				require.Len(t, s.Stats().Stuck, 3)
				require.EqualValues(t, 1, s.Stats().Stuck[0].Child)
				require.ErrorIs(t, s.Run(t.Context()), stage.ErrStuck)
				close(release)
				synctest.Wait()
				require.Empty(t, s.Stats().Stuck)
				ledger(t, source, s)
				abortAll(t, start(t.Context(), s), runs[0])
			})
		})
	}
}

// The start phase of a child is a callback of the stage: no other is called when it is stuck.
func TestStuckStart(t *testing.T) {
	for name, result := range map[string]error{"starts": nil, "refuses": errBoom} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				release := make(chan struct{})
				source := stage.FromSlice(upTo(10))
				var terminated count
				s := stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
					if event == 1 {
						<-release
						return func(context.Context) error { panic("not called") }, result
					}
					return func(ctx context.Context) error { <-ctx.Done(); return nil }, nil
				}, stage.Name("s"), terminated.onTerminate())
				s.SubscribeTo(source, stage.MaxDemand(4))
				p := stage.NewPipeline(source, s)
				run := start(t.Context(), p)
				require.Equal(t, "start", s.Stats().Callback)
				p.Abort(errBoom)
				err := run.wait(t)
				require.Equal(t, []string{"s/start"}, stuckAt(t, err))
				require.Zero(t, terminated.Load())
				in := s.Stats().Input
				require.Equal(t, [3]int64{1, 1, 2}, [3]int64{in.Late, in.Handled, in.Lost}) // the source has ended
				closed(t, p)
				close(release)
				synctest.Wait()
				require.Empty(t, s.Stats().Stuck)

				release = make(chan struct{})
				single := start(t.Context(), s)
				answer := make(chan error, 1)
				go func() { _, err := s.StartChild(context.Background(), 1); answer <- err }()
				synctest.Wait()
				s.Abort(nil)
				require.ErrorIs(t, <-answer, stage.ErrStuck)
				require.ErrorIs(t, single.wait(t), stage.ErrStuck)
				close(release)
				ledger(t, s)
			})
		})
	}
}

// A start that hangs is named once, with its child.
func TestStopNamesAStartOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		s := stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
			if event == 1 {
				<-release
			}
			return func(context.Context) error { <-release; return nil }, nil
		}, stage.Name("s"))
		source := stage.FromSlice(upTo(10))
		s.SubscribeTo(source, stage.MaxDemand(4))
		p := stage.NewPipeline(source, s)
		run := start(t.Context(), p)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var stopped *stage.StopError
		require.ErrorAs(t, p.Stop(ctx), &stopped)
		require.Equal(t, []string{"s/child", "s/start"}, namesOf(stopped.Stuck))
		require.Equal(t, []stage.ChildID{1, 2}, []stage.ChildID{stopped.Stuck[0].Child, stopped.Stuck[1].Child})
		close(release)
		_ = run.wait(t)
		ledger(t, s)
	})
}

// StopChild on a child that is abandoned while it waits.
func TestStopChildOfAStuckChild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		s := stage.NewConsumerSupervisor(func(context.Context, int) error { <-release; return nil })
		run := start(t.Context(), s)
		id, err := s.StartChild(t.Context(), 1)
		require.NoError(t, err)
		synctest.Wait()
		answer := make(chan error, 1)
		go func() { answer <- s.StopChild(context.Background(), id) }()
		synctest.Wait()
		s.Abort(nil)
		require.ErrorIs(t, <-answer, stage.ErrStuck)
		require.ErrorIs(t, run.wait(t), stage.ErrStuck)
		close(release)
	})
}
