package stage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// FromSeq2 is for iterators that can fail.
func ExampleFromSeq2() {
	records := func(yield func(string, error) bool) {
		_ = yield("a", nil) && yield("b", nil) && yield("", errors.New("disk on fire"))
	}
	source := stage.FromSeq2(records, stage.Name("records"))
	go source.Run(context.Background()) // ends with the iterator

	for record, err := range stage.Events(context.Background(), source) {
		fmt.Println(record, err)
	}
	// Output:
	// a <nil>
	// b <nil>
	//  stage "records": disk on fire
}

// FromChannel receives only while a consumer waits for events.
func ExampleFromChannel() {
	ticks := make(chan string)
	go func() { // ends when all are received
		for _, tick := range []string{"tick", "tock", "tick"} {
			ticks <- tick
		}
		close(ticks)
	}()
	clock := stage.FromChannel(ticks)
	printer := stage.ForEach(func(_ context.Context, tick string) error {
		fmt.Println(tick)
		return nil
	})
	printer.SubscribeTo(clock)

	fmt.Println(stage.Run(context.Background(), clock, printer))
	// Output:
	// tick
	// tock
	// tick
	// <nil>
}

// Lines reads no further than its consumers ask.
func ExampleLines() {
	text := strings.NewReader("one\r\n\ntwo")
	lines := stage.Lines(text)
	printer := stage.ForEach(func(_ context.Context, line string) error {
		fmt.Printf("%q\n", line)
		return nil
	})
	printer.SubscribeTo(lines)

	fmt.Println(stage.Run(context.Background(), lines, printer))
	// Output:
	// "one"
	// ""
	// "two"
	// <nil>
}

// MaxLine bounds what a reader can make the producer keep.
func ExampleMaxLine() {
	lines := stage.Lines(strings.NewReader("short\nmuch too long\n"), stage.MaxLine(8), stage.Name("log"))
	go lines.Run(context.Background()) // ends with the text

	for line, err := range stage.Events(context.Background(), lines) {
		fmt.Printf("%q %v\n", line, err)
	}
	// Output:
	// "short" <nil>
	// "" stage "log": line 2 is longer than 8 bytes
}

// A Queue is fed from outside: Push blocks while it is full.
func ExampleQueue() {
	orders := stage.NewQueue[string](2, stage.Name("orders"))
	cook := stage.ForEach(func(_ context.Context, order string) error {
		fmt.Println("cooking", order)
		return nil
	})
	cook.SubscribeTo(orders, stage.MaxDemand(1))

	ctx := context.Background()
	go func() { // ends when all are taken in
		for _, order := range []string{"soup", "pasta", "cake"} {
			if err := orders.Push(ctx, order); err != nil {
				fmt.Println(err)
			}
		}
		orders.Close() // what is in it is delivered
	}()
	fmt.Println(stage.Run(ctx, orders, cook))
	fmt.Println(orders.Push(ctx, "coffee"))
	// Output:
	// cooking soup
	// cooking pasta
	// cooking cake
	// <nil>
	// stage "orders": Push: 0 taken: stage: ended
}

// A context bounds how long Push waits. More events than the queue holds go in by pieces, and the
// error says how many have.
func ExampleQueue_Push() {
	q := stage.NewQueue[int](3, stage.Name("numbers"))
	ctx, cancel := context.WithCancel(context.Background()) // or WithTimeout
	go func() {                                             // ends when the queue is full
		for q.Len() < 3 {
			time.Sleep(time.Millisecond)
		}
		cancel()
	}()
	err := q.Push(ctx, 1, 2, 3, 4, 5)

	var push *stage.PushError
	if errors.As(err, &push) {
		fmt.Println(push.Taken, errors.Is(err, context.Canceled))
	}
	// Output:
	// 3 true
}

// TryPush does not wait.
func ExampleQueue_TryPush() {
	q := stage.NewQueue[int](2, stage.Name("numbers"))
	fmt.Println(q.TryPush(1))
	fmt.Println(q.TryPush(2, 3))
	fmt.Println(q.Len())
	// Output:
	// <nil>
	// stage "numbers": TryPush: stage: queue is full
	// 1
}

// FedBy closes a queue when the stages that push into it have ended.
func ExampleQueue_FedBy() {
	texts := stage.FromSlice([]string{"to be or", "not to be"})
	words := stage.NewQueue[string](10)
	splitter := stage.ForEach(func(ctx context.Context, text string) error {
		return words.Push(ctx, strings.Fields(text)...)
	})
	splitter.SubscribeTo(texts)
	words.FedBy(splitter)
	printer := stage.ForEach(func(_ context.Context, word string) error {
		fmt.Print(word, " ")
		return nil
	})
	printer.SubscribeTo(words)

	fmt.Println(stage.Run(context.Background(), texts, splitter, words, printer))
	// Output:
	// to be or not to be <nil>
}

// Events ranges over a source. Leaving the loop ends the subscription, and what the loop has not seen goes
// back to the source, for others.
func ExampleEvents() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	numbers := stage.FromSlice([]int{1, 2, 3, 4, 5})
	ended := make(chan error)
	go func() { ended <- numbers.Run(ctx) }()

	for number, err := range stage.Events(ctx, numbers) {
		fmt.Println(number, err)
		if number == 2 {
			break
		}
	}
	fmt.Println("and the rest")
	for number, err := range stage.Events(ctx, numbers) {
		fmt.Println(number, err)
	}
	fmt.Println(<-ended)
	// Output:
	// 1 <nil>
	// 2 <nil>
	// and the rest
	// 3 <nil>
	// 4 <nil>
	// 5 <nil>
	// <nil>
}

// A hub gives every message to all clients that are there. Each client is a loop, as in the handler of a connection. With Lag a
// slow one holds nobody up: it misses messages, or is cut off.
func ExampleEvents_hub() {
	hub := stage.NewQueue[string](16, stage.Name("hub"))
	hub.DispatchWith(stage.Broadcast)
	ctx, cancel := context.WithCancel(context.Background())
	go hub.Run(ctx) // ends when it is closed

	serve := func(ctx context.Context, write func(string) error) error {
		for message, err := range stage.Events(ctx, hub, stage.MaxDemand(8), stage.Lag(100, stage.LagDisconnect)) {
			if err != nil {
				return err // ErrLagging for one that is cut off
			}
			if err := write(message); err != nil {
				return err // the hub forgets it
			}
		}
		return nil // the hub was closed
	}
	left := make(chan error)
	for _, name := range []string{"anna", "ben"} {
		go func() { // ends with the hub
			left <- serve(ctx, func(message string) error {
				fmt.Println(name, "gets", message)
				return nil
			})
		}()
	}
	for len(hub.Stats().Downstreams) < 2 { // for the example: nobody is to miss anything
		time.Sleep(time.Millisecond)
	}
	for _, message := range []string{"hello", "bye"} {
		if err := hub.Push(ctx, message); err != nil {
			fmt.Println(err)
		}
	}
	hub.Close()
	fmt.Println(<-left, <-left)
	cancel()
	// Unordered output:
	// anna gets hello
	// anna gets bye
	// ben gets hello
	// ben gets bye
	// <nil> <nil>
}
