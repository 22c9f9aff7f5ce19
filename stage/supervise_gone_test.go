package stage_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// A member ends before the consumer that waits for it has subscribed, and that goes as well: in its next run the member
// has nobody to wait for (R2). Found by the simulator.
func TestSupervisorOfAProducerWhoseConsumerHasGoneMeanwhile(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := silent(stage.Name("source"))
		sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(2*time.Second, 2*time.Second))
		sup.Add(source)
		gate := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil }, stage.Name("gate"),
			stage.OnInit(func(context.Context) error { source.Abort(errBoom); time.Sleep(500 * time.Millisecond); return nil }))
		gate.SubscribeTo(source)
		sup.Add(gate)
		run := start(t.Context(), sup)
		time.Sleep(600 * time.Millisecond)
		require.Len(t, gate.Stats().Upstreams, 1, "it waits")
		require.NoError(t, gate.Tell(func(context.Context) error { return stage.ErrDone }))
		require.NoError(t, run.wait(t))
		require.Equal(t, 2, source.Stats().Runs)
		closed(t, sup)
	})
}

// The same, while the member is in an OnInit that fails.
func TestSupervisorOfAProducerWhoseConsumerHasGoneDuringOnInit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		runs := 0
		source := silent(stage.Name("source"), stage.OnInit(func(context.Context) error {
			if runs++; runs != 2 {
				return nil
			}
			time.Sleep(3 * time.Second)
			return errBoom
		}))
		sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(2*time.Second, 2*time.Second))
		sup.Add(source)
		gate := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil }, stage.Name("gate"),
			stage.OnInit(func(context.Context) error { source.Abort(errBoom); time.Sleep(500 * time.Millisecond); return nil }))
		gate.SubscribeTo(source)
		sup.Add(gate)
		run := start(t.Context(), sup)
		time.Sleep(3500 * time.Millisecond)
		require.Equal(t, 2, source.Stats().Runs)
		require.NoError(t, gate.Tell(func(context.Context) error { return stage.ErrDone }))
		require.NoError(t, run.wait(t))
		require.Equal(t, 3, source.Stats().Runs)
		closed(t, sup)
	})
}

// The same, when the consumer has gone before it could subscribe, and the member fails before it hears of that. Found by the
// simulator (seed 106414).
func TestSupervisorOfAProducerWhoseConsumerHasGoneUnheard(t *testing.T) {
	for name, leave := range map[string]func(*sink) error{
		"done":    func(k *sink) error { return k.Tell(func(context.Context) error { return stage.ErrDone }) },
		"aborted": func(k *sink) error { k.Abort(nil); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				source, middle, sink := silent(stage.Name("source"), stage.KeepRunning()), relay(0, stage.Name("middle")), newSink(0, stage.Name("sink"))
				middle.SubscribeTo(source)
				sink.SubscribeTo(middle)
				last := silent(stage.Name("last"), stage.OnInit(func(context.Context) error { // before subscriptions are made
					late := middle.Tell(func(context.Context) ([]int, error) { time.Sleep(time.Second); return nil, errBoom })
					return errors.Join(late, leave(sink))
				}))
				sup := stage.NewSupervisor(quiet, stage.OneForOne)
				for _, s := range []stage.Stage{source, middle, sink, last} {
					sup.Add(s)
				}
				run := start(t.Context(), sup)
				time.Sleep(500 * time.Millisecond)
				require.False(t, sink.Stats().Running)
				require.Equal(t, stage.StateCallback, middle.Stats().State.Kind)
				time.Sleep(time.Minute)
				require.Equal(t, 2, middle.Stats().Runs)
				require.False(t, middle.Stats().Running, "it waits for nobody")
				require.True(t, source.Stats().Running)
				abortAll(t, run)
				closed(t, sup)
			})
		})
	}
}

// The same, when the member is down as the consumer goes.
func TestSupervisorOfAProducerWhoseConsumerGoesWhileItIsDown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, sink := silent(stage.Name("source")), newSink(0, stage.Name("sink"))
		sink.SubscribeTo(source)
		last := silent(stage.Name("last"), stage.KeepRunning(), stage.OnInit(func(context.Context) error { // before subscriptions are made
			source.Abort(errBoom)
			time.Sleep(500 * time.Millisecond)
			return sink.Tell(func(context.Context) error { return stage.ErrDone })
		}))
		sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(time.Second, time.Second))
		for _, s := range []stage.Stage{source, sink, last} {
			sup.Add(s)
		}
		run := start(t.Context(), sup)
		time.Sleep(600 * time.Millisecond)
		require.False(t, sink.Stats().Running)
		require.Equal(t, 1, source.Stats().Runs)
		time.Sleep(time.Minute)
		require.Equal(t, 2, source.Stats().Runs)
		require.False(t, source.Stats().Running, "it waits for nobody")
		abortAll(t, run)
		closed(t, sup)
	})
}

