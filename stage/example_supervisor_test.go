package stage_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// A goroutine for each event, at most two at a time: each one that ends makes room for the next.
func ExampleNewConsumerSupervisor() {
	urls := stage.FromSlice([]string{"/a", "/b", "/c", "/d"})
	var pages []string // owned by the stage goroutine
	var fetchers *stage.ConsumerSupervisor[string]
	fetchers = stage.NewConsumerSupervisor(func(ctx context.Context, url string) error {
		page := strings.ToUpper(url) // takes its time
		return fetchers.Do(ctx, func(context.Context) error {
			pages = append(pages, page)
			return nil
		})
	})
	fetchers.SubscribeTo(urls, stage.MaxDemand(2))
	fetchers.OnComplete(func(context.Context) error { // when all children have ended
		fmt.Println(len(pages), "pages")
		return stage.ErrDone
	})

	fmt.Println(stage.Run(context.Background(), urls, fetchers))
	fmt.Printf("%+v\n", fetchers.Counts())
	// Output:
	// 4 pages
	// <nil>
	// {Active:0 Restarting:0 Started:4 Ended:4}
}

// The start phase is called for one event after the other, on the stage's goroutine: it may refuse
// an event, and use the stage's state.
func ExampleStartWith() {
	orders := stage.FromSlice([]string{"tea", "", "cake", "tea"})
	seats := 0 // owned by the stage goroutine
	kitchen := stage.StartWith(func(_ context.Context, order string) (func(context.Context) error, error) {
		if order == "" {
			return nil, errors.New("an empty order")
		}
		seats++
		fmt.Printf("seat %d: %s\n", seats, order)
		return func(context.Context) error { return nil }, nil // runs on a goroutine of its own
	})
	kitchen.OnDeadLetter(func(_ context.Context, order string, _ int, cause error) {
		fmt.Printf("%q: %v\n", order, cause)
	})
	kitchen.SubscribeTo(orders)

	fmt.Println(stage.Run(context.Background(), orders, kitchen))
	// Output:
	// seat 1: tea
	// "": an empty order
	// seat 2: cake
	// seat 3: tea
	// <nil>
}

// A child that fails is started again, after a pause, twice at the most. Then its event is given
// up, and the others go on.
func ExampleMaxAttempts() {
	events := stage.FromSlice([]int{1, 2, 3})
	workers := stage.NewConsumerSupervisor(func(_ context.Context, event int) error {
		if event == 2 {
			return errors.New("no luck")
		}
		return nil
	}, stage.Restart(stage.RestartTransient), stage.MaxAttempts(3), stage.Backoff(time.Millisecond, time.Second))
	workers.OnDeadLetter(func(_ context.Context, event, attempts int, cause error) {
		fmt.Printf("event %d: %d attempts: %v\n", event, attempts, cause)
	})
	workers.SubscribeTo(events)

	fmt.Println(stage.Run(context.Background(), events, workers))
	in := workers.Stats().Input
	fmt.Println(in.Handled, "handled,", in.Failed, "failed")
	// Output:
	// event 2: 3 attempts: no luck
	// <nil>
	// 2 handled, 1 failed
}

// Children may be started by hand, looked at, and stopped one by one: a long-lived connection, say, that nobody's demand has to do with.
func ExampleConsumerSupervisor_StartChild() {
	up := make(chan struct{})
	connections := stage.NewConsumerSupervisor(func(ctx context.Context, host string) error {
		<-ctx.Done() // until it is stopped
		return nil
	}, stage.OnInit(func(context.Context) error { close(up); return nil }))
	ended := make(chan error, 1)
	go func() { ended <- connections.Run(context.Background()) }()
	<-up

	ctx := context.Background()
	first, _ := connections.StartChild(ctx, "a.example")
	_, _ = connections.StartChild(ctx, "b.example")
	for _, child := range connections.Children() {
		fmt.Println(child.ID, child.Event)
	}
	fmt.Println("stopped:", connections.StopChild(ctx, first))
	fmt.Println("left:", connections.Children()[0].Event)
	connections.Abort(nil)
	fmt.Println(errors.Is(<-ended, stage.ErrShutdown))
	// Output:
	// 1 a.example
	// 2 b.example
	// stopped: <nil>
	// left: b.example
	// true
}
