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

func TestSeveralConsumersOfOnePartition(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(3000))
		p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 3 }, 0, 1, 2))
		all := []stage.Stage{p}
		for i := range 9 {
			s := newSink(time.Duration(i) * time.Millisecond)
			s.SubscribeTo(stage.Partition(p, i%3), stage.MaxDemand(1+i), stage.MinDemand(0))
			all = append(all, s)
		}
		require.NoError(t, start(t.Context(), stage.NewPipeline(all...)).wait(t))
		closed(t, all...)
		sum := 0
		for i, s := range all[1:] {
			events := s.(*sink).events()
			require.NotEmpty(t, events, "everybody gets some")
			require.True(t, slices.IsSorted(events))
			for _, e := range events {
				require.Equal(t, i%3, e%3)
				sum += e
			}
		}
		require.Equal(t, 3000*2999/2, sum)
	})
}

// What waits for a partition is there for the next one that takes it, in front of what comes later.
func TestAPartitionsQueueOutlivesItsOwner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
		odd := newSink(0)
		odd.SubscribeTo(stage.Partition(p, 1))
		first, sub := manualSink(t, stage.Partition(p, 0))
		runs := runAlone(t.Context(), p, odd, first)
		require.NoError(t, sub().Ask(2))
		synctest.Wait()
		give(t, p, upTo(10)...)
		synctest.Wait()
		require.Equal(t, []int{0, 2}, first.events())
		require.EqualValues(t, 3, p.Buffered(), "4, 6 and 8 wait, and are seen")
		runs[2].Abort(errBoom)
		synctest.Wait()
		require.EqualValues(t, 3, p.Buffered())
		give(t, p, 10, 11)
		synctest.Wait()
		require.Equal(t, []int{1, 3, 5, 7, 9, 11}, odd.events())
		second := newSink(0)
		second.SubscribeTo(stage.Partition(p, 0))
		runs = append(runs, start(t.Context(), second))
		require.Equal(t, []int{4, 6, 8, 10}, second.events())
		require.Zero(t, p.Buffered())
		ledger(t, p, odd, first, second)
		abortAll(t, runs...)
		closed(t, p, odd, first, second)
	})
}

func TestAPartitionWithoutOwnerKeepsAtMostBufferSize(t *testing.T) {
	for _, keepFirst := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			opts := []stage.ProducerOption{stage.BufferSize(5)}
			if keepFirst {
				opts = append(opts, stage.KeepFirst())
			}
			p := silent(opts...)
			p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
			var discarded []int
			p.OnDiscard(func(_ context.Context, events []int) { discarded = append(discarded, events...) })
			odd := newSink(0)
			odd.SubscribeTo(stage.Partition(p, 1))
			runs := runAlone(t.Context(), p, odd)
			for i := range 20 {
				give(t, p, i)
			}
			synctest.Wait()
			require.Len(t, odd.events(), 10)
			require.EqualValues(t, 5, p.Buffered())
			even := newSink(0)
			even.SubscribeTo(stage.Partition(p, 0))
			runs = append(runs, start(t.Context(), even))
			if keepFirst {
				require.Equal(t, []int{0, 2, 4, 6, 8}, even.events())
				require.Equal(t, []int{10, 12, 14, 16, 18}, discarded)
			} else {
				require.Equal(t, []int{10, 12, 14, 16, 18}, even.events())
				require.Equal(t, []int{0, 2, 4, 6, 8}, discarded)
			}
			ledger(t, p, odd, even)
			abortAll(t, runs...)
			closed(t, p, odd, even)
		})
	}
}

// A producer that is done does not wait for partitions that nobody has: what they keep is lost, and counted. Calls behind
// it come in order.
func TestCompletionWithQueuesThatNobodyHas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 3 }, 0, 1, 2))
		c := newSink(0)
		c.SubscribeTo(stage.Partition(p, 1))
		run := start(t.Context(), stage.NewPipeline(p, c))
		give(t, p, upTo(30)...)
		var order []int // written by the stage
		for i := range 20 {
			require.NoError(t, p.TellAfter(func(context.Context) ([]int, error) { order = append(order, i); return nil, nil }))
		}
		synctest.Wait()
		require.Empty(t, order, "they wait for what waits")
		require.NoError(t, p.Do(t.Context(), func(context.Context) ([]int, error) { return nil, stage.ErrDone }))
		require.NoError(t, run.wait(t))
		require.Equal(t, upTo(20), order)
		require.Len(t, c.events(), 10)
		require.EqualValues(t, 20, p.Stats().Output.Lost)
		closed(t, p, c)
	})
}

// A call that was made at completion is not made again when its mark comes along.
func TestACallAtCompletionIsMadeOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
		odd, sub := manualSink(t, stage.Partition(p, 1))
		even := newSink(0)
		runs := runAlone(t.Context(), p, odd, even)
		require.NoError(t, sub().Ask(10))
		synctest.Wait()
		give(t, p, upTo(10)...)
		var ran count
		require.NoError(t, p.TellAfter(func(context.Context) ([]int, error) {
			ran.Add(1)
			return []int{1, 3, 5, 7, 9, 11, 13}, stage.ErrDone // 11 and 13 are not asked for: the producer lingers
		}))
		require.NoError(t, p.Tell(func(context.Context) ([]int, error) { return nil, stage.ErrDone }))
		synctest.Wait()
		require.EqualValues(t, 1, ran.Load())
		_, err := even.Subscribe(t.Context(), stage.Partition(p, 0), stage.Cancel(stage.CancelTemporary))
		require.NoError(t, err)
		synctest.Wait()
		require.Equal(t, []int{0, 2, 4, 6, 8}, even.events())
		require.EqualValues(t, 1, ran.Load())
		require.Zero(t, p.Stats().WaitingTells)
		ledger(t, p, odd, even)
		abortAll(t, runs...)
		closed(t, p, odd, even)
	})
}
