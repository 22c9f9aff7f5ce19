package stage_test

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestManualNeverAsksByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newSource(), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual(), stage.MaxDemand(5), stage.MinDemand(0)) // the numbers mean nothing
		f := startFlow(t, p, s)
		for i := range 100 {
			p.push(t, i)
		}
		require.EqualValues(t, 100, p.Stats().Output.Buffered)
		require.Empty(t, s.batches)

		require.NoError(t, s.sub.Ask(100))
		f.rest()
		require.Equal(t, upTo(100), s.events())
		require.Empty(t, p.demands)

		require.NoError(t, s.sub.Ask(10))
		time.Sleep(24 * time.Hour)
		f.rest()
		require.Equal(t, []int{10}, p.demands)
		s.batches = nil
		p.push(t, upTo(10)...)
		require.Equal(t, [][]int{upTo(10)}, s.batches, "as it was sent, in one piece")
		f.stop()
	})
}

func TestManualAsksAddUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newSource(), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		for range 5 {
			require.NoError(t, s.sub.Ask(2))
		}
		f.rest()
		require.Equal(t, 10, sum(p.demands))
		p.push(t, upTo(12)...)
		require.Equal(t, upTo(10), s.events())
		f.abort() // what nobody asks for cannot be drained
	})
}

// Asks of several subscribers that come together count as one (rule P1): the source is asked once, for their sum.
func TestAsksThatComeTogetherCountAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, a, b := newSource(), newGatherer[int](), newGatherer[int]()
		a.SubscribeTo(p, stage.Manual())
		b.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, a, b)
		require.NoError(t, p.Tell(func(context.Context) ([]int, error) { time.Sleep(time.Second); return nil, nil }))
		synctest.Wait()
		require.NoError(t, a.sub.Ask(3))
		require.NoError(t, b.sub.Ask(4))
		time.Sleep(time.Minute)
		f.rest()
		require.Equal(t, []int{7}, p.demands)
		require.NoError(t, a.sub.Ask(2)) // it is at rest
		f.rest()
		require.Equal(t, []int{7, 2}, p.demands)
		p.push(t, upTo(9)...)
		require.Equal(t, []int{0, 1, 2, 3, 4}, a.events(), "the largest demand first, then the first that asked")
		require.Equal(t, []int{5, 6, 7, 8}, b.events())
		f.stop()
	})
}

func TestManualAsksSaturate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newSource(), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		for range 3 {
			require.NoError(t, s.sub.Ask(math.MaxInt64))
			f.rest()
			require.Equal(t, []int{math.MaxInt64}, p.demands)
		}
		st := p.Stats().Downstreams[0]
		require.EqualValues(t, math.MaxInt64, st.Asked)
		for i := range 100 {
			p.push(t, i)
		}
		require.Equal(t, upTo(100), s.events())
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.LessOrEqual(t, len(p.demands), 3)
		for _, d := range p.demands {
			require.Positive(t, d)
		}
		f.stop()
	})
}

func TestSaturatedDemandOfTwoConsumersIsNotNegative(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, other := newSource(), newGatherer[int](), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		other.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s, other)
		require.NoError(t, s.sub.Ask(math.MaxInt64))
		require.NoError(t, other.sub.Ask(math.MaxInt64))
		f.rest()
		for range 10 {
			p.push(t, upTo(10)...)
		}
		require.Len(t, append(s.events(), other.events()...), 100)
		for _, d := range p.demands {
			require.Positive(t, d)
		}
		require.NoError(t, s.sub.Cancel(nil))
		f.rest()
		before := len(other.events())
		p.push(t, upTo(5)...)
		require.Len(t, other.events(), before+5, "the other's demand is whole")
		f.stop()
	})
}

func TestInvalidAsksChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s, auto := newSource(), newGatherer[int](), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		auto.SubscribeTo(p, stage.MaxDemand(3))
		f := startFlow(t, p, s, auto)
		require.Equal(t, []int{3}, p.demands)
		for _, n := range []int{0, -1, math.MinInt64} {
			require.ErrorIs(t, s.sub.Ask(n), stage.ErrInvalidDemand)
			require.ErrorIs(t, s.sub.Next(n), stage.ErrInvalidDemand)
			require.ErrorIs(t, auto.sub.Ask(n), stage.ErrInvalidDemand)
		}
		require.ErrorIs(t, auto.sub.Ask(1), stage.ErrNotManual)
		require.ErrorIs(t, auto.sub.Next(1), stage.ErrNotManual)
		f.rest()
		require.Equal(t, []int{3}, p.demands)
		require.Zero(t, s.Stats().Upstreams[0].Asked)

		f.stop()
		require.ErrorIs(t, s.sub.Ask(1), stage.ErrEnded)
		require.ErrorIs(t, s.sub.Ask(0), stage.ErrInvalidDemand)
		require.ErrorIs(t, auto.sub.Ask(1), stage.ErrNotManual)
	})
	testkit.Report(t, "T11", 3)
}

