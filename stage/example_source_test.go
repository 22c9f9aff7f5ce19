package stage_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// FromSeq makes a producer of an iterator, which is pulled only as far as consumers ask.
func ExampleFromSeq() {
	fibonacci := func(yield func(int) bool) {
		for a, b := 0, 1; yield(a); a, b = b, a+b {
		}
	}
	numbers := stage.FromSeq(fibonacci)
	printer := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		fmt.Println(events)
		if events[0] > 100 {
			return stage.ErrDone // the iterator sees its yield return false
		}
		return nil
	})
	printer.SubscribeTo(numbers, stage.MaxDemand(5), stage.MinDemand(0))

	fmt.Println(stage.Run(context.Background(), numbers, printer))
	// Output:
	// [0 1 1 2 3]
	// [5 8 13 21 34]
	// [55 89 144 233 377]
	// [610 987 1597 2584 4181]
	// <nil>
}

// Retry has the demand callback called again after Wake: it returns what there is, and need not
// remember what it owes.
func ExampleProducer_Wake() {
	var (
		mu     sync.Mutex
		events []string // guarded by mu
		closed bool     // guarded by mu
	)
	mailbox := stage.NewProducer(func(_ context.Context, demand int) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		n := min(demand, len(events))
		taken := slices.Clone(events[:n])
		events = events[n:]
		if closed && len(events) == 0 {
			return taken, stage.ErrDone
		}
		return taken, nil
	}, stage.Retry())
	printer := stage.ForEach(func(_ context.Context, event string) error {
		fmt.Println(event)
		return nil
	})
	printer.SubscribeTo(mailbox)

	ended := make(chan error)
	go func() { ended <- stage.Run(context.Background(), mailbox, printer) }()
	for _, event := range []string{"one", "two", "three", ""} {
		mu.Lock()
		if event == "" {
			closed = true
		} else {
			events = append(events, event)
		}
		mu.Unlock()
		mailbox.Wake() // ErrNotRunning at first, perhaps: then it has not looked yet, and will
	}
	fmt.Println(<-ended)
	// Output:
	// one
	// two
	// three
	// <nil>
}

// Poll looks for events only while there is demand for them, and pauses when it finds none.
func ExamplePoll() {
	finds := [][]string{{"a.csv"}, nil, nil, {"b.csv", "c.csv"}}
	files := stage.Poll(func(_ context.Context, demand int) ([]string, error) {
		if len(finds) == 0 {
			return nil, stage.ErrDone
		}
		found := finds[0] // a real one lists a folder, and returns at most demand of what it finds
		finds = finds[1:]
		return found, nil
	}, stage.PollEvery(time.Millisecond, 10*time.Millisecond))
	printer := stage.ForEach(func(_ context.Context, file string) error {
		fmt.Println(file)
		return nil
	})
	printer.SubscribeTo(files, stage.MaxDemand(10))

	fmt.Println(stage.Run(context.Background(), files, printer))
	// Output:
	// a.csv
	// b.csv
	// c.csv
	// <nil>
}
