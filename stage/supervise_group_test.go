package stage_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// What a group's restart does when a start fails in its middle.

// A member fails to start and takes its time to end; those behind it, which are not begun, have ended long before. That is one
// failure, also where they are permanent, and all are started together again.
func TestSupervisorOfAGroupThatFailsToStartAndEndsLast(t *testing.T) {
	for _, strategy := range []stage.Strategy{stage.RestForOne, stage.OneForAll} {
		bubble(t, func(t *testing.T) {
			slow := silent(stage.Name("slow"), stage.OnTerminate(func(error) { time.Sleep(time.Second) }))
			var begun []time.Time
			behind := silent(stage.Name("behind"), stage.OnInit(func(context.Context) error { begun = append(begun, time.Now()); return nil }))
			last := silent(stage.Name("last"))
			sup := stage.NewSupervisor(quiet, strategy, stage.MaxRestarts(2, time.Hour))
			sup.Add(stage.NewPipeline(slow, silent(stage.Name("bad"), initFails(2, errBoom))))
			sup.Add(behind, stage.Restart(stage.RestartPermanent))
			sup.Add(last, stage.Restart(stage.RestartPermanent))
			run := start(t.Context(), sup)
			first := time.Now()
			slow.Abort(errBoom)
			time.Sleep(time.Minute)
			require.True(t, run.running(), "%v", run.Stats().Err)
			require.Equal(t, []time.Time{first, first.Add(2 * time.Second)}, begun)
			require.Equal(t, 3, slow.Stats().Runs)
			require.Equal(t, 3, behind.Stats().Runs)
			require.True(t, last.Stats().Running)
			require.EqualValues(t, 6, sup.Stats().Restarts)
			abortAll(t, run)
			closed(t, sup)
		})
	}
}

// A member is shut down as it starts, and as it ends it calls one behind it: that goes on, and answers.
func TestSupervisorOfAGroupOfWhichOneIsShutDownAndCallsThoseBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		behind := silent(stage.Name("behind"))
		ends, answer := 0, errBoom
		calls := silent(stage.Name("calls"), stage.OnTerminate(func(error) {
			if ends++; ends == 2 {
				answer = behind.Do(context.Background(), func(context.Context) ([]int, error) { return nil, nil })
			}
		}))
		sup := stage.NewSupervisor(quiet)
		sup.Add(stage.NewPipeline(calls, silent(stage.Name("shut"), initFails(2, stage.ErrShutdown))))
		sup.Add(behind)
		run := start(t.Context(), sup)
		calls.Abort(errBoom)
		synctest.Wait()
		require.NoError(t, answer)
		require.Equal(t, 2, calls.Stats().Runs)
		require.True(t, behind.Stats().Running)
		abortAll(t, run)
		closed(t, sup)
	})
}

// A supervisor within another is stopped by itself while one of its members is to be started again. It fails by that (V10) and
// comes back: the source outside waits for the member (V8).
func TestSupervisorThatIsStoppedWithAFailureAndComesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, sink := silent(stage.Name("source")), newSink(0, stage.Name("sink"))
		sink.SubscribeTo(source)
		inner := stage.NewSupervisor(quiet, stage.Backoff(time.Hour, time.Hour))
		inner.Add(silent(stage.Name("first")))
		inner.Add(sink)
		sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(time.Second, time.Second))
		sup.Add(source)
		sup.Add(inner)
		run := start(t.Context(), sup)
		sink.Abort(errBoom)
		synctest.Wait()
		require.ErrorIs(t, inner.Stop(context.Background()), errBoom)
		time.Sleep(time.Minute)
		hasItsConsumerBack(t, source, sink)
		abortAll(t, run)
		closed(t, sup)
	})
}

// A supervisor within another gives up by a failure that took down a consumer outside, too: that is one restart of the outer one,
// whichever of the two ends first.
func TestSupervisorThatGivesUpBesideItsConsumer(t *testing.T) {
	for _, slow := range []string{"source", "sink"} {
		t.Run(slow, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				lasts := func(name string) stage.Option {
					return stage.OnTerminate(func(error) {
						if name == slow {
							time.Sleep(time.Second)
						}
					})
				}
				source, beside := silent(stage.Name("source")), silent(stage.Name("beside"), lasts("source"))
				sink, other := newSink(0, stage.Name("sink"), lasts("sink")), newSink(0, stage.Name("other"), lasts("sink"))
				sink.SubscribeTo(source)
				other.SubscribeTo(source)
				inner := stage.NewSupervisor(quiet, stage.MaxRestarts(0, time.Second))
				inner.Add(source)
				inner.Add(beside)
				sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.MaxRestarts(2, time.Hour))
				for _, s := range []stage.Stage{stage.NewPipeline(inner), sink, other} {
					sup.Add(s)
				}
				run := start(t.Context(), sup)
				for n := range 3 {
					require.True(t, run.running(), "%v", run.Stats().Err)
					require.EqualValues(t, 3*n, sup.Stats().Restarts)
					require.Equal(t, n+1, sink.Stats().Runs)
					source.Abort(errBoom)
					time.Sleep(time.Minute)
				}
				require.ErrorIs(t, run.wait(t), stage.ErrIntensity)
				closed(t, sup)
			})
		})
	}
}

