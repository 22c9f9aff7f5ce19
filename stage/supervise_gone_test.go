package stage_test

import (
	"context"
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
