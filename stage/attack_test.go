package stage_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestAttackOnAQueue(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		q := stage.NewQueue[int](5, quiet)
		subs := &subscriptions{}
		var taken, seen atomic.Int64
		sinks := []stage.Stage{q}
		for range 3 {
			c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
				time.Sleep(time.Duration(len(events)) * 10 * time.Millisecond)
				seen.Add(int64(len(events)))
				return nil
			}, quiet, stage.OnSubscribe(subs.add))
			c.SubscribeTo(q, stage.MaxDemand(1+rng.IntN(4)), stage.Cancel(stage.CancelMode(rng.IntN(3))))
			sinks = append(sinks, c)
		}
		feeder := stage.ForEach(func(ctx context.Context, n int) error {
			err := q.Push(ctx, n, n, n)
			taken.Add(int64(pushed(err, 3)))
			return nil
		}, quiet)
		source := stage.FromSlice(upTo(30), quiet)
		feeder.SubscribeTo(source, stage.MaxDemand(2))
		if rng.IntN(2) == 0 {
			q.FedBy(feeder)
		}
		return &attack{
			stages: append(sinks, source, feeder), values: []any{q}, subs: subs,
			skip: map[string]bool{"DispatchWith": true},
			acts: []func(*assault){
				func(a *assault) {
					ctx, cancel := context.WithTimeout(a.ctx, time.Second)
					defer cancel()
					n := 1 + a.rng.IntN(8)
					taken.Add(int64(pushed(q.Push(ctx, upTo(n)...), n)))
				},
				func(a *assault) {
					if n := 1 + a.rng.IntN(3); q.TryPush(upTo(n)...) == nil {
						taken.Add(int64(n))
					}
				},
			},
			mark: func(t *testing.T) {
				s := q.Stats()
				require.Equal(t, taken.Load(), s.Output.Emitted+s.Earlier.Output.Emitted, "all that was taken in, and nothing else")
				require.LessOrEqual(t, seen.Load(), taken.Load()+s.Output.TakenBack+s.Earlier.Output.TakenBack)
			},
		}
	})
}

// pushed says how many events of n a Push has taken in.
func pushed(err error, n int) int {
	var not *stage.PushError
	if errors.As(err, &not) {
		return not.Taken
	}
	return n
}

func TestAttackOnBudgets(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		budgets := []*stage.Budget{stage.NewBudget(6), stage.NewBudget(3)}
		subs := &subscriptions{}
		sources := []*stage.Producer[int]{endlessly(), endlessly()}
		charged := func() stage.Source[int] {
			return stage.Charge(sources[rng.IntN(2)], budgets[rng.IntN(2)], func(n int) int64 {
				if n%97 == 0 {
					panic("too heavy")
				}
				return int64(n % 5)
			})
		}
		all := []stage.Stage{sources[0], sources[1]}
		sup := stage.NewSupervisor(quiet, stage.MaxRestarts(1000, time.Second))
		for i := range 3 {
			random := rand.New(rand.NewPCG(uint64(i), 5)) // owned by the stage goroutine
			c := stage.NewConsumer(func(_ context.Context, events []int, sub *stage.Subscription) error {
				time.Sleep(50 * time.Millisecond)
				if random.IntN(2) == 0 && sub.Hold(1) == nil {
					time.AfterFunc(time.Duration(random.IntN(500))*time.Millisecond, func() { _ = sub.Release(1) })
				}
				_ = sub.Adjust(int64(random.IntN(10)))
				if random.IntN(20) == 0 {
					return errBoom
				}
				return nil
			}, quiet, stage.OnSubscribe(subs.add))
			c.SubscribeTo(charged(), stage.MaxDemand(1+rng.IntN(4)), stage.Cancel(stage.CancelTemporary))
			sup.Add(c)
			all = append(all, c)
		}
		kids := stage.NewConsumerSupervisor(func(ctx context.Context, n int) error {
			_ = stage.ChargeFrom(ctx).Adjust(int64(n % 9))
			time.Sleep(time.Duration(n%200) * time.Millisecond)
			if n%7 == 0 {
				return errBoom
			}
			return nil
		}, quiet, stage.OnSubscribe(subs.add), stage.Restart(stage.RestartTransient), stage.MaxAttempts(2), stage.MaxRestarts(1000, time.Second))
		kids.SubscribeTo(charged(), stage.MaxDemand(3), stage.Cancel(stage.CancelTemporary))
		return &attack{
			stages: []stage.Stage{sources[0], sources[1], sup, kids}, subs: subs,
			values: []any{budgets[0], budgets[1], budgets[0], budgets[1], all[2], all[3], all[4], kids, sup},
			skip:   map[string]bool{"DispatchWith": true, "Add": true, "AddFunc": true},
			mark: func(t *testing.T) {
				ledger(t, all...)
				for _, b := range budgets {
					s := b.Stats()
					require.Zero(t, s.Used)
					require.Empty(t, s.Holders)
					require.Empty(t, s.Waiters)
				}
			},
		}
	})
}

