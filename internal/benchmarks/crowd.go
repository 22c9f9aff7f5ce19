package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// crowdFigures are those of W11 for so many consumers.
type crowdFigures struct {
	Consumers int
	Nanos     float64 // for an ask and the event that answers it
	Bytes     float64 // for a consumer, while all wait
}

// crowd has n consumers with max demand 1 at one producer, which emits that many events once all have asked. Each
// event that is handled is an ask, and each ask is answered by an event.
func crowd(n, events int) (crowdFigures, error) {
	var started atomic.Bool
	var handled, sum atomic.Int64
	j := newJob(events, 0)
	finished := make(chan struct{})
	var elapsed time.Duration
	footprint, err := weigh("crowd", n, func() (func() error, error) {
		p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
			if !started.Load() {
				return nil, nil
			}
			return j.batch(demand), nil
		}, stage.Retry())
		stages := make([]stage.Stage, 0, n+1)
		stages = append(stages, p)
		for range n {
			c := stage.NewConsumer(func(_ context.Context, batch []int, _ *stage.Subscription) error {
				sum.Add(int64(batch[0]))
				if handled.Add(1) == int64(events) {
					close(finished)
				}
				return nil
			}, stage.Name("one of many"))
			c.SubscribeTo(p, stage.MaxDemand(1), stage.MinDemand(0))
			stages = append(stages, c)
		}
		end, err := begin(p, stages, n, int64(n))
		return func() error {
			began := time.Now()
			started.Store(true)
			p.Wake()
			<-finished
			elapsed = time.Since(began)
			return end()
		}, err
	})
	if err == nil && sum.Load() != int64(wantSum(events)) {
		err = fmt.Errorf("W11, %d consumers: the sum of the events is %d, not %d", n, sum.Load(), wantSum(events))
	}
	return crowdFigures{n, float64(elapsed.Nanoseconds()) / float64(events), footprint.total()}, err
}