// Two members are to be started at once, and the supervisor gives up when the first cannot be made: the second is not made any more.
func TestSupervisorGivesUpBetweenTwoStarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var first, second []*stage.Producer[int]
		sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.MaxRestarts(3, time.Hour))
		sup.AddFunc(func() stage.Stage {
			if len(first) > 0 {
				panic(errBoom)
			}
			first = append(first, silent())
			return first[0]
		})
		sup.AddFunc(func() stage.Stage {
			second = append(second, silent())
			return second[len(second)-1]
		})
		runs := 0
		busy := silent(stage.OnInit(func(context.Context) error {
			if runs++; runs > 1 {
				time.Sleep(time.Second) // the supervisor hears of the two others then
			}
			return nil
		}))
		sup.Add(busy)
		run := start(t.Context(), sup)
		busy.Abort(errBoom)
		synctest.Wait()
		first[0].Abort(errBoom)
		second[0].Abort(errBoom)
		require.ErrorIs(t, run.wait(t), stage.ErrIntensity)
		require.Len(t, second, 1)
		require.EqualValues(t, 2, sup.Stats().Restarts, "of the third, and of the first in vain")
		closed(t, sup)
	})
}

// A factory of a group fails: those that have been opened before it are not begun, only to be stopped.
func TestSupervisorOfAGroupThatCannotBeOpened(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var d diary
		calls := 0
		sup := stage.NewSupervisor(quiet, stage.OneForAll)
		a := d.idler("a")
		sup.Add(a)
		sup.AddFunc(func() stage.Stage {
			if calls++; calls == 2 {
				panic(errBoom)
			}
			return d.idler("f")
		})
		sup.Add(d.idler("z"))
		run := start(t.Context(), sup)
		fail(t, a)
		require.Equal(t, "+a +f +z -a -z -f +a +f +z", d.take())
		abortAll(t, run)
		closed(t, sup)
	})
}

// A supervisor fails to start, as it is started again within a group, and is shut down before it has ended: those behind it, which
// were not begun, are started without it.
func TestSupervisorOfAGroupThatFailsToStartAndIsShutDown(t *testing.T) {
	for _, strategy := range []stage.Strategy{stage.RestForOne, stage.OneForAll} {
		bubble(t, func(t *testing.T) {
			slow := silent(stage.Name("slow"), stage.OnTerminate(func(error) { time.Sleep(time.Second) }))
			inner := stage.NewSupervisor(quiet, stage.MaxRestarts(0, time.Second))
			inner.Add(stage.NewPipeline(slow, silent(stage.Name("bad"), initFails(2, errBoom))))
			behind := silent(stage.Name("behind"))
			sup := stage.NewSupervisor(quiet, strategy)
			sup.Add(inner)
			sup.Add(behind)
			run := start(t.Context(), sup)
			slow.Abort(errBoom)
			time.Sleep(1500 * time.Millisecond)
			require.Equal(t, 2, slow.Stats().Runs)
			require.Equal(t, stage.StateCallback, slow.Stats().State.Kind, "it ends again")
			inner.Abort(nil)
			time.Sleep(time.Minute)
			require.Equal(t, 2, slow.Stats().Runs)
			require.True(t, behind.Stats().Running)
			abortAll(t, run)
			closed(t, sup)
		})
	}
}

// A pipeline fails in OnInit as it is started again, when consumers that waited for two of its stages have subscribed already: that is
// one failure, of the pipeline within and of the whole (V4).
func TestSupervisorOfAPipelineThatFailsToStartUnderItsConsumers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		first, slow := silent(stage.Name("first")), silent(stage.Name("slow"), stage.OnTerminate(func(error) { time.Sleep(time.Second) }))
		bad := silent(stage.Name("bad"), stage.OnInit(func(context.Context) error {
			if calls++; calls != 2 {
				return nil
			}
			time.Sleep(time.Second)
			return errBoom
		}))
		one, two := newSink(0, stage.Name("one")), newSink(0, stage.Name("two"))
		one.SubscribeTo(slow, stage.Cancel(stage.CancelTransient))
		two.SubscribeTo(first, stage.Cancel(stage.CancelTransient))
		pipeline := stage.NewPipeline(first, stage.NewPipeline(slow, bad))
		sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.MaxRestarts(2, time.Hour))
		sup.Add(pipeline, stage.Restart(stage.RestartPermanent))
		sup.Add(one)
		sup.Add(two)
		run := start(t.Context(), sup)
		pipeline.Abort(nil)
		time.Sleep(time.Minute)
		require.True(t, run.running(), "%v", run.Stats().Err)
		require.Equal(t, 3, calls)
		hasItsConsumerBack(t, first, two)
		hasItsConsumerBack(t, slow, one)
		abortAll(t, run)
		closed(t, sup)
	})
}

// A consumer falls with its source and takes its time to end; meanwhile the source is started again and fails once more: two restarts
// are counted, one for each failure (V4).
func TestSupervisorOfAConsumerThatEndsBehindTheNextFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, sink := silent(stage.Name("source")), newSink(0, stage.Name("sink"), stage.OnTerminate(func(error) { time.Sleep(time.Second) }))
		sink.SubscribeTo(source)
		sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.MaxRestarts(2, time.Hour))
		sup.Add(source)
		sup.Add(sink)
		run := start(t.Context(), sup)
		source.Abort(errBoom)
		synctest.Wait()
		source.Abort(errBoom)
		time.Sleep(time.Minute)
		require.Equal(t, 3, source.Stats().Runs)
		hasItsConsumerBack(t, source, sink)
		abortAll(t, run)
		closed(t, sup)
	})
}
