package stage_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// gather makes a consumer that appends what it gets.
func gather(into *[]int, opts ...stage.ConsumerOption) *stage.Consumer[int] {
	return stage.ForEach(func(_ context.Context, n int) error {
		*into = append(*into, n)
		return nil
	}, opts...)
}

// Demand is the default dispatcher: each event goes to one consumer, the one with the most open demand. Among equals Shuffle draws lots,
// and ExpectedMax has a consumer named in the log that asks for so much that it may take everything.
func ExampleDemand() {
	numbers := stage.FromSlice([]int{1, 2, 3, 4, 5, 6})
	numbers.DispatchWith(stage.Demand, stage.Shuffle(7), stage.ExpectedMax(100))
	var a, b []int
	first, second := gather(&a), gather(&b)
	first.SubscribeTo(numbers, stage.MaxDemand(1))
	second.SubscribeTo(numbers, stage.MaxDemand(1))

	err := stage.Run(context.Background(), numbers, first, second)
	fmt.Println(len(a)+len(b), err)
	// Output: 6 <nil>
}

// With Broadcast every subscriber gets every event, at the pace of the slowest.
func ExampleBroadcast() {
	numbers := stage.FromSlice([]int{1, 2, 3, 4, 5})
	numbers.DispatchWith(stage.Broadcast)
	var a, b []int
	first, second := gather(&a), gather(&b)
	first.SubscribeTo(numbers, stage.MaxDemand(4))
	second.SubscribeTo(numbers, stage.MaxDemand(1))

	err := stage.Run(context.Background(), numbers, first, second)
	fmt.Println(a, b, err)
	// Output: [1 2 3 4 5] [1 2 3 4 5] <nil>
}

// Where gives a subscriber of a broadcast some of the events. The others use up none of its demand.
func ExampleWhere() {
	numbers := stage.FromSlice([]int{1, 2, 3, 4, 5, 6, 7, 8})
	numbers.DispatchWith(stage.Broadcast)
	var all, even []int
	a, b := gather(&all), gather(&even)
	a.SubscribeTo(numbers)
	b.SubscribeTo(stage.Where(numbers, func(n int) bool { return n%2 == 0 }), stage.MaxDemand(1))

	err := stage.Run(context.Background(), numbers, a, b)
	fmt.Println(all, even, err)
	// Output: [1 2 3 4 5 6 7 8] [2 4 6 8] <nil>
}

// With Lag a subscriber holds nobody up: what it is too slow for is dropped, oldest first, or ends its subscription.
func ExampleLag() {
	asked := make(chan int, 10)
	numbers := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		asked <- demand
		return nil, nil
	})
	numbers.DispatchWith(stage.Broadcast)
	var all, some []int
	quick, slow := gather(&all), gather(&some, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
		return sub.Ask(2) // and never again
	}))
	quick.SubscribeTo(numbers)
	slow.SubscribeTo(numbers, stage.Manual(), stage.Lag(3, stage.LagDisconnect), stage.Cancel(stage.CancelTemporary))
	slow.OnCancel(func(_ context.Context, _ *stage.Subscription, end stage.Cancellation) error {
		fmt.Println("the slow one:", errors.Is(end.Reason, stage.ErrLagging), some)
		return nil
	})
	pipeline := stage.NewPipeline(numbers, quick, slow)
	ended := make(chan error, 1)
	go func() { ended <- pipeline.Run(context.Background()) }()

	<-asked // a pipeline asks its sources when all have asked them
	for n := range 9 {
		_ = numbers.Do(context.Background(), func(context.Context) ([]int, error) { return []int{n}, nil })
	}
	_ = pipeline.Stop(context.Background())
	fmt.Println("the quick one:", all, <-ended)
	// Output:
	// the slow one: true [0 1]
	// the quick one: [0 1 2 3 4 5 6 7 8] <nil>
}

// Each event goes to the partition of its key, and in it to one consumer.
func ExamplePartitionBy() {
	words := stage.FromSlice([]string{"ant", "bee", "apple", "banana", "cat", "almond"})
	words.DispatchWith(stage.PartitionBy(func(word string) byte { return word[0] }, 'a', 'b'))
	var a, b []string
	as := stage.ForEach(func(_ context.Context, word string) error { a = append(a, word); return nil })
	bs := stage.ForEach(func(_ context.Context, word string) error { b = append(b, word); return nil })
	as.SubscribeTo(stage.Partition(words, byte('a')))
	bs.SubscribeTo(stage.Partition(words, byte('b')))

	err := stage.Run(context.Background(), words, as, bs)
	fmt.Println(a, b, err)
	fmt.Println("for nobody:", words.Stats().Output.Dropped) // the cat; it is logged, too
	// Output:
	// [ant apple almond] [bee banana] <nil>
	// for nobody: 1
}

