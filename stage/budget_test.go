package stage_test

import (
	"context"
	"errors"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// meter counts what is at work, by weight, as its user sees it.
type meter struct {
	mu            sync.Mutex
	now, most     int64       // guarded by mu
	events, peak  int         // guarded by mu
	seen          map[int]int // guarded by mu: how often each event was begun
	alone, beyond bool        // guarded by mu: one beyond limit was at work, alone; more than limit was, and not alone
	limit         int64       // read-only
}

func newMeter(limit int64) *meter { return &meter{limit: limit, seen: map[int]int{}} }

func (m *meter) begin(event int, weight int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now += weight
	m.events++
	m.most, m.peak = max(m.most, m.now), max(m.peak, m.events)
	m.seen[event]++
	if m.now > m.limit {
		m.alone = m.alone || m.events == 1
		m.beyond = m.beyond || m.events > 1
	}
}

func (m *meter) end(weight int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now -= weight
	m.events--
}

func one(int) int64 { return 1 }

// The limit holds over several pools and several producers, and all of it is used.
func TestBudgetOverPoolsAndProducers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, m := stage.NewBudget(7), newMeter(7)
		var stages []stage.Stage
		var sources []*stage.Producer[int]
		for i := range 3 {
			events := make([]int, 100)
			for k := range events {
				events[k] = 1000*i + k
			}
			p := stage.FromSlice(events)
			sources, stages = append(sources, p), append(stages, p)
		}
		for range 2 {
			pool := stage.NewConsumerSupervisor(func(_ context.Context, event int) error {
				m.begin(event, 1)
				defer m.end(1)
				time.Sleep(time.Duration(1+event%5) * time.Second)
				return nil
			})
			for _, p := range sources {
				pool.SubscribeTo(stage.Charge(p, b, nil), stage.MaxDemand(20))
			}
			stages = append(stages, pool)
		}
		p := stage.NewPipeline(stages...)
		run := start(t.Context(), p)
		stats := b.Stats()
		require.EqualValues(t, 7, stats.Used)
		require.EqualValues(t, 7, stats.Limit)
		var held int64
		for _, h := range stats.Holders {
			require.EqualValues(t, h.Events, h.Weight)
			held += h.Weight
		}
		require.EqualValues(t, 7, held)
		require.NotEmpty(t, stats.Waiters)
		require.NoError(t, run.wait(t))
		require.Equal(t, 7, m.peak)
		require.Len(t, m.seen, 300)
		require.Zero(t, b.Stats().Used)
		require.Empty(t, b.Stats().Holders)
		require.Empty(t, b.Stats().Waiters)
		closed(t, p)
	})
}

// Batches of an automatic consumer are charged as a whole, until its callback has returned.
func TestBudgetOfBatches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := stage.NewBudget(25)
		source := stage.FromSlice(upTo(100), stage.BufferSize(0)) // what waits for the budget is not discarded
		var stages []stage.Stage
		var mu sync.Mutex
		now, most, total := 0, 0, 0
		for range 3 {
			c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
				mu.Lock()
				now += len(events)
				most = max(most, now)
				mu.Unlock()
				time.Sleep(time.Second)
				mu.Lock()
				defer mu.Unlock()
				now -= len(events)
				total += len(events)
				return nil
			})
			c.SubscribeTo(stage.Charge(source, b, one), stage.MaxDemand(10), stage.MinDemand(0))
			stages = append(stages, c)
		}
		p := stage.NewPipeline(append(stages, source)...)
		require.NoError(t, start(t.Context(), p).wait(t))
		require.Equal(t, 100, total)
		require.Equal(t, 25, most)
		require.Zero(t, source.Stats().Output.Discarded)
		require.Zero(t, b.Stats().Used)
		closed(t, p)
	})
}

// keeper is a manual consumer whose events are released by hand.
func keeper(t *testing.T, src stage.Source[int], ask int, opts ...stage.SubscribeOption) (c *stage.Consumer[int], subs chan *stage.Subscription, got func() []int) {
	var mu sync.Mutex
	var all []int
	subs = make(chan *stage.Subscription, 1)
	c = stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, events...)
		return from.Hold(len(events))
	}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
		subs <- sub
		return sub.Ask(ask)
	}))
	c.SubscribeTo(src, append([]stage.SubscribeOption{stage.Manual()}, opts...)...)
	return c, subs, func() []int {
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		return append([]int(nil), all...)
	}
}

