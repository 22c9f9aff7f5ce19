package simulate

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// MeanChildren returns how many children of a consumer supervisor run on average over time, with that max and min demand, a
// producer that answers at once, and children that end one after the other in even time.
func MeanChildren(ctx context.Context, limit, least int) (float64, error) {
	const ends = 10 * 5 * 2 * 3 * 19 // a multiple of what is asked for at once
	var sum int
	release := make(chan struct{})
	source := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) { return make([]int, demand), nil })
	children := stage.NewConsumerSupervisor(func(ctx context.Context, _ int) error {
		select {
		case <-release:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	})
	children.SubscribeTo(source, stage.MaxDemand(limit), stage.MinDemand(least))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	over := make(chan error, 1)
	go func() { over <- stage.Run(ctx, source, children) }() // ends with ctx; waited for below
	for range ends {
		time.Sleep(unit) // fake: everything else has come to rest by then
		sum += int(children.Counts().Active)
		release <- struct{}{}
	}
	cancel()
	if err := <-over; !errors.Is(err, context.Canceled) {
		return 0, err
	}
	return float64(sum) / ends, nil
}

// PrintChildren prints a table for max 20.
func PrintChildren(ctx context.Context, w io.Writer) error {
	const limit = 20
	fmt.Fprintf(w, "Children of a consumer supervisor with max %d, on average.\n\n%6s %9s %14s %15s\n", limit, "min", "measured", "max - min/2", "(max + min)/2")
	for _, least := range []int{0, 5, 10, 15, 19} {
		mean, err := MeanChildren(ctx, limit, least)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%6d %9.2f %14.1f %15.1f\n", least, mean, limit-float64(least)/2, float64(limit+least)/2); err != nil {
			return err
		}
	}
	return nil
}
