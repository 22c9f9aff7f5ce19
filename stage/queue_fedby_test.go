package stage_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// feeding makes a consumer that pushes what it gets into q.
func feeding(q *stage.Queue[int], src stage.Source[int]) *stage.Consumer[int] {
	c := stage.NewConsumer(func(ctx context.Context, events []int, _ *stage.Subscription) error {
		return q.Push(ctx, events...)
	})
	c.SubscribeTo(src, stage.MaxDemand(7))
	return c
}

func TestQueueClosesWhenItsFeedersHaveEnded(t *testing.T) {
	for _, queueFirst := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			q := stage.NewQueue[int](5)
			src1, src2, src3 := stage.FromSlice(upTo(100)), stage.FromSlice(upTo(50)), stage.FromSlice(upTo(1))
			f1, f2, f3 := feeding(q, src1), feeding(q, src2), feeding(q, src3)
			q.FedBy(f1, stage.NewPipeline(src2, f2))
			q.FedBy(f3)
			q.FedBy()
			c := collect(q)
			stages := []stage.Stage{src1, src2, src3, f1, f2, f3, q, c}
			if queueFirst {
				slices.Reverse(stages)
			}
			for runs := 1; runs <= 3; runs++ {
				require.NoError(t, stage.Run(t.Context(), stages...))
				require.Len(t, c.events(), 151*runs)
				closed(t, stages...)
			}
			run := start(t.Context(), stage.NewPipeline(stages...))
			abortAll(t, run)
			require.NoError(t, stage.Run(t.Context(), stages...), "feeders that ended with an earlier run do not count")
			closed(t, stages...)
		})
	}
}

func TestFeedersThatEndBeforeTheQueueRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](100)
		src := stage.FromSlice(upTo(100))
		f := feeding(q, src)
		q.FedBy(f)
		require.NoError(t, stage.Run(t.Context(), src, f))
		require.ErrorIs(t, q.TryPush(1), stage.ErrEnded)
		c := collect(q)
		require.NoError(t, stage.Run(t.Context(), q, c))
		require.Equal(t, upTo(100), c.events())
	})
}

func TestStopDrainsTheFeedersFirst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](5)
		src := endless()
		slow := relay(time.Second)
		slow.SubscribeTo(src, stage.MaxDemand(4))
		f := feeding(q, slow)
		q.FedBy(f)
		c := collect(q, stage.MaxDemand(2))
		p := stage.NewPipeline(q, c, src, slow, f)
		run := start(t.Context(), p)
		time.Sleep(10500 * time.Millisecond)
		require.NoError(t, p.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		emitted := int(src.Stats().Output.Emitted)
		require.Positive(t, emitted)
		require.Equal(t, upTo(emitted), c.events(), "everything that was emitted has come through")
		closed(t, q, c, src, slow, f)
	})
}

func TestStopOfAQueueAloneDoesNotWaitForItsFeeders(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](5)
		src := silent()
		f := feeding(q, src)
		q.FedBy(f)
		feeder := start(t.Context(), stage.NewPipeline(src, f))
		c := collect(q)
		run := start(t.Context(), stage.NewPipeline(q, c))
		require.NoError(t, run.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		require.True(t, feeder.running())
		abortAll(t, feeder)
	})
}

func TestStopOfARingOfQueues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](5)
		worker := stage.ForEach(func(_ context.Context, event int) error {
			if event > 0 {
				return q.TryPush(event - 1)
			}
			return nil
		})
		worker.SubscribeTo(q, stage.MaxDemand(1))
		q.FedBy(worker)
		run := start(t.Context(), stage.NewPipeline(q, worker))
		require.NoError(t, q.Push(t.Context(), 10))
		synctest.Wait()
		require.EqualValues(t, 11, worker.Stats().Input.Handled)
		require.NoError(t, run.Stop(t.Context()), "the worker ends only behind the queue")
		require.NoError(t, run.wait(t))
	})
	bubble(t, func(t *testing.T) { // it ends by itself, and so does the queue
		q := stage.NewQueue[int](5)
		worker := stage.ForEach(func(_ context.Context, event int) error {
			if event == 0 {
				return stage.ErrDone
			}
			return q.TryPush(event - 1)
		})
		worker.SubscribeTo(q, stage.MaxDemand(1))
		q.FedBy(worker)
		require.NoError(t, q.Push(t.Context(), 10))
		require.NoError(t, stage.Run(t.Context(), q, worker))
	})
}

func TestFaultsOfFedByAreReportedByRun(t *testing.T) {
	q := stage.NewQueue[int](5)
	var none *stage.Consumer[int]
	q.FedBy(none)
	require.ErrorIs(t, q.Run(t.Context()), stage.ErrInvalidStage)
	require.ErrorContains(t, q.Run(t.Context()), "queue_fedby_test.go:")
	q = stage.NewQueue[int](5)
	q.FedBy(q)
	require.ErrorIs(t, q.Run(t.Context()), stage.ErrCycle)
}