func TestBudgetByWeight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := stage.NewBudget(10)
		source := stage.FromSlice([]int{4, 5, 30, 2, 1, 3})
		c, subs, got := keeper(t, stage.Charge(source, b, func(n int) int64 { return int64(n) }), 100)
		p := stage.NewPipeline(source, c)
		run := start(t.Context(), p)
		sub := <-subs
		require.Equal(t, []int{4, 5}, got(), "30 has no room, and order is kept")
		require.EqualValues(t, 30, b.Stats().Waiters[0].Weight)
		require.NoError(t, sub.Release(1))
		require.Equal(t, []int{4, 5}, got(), "it goes alone")
		require.NoError(t, sub.Release(1))
		require.Equal(t, []int{4, 5, 30}, got())
		require.EqualValues(t, 30, b.Stats().Used)
		require.NoError(t, sub.Adjust(7), "it was not that heavy")
		require.Equal(t, []int{4, 5, 30, 2, 1}, got(), "3 more are free")
		require.NoError(t, b.SetLimit(13))
		require.Equal(t, []int{4, 5, 30, 2, 1, 3}, got())
		require.NoError(t, sub.Release(4))
		require.NoError(t, run.wait(t))
		require.Zero(t, b.Stats().Used)
		closed(t, p)
	})
}

// What is corrected upwards is paid back before anything more is dispatched.
func TestBudgetOverdraft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := stage.NewBudget(3)
		source := stage.FromSlice(upTo(6))
		c, subs, got := keeper(t, stage.Charge(source, b, nil), 100)
		run := start(t.Context(), stage.NewPipeline(source, c))
		sub := <-subs
		require.Len(t, got(), 3)
		require.NoError(t, sub.Adjust(5))
		require.EqualValues(t, 7, b.Stats().Used)
		require.ErrorIs(t, sub.Adjust(-1), stage.ErrInvalidOption)
		require.NoError(t, sub.Release(1), "the oldest one: 5")
		require.Len(t, got(), 4)
		require.NoError(t, sub.Release(3))
		require.Len(t, got(), 6)
		require.NoError(t, sub.Release(2))
		require.NoError(t, run.wait(t))
		require.ErrorIs(t, sub.Adjust(1), stage.ErrEnded)
		require.Zero(t, b.Stats().Used)
	})
}

// Each child corrects, and returns, its own charge.
func TestBudgetOfChildren(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := stage.NewBudget(4)
		source := stage.FromSlice(upTo(4))
		done := [4]chan struct{}{}
		for i := range done {
			done[i] = make(chan struct{})
		}
		var late *stage.ChargedEvent
		pool := stage.NewConsumerSupervisor(func(ctx context.Context, event int) error {
			if event == 0 {
				late = stage.ChargeFrom(ctx)
			}
			if err := stage.ChargeFrom(ctx).Adjust(int64(10 * (event + 1))); err != nil {
				return err
			}
			<-done[event]
			return nil
		})
		pool.SubscribeTo(stage.Charge(source, b, nil))
		p := stage.NewPipeline(source, pool)
		run := start(t.Context(), p)
		used := func() int64 { synctest.Wait(); return b.Stats().Used }
		require.EqualValues(t, 10+20+30+40, used())
		close(done[2])
		require.EqualValues(t, 10+20+40, used())
		close(done[0])
		require.EqualValues(t, 20+40, used())
		require.ErrorIs(t, late.Adjust(3), stage.ErrEnded)
		close(done[1])
		close(done[3])
		require.NoError(t, run.wait(t))
		require.Zero(t, used())
		require.ErrorIs(t, (*stage.ChargedEvent)(nil).Adjust(1), stage.ErrInvalidOption)
		require.Nil(t, stage.ChargeFrom(t.Context()))
		closed(t, p)
	})
}

