package stage_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// total counts events, and adds them up.
type total struct {
	*stage.Consumer[int]
	n, total int // owned by the stage
}

func newTotal() *total {
	s := &total{}
	s.Consumer = stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		s.n += len(events)
		for _, e := range events {
			s.total += e
		}
		return nil
	})
	return s
}

// A million events through each dispatcher, with filters that drop 0, 50, 75 and 100 %: nothing stalls, counts are exact.
func TestAMillionEventsThroughEachDispatcher(t *testing.T) {
	n := 1_000_000
	if testing.Short() || raceEnabled {
		n = 40_000
	}
	events := upTo(n)
	for _, dropped := range []int{0, 50, 75, 100} {
		keep := func(e int) bool { return e%100 >= dropped }
		kept, all := 0, 0
		for _, e := range events {
			if keep(e) {
				kept, all = kept+1, all+e
			}
		}
		run := func(t *testing.T, stages []stage.Stage, sinks ...*total) (n, added int) {
			for _, s := range sinks {
				stages = append(stages, s)
			}
			require.NoError(t, start(t.Context(), stage.NewPipeline(stages...)).wait(t))
			ledger(t, stages...)
			for _, s := range sinks {
				n, added = n+s.n, added+s.total
			}
			return n, added
		}
		t.Run(fmt.Sprintf("demand, a producer-consumer drops %d %%", dropped), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := stage.FromSlice(events)
				filter := stage.NewProducerConsumer(func(_ context.Context, in []int, _ *stage.Subscription) (out []int, _ error) {
					for _, e := range in {
						if keep(e) {
							out = append(out, e)
						}
					}
					return out, nil
				})
				filter.SubscribeTo(p)
				a, b, c := newTotal(), newTotal(), newTotal()
				a.SubscribeTo(filter, stage.MaxDemand(10))
				b.SubscribeTo(filter, stage.MaxDemand(100))
				c.SubscribeTo(filter)
				got, added := run(t, []stage.Stage{p, filter}, a, b, c)
				require.Equal(t, kept, got)
				require.Equal(t, all, added)
			})
		})
		t.Run(fmt.Sprintf("broadcast, a selector drops %d %%", dropped), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := stage.FromSlice(events)
				p.DispatchWith(stage.Broadcast)
				every, some, other := newTotal(), newTotal(), newTotal()
				every.SubscribeTo(p, stage.MaxDemand(500))
				some.SubscribeTo(stage.Where(p, keep), stage.MaxDemand(50))
				other.SubscribeTo(stage.Where(p, func(e int) bool { return !keep(e) }))
				_, _ = run(t, []stage.Stage{p}, every, some, other)
				require.Equal(t, n, every.n)
				require.Equal(t, kept, some.n)
				require.Equal(t, all, some.total)
				require.Equal(t, n-kept, other.n)
				out := p.Stats().Output
				require.EqualValues(t, n, out.Dispatched)
				require.EqualValues(t, 3*n, out.Copies)
			})
		})
		t.Run(fmt.Sprintf("partition, the key drops %d %%", dropped), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := stage.FromSlice(events)
				p.DispatchWith(stage.PartitionWith(func(e int) (int, int, bool) { return e, e % 3, keep(e) }, 0, 1, 2))
				sinks := make([]*total, 6) // two for each
				for i := range sinks {
					sinks[i] = newTotal()
					sinks[i].SubscribeTo(stage.Partition(p, i%3), stage.MaxDemand(100*(i+1)))
				}
				got, added := run(t, []stage.Stage{p}, sinks...)
				require.Equal(t, kept, got)
				require.Equal(t, all, added)
				require.EqualValues(t, n-kept, p.Stats().Output.Dropped)
			})
		})
	}
}
