package stage_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-genstage/genstage/stage"
)

// inFlight counts, for examples, what is at work.
type inFlight struct {
	mu        sync.Mutex
	now, most int // guarded by mu
}

func (f *inFlight) add(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now += n
	f.most = max(f.most, f.now)
}

// Two pools of up to 20 children each, and never more than five children in all.
func ExampleBudget() {
	limit := stage.NewBudget(5)
	var downloads inFlight
	pool := func(name string, jobs int) (stage.Stage, stage.Stage) {
		source := stage.FromSlice(make([]int, jobs), stage.Name(name+" jobs"))
		workers := stage.NewConsumerSupervisor(func(context.Context, int) error {
			downloads.add(1)
			defer downloads.add(-1)
			return nil
		}, stage.Name(name))
		workers.SubscribeTo(stage.Charge(source, limit, nil), stage.MaxDemand(20))
		return source, workers
	}
	images, imageWorkers := pool("images", 30)
	videos, videoWorkers := pool("videos", 30)
	fmt.Println(stage.Run(context.Background(), images, imageWorkers, videos, videoWorkers))
	fmt.Println("never more than five:", downloads.most <= 5)
	fmt.Println("in use afterwards:", limit.Stats().Used)
	// Output:
	// <nil>
	// never more than five: true
	// in use afterwards: 0
}

// A limit in bytes: what counts is what the files weigh together. One that is heavier than the limit goes alone.
func ExampleCharge() {
	bytes := map[string]int64{"a": 60, "b": 30, "c": 250, "d": 50, "e": 50}
	memory := stage.NewBudget(100)
	source := stage.FromSlice([]string{"a", "b", "c", "d", "e"})
	reader := stage.NewConsumer(func(_ context.Context, files []string, _ *stage.Subscription) error {
		for _, name := range files {
			fmt.Print(name, " ")
		}
		fmt.Println("together weigh", memory.Stats().Used)
		return nil
	})
	reader.SubscribeTo(stage.Charge(source, memory, func(name string) int64 { return bytes[name] }), stage.MaxDemand(10), stage.MinDemand(0))
	fmt.Println(stage.Run(context.Background(), source, reader))
	// Output:
	// a b together weigh 90
	// c together weigh 250
	// d e together weigh 100
	// <nil>
}

// A child says what its event weighs when it knows better than the listing did.
func ExampleChargeFrom() {
	memory := stage.NewBudget(1000)
	source := stage.FromSlice([]string{"small.gz", "bomb.gz"})
	pool := stage.NewConsumerSupervisor(func(ctx context.Context, name string) error {
		if name == "bomb.gz" {
			return stage.ChargeFrom(ctx).Adjust(5000) // decompressed: nothing more begins until it is through
		}
		return nil
	})
	pool.SubscribeTo(stage.Charge(source, memory, func(string) int64 { return 10 }))
	fmt.Println(stage.Run(context.Background(), source, pool), memory.Stats().Used)
	// Output:
	// <nil> 0
}

// A limit may change while it is in use: at night there may be more.
func ExampleBudget_SetLimit() {
	limit := stage.NewBudget(1)
	var downloads inFlight
	started := make(chan struct{}, 10)
	night := make(chan struct{})
	source := stage.FromSlice(make([]int, 10))
	workers := stage.NewConsumerSupervisor(func(context.Context, int) error {
		downloads.add(1)
		defer downloads.add(-1)
		started <- struct{}{}
		<-night
		return nil
	})
	workers.SubscribeTo(stage.Charge(source, limit, nil), stage.MaxDemand(10))
	ended := make(chan error, 1)
	go func() { ended <- stage.Run(context.Background(), source, workers) }()

	<-started
	fmt.Println("by day:", limit.Stats().Used)
	_ = limit.SetLimit(3)
	<-started
	<-started
	fmt.Println("at night:", limit.Stats().Used)
	close(night)
	fmt.Println(<-ended)
	// Output:
	// by day: 1
	// at night: 3
	// <nil>
}
