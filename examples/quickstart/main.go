// Quickstart runs three stages, A → B → C: a counter, a doubler of odd numbers and a printer.
// With -trace it also prints every message that crossed between them.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/go-genstage/genstage/stage"
)

func main() {
	showTrace := flag.Bool("trace", false, "print each message that crosses between the stages")
	flag.Parse()
	if err := run(context.Background(), os.Stdout, *showTrace); err != nil {
		fmt.Fprintln(os.Stderr, "quickstart:", err)
		os.Exit(1)
	}
}

// counter emits the integers in [next, end).
type counter struct{ next, end int } // owned by the goroutine of A

// produce returns as many numbers as were asked for, and never more.
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

// doubleOdd emits fewer events than it gets.
func doubleOdd(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
	var out []int
	for _, n := range events {
		if n%2 == 1 {
			out = append(out, 2*n)
		}
	}
	return out, nil
}

// run wires the stages, each to the one before it, and runs them until the numbers are used up.
func run(ctx context.Context, w io.Writer, showTrace bool) error {
	var t trace
	observe := stage.Observe(t.add)

	a := stage.NewProducer((&counter{end: 25}).produce, stage.Name("A"), observe)
	b := stage.NewProducerConsumer(doubleOdd, stage.Name("B"), observe)
	c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		_, err := fmt.Fprintln(w, "C got", events)
		return err
	}, stage.Name("C"), observe)

	b.SubscribeTo(a, stage.MaxDemand(10), stage.MinDemand(0)) // B asks A for 10, and for 10 more when those are handled
	c.SubscribeTo(b, stage.MaxDemand(5), stage.MinDemand(0))

	err := stage.Run(ctx, a, b, c)
	if showTrace {
		fmt.Fprintln(w)
		for _, line := range t.lines() {
			fmt.Fprintln(w, line)
		}
	}
	return err
}
