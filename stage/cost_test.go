package stage

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// costs is what a pipeline spends between two of its batches.
type costs struct {
	batches int
	mallocs uint64
}

// measure is a consumer's callback that notes the allocations of the whole program between the
// batches from and to.
func (c *costs) measure(from, to int) func(context.Context, []int, *Subscription) error {
	var before, after runtime.MemStats
	return func(context.Context, []int, *Subscription) error {
		switch c.batches++; c.batches {
		case from:
			runtime.ReadMemStats(&before)
		case to:
			runtime.ReadMemStats(&after)
			c.mallocs = after.Mallocs - before.Mallocs
		}
		return nil
	}
}

// What the stages themselves allocate, when their mailboxes have grown to their size: nothing for a
// batch, whatever its size, and nothing for an ask.
func TestABatchAllocatesNothing(t *testing.T) {
	const warm, measured = 2_000, 10_000
	same := func(_ context.Context, events []int, _ *Subscription) ([]int, error) { return events, nil }
	for _, c := range []struct {
		name     string
		max, min int
		relays   int
	}{
		{"producer, consumer", 100, 50, 0},
		{"producer, producer-consumer, consumer", 100, 50, 1},
		{"max demand 1", 1, 0, 0},
		{"max demand 1 through three", 1, 0, 3},
	} {
		t.Run(c.name, func(t *testing.T) {
			events := make([]int, (warm+measured)*(c.max-c.min))
			var spent costs
			p := FromSlice(events)
			stages := []Stage{p}
			var last Source[int] = p
			for range c.relays {
				pc := NewProducerConsumer(same)
				pc.SubscribeTo(last, MaxDemand(c.max), MinDemand(c.min))
				stages, last = append(stages, pc), pc
			}
			sink := NewConsumer(spent.measure(warm, warm+measured))
			sink.SubscribeTo(last, MaxDemand(c.max), MinDemand(c.min))
			synctest.Test(t, func(t *testing.T) {
				require.NoError(t, Run(t.Context(), append(stages, sink)...))
			})
			require.Equal(t, warm+measured, spent.batches)
			// The runtime and other tests' leftovers may allocate a few times; a stage would do it 10,000 times.
			require.Less(t, spent.mallocs, uint64(measured/100))
		})
	}
}

// A mailbox is rung once for each message at the most: a batch costs its consumer one wake-up, and
// the ask that it brings costs the producer one.
func TestABatchRingsOnce(t *testing.T) {
	for _, c := range []struct{ max, min int }{{1, 0}, {10, 5}, {1000, 500}} {
		const batches = 2_000
		const others = 10 // init, connect, release, subscribe or accepted, the bell of Ring, the end
		var producer *run[none, int]
		var consumer *run[int, none]
		var sent, asks int
		p := FromSlice(make([]int, batches*(c.max-c.min)),
			Observe(func(m Message) {
				if m.Kind == MessageEvents {
					sent++
				}
			}))
		sink := NewConsumer(func(context.Context, []int, *Subscription) error { return nil },
			Observe(func(m Message) {
				if m.Kind == MessageAsk {
					asks++
				}
			}))
		keep := func(h *handle) func(context.Context) error {
			return func(context.Context) error {
				current, _ := h.current()
				switch r := current.(type) {
				case *run[none, int]:
					producer = r
				case *run[int, none]:
					consumer = r
				}
				return nil
			}
		}
		p.conf.onInit, sink.conf.onInit = keep(&p.handle), keep(&sink.handle)
		sink.SubscribeTo(p, MaxDemand(c.max), MinDemand(c.min))
		synctest.Test(t, func(t *testing.T) {
			require.NoError(t, Run(t.Context(), p, sink))
		})
		require.LessOrEqual(t, consumer.box.Wakes(), uint64(sent+others), "max %d min %d", c.max, c.min)
		require.LessOrEqual(t, producer.box.Wakes(), uint64(asks+others), "max %d min %d", c.max, c.min)
		require.LessOrEqual(t, asks, batches+1)
		require.LessOrEqual(t, sent, batches)
	}
}

