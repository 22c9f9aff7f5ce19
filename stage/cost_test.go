package stage

import (
	"context"
	"runtime"
	"testing"
	"testing/synctest"

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
