// Ratelimiter passes on at most three events per interval: a consumer in manual mode that asks on a timer.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/go-genstage/genstage/stage"
)

const (
	interval = 250 * time.Millisecond
	rate     = 3 // events per interval
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ratelimiter:", err)
		os.Exit(1)
	}
}

// limiter handles at most rate events per interval.
type limiter struct {
	w io.Writer

	// owned by the stage goroutine
	now   int // the interval
	spent int // events handled in it
}

// subscribed asks for the first events, and begins to measure time.
func (l *limiter) subscribed(ctx context.Context, sub *stage.Subscription) error {
	go func() { // ends with the run
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				// On the stage's goroutine; an error says that the run has ended, and ctx will, too.
				_ = sub.Tell(func(context.Context) error { return l.tick(sub) })
			case <-ctx.Done():
				return
			}
		}
	}()
	fmt.Fprintf(l.w, "0  asks for %d\n", rate)
	return sub.Ask(rate)
}

// tick asks again for what was handled in the interval that ends: what was asked for and has not come
// is still open, and asking for it once more would let a burst through later.
func (l *limiter) tick(sub *stage.Subscription) error {
	l.now++
	spent := l.spent
	l.spent = 0
	if spent == 0 {
		fmt.Fprintf(l.w, "%d  asks for nothing: %d are still open\n", l.now, rate)
		return nil
	}
	fmt.Fprintf(l.w, "%d  asks for %d: %d are still open\n", l.now, spent, rate-spent)
	if err := sub.Ask(spent); !errors.Is(err, stage.ErrEnded) { // the source may have completed a moment ago
		return err
	}
	return nil
}

func (l *limiter) handle(_ context.Context, events []int, _ *stage.Subscription) error {
	l.spent += len(events)
	_, err := fmt.Fprintf(l.w, "%d       got %v\n", l.now, events)
	return err
}

// run has a queue filled at once, and later once more, and the limiter empty it.
func run(ctx context.Context, w io.Writer) error {
	l := &limiter{w: w}
	source := stage.NewQueue[int](100, stage.Name("source"))
	consumer := stage.NewConsumer(l.handle, stage.Name("limiter"), stage.OnSubscribe(l.subscribed))
	consumer.SubscribeTo(source, stage.Manual())

	if err := source.Push(ctx, 0, 1, 2, 3, 4, 5, 6); err != nil { // a queue may be filled before it runs
		return err
	}
	second := time.AfterFunc(9*interval/2, func() {
		defer source.Close()
		if err := source.Push(ctx, 7, 8, 9, 10, 11, 12, 13); err != nil {
			source.Abort(err)
		}
	})
	defer second.Stop()
	return stage.Run(ctx, source, consumer)
}