// An ask does not wake a producer-consumer that has nothing to send and nothing to begin: it is taken with the events
// that it lets through.
func TestAnAskThatCanWaitWakesNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		queue := NewQueue[int](10)
		var relay *run[int, int]
		var pc *ProducerConsumer[int, int]
		pc = NewProducerConsumer(func(_ context.Context, events []int, _ *Subscription) ([]int, error) { return events, nil },
			OnInit(func(context.Context) error {
				current, _ := pc.current()
				relay = current.(*run[int, int])
				return nil
			}))
		pc.SubscribeTo(queue)
		var asker *Subscription
		var got []int
		sink := NewConsumer(func(_ context.Context, events []int, _ *Subscription) error {
			got = append(got, events...)
			return nil
		}, OnSubscribe(func(_ context.Context, sub *Subscription) error {
			asker = sub
			return nil
		}))
		sink.SubscribeTo(pc, Manual())
		result := make(chan error, 1)
		go func() { result <- Run(t.Context(), queue, pc, sink) }() // ends when the queue is closed
		synctest.Wait()

		before := relay.box.Wakes()
		require.NoError(t, asker.Ask(1))
		require.NoError(t, asker.Ask(1))
		synctest.Wait()
		require.Equal(t, before, relay.box.Wakes(), "nothing is there for them")
		require.EqualValues(t, 2, pc.Stats().Output.Demand, "they count nevertheless")
		require.NoError(t, queue.Push(t.Context(), 1, 2, 3))
		synctest.Wait()
		require.Equal(t, before+1, relay.box.Wakes(), "the events")
		require.Equal(t, []int{1, 2}, got)
		require.NoError(t, asker.Ask(1))
		synctest.Wait()
		require.Equal(t, before+2, relay.box.Wakes(), "there is an event for it")
		require.Equal(t, []int{1, 2, 3}, got)
		queue.Close()
		require.NoError(t, <-result)
	})
}

// Where everyone gets each event, the producer is woken by the last one of those who must ask.
func TestABroadcastIsWokenByTheLastWhoHasToAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const consumers = 4
		var source *run[none, int]
		var calls []int
		p := NewProducer(func(_ context.Context, demand int) ([]int, error) {
			calls = append(calls, demand)
			return make([]int, demand), nil
		})
		p.DispatchWith(Broadcast)
		p.conf.onInit = func(context.Context) error {
			current, _ := p.current()
			source = current.(*run[none, int])
			return nil
		}
		stages, subs := []Stage{p}, make([]*Subscription, consumers)
		for i := range consumers {
			c := NewConsumer(func(context.Context, []int, *Subscription) error { return nil },
				OnSubscribe(func(_ context.Context, sub *Subscription) error { subs[i] = sub; return nil }))
			c.SubscribeTo(p, Manual(), Cancel(CancelTemporary))
			stages = append(stages, c)
		}
		pipeline := NewPipeline(stages...)
		result := make(chan error, 1)
		go func() { result <- pipeline.Run(t.Context()) }() // ends with Stop
		synctest.Wait()
		ask := func(i, n int) { require.NoError(t, subs[i].Ask(n)); synctest.Wait() }

		before := source.box.Wakes()
		ask(0, 1)
		ask(1, 5)
		ask(2, 1)
		require.Equal(t, before, source.box.Wakes(), "the last one has not asked")
		ask(3, 2)
		require.Equal(t, before+1, source.box.Wakes())
		require.Equal(t, []int{1}, calls)

		ask(1, 1) // holds nobody up, and is counted as if it did
		ask(0, 1)
		require.Equal(t, before+2, source.box.Wakes(), "two have to ask, and two messages have come")
		require.Equal(t, []int{1}, calls)
		ask(2, 1)
		require.Equal(t, before+3, source.box.Wakes())
		require.Equal(t, []int{1, 1}, calls, "the fourth has one left")

		ask(0, 1)
		ask(2, 1)
		require.Equal(t, []int{1, 1}, calls)
		require.NoError(t, subs[3].Cancel(nil)) // the others do not wait for it any more
		synctest.Wait()
		require.Equal(t, []int{1, 1, 1}, calls)
		require.NoError(t, pipeline.Stop(t.Context()))
		require.NoError(t, <-result)
	})
}

// A child is two allocations: itself, with its context, and what the go statement makes. No more, while nobody waits
// for its context.
func TestAChildAllocatesTwice(t *testing.T) {
	const children, warm = 12_000, 2_000
	var spent costs
	measure := spent.measure(warm, children)
	p := FromSlice(make([]int, children))
	s := NewConsumerSupervisor(func(ctx context.Context, _ int) error { return measure(ctx, nil, nil) })
	s.SubscribeTo(p, MaxDemand(1)) // one after the other: no two are at measure
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, Run(t.Context(), p, s))
	})
	require.Equal(t, children, spent.batches)
	const measured = children - warm
	require.Less(t, spent.mallocs, uint64(2*measured+measured/100))
}

// What a stage that only consumes keeps while it is idle, beside its goroutine, in bytes where a word has 8. Each limit is a size that
// the allocator has, less the 8 bytes with which it begins what is larger than 512 and has pointers: one byte more costs at least 64, for
// every stage.
func TestAnIdleStageIsSmall(t *testing.T) {
	if unsafe.Sizeof(uintptr(0)) != 8 {
		t.Skip("the limits are for words of 8 bytes")
	}
	require.LessOrEqual(t, int(unsafe.Sizeof(run[int, none]{})), 1144, "its run")
	require.LessOrEqual(t, int(unsafe.Sizeof(Consumer[int]{})), 632, "its handle")
	require.LessOrEqual(t, int(unsafe.Sizeof(edge[int]{})), 512, "a subscription")
	require.LessOrEqual(t, int(unsafe.Sizeof(child[int]{})), 240, "a child")
}
