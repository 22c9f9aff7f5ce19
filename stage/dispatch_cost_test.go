package stage

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// fourParts is a partition dispatcher by remainder, and four subscribers that have asked for n events each.
func fourParts(tb testing.TB, n int64) Dispatcher[int] {
	d, err := PartitionBy(func(e int) int { return e % 4 }, 0, 1, 2, 3)()
	require.NoError(tb, err)
	for id := range SubID(4) {
		require.NoError(tb, d.Subscribe(id, Request[int]{Key: int(id)}))
		d.Ask(id, n)
	}
	return d
}

// What a partition gets is one fresh slice, as large as needed; nothing else is allocated, whatever the number of events.
func TestAPartitionedBatchIsOneAllocationForEachPartition(t *testing.T) {
	for _, n := range []int{4, 100, 500} {
		d := fourParts(t, 1<<40)
		events := numbers(0, n)
		sent, clipped := 0, true
		send := sender(func(_ SubID, part []int) {
			sent += len(part)
			clipped = clipped && cap(part) == len(part)
		})
		d.Dispatch(events, send) // from the second batch on it knows how large they are
		require.EqualValues(t, 4, testing.AllocsPerRun(100, func() { d.Dispatch(events, send) }), "%d events", n)
		require.Equal(t, 102*n, sent)
		require.True(t, clipped, "slices are handed over")
	}
}

// So it is when the next batch is larger or smaller, as long as each partition gets the same part of it.
func TestAPartitionExpectsItsPartOfABatch(t *testing.T) {
	d := fourParts(t, 1<<40)
	events := numbers(0, 2000)
	send := sender(func(id SubID, _ []int) { lastSent = id })
	d.Dispatch(events[:400], send)
	require.EqualValues(t, 4*5, testing.AllocsPerRun(100, func() {
		for _, n := range []int{2000, 100, 1600, 400, 1200} {
			d.Dispatch(events[:n], send)
		}
	}))
}

// What all partitions expect is no more than what comes, whatever came before.
func TestAllPartitionsExpectWhatComes(t *testing.T) {
	keys := numbers(0, 100)
	f, random := PartitionBy(func(e int) int { return e % 100 }, keys...), rand.New(rand.NewPCG(7, 7))
	made, err := f()
	require.NoError(t, err)
	d := made.(*partitionDispatcher[int, int])
	for id := range SubID(100) {
		require.NoError(t, d.Subscribe(id, Request[int]{Key: int(id)}))
		d.Ask(id, 1<<40)
	}
	for range 1000 {
		all := int64(0)
		for _, p := range d.partitions {
			all += d.expect(p, 1000)
		}
		require.LessOrEqual(t, all, int64(1000+100), "each is rounded up")
		events := make([]int, 1+random.IntN(1000))
		for i := range events {
			events[i] = random.IntN(1 + random.IntN(100))
		}
		d.Dispatch(events, sender(func(id SubID, _ []int) { lastSent = id }))
	}
}

func BenchmarkPartitionDispatcher(b *testing.B) {
	for _, n := range []int{4, 500} {
		b.Run(fmt.Sprintf("4 partitions/events=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			d := fourParts(b, 1)
			events := numbers(0, n)
			send := sender(func(id SubID, _ []int) { lastSent = id })
			for b.Loop() {
				for id := range SubID(4) {
					d.Ask(id, int64(n))
				}
				d.Dispatch(events, send)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/event")
		})
	}
}

func BenchmarkBroadcastDispatcher(b *testing.B) {
	for _, n := range []int{4, 1_000, 100_000} {
		b.Run(fmt.Sprintf("ask all and dispatch 500/consumers=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			d := newBroadcastDispatcher[int]()
			for id := range SubID(n) {
				require.NoError(b, d.Subscribe(id, Request[int]{}))
			}
			events := numbers(0, 500)
			send := sender(func(id SubID, _ []int) { lastSent = id })
			for b.Loop() {
				for id := range SubID(n) {
					d.Ask(id, 500)
				}
				d.Dispatch(events, send)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(n), "ns/consumer")
		})
	}
}