// Whatever end a consumer comes to, its charges are returned, and what it had not begun goes to the other one.
func TestBudgetIsReturnedAtEveryEnd(t *testing.T) {
	for name, end := range map[string]func(*stage.Consumer[int], *stage.Subscription){
		"abort":  func(c *stage.Consumer[int], _ *stage.Subscription) { c.Abort(errBoom) },
		"cancel": func(_ *stage.Consumer[int], sub *stage.Subscription) { _ = sub.Cancel(nil) },
		"error": func(_ *stage.Consumer[int], sub *stage.Subscription) {
			_ = sub.Tell(func(context.Context) error { return errBoom })
		},
		"panic": func(_ *stage.Consumer[int], sub *stage.Subscription) {
			_ = sub.Tell(func(context.Context) error { panic("a fault") })
		},
		"done, releasing": func(_ *stage.Consumer[int], sub *stage.Subscription) {
			_ = sub.Tell(func(context.Context) error { return errors.Join(sub.Release(3), stage.ErrDone) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := stage.NewBudget(3)
				source := stage.FromSlice(upTo(10))
				c, subs, got := keeper(t, stage.Charge(source, b, nil), 100)
				pipeline := runAlone(t.Context(), source, c)
				sub := <-subs
				require.Len(t, got(), 3)
				other := newSink(time.Second)
				other.SubscribeTo(stage.Charge(source, b, nil), stage.MaxDemand(2), stage.MinDemand(0))
				second := start(t.Context(), other)
				require.Empty(t, other.events(), "all is held")
				end(c, sub)
				if name == "cancel" {
					synctest.Wait()
					_ = sub.Release(3)
				}
				_ = pipeline[1].wait(t)
				require.NoError(t, second.wait(t))
				require.NoError(t, pipeline[0].wait(t))
				events := other.events()
				if name == "done, releasing" {
					// What it released makes room for more, which its mailbox refuses while what it has not begun is on its way back.
					slices.Sort(events)
				}
				require.Equal(t, upTo(10)[3:], events)
				require.Zero(t, b.Stats().Used)
				require.Empty(t, b.Stats().Waiters)
				closed(t, source, c, other)
			})
		})
	}
}

// A producer that ends while its subscriber waits for room takes it out of the queue.
func TestBudgetWaiterWhoseProducerEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := stage.NewBudget(1)
		first, second, third := endless(), endless(), stage.FromSlice(upTo(1))
		c1, subs, _ := keeper(t, stage.Charge(first, b, nil), 5)
		runs := runAlone(t.Context(), first, c1)
		sub := <-subs
		c2, _, _ := keeper(t, stage.Charge(second, b, nil), 5)
		c3, subs3, got := keeper(t, stage.Charge(third, b, nil), 5)
		runs = append(runs, runAlone(t.Context(), second, c2, third, c3)...)
		require.Len(t, b.Stats().Waiters, 3, "the first one waits with its next event")
		second.Abort(errBoom)
		first.Abort(errBoom)
		_ = sub.Release(1)
		require.Equal(t, []int{0}, got())
		_ = (<-subs3).Release(1)
		require.NoError(t, runs[4].wait(t))
		for _, r := range runs {
			_ = r.wait(t)
		}
		require.Zero(t, b.Stats().Used)
	})
}

// A broadcast waits until an event fits for all its charged subscribers at once.
func TestBudgetOfABroadcast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b, m := stage.NewBudget(5), newMeter(5)
		source := stage.FromSlice(upTo(20))
		source.DispatchWith(stage.Broadcast)
		stages := []stage.Stage{source}
		received := make([]int, 3)
		for i := range 3 {
			weight := int64(i) // 0: not charged
			src := stage.Source[int](source)
			if weight > 0 {
				src = stage.Charge(stage.Where(src, func(n int) bool { return n%2 == 0 }), b, func(int) int64 { return weight })
			}
			c := stage.ForEach(func(_ context.Context, event int) error {
				m.begin(100*i+event, weight)
				time.Sleep(time.Second)
				m.end(weight)
				received[i]++
				return nil
			})
			c.SubscribeTo(src, stage.MaxDemand(4), stage.MinDemand(3))
			stages = append(stages, c)
		}
		p := stage.NewPipeline(stages...)
		require.NoError(t, start(t.Context(), p).wait(t))
		require.Equal(t, []int{20, 10, 10}, received)
		require.False(t, m.beyond)
		require.Zero(t, b.Stats().Used)
		ledger(t, p)
	})
}

