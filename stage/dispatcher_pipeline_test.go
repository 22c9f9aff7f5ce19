package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// A selector of a selector: both must agree.
func TestWhereOfWhere(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(100))
		p.DispatchWith(stage.Broadcast)
		c := newSink(0)
		even := stage.Where(p, func(n int) bool { return n%2 == 0 })
		c.SubscribeTo(stage.Where(even, func(n int) bool { return n%5 == 0 }))
		require.NoError(t, start(t.Context(), stage.NewPipeline(p, c)).wait(t))
		require.Equal(t, []int{0, 10, 20, 30, 40, 50, 60, 70, 80, 90}, c.events())
		ledger(t, p, c)
	})
}

// A bad subscriber gets an error; the producer lives, and the others' events are complete.
func TestABadSubscriberGetsAnError(t *testing.T) {
	byParity := stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1)
	for _, c := range []struct {
		name     string
		dispatch stage.DispatcherFactory[int]
		good     func(p *stage.Producer[int]) stage.Source[int]
		bad      func(p *stage.Producer[int]) stage.Source[int]
		opts     []stage.SubscribeOption
		is       error
	}{
		{"an unknown partition", byParity, part(0), part(7), nil, stage.ErrInvalidOption},
		{"a key of another type", byParity, part(0), part("1"), nil, stage.ErrInvalidOption},
		{"a key that cannot be compared", stage.PartitionBy(func(n int) any { return n % 2 }, any(0), any(1)), part(0), part(any([]int{1})), nil, stage.ErrInvalidOption},
		{"no partition", byParity, part(1), plain, nil, stage.ErrInvalidOption},
		{"Where on partitions", byParity, part(1), where(func(int) bool { return true }), nil, stage.ErrInvalidOption},
		{"a partition of Demand", stage.Demand[int], plain, part(1), nil, stage.ErrInvalidOption},
		{"Where on Demand", stage.Demand[int], plain, where(func(int) bool { return true }), nil, stage.ErrInvalidOption},
		{"Lag on Demand", stage.Demand[int], plain, plain, []stage.SubscribeOption{stage.Lag(3, stage.LagDropOldest)}, stage.ErrInvalidOption},
		{"a partition of Broadcast", stage.Broadcast[int], plain, part(1), nil, stage.ErrInvalidOption},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := silent()
				p.DispatchWith(c.dispatch)
				good, declared, dynamic := newSink(0), newSink(0), newSink(0)
				good.SubscribeTo(c.good(p))
				declared.SubscribeTo(c.bad(p), c.opts...)
				runs := runAlone(t.Context(), p, good, declared, dynamic)
				require.ErrorIs(t, runs[2].wait(t), c.is, "a permanent consumer ends with it")
				for range 3 {
					sub, err := dynamic.Subscribe(t.Context(), c.bad(p), c.opts...)
					require.ErrorIs(t, err, c.is)
					require.ErrorIs(t, err, stage.ErrRefused)
					require.Nil(t, sub)
				}
				give(t, p, 0, 2, 4, 1, 3)
				synctest.Wait()
				require.NotEmpty(t, good.events())
				require.True(t, runs[0].running())
				require.True(t, runs[3].running(), "Subscribe leaves it as it was")
				require.Len(t, p.Stats().Downstreams, 1)
				ledger(t, p, good, declared, dynamic)
				abortAll(t, runs...)
				ledger(t, p, good, declared, dynamic)
			})
		})
	}
}

func plain(p *stage.Producer[int]) stage.Source[int] { return p }

func part[K comparable](key K) func(*stage.Producer[int]) stage.Source[int] {
	return func(p *stage.Producer[int]) stage.Source[int] { return stage.Partition(p, key) }
}

func where(keep func(int) bool) func(*stage.Producer[int]) stage.Source[int] {
	return func(p *stage.Producer[int]) stage.Source[int] { return stage.Where(p, keep) }
}

