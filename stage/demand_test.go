package stage_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestFirstDemandIsTheSumOfAllFirstAsks(t *testing.T) {
	for range 100 { // the order in which stages start is not ours
		synctest.Test(t, func(t *testing.T) {
			var asked []int
			p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
				asked = append(asked, demand)
				return nil, stage.ErrDone
			})
			drop := func(context.Context, int) error { return nil }
			c, d := stage.ForEach(drop), stage.ForEach(drop)
			c.SubscribeTo(p, stage.MaxDemand(3))
			d.SubscribeTo(p, stage.MaxDemand(4))
			require.NoError(t, stage.Run(t.Context(), c, p, d))
			require.Equal(t, []int{7}, asked)
		})
	}
}