func TestAttackOnPartitions(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		subs := &subscriptions{}
		p := endlessly()
		p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 5 }, 0, 1, 2, 3)) // 4 is of nobody
		var consumers []any
		stages := []stage.Stage{p}
		for i := range 6 {
			c := stage.NewConsumer(func(_ context.Context, events []int, sub *stage.Subscription) error {
				time.Sleep(20 * time.Millisecond)
				if i == 0 {
					_ = sub.Hold(1)
				}
				return nil
			}, quiet, stage.OnSubscribe(subs.add))
			c.OnComplete(func(context.Context) error { return nil }) // it stays
			if i < 4 {
				c.SubscribeTo(stage.Partition(p, i), stage.MaxDemand(3), stage.Cancel(stage.CancelTemporary))
			}
			consumers, stages = append(consumers, c), append(stages, c)
		}
		var sources []any
		for key := range 6 { // 4 and 5 are refused
			sources = append(sources, stage.Partition(p, key))
		}
		come := func(a *assault) { // a consumer that comes and goes
			ctx, cancel := context.WithTimeout(a.ctx, time.Duration(a.rng.IntN(1000))*time.Millisecond)
			defer cancel()
			n := a.rng.IntN(20)
			for range stage.Events(ctx, stage.Partition(p, a.rng.IntN(4)), stage.MaxDemand(1+a.rng.IntN(5))) {
				if n--; n < 0 {
					return
				}
			}
		}
		subscribe := func(a *assault) {
			ctx, cancel := context.WithTimeout(a.ctx, time.Second)
			defer cancel()
			c := consumers[a.rng.IntN(len(consumers))].(*stage.Consumer[int])
			sub, err := c.Subscribe(ctx, stage.Partition(p, a.rng.IntN(5)), stage.Manual(), stage.AllowDuplicate(), stage.Cancel(stage.CancelTemporary))
			if err == nil {
				_ = sub.Ask(1 + a.rng.IntN(10))
			}
		}
		return &attack{
			stages: stages, values: append([]any{p}, consumers...), subs: subs, acts: []func(*assault){come, subscribe, subscribe},
			pool: map[reflect.Type][]any{reflect.TypeFor[stage.Source[int]](): sources},
			skip: map[string]bool{"DispatchWith": true, "SubscribeTo": true}, // twice to one source is a fault of every run
		}
	})
}

func TestAttackOnAPipeline(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		subs := &subscriptions{}
		p, mid := endlessly(), relay(10*time.Millisecond, quiet, stage.OnSubscribe(subs.add))
		c := newSink(20*time.Millisecond, quiet, stage.OnSubscribe(subs.add)).Consumer
		mid.SubscribeTo(p, stage.MaxDemand(4), stage.Cancel(stage.CancelMode(rng.IntN(3))))
		c.SubscribeTo(mid, stage.MaxDemand(4), stage.Cancel(stage.CancelMode(rng.IntN(3))))
		inner := stage.NewPipeline(mid, c)
		outer := stage.NewPipeline(p, inner)
		run := func(a *assault) { // whatever of it does not run
			ctx, cancel := context.WithTimeout(a.ctx, time.Second)
			defer cancel()
			_ = []stage.Stage{outer, inner, p}[a.rng.IntN(3)].Run(ctx)
		}
		return &attack{
			stages: []stage.Stage{outer}, subs: subs, values: []any{outer, inner, outer, inner, p, mid, c}, acts: []func(*assault){run},
			mark: func(t *testing.T) { ledger(t, p, mid, c) },
		}
	})
}
