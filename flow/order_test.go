package flow_test

import (
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/flow"
	"github.com/stretchr/testify/require"
)

// While the first event is worked on, the others run ahead of it by the window and no more; no result comes before its turn.
func TestOrderedBoundsHowFarFastStagesRunAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun, asked atomic.Int64
		values := func(yield func(int) bool) {
			for n := range 100 {
				asked.Add(1)
				if !yield(n) {
					return
				}
			}
		}
		f := flow.Map(flow.FromSeq(values, flow.Stages(3), flow.MaxDemand(1), flow.Ordered(10)), func(n int) int {
			begun.Add(1)
			if n == 0 {
				time.Sleep(time.Hour)
			}
			return n
		})
		var got []int
		done := make(chan error)
		go func() {
			var err error
			got, err = f.Collect(t.Context())
			done <- err
		}()
		synctest.Wait()
		require.EqualValues(t, 10, begun.Load())
		require.EqualValues(t, 10, asked.Load())
		require.NoError(t, <-done)
		require.Len(t, got, 100)
		require.True(t, slices.IsSorted(got))
	})
}

// The end may come at any moment of a batch's time: no value is lost, no batch is empty.
func TestBatchesAtAnyPhaseOfTheirTime(t *testing.T) {
	for gap := range 25 {
		for _, n := range []int{0, 1, 2, 3, 5} {
			synctest.Test(t, func(t *testing.T) {
				values := func(yield func(int) bool) {
					for i := range n {
						time.Sleep(time.Duration(gap) * time.Millisecond)
						if !yield(i) {
							return
						}
					}
					time.Sleep(time.Duration(gap) * time.Millisecond)
				}
				f := flow.FromSeq(values, flow.Stages(1), flow.MaxDemand(1))
				batches, err := flow.Batch(f, 2, 10*time.Millisecond).Collect(t.Context())
				require.NoError(t, err)
				var all []int
				for _, b := range batches {
					require.NotEmpty(t, b)
					all = append(all, b...)
				}
				require.Len(t, all, n)
				require.True(t, slices.IsSorted(all))
			})
		}
	}
}