// A member fails before it could subscribe: its producer waits for its next run (V8).
func TestSupervisorOfAConsumerThatFailsBeforeItSubscribes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, middle := stage.FromSlice(upTo(10), stage.Name("source")), relay(0, stage.Name("middle"))
		middle.SubscribeTo(source)
		runs := 0
		sink := newSink(0, stage.Name("sink"), stage.OnInit(func(context.Context) error {
			if runs++; runs > 1 {
				return nil
			}
			return middle.Tell(func(context.Context) ([]int, error) { return nil, errBoom })
		}))
		sink.SubscribeTo(middle, stage.Cancel(stage.CancelTemporary))
		sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(time.Second, time.Second))
		sup.Add(source)
		sup.Add(middle)
		sup.Add(sink)
		require.NoError(t, start(t.Context(), sup).wait(t))
		require.Equal(t, 2, middle.Stats().Runs)
		require.Equal(t, upTo(10), sink.events())
		closed(t, sup)
	})
}

// A member ends for good and its consumer goes on without it; then it is started along with another one: it does not wait
// for that consumer (R2). Found by the simulator.
func TestSupervisorStartsAProducerAlongThatHasBeenGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, kept := silent(stage.Name("source")), silent(stage.Name("kept"))
		other := newSink(0, stage.Name("other"))
		inner := stage.NewSupervisor(quiet, stage.OneForAll)
		inner.Add(source)
		inner.Add(other)
		sink := newSink(0, stage.Name("sink"))
		sink.SubscribeTo(source, stage.Cancel(stage.CancelTransient))
		sink.SubscribeTo(kept)
		outer := stage.NewSupervisor(quiet, stage.OneForOne)
		outer.Add(inner)
		outer.Add(kept)
		outer.Add(sink)
		run := start(t.Context(), outer)
		source.Abort(nil)
		synctest.Wait()
		require.Len(t, sink.Stats().Upstreams, 1)
		fail(t, other.Consumer)
		require.Equal(t, 2, source.Stats().Runs)
		require.False(t, source.Stats().Running)
		require.True(t, sink.Stats().Running)
		abortAll(t, run)
		closed(t, outer)
	})
}

// A stage of a pipeline failed, and the pipeline went on without it and completed: it is not started again, and who
// waits for that stage is let go. Found by the simulator.
func TestSupervisorOfAPipelineThatWentOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := silent(stage.Name("source"))
		other := newSink(0, stage.Name("other"))
		sup := stage.NewSupervisor(quiet, stage.OneForOne)
		sup.Add(stage.NewPipeline(source, other))
		sink := newSink(0, stage.Name("sink"))
		sink.SubscribeTo(source, stage.Cancel(stage.CancelTemporary))
		sup.Add(sink)
		run := start(t.Context(), sup)
		require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, errBoom }))
		synctest.Wait()
		require.Len(t, sink.Stats().Upstreams, 1, "the pipeline may fail yet, and be started again")
		require.NoError(t, other.Tell(func(context.Context) error { return stage.ErrDone }))
		require.NoError(t, run.wait(t), "the sink has no subscription left, and completes")
		closed(t, sup)
	})
}

// initFails is an OnInit of whose calls the nth returns err.
func initFails(n int, err error) stage.Option {
	calls := 0
	return stage.OnInit(func(context.Context) error {
		if calls++; calls == n {
			return err
		}
		return nil
	})
}

// What a factory made anew fails in OnInit: the producer waits for the next one (V8).
func TestSupervisorOfAFactoryWhoseConsumerFailsToStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, init := silent(stage.Name("source")), initFails(2, errBoom)
		var made []*sink
		sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(time.Second, time.Second))
		sup.Add(source)
		sup.AddFunc(func() stage.Stage {
			s := newSink(0, stage.Name("sink"), init)
			s.SubscribeTo(source)
			made = append(made, s)
			return s
		})
		run := start(t.Context(), sup)
		made[0].Abort(errBoom)
		time.Sleep(time.Minute)
		synctest.Wait()
		require.Len(t, made, 3)
		require.True(t, made[2].Stats().Running)
		require.Equal(t, 1, source.Stats().Runs)
		require.True(t, source.Stats().Running)
		abortAll(t, run)
		closed(t, sup)
	})
}

