package stage_test

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// What is emitted and nobody has asked for waits in a buffer. One that keeps the newest events suits values that supersede each other.
func ExampleBufferSize() {
	up := make(chan struct{})
	sensor := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil }, // it emits by Do alone
		stage.BufferSize(3), stage.KeepLast(),
		stage.OnInit(func(context.Context) error { close(up); return nil }))
	sensor.OnDiscard(func(_ context.Context, events []int) { fmt.Println("discarded:", events) })
	ended := make(chan error, 1)
	go func() { ended <- sensor.Run(context.Background()) }()
	<-up

	_ = sensor.Do(context.Background(), func(context.Context) ([]int, error) { return []int{1, 2, 3, 4, 5}, nil })
	fmt.Println("buffered:", sensor.Buffered())
	var got []int
	display := gather(&got)
	display.SubscribeTo(sensor)
	go func() { ended <- display.Run(context.Background()) }()
	_ = sensor.Stop(context.Background()) // what is buffered is delivered first
	fmt.Println(got, <-ended, <-ended)
	// Output:
	// discarded: [1 2]
	// buffered: 3
	// [3 4 5] <nil> <nil>
}

// KeepFirst keeps what came first: an order book would rather refuse than forget.
func ExampleKeepFirst() {
	numbers := stage.NewProducer(func(context.Context, int) ([]int, error) {
		return []int{1, 2, 3, 4, 5}, stage.ErrDone // more than one was asked for
	}, stage.BufferSize(2), stage.KeepFirst())
	numbers.OnDiscard(func(_ context.Context, events []int) { fmt.Println("discarded:", events) })
	var got []int
	sink := gather(&got)
	sink.SubscribeTo(numbers, stage.MaxDemand(1))
	fmt.Println(stage.Run(context.Background(), numbers, sink), got)
	// Output:
	// discarded: [4 5]
	// <nil> [1 2 3]
}

// A producer that accumulates keeps demand and events back, until it is to go on.
func ExampleProducer_Accumulate() {
	up := make(chan struct{})
	numbers := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil },
		stage.OnInit(func(context.Context) error { close(up); return nil }))
	var got []int
	sink := gather(&got)
	sink.SubscribeTo(numbers)
	pipeline := stage.NewPipeline(numbers, sink)
	ended := make(chan error, 1)
	go func() { ended <- pipeline.Run(context.Background()) }()
	<-up

	_ = numbers.Accumulate()
	_ = numbers.Do(context.Background(), func(context.Context) ([]int, error) { return []int{1, 2, 3}, nil })
	fmt.Println("forwarding:", numbers.Forwarding(), "kept back:", numbers.Stats().Output.Held)
	_ = numbers.Forward()
	_ = pipeline.Stop(context.Background())
	fmt.Println(got, <-ended)
	// Output:
	// forwarding: false kept back: 3
	// [1 2 3] <nil>
}
