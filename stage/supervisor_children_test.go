package stage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Every end of a child, of a temporary and of a transient one.
func TestSupervisorEveryEndOfAChild(t *testing.T) {
	type as struct {
		handled, failed int64
		letters, starts int
	}
	handled, failed := as{handled: 1, starts: 1}, as{failed: 1, letters: 1, starts: 1}
	again := as{starts: 2}
	for _, c := range []struct {
		name                 string
		end                  error
		temporary, transient as
		cause                error // of the dead letter
		goexit               bool
	}{
		{"nil", nil, handled, handled, nil, false},
		{"ErrDone", fmt.Errorf("enough: %w", stage.ErrDone), handled, handled, nil, false},
		{"error", errBoom, failed, again, errBoom, false},
		{"ErrShutdown", fmt.Errorf("closing: %w", stage.ErrShutdown), failed, failed, stage.ErrShutdown, false},
		{"a Canceled that is not its own", context.Canceled, failed, again, context.Canceled, false},
		{"panic", acting{func() error { panic(errBoom) }}, failed, again, errBoom, false},
		{"panic nil", acting{func() error { panic(nil) }}, failed, again, new(runtime.PanicNilError), false},
		{"panic with a clean error", acting{func() error { panic(stage.ErrShutdown) }}, failed, again, stage.ErrShutdown, false},
		{"Goexit", acting{func() error { runtime.Goexit(); return nil }}, failed, again, stage.ErrGoexit, false},
	} {
		for _, mode := range []stage.RestartMode{stage.RestartTemporary, stage.RestartTransient} {
			want := c.temporary
			if mode == stage.RestartTransient {
				want = c.transient
			}
			t.Run(fmt.Sprintf("%s %d", c.name, mode), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					crew, source := newCrew(), askedOnly()
					s := stage.NewConsumerSupervisor(crew.child, stage.Restart(mode), stage.Name("crew"))
					dead := new(letters).of(s)
					s.SubscribeTo(source, stage.MaxDemand(2))
					run := start(t.Context(), stage.NewPipeline(source, s))
					source.take()
					source.emit(t, 1, 2)
					crew.end(t, 1, c.end)

					in := s.Stats().Input
					require.Equal(t, want.starts, crew.attempts(1))
					require.Equal(t, want.handled, in.Handled)
					require.Equal(t, want.failed, in.Failed)
					require.Len(t, dead.list(), want.letters)
					if want.letters > 0 {
						require.Equal(t, letter{1, 1, dead.list()[0].cause}, dead.list()[0])
						if panicked := new(stage.PanicError); errors.As(dead.list()[0].cause, &panicked) {
							require.Equal(t, "child", panicked.Callback)
							require.Equal(t, "crew", panicked.Stage)
							require.Contains(t, string(panicked.Stack), "supervisor_children_test.go")
						}
						if c.name == "panic nil" {
							require.ErrorAs(t, dead.list()[0].cause, &c.cause)
						} else {
							require.ErrorIs(t, dead.list()[0].cause, c.cause)
						}
					}
					if want.starts == 1 {
						require.Equal(t, []int{2}, crew.running())
						require.Equal(t, []int{1}, source.take(), "any end asks")
						require.Equal(t, stage.ChildCounts{Active: 1, Started: 2, Ended: 1}, s.Counts())
					} else {
						require.Equal(t, []int{1, 2}, crew.running())
						require.Empty(t, source.take())
						require.Equal(t, 1, s.Children()[0].Restarts)
					}
					balanced(t, source, s)
					abortAll(t, run)
					closed(t, source, s)
					require.Equal(t, 2-want.handled-want.failed, s.Stats().Input.Lost, "what was at work is lost")
				})
			})
		}
	}
}

// Conformance cs-start-fails, in Go.
func TestSupervisorStartRefused(t *testing.T) {
	for _, mode := range []stage.RestartMode{stage.RestartTemporary, stage.RestartTransient} {
		bubble(t, func(t *testing.T) {
			crew, source := newCrew(), askedOnly()
			var inStart atomic.Value
			var s *stage.ConsumerSupervisor[int]
			state := 0 // owned by the stage goroutine
			s = stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
				state++
				inStart.Store(s.Stats().Callback)
				switch event {
				case 10:
					return nil, errBoom
				case 11:
					return func(context.Context) error { panic("unreachable") }, errBoom
				case 12:
					panic(errBoom)
				case 13:
					runtime.Goexit()
				case 14:
					return nil, nil // declines
				}
				return func(ctx context.Context) error { return crew.child(ctx, event) }, nil
			}, stage.Restart(mode))
			dead := new(letters).of(s)
			s.SubscribeTo(source, stage.MaxDemand(3), stage.MinDemand(1))
			run := start(t.Context(), stage.NewPipeline(source, s))
			require.Equal(t, []int{3}, source.take())
			source.emit(t, 1, 10, 14)
			require.Equal(t, []int{2}, source.take(), "both have ended, and are asked for together")
			require.Equal(t, "start", inStart.Load())
			require.Empty(t, s.Stats().Callback, "only a child runs")
			for _, event := range []int{11, 12, 13} {
				source.emit(t, event)
				require.Equal(t, []int{1}, source.take())
			}
			require.Equal(t, []int{1}, crew.running())
			require.Equal(t, stage.ChildCounts{Active: 1, Started: 6, Ended: 5}, s.Counts())
			require.EqualValues(t, 4, s.Stats().Input.Failed)
			require.EqualValues(t, 1, s.Stats().Input.Handled, "who declines has handled it")
			require.Len(t, dead.list(), 4)
			for i, l := range dead.list() {
				require.Equal(t, letter{10 + i, 1, l.cause}, l)
				if panicked := new(stage.PanicError); i >= 2 {
					require.ErrorAs(t, l.cause, &panicked)
					require.Equal(t, "start", panicked.Callback)
				}
			}
			balanced(t, source, s)
			require.NoError(t, s.Do(t.Context(), func(context.Context) error { state++; return nil }))
			require.Equal(t, 7, state, "start is called as the stage")
			abortAll(t, run)
			closed(t, source, s)
		})
	}
}

