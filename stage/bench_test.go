package stage_test

import (
	"context"
	"testing"

	"github.com/go-genstage/genstage/stage"
)

// One operation is one batch: 500 events at the default demand, one event at max demand 1. Beside
// each pipeline stands what a program with bare channels would pay.

const benchBatch = 500

// batches makes a producer of n batches, each a fresh slice of what was asked.
func batches(n, size int) *stage.Producer[int] {
	left := n * size
	return stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		batch := make([]int, min(demand, left))
		if left -= len(batch); left == 0 {
			return batch, stage.ErrDone
		}
		return batch, nil
	})
}

// adder makes a consumer that looks at every event.
func adder(total *int) *stage.Consumer[int] {
	return stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		for _, e := range events {
			*total += e
		}
		return nil
	})
}

// bench runs what moves b.N batches of the size.
func bench(b *testing.B, size int, run func()) {
	b.Helper()
	b.ReportAllocs()
	b.ResetTimer()
	run()
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(size), "ns/event")
}

func benchStages(b *testing.B, size int, stages ...stage.Stage) {
	b.Helper()
	bench(b, size, func() {
		if err := stage.Run(context.Background(), stages...); err != nil {
			b.Error(err)
		}
	})
}

func BenchmarkProducerToConsumer(b *testing.B) {
	b.Run("stages, max 1000 min 500", func(b *testing.B) {
		var total int
		p, c := batches(b.N, benchBatch), adder(&total)
		c.SubscribeTo(p, stage.MaxDemand(2*benchBatch), stage.MinDemand(benchBatch))
		benchStages(b, benchBatch, p, c)
	})
	b.Run("channel of 500-slices", func(b *testing.B) {
		bench(b, benchBatch, func() {
			ch := make(chan []int, 2)
			go func() { // ends with its batches
				defer close(ch)
				for range b.N {
					ch <- make([]int, benchBatch)
				}
			}()
			drainSlices(ch)
		})
	})
	b.Run("channel of events, room for 1000", func(b *testing.B) {
		bench(b, benchBatch, func() {
			ch := make(chan int, 2*benchBatch)
			go func() { // ends with its events
				defer close(ch)
				for i := range b.N * benchBatch {
					ch <- i
				}
			}()
			total := 0
			for e := range ch {
				total += e
			}
		})
	})
}

func drainSlices(ch <-chan []int) (total int) {
	for batch := range ch {
		for _, e := range batch {
			total += e
		}
	}
	return total
}

func BenchmarkThroughAProducerConsumer(b *testing.B) {
	b.Run("stages, max 1000 min 500", func(b *testing.B) {
		var total int
		p, c := batches(b.N, benchBatch), adder(&total)
		pc := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
			return events, nil
		})
		pc.SubscribeTo(p, stage.MaxDemand(2*benchBatch), stage.MinDemand(benchBatch))
		c.SubscribeTo(pc, stage.MaxDemand(2*benchBatch), stage.MinDemand(benchBatch))
		benchStages(b, benchBatch, p, pc, c)
	})
	b.Run("channels of 500-slices", func(b *testing.B) {
		bench(b, benchBatch, func() {
			first, second := make(chan []int, 2), make(chan []int, 2)
			go func() { // ends with its batches
				defer close(first)
				for range b.N {
					first <- make([]int, benchBatch)
				}
			}()
			go func() { // ends with first
				defer close(second)
				for batch := range first {
					second <- batch
				}
			}()
			drainSlices(second)
		})
	})
	b.Run("channels of events, room for 1000", func(b *testing.B) {
		bench(b, benchBatch, func() {
			first, second := make(chan int, 2*benchBatch), make(chan int, 2*benchBatch)
			go func() { // ends with its events
				defer close(first)
				for i := range b.N * benchBatch {
					first <- i
				}
			}()
			go func() { // ends with first
				defer close(second)
				for e := range first {
					second <- e
				}
			}()
			total := 0
			for e := range second {
				total += e
			}
		})
	})
}

func BenchmarkMaxDemandOne(b *testing.B) {
	b.Run("stages, max 1 min 0", func(b *testing.B) {
		var total int
		p, c := stage.FromSlice(make([]int, b.N)), adder(&total)
		c.SubscribeTo(p, stage.MaxDemand(1), stage.MinDemand(0))
		benchStages(b, 1, p, c)
	})
	b.Run("unbuffered channels, there and back", func(b *testing.B) {
		bench(b, 1, func() {
			ask, events := make(chan struct{}), make(chan int)
			go func() { // ends with ask
				defer close(events)
				n := 0
				for range ask {
					events <- n
					n++
				}
			}()
			total := 0
			for range b.N {
				ask <- struct{}{}
				total += <-events
			}
			close(ask)
			<-events
		})
	})
	b.Run("unbuffered channel, one way", func(b *testing.B) {
		bench(b, 1, func() {
			events := make(chan int)
			go func() { // ends with its events
				defer close(events)
				for i := range b.N {
					events <- i
				}
			}()
			total := 0
			for e := range events {
				total += e
			}
		})
	})
}

// Here one operation is one child that does nothing, 20 at once.
func BenchmarkChild(b *testing.B) {
	const atOnce = 20
	b.Run("stages", func(b *testing.B) {
		c := stage.NewConsumerSupervisor(func(context.Context, int) error { return nil })
		p := stage.FromSlice(make([]int, b.N))
		c.SubscribeTo(p, stage.MaxDemand(atOnce))
		benchStages(b, 1, p, c)
	})
	b.Run("a goroutine each, behind a semaphore", func(b *testing.B) {
		slots := make(chan struct{}, atOnce)
		bench(b, 1, func() {
			for range b.N {
				slots <- struct{}{}
				go func() { <-slots }() // ends at once
			}
			for range atOnce {
				slots <- struct{}{}
			}
		})
	})
}
