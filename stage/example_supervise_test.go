package stage_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// The consumer fails at its second batch. It is started again and goes on with what it had not begun; the batch in hand
// is lost.
func ExampleSupervisor() {
	numbers := stage.FromSlice([]int{1, 2, 3, 4, 5, 6}, stage.Name("numbers"))
	batches := 0
	printer := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		if batches++; batches == 2 {
			return errors.New("out of paper")
		}
		fmt.Println(events)
		return nil
	}, stage.Name("printer"))
	printer.SubscribeTo(numbers, stage.MaxDemand(2), stage.MinDemand(0))

	sup := stage.NewSupervisor(stage.MaxRestarts(3, 5*time.Second), quiet)
	sup.Add(numbers) // starts first
	sup.Add(printer)
	fmt.Println(sup.Run(context.Background()))

	stats := sup.Stats()
	fmt.Println(stats.Restarts, "restart, after:", stats.Failure)
	fmt.Println("handled:", stats.Members[1].Input.Handled, "and before:", stats.Members[1].Earlier.Input.Handled)
	// Output:
	// [1 2]
	// [5 6]
	// <nil>
	// 1 restart, after: stage "printer": out of paper
	// handled: 2 and before: 2
}

// Each run of the member is of another stage, with state of its own.
func ExampleSupervisor_AddFunc() {
	numbers := stage.FromSlice([]int{1, 2, 3, 4}, stage.Name("numbers"))
	runs := 0
	sup := stage.NewSupervisor(stage.OneForOne, quiet)
	sup.Add(numbers)
	sup.AddFunc(func() stage.Stage {
		runs++
		name := fmt.Sprint("printer ", runs)
		printer := stage.ForEach(func(_ context.Context, n int) error {
			if n == 2 {
				return errors.New("jam")
			}
			fmt.Println(name, n)
			return nil
		}, stage.Name(name))
		printer.SubscribeTo(numbers, stage.MaxDemand(1), stage.MinDemand(0))
		return printer
	})
	fmt.Println(sup.Run(context.Background()))
	// Output:
	// printer 1 1
	// printer 2 3
	// printer 2 4
	// <nil>
}

// A supervisor is a member of a pipeline. The consumer outside outlives its producer, as its subscription is temporary,
// and gets the subscription back.
func ExampleRestForOne() {
	attempts := 0
	readings := stage.FromSeq2(func(yield func(int, error) bool) {
		attempts++
		if !yield(attempts, nil) || attempts == 1 && !yield(0, errors.New("no signal")) {
			return
		}
		yield(attempts*10, nil)
	}, stage.Name("readings"))
	sup := stage.NewSupervisor(stage.RestForOne, quiet)
	sup.Add(readings, stage.Restart(stage.RestartTransient)) // the default
	display := stage.ForEach(func(_ context.Context, n int) error {
		fmt.Println(n)
		return nil
	})
	display.SubscribeTo(readings, stage.Cancel(stage.CancelTemporary))
	fmt.Println(stage.Run(context.Background(), sup, display))
	// Output:
	// 1
	// 2
	// 20
	// <nil>
}
