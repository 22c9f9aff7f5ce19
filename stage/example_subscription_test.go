package stage_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/go-genstage/genstage/stage"
)

// Held events are finished when they are released. Demand is another matter: this consumer asks for the next events before it has
// written those that it holds, and releases them ten at a time.
func ExampleSubscription_Release() {
	numbers := stage.FromSeq(func(yield func(int) bool) {
		for n := range 25 {
			if !yield(n) {
				return
			}
		}
	})
	var batch []int
	writer := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
		batch = append(batch, events...)
		if err := from.Hold(len(events)); err != nil {
			return err
		}
		if len(batch) >= 10 {
			fmt.Println("writes", len(batch))
			if err := from.Release(len(batch)); err != nil {
				return err
			}
			batch = nil
		}
		return nil
	})
	// With nothing left to come, what is held must be released, too: the stage does not complete before.
	writer.OnCancel(func(_ context.Context, from *stage.Subscription, _ stage.Cancellation) error {
		fmt.Println("writes", len(batch))
		return from.Release(len(batch))
	})
	writer.SubscribeTo(numbers, stage.MaxDemand(5), stage.MinDemand(0))
	fmt.Println(stage.Run(context.Background(), numbers, writer))
	fmt.Println(writer.Stats().Input.Handled)
	// Output:
	// writes 10
	// writes 10
	// writes 5
	// <nil>
	// 25
}

// Max and min demand may change while the stages run: here after ten events from one at a time to five. (What has been asked by then,
// one more, comes as it was asked.)
func ExampleSubscription_SetDemand() {
	numbers := stage.FromSlice(make([]int, 30))
	seen := 0
	var sizes []int
	sink := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
		sizes = append(sizes, len(events))
		if seen += len(events); seen == 10 {
			return from.SetDemand(5, 0)
		}
		return nil
	})
	sink.SubscribeTo(numbers, stage.MaxDemand(1), stage.MinDemand(0))
	fmt.Println(stage.Run(context.Background(), numbers, sink))
	fmt.Println(sizes)
	// Output:
	// <nil>
	// [1 1 1 1 1 1 1 1 1 1 1 5 5 5 4]
}

// The same pair of stages with two subscriptions, each with its own demand: single events that are urgent, and batches.
func ExampleAllowDuplicate() {
	numbers := stage.FromSlice([]int{1, 2, 30, 4, 50, 6})
	numbers.DispatchWith(stage.PartitionBy(func(n int) bool { return n >= 10 }, true, false))
	var mu sync.Mutex
	got := map[string][]int{}
	sink := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
		mu.Lock()
		defer mu.Unlock()
		got[from.Label()] = append(got[from.Label()], events...)
		return nil
	})
	sink.SubscribeTo(stage.Partition(numbers, true), stage.Label("large"), stage.MaxDemand(1), stage.AllowDuplicate())
	sink.SubscribeTo(stage.Partition(numbers, false), stage.Label("small"), stage.AllowDuplicate())
	fmt.Println(stage.Run(context.Background(), numbers, sink))
	fmt.Println(got)
	// Output:
	// <nil>
	// map[large:[30 50] small:[1 2 4 6]]
}