// In GenStage the refusal of the second made room for a third.
func TestBroadcastRefusesTheSecondAndTheThird(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		p.DispatchWith(stage.Broadcast)
		c := newSink(0)
		runs := runAlone(t.Context(), p, c)
		_, err := c.Subscribe(t.Context(), p)
		require.NoError(t, err)
		for range 3 {
			_, err = c.Subscribe(t.Context(), p, stage.AllowDuplicate())
			require.ErrorIs(t, err, stage.ErrAlreadySubscribed)
			require.ErrorIs(t, err, stage.ErrRefused)
			_, err = c.Subscribe(t.Context(), stage.Where(p, func(int) bool { return true }))
			require.ErrorIs(t, err, stage.ErrAlreadySubscribed)
		}
		give(t, p, upTo(10)...)
		synctest.Wait()
		require.Equal(t, upTo(10), c.events())
		abortAll(t, runs...)
		closed(t, p, c)
	})
}

func TestAPanickingSelectorEndsItsSubscriptionOnly(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(100))
		p.DispatchWith(stage.Broadcast)
		good, bad := newSink(0), newSink(0)
		good.SubscribeTo(p)
		bad.SubscribeTo(stage.Where(p, func(n int) bool {
			if n == 50 {
				panic("fifty")
			}
			return true
		}), stage.MaxDemand(10), stage.MinDemand(0))
		var ends told
		ends.onCancel(bad.Consumer)
		runs := []*started{start(t.Context(), bad), start(t.Context(), good)}
		require.NoError(t, start(t.Context(), p).wait(t))
		err := runs[0].wait(t)
		require.ErrorIs(t, err, stage.ErrRefused)
		require.ErrorContains(t, err, "fifty")
		require.Equal(t, stage.Cancelled, ends.list()[0].Kind)
		require.NoError(t, runs[1].wait(t))
		require.Equal(t, upTo(100), good.events())
		require.Equal(t, upTo(50), bad.events())
		ledger(t, p, good, bad)
	})
}

// A function of the user's that ends the goroutine, or a dispatcher that breaks a rule, ends the producer; what it
// was about to dispatch is accounted for.
func TestADispatchThatIsCutShortIsAccountedFor(t *testing.T) {
	for _, c := range []struct {
		name     string
		dispatch stage.DispatcherFactory[int]
		src      func(*stage.Producer[int]) stage.Source[int]
	}{
		{"Goexit in a partition's key", stage.PartitionBy(func(n int) int {
			if n == 7 {
				runtime.Goexit()
			}
			return 0
		}, 0), part(0)},
		{"Goexit in a selector", stage.Broadcast[int], where(func(n int) bool {
			if n == 7 {
				runtime.Goexit()
			}
			return true
		})},
		{"a panic after half of them", newHalf, plain},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := silent()
				p.DispatchWith(c.dispatch)
				good, bad := newSink(0), newSink(0)
				if c.name == "Goexit in a selector" {
					good.SubscribeTo(p, stage.Cancel(stage.CancelTemporary))
				}
				bad.SubscribeTo(c.src(p), stage.Cancel(stage.CancelTemporary))
				runs := runAlone(t.Context(), p, good, bad)
				_ = p.Tell(func(context.Context) ([]int, error) { return upTo(10), nil })
				err := runs[0].wait(t)
				var panicked *stage.PanicError
				require.ErrorAs(t, err, &panicked)
				synctest.Wait()
				ledger(t, p, good, bad)
				abortAll(t, runs[1:]...)
				ledger(t, p, good, bad)
			})
		})
	}
}

// half sends the first half and panics.
type half struct{ stage.Dispatcher[int] }

func newHalf(...stage.DispatchOption) (stage.Dispatcher[int], error) {
	d, err := stage.Demand[int]()
	return half{d}, err
}

func (d half) Dispatch(events []int, out stage.Outlet[int]) []int {
	n := len(events) / 2
	d.Dispatcher.Dispatch(events[:n:n], out)
	panic("half")
}

