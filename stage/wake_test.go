package stage_test

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Wakes that come together count as one, but for those with a Tell between them: what the second Tell brings, a wake before it
// does not show. Twice Tell and Wake, while the stage is busy.
func TestAWakeBehindATellIsNotLost(t *testing.T) {
	type woken interface {
		stage.Stage
		stage.Source[int]
		Tell(fn func(context.Context) ([]int, error)) error
		Wake() error
	}
	check := func(name string, wire func(shelf *[]int) (w woken, others []stage.Stage)) {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var shelf []int // owned by the stage goroutine
				w, others := wire(&shelf)
				c := newSink(0)
				c.SubscribeTo(w, stage.MaxDemand(10))
				run := start(t.Context(), stage.NewPipeline(append(others, w, c)...))
				synctest.Wait()
				busy := make(chan struct{})
				require.NoError(t, w.Tell(func(context.Context) ([]int, error) { <-busy; return nil, nil }))
				for n := range 2 {
					require.NoError(t, w.Tell(func(context.Context) ([]int, error) { shelf = append(shelf, n); return nil, nil }))
					require.NoError(t, w.Wake())
				}
				close(busy)
				synctest.Wait()
				require.Equal(t, []int{0, 1}, c.events())
				abortAll(t, run)
			})
		})
	}
	take := func(shelf *[]int, demand int) []int {
		n := min(demand, len(*shelf))
		out := (*shelf)[:n:n]
		*shelf = (*shelf)[n:]
		return out
	}
	check("Retry", func(shelf *[]int) (woken, []stage.Stage) {
		return stage.NewProducer(func(_ context.Context, demand int) ([]int, error) { return take(shelf, demand), nil }, stage.Retry()), nil
	})
	check("OnDemand", func(shelf *[]int) (woken, []stage.Stage) {
		limiter, p := relay(0), stage.FromSlice(upTo(9))
		limiter.OnDemand(func(_ context.Context, demand int) ([]int, int, error) { return nil, len(take(shelf, demand)), nil })
		limiter.SubscribeTo(p)
		return limiter, []stage.Stage{p}
	})
}
