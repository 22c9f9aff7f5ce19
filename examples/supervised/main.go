// Supervised runs the same two stages in three ways: in an errgroup, under a supervisor of the suture library, and in a
// stage.Supervisor. The consumer fails once.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/go-genstage/genstage/stage"
	"github.com/thejerf/suture/v4"
	"golang.org/x/sync/errgroup"
)

// once fails at its first batch.
type once struct{ failed bool }

func (o *once) handle(_ context.Context, events []int, _ *stage.Subscription) error {
	if !o.failed {
		o.failed = true
		return errors.New("once")
	}
	fmt.Print(events, " ")
	return nil
}

// stages makes a source of six numbers and a consumer that takes two at a time.
func stages() (source *stage.Producer[int], sink *stage.Consumer[int]) {
	source = stage.FromSlice([]int{1, 2, 3, 4, 5, 6}, stage.Name("source"))
	sink = stage.NewConsumer((&once{}).handle, stage.Name("sink"))
	sink.SubscribeTo(source, stage.MaxDemand(2), stage.MinDemand(0))
	return source, sink
}

// inErrgroup ends everything at the first failure.
func inErrgroup(ctx context.Context) error {
	source, sink := stages()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return source.Run(ctx) })
	group.Go(func() error { return sink.Run(ctx) })
	return group.Wait()
}

// service is a stage under suture, which starts again what returns nil.
type service struct{ stage.Stage }

func (s service) Serve(ctx context.Context) error {
	if err := s.Run(ctx); err != nil {
		return err
	}
	return suture.ErrDoNotRestart
}

// underSuture restarts the consumer. Each stage runs alone; the source waits for whoever subscribes.
func underSuture(ctx context.Context) error {
	source, sink := stages()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	sink.OnComplete(func(context.Context) error { cancel(); return stage.ErrDone })
	sup := suture.NewSimple("suture")
	sup.Add(service{source})
	sup.Add(service{sink})
	if err := sup.Serve(ctx); !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// underSupervisor restarts the consumer, and ends when all is done.
func underSupervisor(ctx context.Context) error {
	source, sink := stages()
	sup := stage.NewSupervisor(stage.Logger(slog.New(slog.DiscardHandler)))
	sup.Add(source)
	sup.Add(sink)
	return sup.Run(ctx)
}

func main() {
	ctx := context.Background()
	fmt.Println("errgroup:", inErrgroup(ctx))
	fmt.Println("suture:", underSuture(ctx))
	if err := underSupervisor(ctx); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println("supervisor: <nil>")
}