// An event that cannot be weighed is for nobody; the others go on.
func TestBudgetOfAnEventThatCannotBeWeighed(t *testing.T) {
	for name, dispatcher := range map[string]stage.DispatcherFactory[int]{
		"demand": stage.Demand[int], "broadcast": stage.Broadcast[int], "partition": stage.PartitionBy(func(int) int { return 0 }, 0),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				b := stage.NewBudget(2)
				source := stage.FromSlice(upTo(9), quiet)
				source.DispatchWith(dispatcher)
				src := stage.Charge(source, b, func(n int) int64 {
					switch n {
					case 3:
						panic("a fault")
					case 5:
						return -1
					}
					return 1
				})
				if name == "partition" {
					src = stage.Partition(src, 0)
				}
				c := newSink(time.Second)
				c.SubscribeTo(src, stage.MaxDemand(3))
				p := stage.NewPipeline(source, c)
				require.NoError(t, start(t.Context(), p).wait(t))
				require.Equal(t, []int{0, 1, 2, 4, 6, 7, 8}, c.events())
				require.EqualValues(t, 2, source.Stats().Output.Dropped)
				closed(t, p)
			})
		})
	}
}

// unbudgeted is a dispatcher of a user's that knows nothing of budgets.
type unbudgeted struct{ stage.Dispatcher[int] }

func TestBudgetRefusals(t *testing.T) {
	bubble(t, func(t *testing.T) {
		b := stage.NewBudget(1)
		source := endless()
		for name, c := range map[string]struct {
			src  func() stage.Source[int]
			opts []stage.SubscribeOption
			want string
		}{
			"twice":   {src: func() stage.Source[int] { return stage.Charge(stage.Charge(source, b, nil), b, nil) }, want: "charged already"},
			"limit 0": {src: func() stage.Source[int] { return stage.Charge(source, stage.NewBudget(0), nil) }, want: "NewBudget(0)"},
			"lag": {src: func() stage.Source[int] {
				p := endless()
				p.DispatchWith(stage.Broadcast)
				go func() { _ = p.Run(t.Context()) }()
				synctest.Wait()
				return stage.Charge(p, b, nil)
			}, opts: []stage.SubscribeOption{stage.Lag(1, stage.LagDropOldest)}, want: "does not go with Lag"},
			"dispatcher": {src: func() stage.Source[int] {
				p := endless()
				p.DispatchWith(func(opts ...stage.DispatchOption) (stage.Dispatcher[int], error) {
					d, err := stage.Demand[int](opts...)
					return unbudgeted{d}, err
				})
				go func() { _ = p.Run(t.Context()) }()
				synctest.Wait()
				return stage.Charge(p, b, nil)
			}, want: "no BudgetDispatcher"},
		} {
			consumer := newSink(0)
			consumer.SubscribeTo(c.src(), c.opts...)
			err := start(t.Context(), consumer).wait(t)
			require.ErrorIs(t, err, stage.ErrInvalidOption, name)
			require.ErrorContains(t, err, c.want, name)
		}
		require.ErrorIs(t, b.SetLimit(0), stage.ErrInvalidOption)
		require.ErrorIs(t, b.SetLimit(stage.MaxBudget+1), stage.ErrInvalidOption)
		require.Panics(t, func() { stage.Charge(source, nil, nil) })
		plain, subs, _ := keeper(t, source, 1)
		runs := runAlone(t.Context(), source, plain)
		require.ErrorIs(t, (<-subs).Adjust(1), stage.ErrInvalidOption)
		abortAll(t, runs...)
	})
}

// A weigh that ends its goroutine, or does not return, ends the producer as any function of the user's does.
func TestBudgetWhoseWeighDoesNotReturn(t *testing.T) {
	for name, weigh := range map[string]func(release <-chan struct{}){
		"goexit": func(<-chan struct{}) { runtime.Goexit() },
		"stuck":  func(release <-chan struct{}) { <-release },
	} {
		for kind, dispatcher := range map[string]stage.DispatcherFactory[int]{"demand": stage.Demand[int], "broadcast": stage.Broadcast[int]} {
			t.Run(name+" "+kind, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					release := make(chan struct{})
					b := stage.NewBudget(9)
					source := stage.FromSlice(upTo(9), quiet)
					source.DispatchWith(dispatcher)
					c := newSink(0)
					c.SubscribeTo(stage.Charge(source, b, func(n int) int64 {
						if n == 4 {
							weigh(release)
						}
						return 1
					}), stage.Cancel(stage.CancelTransient))
					runs := runAlone(t.Context(), source, c)
					if name == "stuck" {
						source.Abort(errBoom)
						require.ErrorIs(t, runs[0].wait(t), stage.ErrStuck)
					} else {
						require.ErrorIs(t, runs[0].wait(t), stage.ErrGoexit)
					}
					require.Error(t, runs[1].wait(t))
					require.Zero(t, b.Stats().Used)
					ledger(t, source, c)
					close(release)
				})
			})
		}
	}
}
