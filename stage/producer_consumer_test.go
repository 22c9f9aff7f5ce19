package stage_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// mapper is a producer-consumer that keeps the batches it began.
type mapper struct {
	*stage.ProducerConsumer[int, int]
	batches [][]int // owned by the stage goroutine; tests read it at rest
}

// newMapper makes a mapper of what each gives for an event.
func newMapper(each func(int) []int, opts ...stage.ProducerConsumerOption) *mapper {
	r := &mapper{}
	r.ProducerConsumer = stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
		r.batches = append(r.batches, slices.Clone(events))
		var out []int
		for _, e := range events {
			out = append(out, each(e)...)
		}
		return out, nil
	}, opts...)
	return r
}

func same(e int) []int { return []int{e} }

func TestProducerConsumerBeginsOnlyWithDownstreamDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, pc, s := newSource(), newMapper(same), newGatherer[int]()
		pc.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(4))
		s.SubscribeTo(pc, stage.Manual())
		f := startFlow(t, p, pc, s)
		require.Equal(t, []int{10}, p.demands, "it asks for max, whatever is downstream")
		p.push(t, upTo(10)...)
		p.push(t, 10)
		require.Empty(t, pc.batches)
		require.EqualValues(t, 10, pc.Stats().Input.Queued, "at most max waits in it")
		require.EqualValues(t, 1, p.Stats().Output.Buffered)

		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.Equal(t, [][]int{{0, 1, 2, 3, 4, 5}, {6, 7, 8, 9}}, pc.batches, "a delivery that is begun is worked to its end")
		require.Equal(t, []int{0}, s.events())
		require.EqualValues(t, 9, pc.Stats().Output.Buffered)
		require.EqualValues(t, 1, pc.Stats().Input.Queued)
		require.Equal(t, 16, sum(p.demands)+int(p.Stats().Output.Dispatched)-10, "max-min was asked after the first chunk")

		require.NoError(t, s.sub.Ask(9))
		f.rest()
		require.Len(t, pc.batches, 2, "what is buffered goes first")
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.Equal(t, upTo(11), s.events())
		f.stop()
	})
}

func TestProducerConsumerHasAtMostMaxInFlightPerUpstream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		numbers := func(name string) *stage.Producer[int] {
			n := 0
			return stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
				n += demand
				return make([]int, demand), nil
			}, stage.Name(name))
		}
		p, q, pc, s := numbers("p"), numbers("q"), newMapper(same), newGatherer[int]()
		pc.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(4))
		pc.SubscribeTo(q, stage.MaxDemand(3), stage.MinDemand(0))
		s.SubscribeTo(pc, stage.Manual())
		f := startFlow(t, p, q, pc, s)
		require.EqualValues(t, 13, pc.Stats().Input.Queued)
		for i := range 50 {
			require.NoError(t, s.sub.Ask(1+i%7))
			f.rest()
			for _, up := range pc.Stats().Upstreams {
				limit := int64(10)
				if up.Producer == "q" {
					limit = 3
				}
				require.LessOrEqual(t, up.Sent-up.Finished, limit)
			}
		}
		f.abort()
	})
}

func TestFilterPullsUntilSomethingPasses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(1000))
		pc := newMapper(func(e int) []int {
			if e%100 == 99 {
				return []int{e}
			}
			return nil
		})
		s := newGatherer[int]()
		pc.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(0))
		s.SubscribeTo(pc, stage.Manual())
		f := startFlow(t, p, pc, s)
		require.Empty(t, pc.batches)
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.Equal(t, []int{99}, s.events())
		require.Len(t, pc.batches, 10, "and not one more")
		require.NoError(t, s.sub.Ask(100))
		f.finish()
		require.Equal(t, []int{99, 199, 299, 399, 499, 599, 699, 799, 899, 999}, s.events())
	})
}

func TestExpanderBuffersWhatExceedsDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(3))
		pc := newMapper(func(e int) []int { return slices.Repeat([]int{e}, 100_000) })
		s := newGatherer[int]()
		pc.SubscribeTo(p, stage.MaxDemand(1))
		s.SubscribeTo(pc, stage.Manual())
		f := startFlow(t, p, pc, s)
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.EqualValues(t, 99_999, pc.Stats().Output.Buffered, "without bound by default")
		require.Len(t, pc.batches, 1)
		require.NoError(t, s.sub.Ask(99_999))
		f.rest()
		require.Len(t, pc.batches, 1)
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.Len(t, pc.batches, 2)
		require.NoError(t, s.sub.Ask(500_000))
		f.finish()
		require.Len(t, s.events(), 300_000)
	})
}

func TestStoreAndFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(25))
		var store []int
		pc := newMapper(func(e int) []int {
			if store = append(store, e); len(store) < 7 {
				return nil
			}
			out := store
			store = nil
			return out
		})
		pc.OnComplete(func(context.Context) ([]int, error) { return store, stage.ErrDone })
		s := newGatherer[int]()
		pc.SubscribeTo(p, stage.MaxDemand(5), stage.MinDemand(2))
		s.SubscribeTo(pc, stage.MaxDemand(1))
		f := startFlow(t, p, pc, s)
		f.finish()
		require.Equal(t, upTo(25), s.events())
		require.LessOrEqual(t, slices.Max(s.sizes()), 1)
	})
}

func TestProducerConsumerBeginsInOrderOfArrival(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, q, pc, s := newSource(), newSource(), newMapper(same), newGatherer[int]()
		pc.SubscribeTo(p, stage.MaxDemand(2), stage.MinDemand(1))
		pc.SubscribeTo(q, stage.Manual())
		s.SubscribeTo(pc, stage.Manual())
		f := startFlow(t, p, q, pc, s)
		p.push(t, 1)
		q.push(t, 2) // nobody asked: stays there
		p.push(t, 3)
		p.push(t, 4) // beyond max
		require.NoError(t, s.sub.Ask(10))
		f.rest()
		require.Equal(t, []int{1, 3, 4}, s.events())
		f.abort()
	})
}

func TestProducerConsumerMayReturnTheSliceItWasGiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(100))
		pc := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
			require.Equal(t, len(events), cap(events))
			return events, nil
		})
		s := newGatherer[int]()
		pc.SubscribeTo(p, stage.MaxDemand(7))
		s.SubscribeTo(pc, stage.MaxDemand(3))
		f := startFlow(t, p, pc, s)
		f.finish()
		require.Equal(t, upTo(100), s.events())
		for _, b := range s.batches {
			require.Equal(t, len(b), cap(b))
		}
	})
}

// A chain of ten, with windows of all sizes, keeps order and count; no stage has more in it than
// its windows allow.
func TestChainKeepsOrder(t *testing.T) {
	for _, window := range []struct{ max, min int }{{1, 0}, {2, 1}, {5, 0}, {1000, 500}} {
		t.Run(fmt.Sprint(window), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const total = 200
				p := stage.FromSlice(upTo(total))
				stages := []stage.Stage{p}
				var last stage.Source[int] = p
				for i := range 10 {
					pc := newMapper(func(e int) []int { time.Sleep(time.Duration(e%(i+2)) * time.Millisecond); return []int{e} })
					pc.SubscribeTo(last, stage.MaxDemand(window.max), stage.MinDemand(window.min))
					stages, last = append(stages, pc), pc
				}
				s := newGatherer[int]()
				s.SubscribeTo(last, stage.MaxDemand(window.max), stage.MinDemand(window.min))
				f := startFlow(t, append(stages, s)...)
				f.finish()
				require.Equal(t, upTo(total), s.events())
			})
		})
	}
}
