package stage_test

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// inbox is a producer that is fed from outside. What it was asked for and could not give, it owes.
type inbox struct {
	stage  *stage.Producer[string]
	events []string // owned by the stage goroutine
	owed   int      // owned by the stage goroutine
}

func newInbox(opts ...stage.ProducerOption) *inbox {
	in := &inbox{}
	in.stage = stage.NewProducer(func(_ context.Context, demand int) ([]string, error) {
		in.owed += demand
		return in.take(), nil
	}, opts...)
	return in
}

// take returns as many events as there is demand for.
func (in *inbox) take() []string {
	n := min(in.owed, len(in.events))
	taken := in.events[:n:n]
	in.owed, in.events = in.owed-n, in.events[n:]
	return taken
}

// Push may be called from any goroutine.
func (in *inbox) Push(ctx context.Context, event string) error {
	return in.stage.Do(ctx, func(context.Context) ([]string, error) {
		in.events = append(in.events, event)
		return in.take(), nil
	})
}

// Close may be called from any goroutine. What is still inside is delivered.
func (in *inbox) Close(ctx context.Context) error {
	return in.stage.Do(ctx, func(context.Context) ([]string, error) {
		return in.events, stage.ErrDone
	})
}

// Do runs a function on the stage's goroutine, between two callbacks: state that outside
// goroutines and callbacks share needs no lock.
func ExampleProducer_Do() {
	running := make(chan struct{})
	in := newInbox(stage.Name("inbox"), stage.OnInit(func(context.Context) error { close(running); return nil }))
	printer := stage.ForEach(func(_ context.Context, event string) error {
		fmt.Println(event)
		return nil
	})
	printer.SubscribeTo(in.stage, stage.MaxDemand(2))

	ctx := context.Background()
	ended := make(chan error)
	go func() { ended <- stage.Run(ctx, in.stage, printer) }()
	<-running // before that, Push would be ErrNotRunning
	for _, event := range []string{"one", "two", "three", "four", "five"} {
		if err := in.Push(ctx, event); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(in.Close(ctx), <-ended)
	fmt.Println(in.Push(ctx, "six"))
	// Unordered output:
	// one
	// two
	// three
	// four
	// five
	// <nil> <nil>
	// stage "inbox": Do: stage: ended
}

// DoAfter waits until what was emitted before has been dispatched: a mark behind it, to close a file or answer a request.
func ExampleProducer_DoAfter() {
	up := make(chan struct{})
	numbers := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil },
		stage.OnInit(func(context.Context) error { close(up); return nil }))
	var got []int
	sink := gather(&got)
	sink.SubscribeTo(numbers, stage.MaxDemand(1))
	pipeline := stage.NewPipeline(numbers, sink)
	ended := make(chan error, 1)
	go func() { ended <- pipeline.Run(context.Background()) }()
	<-up

	ctx := context.Background()
	_ = numbers.Tell(func(context.Context) ([]int, error) { return []int{1, 2, 3}, nil })
	_ = numbers.TellAfter(func(context.Context) ([]int, error) { // the same, for one who does not wait
		fmt.Println("dispatched:", numbers.Stats().Output.Dispatched)
		return nil, nil
	})
	err := numbers.DoAfter(ctx, func(context.Context) ([]int, error) {
		fmt.Println("answered behind it")
		return []int{10}, nil
	})
	_ = pipeline.Stop(ctx)
	fmt.Println(err, got, <-ended)
	// Output:
	// dispatched: 3
	// answered behind it
	// <nil> [1 2 3 10] <nil>
}
