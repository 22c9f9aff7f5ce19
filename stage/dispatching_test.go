package stage_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
	"github.com/stretchr/testify/require"
)

func TestBroadcastGivesEveryEventToAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(1000))
		p.DispatchWith(stage.Broadcast)
		var all, even []int
		a := stage.ForEach(func(_ context.Context, n int) error { all = append(all, n); return nil })
		a.SubscribeTo(p, stage.MaxDemand(10))
		b := stage.ForEach(func(_ context.Context, n int) error { even = append(even, n); return nil })
		b.SubscribeTo(stage.Where(p, func(n int) bool { return n%2 == 0 }), stage.MaxDemand(4))
		pipeline := stage.NewPipeline(p, a, b)
		require.NoError(t, pipeline.Run(t.Context()))
		require.Equal(t, upTo(1000), all)
		require.Len(t, even, 500)
		stagetest.Ledger(t, pipeline)
	})
}

func TestPartitionByKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(1000))
		p.DispatchWith(stage.PartitionWith(func(n int) (int, string, bool) {
			return n * 10, []string{"a", "b", "c"}[n%3], n%5 != 0
		}, "a", "b", "c"))
		got := make([][]int, 3)
		var stages []stage.Stage
		for i, key := range []string{"a", "b", "c"} {
			c := stage.ForEach(func(_ context.Context, n int) error { got[i] = append(got[i], n); return nil })
			c.SubscribeTo(stage.Partition(p, key), stage.MaxDemand(7))
			stages = append(stages, c)
		}
		pipeline := stage.NewPipeline(append(stages, p)...)
		require.NoError(t, pipeline.Run(t.Context()))
		require.Equal(t, 800, len(got[0])+len(got[1])+len(got[2]))
		for i := range got {
			for _, n := range got[i] {
				require.Equal(t, i, n/10%3)
			}
			require.IsIncreasing(t, got[i])
		}
		stagetest.Ledger(t, pipeline)
	})
}
