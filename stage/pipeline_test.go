package stage_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stage.FromSlice([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
		pc := stage.NewProducerConsumer(func(_ context.Context, e []int, _ *stage.Subscription) ([]int, error) {
			return append(e, e...), nil
		})
		pc.SubscribeTo(p, stage.MaxDemand(4))
		var got []int
		c := stage.NewConsumer(func(_ context.Context, e []int, _ *stage.Subscription) error {
			got = append(got, e...)
			return nil
		})
		c.SubscribeTo(pc, stage.MaxDemand(3))
		require.NoError(t, stage.Run(t.Context(), p, pc, c))
		require.Equal(t, []int{1, 2, 1, 2, 3, 4, 3, 4, 5, 6, 5, 6, 7, 8, 7, 8, 9, 10, 9, 10}, got)
		t.Logf("%+v", pc.Stats())
	})
}

func TestSmokeFail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stage.FromSlice([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
		c := stage.NewConsumer(func(_ context.Context, e []int, _ *stage.Subscription) error {
			return errors.New("x")
		}, stage.Name("c"))
		c.SubscribeTo(p, stage.MaxDemand(4))
		t.Log(stage.Run(t.Context(), p, c))
		t.Logf("%+v", p.Stats())
		t.Logf("%+v", c.Stats())
		c2 := stage.NewConsumer(func(_ context.Context, e []int, _ *stage.Subscription) error {
			t.FailNow()
			return nil
		})
		c2.SubscribeTo(p, stage.MaxDemand(4))
		c3 := stage.NewConsumer(func(_ context.Context, e []int, _ *stage.Subscription) error {
			panic("boom")
		})
		c3.SubscribeTo(p, stage.MaxDemand(4))
		t.Log(stage.Run(t.Context(), p, c3))
		c3.SubscribeTo(p, stage.MaxDemand(4), stage.MinDemand(7))
		t.Log(stage.Run(t.Context(), p, c3))
	})
}