// A member of a group that is started again fails in OnInit, and those behind it are not begun, to be started with it once
// more: a producer before them waits for that (V8). The member ends slowly, so that theirs are known before.
func TestSupervisorOfAGroupThatFailsToStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := silent(stage.Name("source"))
		slow := silent(stage.Name("slow"), stage.OnTerminate(func(error) { time.Sleep(time.Second) }))
		sink := newSink(0, stage.Name("sink"))
		sink.SubscribeTo(source)
		sup := stage.NewSupervisor(quiet)
		sup.Add(source)
		sup.Add(stage.NewPipeline(slow, silent(stage.Name("bad"), initFails(2, errBoom))))
		sup.Add(sink)
		run := start(t.Context(), sup)
		slow.Abort(errBoom)
		time.Sleep(time.Minute)
		require.Equal(t, 3, slow.Stats().Runs)
		require.True(t, sink.Stats().Running)
		require.Equal(t, 1, source.Stats().Runs)
		require.True(t, source.Stats().Running)
		abortAll(t, run)
		closed(t, sup)
	})
}

// As that member ends, it calls one behind it, which is not to begin: that answers at once.
func TestSupervisorOfAGroupThatFailsToStartAndCallsThoseBehind(t *testing.T) {
	bubble(t, func(t *testing.T) {
		behind := silent(stage.Name("behind"))
		ends := 0
		var answer error
		slow := silent(stage.Name("slow"), stage.OnTerminate(func(error) {
			if ends++; ends == 2 {
				answer = behind.Do(context.Background(), func(context.Context) ([]int, error) { return nil, nil })
			}
		}))
		sup := stage.NewSupervisor(quiet)
		sup.Add(stage.NewPipeline(slow, silent(stage.Name("bad"), initFails(2, errBoom))))
		sup.Add(behind)
		run := start(t.Context(), sup)
		slow.Abort(errBoom)
		synctest.Wait()
		require.ErrorIs(t, answer, stage.ErrEnded)
		require.Equal(t, 3, slow.Stats().Runs)
		require.True(t, behind.Stats().Running)
		abortAll(t, run)
		closed(t, sup)
	})
}

// It does not fail, but is shut down in OnInit: it has ended for good, and those behind it go on (V2).
func TestSupervisorOfAGroupOfWhichOneIsShutDownAsItStarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, sink := silent(stage.Name("source")), newSink(0, stage.Name("sink"))
		sink.SubscribeTo(source)
		other := silent(stage.Name("other"), initFails(2, stage.ErrShutdown))
		sup := stage.NewSupervisor(quiet)
		sup.Add(source)
		sup.Add(other)
		sup.Add(sink)
		run := start(t.Context(), sup)
		other.Abort(errBoom)
		synctest.Wait()
		require.False(t, other.Stats().Running)
		require.Equal(t, 2, sink.Stats().Runs)
		require.True(t, sink.Stats().Running)
		require.True(t, source.Stats().Running)
		abortAll(t, run)
		closed(t, sup)
	})
}

// The same of a pipeline of which a member is shut down in OnInit: that is how the pipeline ends, and no failure. Who consumes
// from another member of it hears of a shutdown as well.
func TestSupervisorOfAPipelineThatIsShutDownAsItStarts(t *testing.T) {
	for name, around := range map[string]func(...stage.Stage) stage.Stage{
		"a pipeline": func(s ...stage.Stage) stage.Stage { return stage.NewPipeline(s...) },
		"nested":     func(s ...stage.Stage) stage.Stage { return stage.NewPipeline(stage.NewPipeline(s...)) },
		"a supervisor that gives up": func(s ...stage.Stage) stage.Stage {
			sup := stage.NewSupervisor(quiet, stage.MaxRestarts(0, time.Second))
			sup.Add(stage.NewPipeline(s...))
			return sup
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				beside, other := silent(stage.Name("beside"), stage.KeepRunning()), silent(stage.Name("other"), initFails(2, stage.ErrShutdown))
				behind, outside := newSink(0, stage.Name("behind")), newSink(0, stage.Name("outside"))
				source := silent(stage.Name("source"))
				behind.SubscribeTo(source)
				outside.SubscribeTo(beside, stage.Cancel(stage.CancelTransient))
				outside.SubscribeTo(source)
				sup := stage.NewSupervisor(quiet)
				for _, s := range []stage.Stage{source, around(beside, other), behind, outside} {
					sup.Add(s)
				}
				run := start(t.Context(), sup)
				other.Abort(errBoom)
				time.Sleep(time.Minute)
				require.Equal(t, 2, other.Stats().Runs)
				require.False(t, beside.Stats().Running)
				require.ErrorIs(t, beside.Stats().Err, stage.ErrShutdown)
				require.Equal(t, 2, behind.Stats().Runs)
				require.True(t, outside.Stats().Running)
				require.Len(t, outside.Stats().Upstreams, 1)
				require.True(t, source.Stats().Running)
				abortAll(t, run)
				closed(t, sup)
			})
		})
	}
}

