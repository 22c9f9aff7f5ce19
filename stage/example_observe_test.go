package stage_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime/pprof"
	"sync"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// Metrics of callbacks: how often each was called, and how long it took.
func ExampleObserveCallbacks() {
	var mu sync.Mutex                                           // several stages share what follows
	calls, busy := map[string]int{}, map[string]time.Duration{} // or the counters of a metrics library
	metrics := stage.ObserveCallbacks(func(c stage.Callback) {
		if !c.Ended {
			return
		}
		mu.Lock()
		defer mu.Unlock()
		calls[c.Stage+" "+c.Name]++
		busy[c.Stage+" "+c.Name] += c.Took
	})

	numbers := stage.FromSlice([]int{1, 2, 3, 4}, stage.Name("numbers"), metrics)
	adder := stage.ForEach(func(context.Context, int) error { return nil }, stage.Name("adder"), metrics)
	adder.SubscribeTo(numbers, stage.MaxDemand(1))

	fmt.Println(stage.Run(context.Background(), numbers, adder))
	fmt.Println(calls)
	fmt.Println(busy["adder events"] < time.Hour)
	// Output:
	// <nil>
	// map[adder events:4 numbers demand:4]
	// true
}

// Every message of the protocol: here those that a consumer sends.
func ExampleObserve() {
	var mu sync.Mutex // asks may be sent by any goroutine
	numbers := stage.FromSlice([]int{1, 2, 3, 4}, stage.Name("numbers"))
	adder := stage.ForEach(func(context.Context, int) error { return nil }, stage.Name("adder"), stage.Observe(func(m stage.Message) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Println(m.From, "→", m.To+":", m.Kind, m.N)
	}))
	adder.SubscribeTo(numbers, stage.MaxDemand(2), stage.MinDemand(0))
	fmt.Println(stage.Run(context.Background(), numbers, adder))
	// Output:
	// adder → numbers: subscribe 0
	// adder → numbers: ask 2
	// adder → numbers: ask 2
	// adder → numbers: ask 2
	// adder → numbers: begun all 4
	// <nil>
}

// What a stage does, line by line. (The handler here leaves out what is another one each time.)
func ExampleLogTo() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		Level: slog.LevelDebug,
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == "took" {
				return slog.Attr{}
			}
			return a
		},
	}))
	numbers := stage.FromSlice([]int{1, 2, 3, 4}, stage.Name("numbers"), stage.LogTo(logger))
	adder := stage.ForEach(func(context.Context, int) error { return nil }, stage.Name("adder"))
	adder.SubscribeTo(numbers, stage.MaxDemand(4), stage.MinDemand(0))

	fmt.Println(stage.Run(context.Background(), numbers, adder))
	// Output:
	// msg="stage: message" message=accepted from=numbers to=adder
	// msg="stage: callback begins" stage=numbers callback=demand n=4
	// msg="stage: callback ended" stage=numbers callback=demand n=4 emitted=4 error="stage: done"
	// msg="stage: message" message=events from=numbers to=adder n=4
	// msg="stage: message" message="that is all" from=numbers to=adder n=4
	// msg="stage: message" message=complete from=numbers to=adder
	// <nil>
}

// A goroutine that a callback starts has the labels too, and so has its context, for what is added by pprof.Do.
func ExampleProfile() {
	numbers := stage.FromSlice([]int{1}, stage.Name("numbers"))
	adder := stage.ForEach(func(ctx context.Context, _ int) error {
		pprof.Do(ctx, pprof.Labels("tenant", "acme"), func(ctx context.Context) {
			pprof.ForLabels(ctx, func(key, value string) bool {
				fmt.Println(key, value)
				return true
			})
		})
		return nil
	}, stage.Name("adder"), stage.Profile())
	adder.SubscribeTo(numbers)

	fmt.Println(stage.Run(context.Background(), numbers, adder))
	// Output:
	// stage adder
	// tenant acme
	// <nil>
}