// The context of a start is the child's.
func TestSupervisorContextOfAChild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice([]int{1, 2})
		ctxs := make(chan context.Context, 2)
		s := stage.StartWith(func(ctx context.Context, event int) (func(context.Context) error, error) {
			ctxs <- ctx
			if event == 2 {
				return nil, errBoom
			}
			return func(own context.Context) error {
				require.Equal(t, ctx, own)
				time.Sleep(time.Second)
				require.NoError(t, ctx.Err())
				return nil
			}, nil
		})
		new(letters).of(s)
		s.SubscribeTo(source)
		run := start(t.Context(), stage.NewPipeline(source, s))
		ran, refused := <-ctxs, <-ctxs
		require.NoError(t, ran.Err())
		require.Error(t, refused.Err())
		require.NoError(t, run.wait(t))
		require.Error(t, ran.Err())
		closed(t, source, s)
	})
}

func TestSupervisorWithoutAHookLogs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice([]int{1, 2, 3})
		var log bytes.Buffer // read when the run has ended
		s := stage.NewConsumerSupervisor(func(_ context.Context, event int) error {
			if event == 2 {
				return errBoom
			}
			return nil
		}, stage.Logger(slog.New(slog.NewTextHandler(&log, nil))))
		s.SubscribeTo(source)
		require.NoError(t, stage.Run(t.Context(), source, s))
		require.Equal(t, 1, strings.Count(log.String(), "a child failed and is not restarted"))
		require.Contains(t, log.String(), "error=boom")
		closed(t, source, s)
	})
}

func TestSupervisorStopChild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		crew, source := newCrew(), askedOnly()
		s := stage.NewConsumerSupervisor(func(ctx context.Context, event int) error {
			switch err := crew.child(ctx, event); event {
			case 2:
				return nil // done in spite of it
			case 3:
				return errBoom // not restarted in spite of it
			case 4:
				time.Sleep(time.Minute) // takes its time
				panic(err)
			default:
				return err
			}
		}, stage.Restart(stage.RestartTransient), stage.Backoff(time.Hour, time.Hour))
		dead := new(letters).of(s)
		s.SubscribeTo(source, stage.MaxDemand(5))
		require.ErrorIs(t, s.StopChild(t.Context(), 1), stage.ErrNotRunning)
		run := start(t.Context(), stage.NewPipeline(source, s))
		source.emit(t, 1, 2, 3, 4, 5, 6)
		require.Equal(t, []int{1, 2, 3, 4, 5}, list(s))
		require.Equal(t, []int{5}, source.take())

		require.NoError(t, s.StopChild(t.Context(), 1))
		require.Equal(t, []int{2, 3, 4, 5, 6}, crew.running(), "its slot is free")
		require.Empty(t, source.take(), "event 6 was buffered")
		require.NoError(t, s.StopChild(t.Context(), 2))
		require.NoError(t, s.StopChild(t.Context(), 3))
		crew.end(t, 5, errBoom)
		require.Equal(t, stage.ChildCounts{Active: 2, Restarting: 1, Started: 6, Ended: 3}, s.Counts())
		require.NoError(t, s.StopChild(t.Context(), 5), "in its pause")
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.StopChild(short, 4), context.DeadlineExceeded)
		require.ErrorIs(t, s.StopChild(t.Context(), 3), stage.ErrNoChild)
		require.ErrorIs(t, s.StopChild(t.Context(), 99), stage.ErrNoChild)
		require.NoError(t, s.StopChild(t.Context(), 4))
		require.Equal(t, 4, source.taken())

		in := s.Stats().Input
		require.EqualValues(t, 1, in.Handled, "event 2")
		require.EqualValues(t, 4, in.Failed)
		require.Empty(t, dead.list(), "they were stopped")
		balanced(t, source, s)
		require.Equal(t, []int{6}, crew.running())
		crew.end(t, 6, nil)
		source.Abort(nil)
		require.NoError(t, ignoreShutdown(run.wait(t)))
		require.ErrorIs(t, s.StopChild(t.Context(), 6), stage.ErrEnded)
		closed(t, source, s)
	})
}
