package main

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// footprint is what something takes while it waits.
type footprint struct {
	Name         string
	Count        int
	Heap, Stacks float64 // bytes for each
}

func (f footprint) total() float64 { return f.Heap + f.Stacks }

// weigh returns what each of n things takes that begin makes, while they wait. begin returns when all wait, and end
// ends them.
func weigh(name string, n int, begin func() (end func() error, err error)) (footprint, error) {
	heap, stacks := inUse()
	end, err := begin()
	if err != nil {
		return footprint{}, err
	}
	heapNow, stacksNow := inUse()
	f := footprint{Name: name, Count: n}
	f.Heap, f.Stacks = (heapNow-heap)/float64(n), (stacksNow-stacks)/float64(n)
	return f, end()
}

// inUse returns the bytes of objects that are reachable, and of stacks.
func inUse() (heap, stacks float64) {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // the first one frees, the second one shrinks what stacks have grown to
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc), float64(m.StackInuse)
}

// ourIdle starts n consumers that subscribe to one producer, which has nothing for them.
func ourIdle(n int) func() (func() error, error) {
	return func() (func() error, error) {
		p := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil })
		stages := make([]stage.Stage, 0, n+1)
		stages = append(stages, p)
		for range n {
			c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil }, stage.Name("idle"))
			c.SubscribeTo(p)
			stages = append(stages, c)
		}
		return begin(p, stages, n, int64(n)*stage.DefaultMaxDemand)
	}
}

// begin runs stages until n consumers have asked p for as much as that.
func begin(p *stage.Producer[int], stages []stage.Stage, n int, demand int64) (end func() error, err error) {
	ctx, cancel := context.WithCancel(context.Background())
	pipeline := stage.NewPipeline(stages...)
	result := make(chan error, 1)
	go func() { result <- pipeline.Run(ctx) }() // ends with ctx; end waits for it
	end = func() error {
		cancel()
		<-result
		return nil
	}
	for pause := time.Millisecond; p.Stats().Output.Demand < demand; pause = time.Duration(n) * time.Microsecond {
		select {
		case err := <-result:
			cancel()
			return nil, fmt.Errorf("the pipeline ended: %w", err)
		default:
			time.Sleep(pause) // to look costs O(n)
		}
	}
	return end, nil
}

// chanIdle starts n goroutines that wait for a batch of one channel each.
func chanIdle(n int) func() (func() error, error) {
	return func() (func() error, error) {
		all := make([]chan []int, n)
		done := make(chan int)
		for i := range all {
			all[i] = make(chan []int, 2)
			go func() { // ends with its channel
				count := 0
				for events := range all[i] {
					count += len(events)
				}
				done <- count
			}()
		}
		return func() error {
			for _, ch := range all {
				close(ch)
				<-done
			}
			return nil
		}, nil
	}
}

// mostIdle is how much an idle stage that is subscribed may take.
const mostIdle = 3500

// mostCrowded is how much a consumer of W11 may take.
const mostCrowded = 8 << 10

// idle is W9m.
func idle(n int) (all []footprint, err error) {
	for _, c := range []struct {
		name  string
		begin func() (func() error, error)
	}{
		{"ours", ourIdle(n)},
		{"goroutine and channel", chanIdle(n)},
	} {
		f, err := weigh(c.name, n, c.begin)
		if err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func verdict(reached bool) string {
	if reached {
		return "reached"
	}
	return "missed"
}
