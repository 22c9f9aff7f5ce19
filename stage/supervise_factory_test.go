package stage_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// A factory's member is another stage in each run: the one before may hang.
func TestSupervisorAddFunc(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(100))
		var got []int
		made := 0
		sup := stage.NewSupervisor(stage.OneForOne, quiet, stage.Backoff(time.Second, time.Second))
		sup.Add(source)
		sup.AddFunc(func() stage.Stage {
			made++
			mine := made
			c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
				if mine < 3 && events[0] > 10*mine {
					return errBoom
				}
				got = append(got, events...)
				return nil
			}, stage.Name(fmt.Sprint("worker ", made)))
			c.SubscribeTo(source, stage.MaxDemand(4), stage.MinDemand(0))
			return c
		})
		run := start(t.Context(), sup)
		require.NoError(t, run.wait(t))
		require.Equal(t, 3, made)
		require.Len(t, got, 92, "two batches were in hand")
		require.Equal(t, []string{source.Name(), "worker 3"}, names(sup.Stats().Members))
	})
	bubble(t, func(t *testing.T) { // one that panics at a restart has failed to start
		var d diary
		made := 0
		var last *stage.Consumer[int]
		sup := stage.NewSupervisor(quiet, stage.MaxRestarts(5, time.Second))
		sup.AddFunc(func() stage.Stage {
			if made++; made == 2 || made == 3 {
				panic(errBoom)
			}
			last = d.idler(fmt.Sprint(made))
			return last
		})
		run := start(t.Context(), sup)
		fail(t, last)
		require.Equal(t, "+1 -1 +4", d.take())
		abortAll(t, run)
		require.Equal(t, 3, sup.Stats().Restarts)
		require.ErrorIs(t, sup.Stats().Failure, errBoom)
	})
}

// A callback that hangs is abandoned. The same stage cannot run again before that has returned; one that a factory makes
// can.
func TestSupervisorOfAStageThatHangs(t *testing.T) {
	for _, factory := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			release := make(chan struct{})
			source := stage.FromSlice(upTo(10), stage.Name("source"))
			var got atomic.Int64
			worker := func(hangs bool) *stage.Consumer[int] {
				c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
					if hangs {
						<-release
					}
					got.Add(int64(len(events)))
					return nil
				}, stage.Name("worker"), quiet)
				c.SubscribeTo(source, stage.MaxDemand(2), stage.MinDemand(1))
				return c
			}
			sup := stage.NewSupervisor(stage.OneForOne, quiet)
			sup.Add(source)
			last := worker(true)
			if factory {
				made := 0
				sup.AddFunc(func() stage.Stage {
					if made++; made > 1 {
						last = worker(false)
					}
					return last
				})
			} else {
				sup.Add(last)
			}
			run := start(t.Context(), sup)
			last.Abort(errBoom)
			err := run.wait(t)
			if factory {
				require.NoError(t, err)
				require.EqualValues(t, 9, got.Load(), "the event in hand is lost")
				require.Equal(t, 1, sup.Stats().Restarts)
			} else {
				require.ErrorIs(t, err, stage.ErrIntensity)
				require.ErrorIs(t, err, stage.ErrStuck)
			}
			close(release)
			synctest.Wait()
		})
	}
}

// A supervisor with a factory runs again: its producers do not wait for what the factory made in the run before. Found by
// the simulator.
func TestSupervisorAddFuncInASupervisorThatRunsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sink *stage.Consumer[int]
		source := silent(stage.Name("source"))
		inner := stage.NewSupervisor(quiet, stage.OneForOne, stage.MaxRestarts(0, time.Second))
		inner.Add(source)
		inner.AddFunc(func() stage.Stage {
			sink = stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil })
			sink.SubscribeTo(source)
			return sink
		})
		outer := stage.NewSupervisor(quiet)
		outer.Add(inner)
		run := start(t.Context(), outer)
		fail(t, sink)
		require.Equal(t, 1, outer.Stats().Restarts)
		require.NoError(t, sink.Tell(func(context.Context) error { return stage.ErrDone }))
		require.NoError(t, run.wait(t), "the source has no subscriber left, and none will come")
		closed(t, outer)
	})
}

// A stage that a factory made fails, and the supervisor of the factory with it: what that makes when it is started again will take
// the stage's place. A consumer outside that subscribes to the stage is let go, whether it hears before or behind that supervisor (V7).
func TestSupervisorAddFuncInASupervisorThatGivesUp(t *testing.T) {
	for _, busy := range []time.Duration{0, time.Second} {
		bubble(t, func(t *testing.T) {
			var made []*stage.Producer[int]
			inner := stage.NewSupervisor(quiet, stage.MaxRestarts(0, time.Second))
			inner.AddFunc(func() stage.Stage {
				made = append(made, silent(stage.Name("made")))
				return made[len(made)-1]
			})
			sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(time.Hour, time.Hour))
			sup.Add(inner)
			run := start(t.Context(), sup)
			outside := newSink(0, stage.Name("outside"))
			outside.SubscribeTo(made[0], stage.Cancel(stage.CancelTemporary))
			other := start(t.Context(), stage.NewPipeline(outside))
			require.NoError(t, outside.Tell(func(context.Context) error { time.Sleep(busy); return nil }))
			synctest.Wait()
			made[0].Abort(errBoom)
			time.Sleep(time.Minute)
			require.False(t, other.running(), "it has nobody to wait for (R3)")
			require.NoError(t, other.wait(t))
			time.Sleep(time.Hour)
			synctest.Wait()
			require.Len(t, made, 2)
			abortAll(t, run)
			closed(t, sup)
		})
	}
}