func TestAskFromAnyGoroutineIsCreditedToTheConsumer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const askers = 1000
		p, s, other := newSource(), newGatherer[int](), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		other.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s, other)
		var wg sync.WaitGroup
		for i := range askers {
			wg.Go(func() {
				if s.sub.Ask(i+1) != nil {
					t.Error("Ask failed")
				}
			})
		}
		wg.Wait()
		f.rest()
		const all = askers * (askers + 1) / 2
		require.Equal(t, all, sum(p.demands))
		require.LessOrEqual(t, len(p.demands), askers)
		p.push(t, make([]int, all+1)...)
		require.Len(t, s.events(), all)
		require.Empty(t, other.batches)
		require.EqualValues(t, 1, p.Stats().Output.Buffered)
		f.abort() // what nobody asks for cannot be drained
	})
}

// Asks and events meet: whatever the order, exactly what was asked arrives.
func TestAsksFromManyGoroutinesWhileEventsFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const askers, each = 50, 40
		n := 0
		p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
			batch := make([]int, demand)
			for i := range batch {
				batch[i] = n
				n++
			}
			return batch, nil
		})
		s := newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		var wg sync.WaitGroup
		for range askers {
			wg.Go(func() {
				for range each {
					if s.sub.Ask(1) != nil {
						t.Error("Ask failed")
					}
				}
			})
		}
		wg.Wait()
		f.rest()
		require.Equal(t, upTo(askers*each), s.events())
		f.stop()
	})
}

func TestAskInOnSubscribeCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSource()
		var got atomic.Int64
		c := stage.ForEach(func(context.Context, int) error { got.Add(1); return nil },
			stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(7) }))
		c.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, c)
		require.Equal(t, []int{7}, p.demands, "in the first demand")
		p.push(t, upTo(9)...)
		require.EqualValues(t, 7, got.Load())
		f.abort() // what nobody asks for cannot be drained
	})
}

func TestOneAskMessageIsPendingAtTheMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		var demands []int
		p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
			if demands = append(demands, demand); len(demands) == 1 {
				<-block
			}
			return nil, nil
		})
		s := newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		for range 10_000 {
			require.NoError(t, s.sub.Ask(1))
		}
		synctest.Wait()
		close(block)
		f.rest()
		require.Equal(t, 10_000, sum(demands))
		require.LessOrEqual(t, len(demands), 3, "all that came while the producer was busy came as one")
		f.stop()
	})
}

// A delivery to a manual subscription is never cut, one to an automatic one always.
func TestBothModesSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sizes []int
		p, q := newSource(), newSource()
		c := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
			sizes = append(sizes, len(events))
			return nil
		}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
			if sub.Label() == "manual" {
				return sub.Ask(20)
			}
			return nil
		}))
		c.SubscribeTo(p, stage.Manual(), stage.Label("manual"))
		c.SubscribeTo(q, stage.MaxDemand(20), stage.MinDemand(15))
		f := startFlow(t, p, q, c)
		p.push(t, upTo(12)...)
		require.Equal(t, []int{12}, sizes)
		q.push(t, upTo(12)...)
		require.Equal(t, []int{12, 5, 5, 2}, sizes)
		f.stop()
	})
}

func TestTwoSubscriptionsOfOnePairHaveTheirOwnDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSource()
		subs := map[string]*stage.Subscription{}
		got := map[string][]int{}
		c := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
			got[from.Label()] = append(got[from.Label()], events...)
			return nil
		}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
			subs[sub.Label()] = sub
			return nil
		}))
		c.SubscribeTo(p, stage.Manual(), stage.Label("a"), stage.AllowDuplicate())
		c.SubscribeTo(p, stage.Manual(), stage.Label("b"), stage.AllowDuplicate())
		f := startFlow(t, p, c)
		require.NoError(t, subs["a"].Ask(1))
		require.NoError(t, subs["b"].Ask(2))
		f.rest()
		p.push(t, 1, 2, 3)
		require.Equal(t, map[string][]int{"a": {3}, "b": {1, 2}}, got)
		require.NoError(t, subs["b"].Ask(3))
		f.rest()
		p.push(t, 4)
		require.Equal(t, []int{1, 2, 4}, got["b"])
		f.stop()
	})
}

// Cancel is a request: what is on its way still comes, what is not asked for does not.
func TestEventsOnTheirWayComeAfterCancel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSource(stage.KeepRunning())
		var sub *stage.Subscription
		var got []int
		var end stage.Cancellation
		c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
			time.Sleep(time.Second)
			got = append(got, events...)
			return nil
		}, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub = s; return s.Ask(10) }))
		c.OnCancel(func(_ context.Context, _ *stage.Subscription, e stage.Cancellation) error {
			require.Equal(t, upTo(4), got)
			end = e
			return nil
		})
		c.SubscribeTo(p, stage.Manual(), stage.Cancel(stage.CancelTemporary))
		f := startFlow(t, p, c)
		p.push(t, 0, 1)
		p.push(t, 2, 3)
		require.NoError(t, sub.Cancel(stage.ErrKilled))
		require.NoError(t, sub.Cancel(nil), "a second one changes nothing")
		synctest.Wait()
		p.push(t, 4)
		require.EqualValues(t, 1, p.Stats().Output.Buffered, "the demand went with the request")
		time.Sleep(time.Minute)
		f.rest()
		require.Equal(t, stage.Cancelled, end.Kind)
		require.ErrorIs(t, end.Reason, stage.ErrKilled)
		require.Equal(t, upTo(4), got)
		require.False(t, c.Stats().Running, "its last subscription has ended: it completes")
		f.abort()
	})
}