// PartitionWith may change an event, and drop it on purpose.
func ExamplePartitionWith() {
	numbers := stage.FromSlice([]int{1, 2, 3, 4, 5, 6, 7, 8, 9})
	numbers.DispatchWith(stage.PartitionWith(func(n int) (int, string, bool) {
		switch {
		case n%3 == 0:
			return n, "", false // dropped
		case n%2 == 0:
			return n * 10, "even", true
		default:
			return n, "odd", true
		}
	}, "even", "odd"))
	var even, odd []int
	evens, odds := gather(&even), gather(&odd)
	evens.SubscribeTo(stage.Partition(numbers, "even"))
	odds.SubscribeTo(stage.Partition(numbers, "odd"))

	err := stage.Run(context.Background(), numbers, evens, odds)
	fmt.Println(even, odd, err)
	// Output: [20 40 80] [1 5 7] <nil>
}

// An accumulating producer keeps demand and events back until Forward: so all can subscribe before the first event.
func ExampleAccumulating() {
	numbers := stage.FromSlice([]int{1, 2, 3}, stage.Accumulating())
	numbers.DispatchWith(stage.Broadcast)
	var early, late []int
	started := make(chan bool)
	first, second := gather(&early), gather(&late, stage.OnInit(func(context.Context) error { close(started); return nil }))
	first.SubscribeTo(numbers)
	pipeline := stage.NewPipeline(numbers, first, second)
	ended := make(chan error, 1)
	go func() { ended <- pipeline.Run(context.Background()) }()

	<-started
	_, err := second.Subscribe(context.Background(), numbers) // while the pipeline runs
	fmt.Println(err, numbers.Stats().Output.Emitted)
	_ = numbers.Forward()
	err = <-ended
	fmt.Println(early, late, err)
	// Output:
	// <nil> 0
	// [1 2 3] [1 2 3] <nil>
}

// limiter lets so many events through until it is filled again.
type limiter struct{ tokens int } // owned by the stage goroutine

// pass is OnDemand: it lets as much demand pass as there are tokens, and holds the rest back.
func (l *limiter) pass(_ context.Context, demand int) (_ []int, pass int, err error) {
	pass = min(demand, l.tokens)
	l.tokens -= pass
	return nil, pass, nil
}

// A producer-consumer that sees demand can hold it back: a rate limiter. Wake shows it again.
func ExampleProducerConsumer_OnDemand() {
	numbers := stage.FromSlice([]int{1, 2, 3, 4, 5})
	l := &limiter{tokens: 2}
	limited := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
		return events, nil
	})
	limited.OnDemand(l.pass)
	limited.SubscribeTo(numbers)
	got := make(chan []int, 5)
	printer := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		got <- events
		return nil
	})
	printer.SubscribeTo(limited)
	ended := make(chan error, 1)
	go func() { ended <- stage.Run(context.Background(), numbers, limited, printer) }()

	fmt.Println(<-got)
	for range 2 { // a ticker, as a rule
		_ = limited.Do(context.Background(), func(context.Context) ([]int, error) { l.tokens = 2; return nil, nil })
		_ = limited.Wake()
		fmt.Println(<-got)
	}
	fmt.Println(<-ended)
	// Output:
	// [1 2]
	// [3 4]
	// [5]
	// <nil>
}

// Resubscribe replaces a subscription in one step: no event is lost between, and none comes twice.
func ExampleConsumer_Resubscribe() {
	next := 0
	numbers := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil }, stage.Name("numbers"))
	emit := func() {
		_ = numbers.Do(context.Background(), func(context.Context) ([]int, error) { next++; return []int{next}, nil })
	}
	started, got := make(chan bool), make(chan string, 10)
	consumer := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
		got <- fmt.Sprint(from.Label(), " ", events)
		return nil
	}, stage.OnInit(func(context.Context) error { close(started); return nil }))
	pipeline := stage.NewPipeline(numbers, consumer)
	ended := make(chan error, 1)
	go func() { ended <- pipeline.Run(context.Background()) }()
	<-started

	ctx := context.Background()
	temporary := stage.Cancel(stage.CancelTemporary) // the end of the old one must not end the consumer
	sub, err := consumer.Subscribe(ctx, numbers, stage.Label("narrow"), stage.MaxDemand(1), temporary)
	if err != nil {
		fmt.Println(err)
		return
	}
	emit()
	fmt.Println(<-got)
	if _, err = consumer.Resubscribe(ctx, sub, nil, numbers, stage.Label("wide"), stage.MaxDemand(100)); err != nil {
		fmt.Println(err)
		return
	}
	emit()
	fmt.Println(<-got)
	fmt.Println(pipeline.Stop(ctx), <-ended)
	// Output:
	// narrow [1]
	// wide [2]
	// <nil> <nil>
}
