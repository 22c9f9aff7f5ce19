package stage_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// A callback that does not look at its context keeps Run no longer than Grace says.
func ExampleGrace() {
	begun, unplug := make(chan struct{}), make(chan struct{})
	stubborn := stage.ForEach(func(context.Context, int) error {
		close(begun)
		<-unplug // whatever becomes of the context
		return nil
	}, stage.Name("stubborn"), stage.Grace(10*time.Millisecond))
	source := stage.FromSlice([]int{1, 2, 3})
	stubborn.SubscribeTo(source, stage.MaxDemand(1))

	ctx, cancel := context.WithCancel(context.Background())
	go func() { // ends when the callback has begun
		<-begun
		cancel()
	}()
	err := stage.Run(ctx, source, stubborn)
	fmt.Println(errors.Is(err, stage.ErrStuck), errors.Is(err, context.Canceled))
	var stuck *stage.StuckError
	if errors.As(err, &stuck) {
		fmt.Println(stuck.Stuck[0].Stage, "is in", stuck.Stuck[0].Callback)
	}
	fmt.Println("late:", stubborn.Stats().Input.Late)

	close(unplug)
	for len(stubborn.Stats().Stuck) > 0 { // until it has returned at last
		time.Sleep(time.Millisecond)
	}
	// Output:
	// true true
	// stubborn is in events
	// late: 1
}
