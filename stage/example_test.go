package stage_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// counter emits the integers in [next, end).
type counter struct{ next, end int } // owned by the stage goroutine

func (c *counter) produce(_ context.Context, demand int) ([]int, error) {
	events := make([]int, 0, demand)
	for len(events) < demand && c.next < c.end {
		events = append(events, c.next)
		c.next++
	}
	if c.next == c.end {
		return events, stage.ErrDone // the events are delivered, then the stage ends
	}
	return events, nil
}

func ExampleRun() {
	numbers := stage.NewProducer((&counter{end: 6}).produce)
	labels := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]string, error) {
		var out []string
		for _, n := range events {
			out = append(out, fmt.Sprintf("#%d", n*2))
		}
		return out, nil
	})
	labels.SubscribeTo(numbers, stage.MaxDemand(4), stage.MinDemand(2))
	printer := stage.NewConsumer(func(_ context.Context, events []string, _ *stage.Subscription) error {
		fmt.Println(events)
		return nil
	})
	printer.SubscribeTo(labels, stage.MaxDemand(2), stage.MinDemand(0))

	fmt.Println(stage.Run(context.Background(), numbers, labels, printer))
	// Output:
	// [#0 #2]
	// [#4 #6]
	// [#8 #10]
	// <nil>
}

// A producer is asked for a number of events and returns at most as many. It knows nothing of who
// asks.
func ExampleNewProducer() {
	var last int
	squares := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		fmt.Println("asked for", demand)
		var events []int
		for range demand {
			last++
			events = append(events, last*last)
		}
		if last >= 6 {
			return events, stage.ErrDone
		}
		return events, nil
	})
	printer := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		fmt.Println("got", events)
		return nil
	})
	printer.SubscribeTo(squares, stage.MaxDemand(3), stage.MinDemand(0))

	if err := stage.Run(context.Background(), squares, printer); err != nil {
		fmt.Println(err)
	}
	// Output:
	// asked for 3
	// got [1 4 9]
	// asked for 3
	// got [16 25 36]
}

// A producer-consumer may emit fewer events than it gets, or more, or none for now.
func ExampleNewProducerConsumer() {
	lines := stage.FromSlice([]string{"to be or", "", "not to be"})
	words := stage.NewProducerConsumer(func(_ context.Context, lines []string, _ *stage.Subscription) ([]string, error) {
		var out []string
		for _, line := range lines {
			out = append(out, strings.Fields(line)...)
		}
		return out, nil
	})
	words.SubscribeTo(lines)
	printer := stage.ForEach(func(_ context.Context, word string) error {
		fmt.Println(word)
		return nil
	})
	printer.SubscribeTo(words)

	if err := stage.Run(context.Background(), lines, words, printer); err != nil {
		fmt.Println(err)
	}
	// Output:
	// to
	// be
	// or
	// not
	// to
	// be
}

// A consumer gets at most max-min events at once, and asks for more when min or fewer of those it
// asked for are left.
func ExampleNewConsumer() {
	numbers := stage.FromSlice([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, stage.Name("numbers"))
	sum := 0 // owned by the stage goroutine until Run returns
	adder := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
		for _, n := range events {
			sum += n
		}
		fmt.Println(events, "from", from.Producer())
		return nil
	}, stage.Name("adder"))
	adder.SubscribeTo(numbers, stage.MaxDemand(6), stage.MinDemand(2))

	err := stage.Run(context.Background(), numbers, adder)
	fmt.Println(sum, err)
	// Output:
	// [1 2 3 4] from numbers
	// [5 6] from numbers
	// [7 8 9 10] from numbers
	// 55 <nil>
}

// ForEach is a consumer that handles one event after the other.
func ExampleForEach() {
	names := stage.FromSlice([]string{"Ada", "Grace", "Barbara"})
	greeter := stage.ForEach(func(_ context.Context, name string) error {
		fmt.Println("Hello,", name)
		return nil
	})
	greeter.SubscribeTo(names)

	if err := stage.Run(context.Background(), names, greeter); err != nil {
		fmt.Println(err)
	}
	// Output:
	// Hello, Ada
	// Hello, Grace
	// Hello, Barbara
}

// A stage that keeps something until the end emits it in OnComplete.
func ExampleProducerConsumer_OnComplete() {
	words := stage.FromSlice([]string{"one", "three", "two", "three", "three", "two"})
	count := map[string]int{}
	counter := stage.NewProducerConsumer(func(_ context.Context, words []string, _ *stage.Subscription) ([]string, error) {
		for _, w := range words {
			count[w]++
		}
		return nil, nil
	})
	counter.OnComplete(func(context.Context) ([]string, error) {
		var out []string
		for _, w := range slices.Sorted(maps.Keys(count)) {
			out = append(out, fmt.Sprintf("%s: %d", w, count[w]))
		}
		return out, stage.ErrDone
	})
	counter.SubscribeTo(words, stage.MaxDemand(2))
	printer := stage.ForEach(func(_ context.Context, line string) error {
		fmt.Println(line)
		return nil
	})
	printer.SubscribeTo(counter)

	if err := stage.Run(context.Background(), words, counter, printer); err != nil {
		fmt.Println(err)
	}
	// Output:
	// one: 1
	// three: 3
	// two: 2
}

// When its context ends, as at a signal, RunUntil drains: what the source has emitted is handled before it returns.
func ExampleRunUntil() {
	ctx, signal := context.WithCancel(context.Background())
	numbers := stage.NewProducer((&counter{end: math.MaxInt}).produce)
	var handled int64
	sink := stage.ForEach(func(context.Context, int) error {
		if handled++; handled == 10_000 {
			signal()
		}
		return nil
	})
	sink.SubscribeTo(numbers)

	err := stage.RunUntil(ctx, time.Minute, numbers, sink)
	fmt.Println(err)
	fmt.Println("all that was emitted was handled:", numbers.Stats().Output.Emitted == handled)
	// Output:
	// <nil>
	// all that was emitted was handled: true
}

// Stop drains: what the source has emitted is handled before Stop returns.
func ExamplePipeline_Stop() {
	numbers := stage.NewProducer((&counter{end: math.MaxInt}).produce)
	var handled int64
	enough := make(chan struct{})
	sink := stage.ForEach(func(context.Context, int) error {
		if handled++; handled == 10_000 {
			close(enough)
		}
		return nil
	})
	sink.SubscribeTo(numbers)
	pipeline := stage.NewPipeline(numbers, sink)

	ended := make(chan error)
	go func() { ended <- pipeline.Run(context.Background()) }()
	<-enough
	fmt.Println("Stop:", pipeline.Stop(context.Background()))
	fmt.Println("Run:", <-ended)
	fmt.Println("all that was emitted was handled:", numbers.Stats().Output.Emitted == handled)
	// Output:
	// Stop: <nil>
	// Run: <nil>
	// all that was emitted was handled: true
}

// Several consumers of one source share its events: each event goes to one of them. With max demand 1
// a worker has no event but the one in hand, so the limit is the number of workers.
func ExampleAll() {
	numbers := stage.FromSlice([]int{1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
	var sum atomic.Int64 // the workers are goroutines of their own
	var workers []*stage.Consumer[int]
	for range 3 {
		w := stage.ForEach(func(_ context.Context, n int) error {
			sum.Add(int64(n)) // takes its time
			return nil
		})
		w.SubscribeTo(numbers, stage.MaxDemand(1))
		workers = append(workers, w)
	}

	err := stage.Run(context.Background(), append(stage.All(workers...), numbers)...)
	fmt.Println(sum.Load(), err)
	// Output:
	// 55 <nil>
}
