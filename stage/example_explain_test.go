package stage_test

import (
	"context"
	"fmt"
	"runtime"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// A cook that takes for ever keeps everyone waiting.
func ExampleExplain() {
	orders := stage.NewQueue[string](9, stage.Name("orders"))
	if err := orders.TryPush("soup", "pasta", "cake", "tea", "bread"); err != nil {
		fmt.Println(err)
	}
	cooking := make(chan struct{})
	cook := stage.ForEach(func(ctx context.Context, order string) error {
		close(cooking)
		<-ctx.Done() // stuck
		return nil
	}, stage.Name("cook"))
	cook.SubscribeTo(orders, stage.MaxDemand(2), stage.MinDemand(1))

	pipeline := stage.NewPipeline(orders, cook)
	done := make(chan struct{})
	go func() { // ends with Abort
		_ = pipeline.Run(context.Background())
		close(done)
	}()
	<-cooking
	for orders.Stats().State.Kind != stage.StateForDemand {
		runtime.Gosched() // it has sent two, and is about to wait
	}

	stats := pipeline.Stats()
	for i, s := range stats.Members {
		stats.Members[i].At = s.State.Since.Add(time.Minute) // as if a minute had passed
	}
	fmt.Print(stage.Explain(stats.Members...))
	pipeline.Abort(nil)
	<-done
	// Output:
	// producer "orders": waits for demand of "cook", 1m0s
	//     waiting: 3 in the queue
	//     demand: 0 of "cook"
	// consumer "cook": in its callback events, 1m0s
	//     waiting: 1 not begun, 1 in hand
	// It is up to "cook".
}