// A stage that is done, and not yet delivered, hands back what still comes, batch by batch. Whoever gets it gets it in order.
func TestWhatIsHandedBackInStepsStaysInOrder(t *testing.T) {
	one := func(int) int { return 1 }
	for name, dispatcher := range map[string]stage.DispatcherFactory[int]{"demand": stage.Demand[int], "partition": stage.PartitionBy(one, 1)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				queue := stage.NewQueue[int](10)
				queue.DispatchWith(dispatcher)
				var source stage.Source[int] = queue
				if name == "partition" {
					source = stage.Partition(queue, 1)
				}
				goOn := make(chan struct{})
				relay := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
					<-goOn
					return events, stage.ErrDone
				})
				relay.SubscribeTo(source)
				var asker *stage.Subscription
				sink := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
					stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
						asker = sub
						return sub.Ask(1)
					}))
				sink.SubscribeTo(relay, stage.Manual())
				var got []int
				other := stage.ForEach(func(_ context.Context, e int) error {
					got = append(got, e)
					return nil
				})
				other.SubscribeTo(source)

				queued, relayed, sunk := start(t.Context(), queue), start(t.Context(), relay), start(t.Context(), sink)
				synctest.Wait()
				require.NoError(t, queue.Push(t.Context(), 1, 100))
				for e := range 4 {
					synctest.Wait()
					require.NoError(t, queue.Push(t.Context(), 2+e))
				}
				synctest.Wait()
				close(goOn)
				synctest.Wait()
				last := start(t.Context(), other)
				synctest.Wait()
				require.Equal(t, []int{2, 3, 4, 5}, got)
				queue.Close()
				require.NoError(t, asker.Ask(1))
				for _, r := range []*started{queued, relayed, sunk, last} {
					require.NoError(t, r.wait(t))
				}
			})
		})
	}
}

// Consumers crash at random points; the events are given to others as the dispatcher says.
func TestHandBackWithEachDispatcher(t *testing.T) {
	const n = 400
	for seed := range uint64(300) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			p := stage.FromSlice(upTo(n))
			kind := []string{"demand", "broadcast", "partition"}[seed%3]
			src := func(int) stage.Source[int] { return p }
			switch kind {
			case "broadcast":
				p.DispatchWith(stage.Broadcast)
			case "partition":
				p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
				src = func(i int) stage.Source[int] { return stage.Partition(p, i%2) }
			}
			var begun, crashed atomic.Int64
			all := []stage.Stage{p}
			perKey := [2]map[int]bool{{}, {}} // what the partitions' consumers began
			counts := map[int]int{}
			gate := make(chan struct{}, 1)
			for i := range 6 {
				crashAt := -1
				if i >= 2 {
					crashAt = random.IntN(150)
				}
				pause, seen := time.Duration(random.IntN(3))*time.Millisecond, 0
				c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
					time.Sleep(pause)
					gate <- struct{}{}
					defer func() { <-gate }()
					for _, e := range events {
						counts[e]++
						perKey[i%2][e] = true
					}
					begun.Add(int64(len(events)))
					if seen += len(events); crashAt >= 0 && seen > crashAt {
						crashed.Add(int64(len(events)))
						return errBoom
					}
					return nil
				}, stage.Name(fmt.Sprint("consumer ", i)))
				c.SubscribeTo(src(i), stage.MaxDemand(1+random.IntN(60)), stage.MinDemand(0))
				all = append(all, c)
			}
			var runs []*started
			for _, s := range all[1:] {
				runs = append(runs, start(t.Context(), s))
			}
			run := start(t.Context(), p)
			require.NoError(t, run.wait(t))
			for _, r := range runs {
				if err := r.wait(t); err != nil && !errors.Is(err, errBoom) {
					require.NoError(t, err, "seed %d", seed)
				}
			}
			switch kind {
			case "broadcast":
				for e := range n {
					require.GreaterOrEqual(t, counts[e], 2, "seed %d: two have everything", seed)
				}
			case "partition":
				for i := range 2 {
					for e := range perKey[i] {
						require.Equal(t, i, e%2, "seed %d: not given to the other partition", seed)
					}
				}
				fallthrough
			default:
				require.EqualValues(t, n, begun.Load(), "seed %d: each event is begun once", seed)
				for e := range n {
					require.Equal(t, 1, counts[e], "seed %d", seed)
				}
			}
			closed(t, all...)
		})
	}
}

// A constructor of the user's may look at the stage that it is for.
func TestDispatcherFactoryMayCallItsStage(t *testing.T) {
	source, middle, queue := stage.FromSlice(upTo(3)), relay(0), stage.NewQueue[int](1)
	for _, s := range []interface {
		stage.Stage
		DispatchWith(make stage.DispatcherFactory[int], opts ...stage.DispatchOption)
	}{source, middle, queue} {
		within(t, "DispatchWith", func() {
			s.DispatchWith(func(opts ...stage.DispatchOption) (stage.Dispatcher[int], error) {
				require.False(t, s.Stats().Running)
				return stage.Demand[int](opts...)
			})
		})
	}
}