// A consumer fails before a subscription that was declared late is accepted, or has come so far as to be made: the producer
// waits for its next run (V8).
func TestSupervisorOfAConsumerThatFailsBeforeALateSubscription(t *testing.T) {
	for _, made := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			source, passing := silent(stage.Name("source")), newSink(0, stage.Name("passing"))
			passing.SubscribeTo(source)
			first, sink := silent(stage.Name("first")), newSink(0, stage.Name("sink"))
			sink.SubscribeTo(first)
			sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(10*time.Second, 10*time.Second))
			for _, s := range []stage.Stage{source, passing, first, sink} {
				sup.Add(s)
			}
			run := start(t.Context(), sup)
			busy := func(d time.Duration, err error) error { time.Sleep(d); return err }
			if made {
				require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, busy(time.Second, nil) }))
			} else {
				require.NoError(t, sink.Tell(func(context.Context) error { return busy(time.Second, errBoom) }))
			}
			synctest.Wait()
			sink.SubscribeTo(source)
			synctest.Wait()
			if made {
				sink.Abort(errBoom)
			}
			time.Sleep(2 * time.Second)
			require.False(t, sink.Stats().Running)
			passing.Abort(nil)
			synctest.Wait()
			require.True(t, source.Stats().Running)
			time.Sleep(time.Minute)
			require.Len(t, sink.Stats().Upstreams, 2)
			require.True(t, source.Stats().Running)
			abortAll(t, run)
			closed(t, sup)
		})
	}
}

// A stage of another call of Run passes a producer by that is down: that knows nevertheless that its own subscribers have
// gone (R2).
func TestSupervisorOfAProducerThatIsPassedByFromOutside(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, sink := silent(stage.Name("source")), newSink(0, stage.Name("sink"))
		sink.SubscribeTo(source, stage.Cancel(stage.CancelTemporary))
		sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Backoff(time.Second, time.Second))
		sup.Add(source)
		sup.Add(sink)
		run := start(t.Context(), sup)
		source.Abort(errBoom)
		synctest.Wait()
		sink.Abort(nil)
		synctest.Wait()
		outside := newSink(0, stage.Name("outside"), stage.OnInit(func(context.Context) error { return stage.ErrDone }))
		outside.SubscribeTo(source)
		require.NoError(t, stage.Run(t.Context(), outside))
		require.NoError(t, run.wait(t), "the source waits for nobody")
		require.Equal(t, 2, source.Stats().Runs)
		closed(t, sup)
	})
}

// A stage of a temporary pipeline failed, and the pipeline goes on. A consumer outside fails by that later: it is started
// again, although the member where its failure began does not end.
func TestSupervisorOfAConsumerOfAPipelineThatWentOn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, kept := silent(stage.Name("source")), silent(stage.Name("kept"))
		within := newSink(0, stage.Name("within"))
		within.SubscribeTo(source, stage.Cancel(stage.CancelTemporary))
		within.SubscribeTo(kept)
		late := newSink(0, stage.Name("late"))
		late.SubscribeTo(kept)
		sup := stage.NewSupervisor(quiet, stage.OneForOne)
		sup.Add(stage.NewPipeline(source, kept, within), stage.Restart(stage.RestartTemporary))
		sup.Add(late)
		run := start(t.Context(), sup)
		require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, errBoom }))
		synctest.Wait()
		require.True(t, kept.Stats().Running, "the pipeline goes on")
		late.SubscribeTo(source)
		require.ErrorIs(t, run.wait(t), stage.ErrIntensity)
		require.Equal(t, 4, late.Stats().Runs)
		closed(t, sup)
	})
}
