package stage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/go-genstage/genstage/stage"
)

// OnTerminate is where a stage lets go of what it holds, however it ends.
func ExampleOnTerminate() {
	numbers := stage.FromSlice([]int{1, 2, 3})
	writer := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error {
		return errors.New("disk full")
	}, stage.Name("writer"), stage.OnTerminate(func(reason error) {
		fmt.Println("closes its file:", reason)
	}))
	writer.SubscribeTo(numbers)
	fmt.Println(stage.Run(context.Background(), numbers, writer))
	// Output:
	// closes its file: stage "writer": disk full
	// stage "writer": disk full
}

// A producer sees its consumers come and go, and may refuse one of them without any harm to the others.
func ExampleOnConsumer() {
	numbers := stage.FromSlice([]int{1, 2, 3},
		stage.OnConsumer(func(_ context.Context, sub *stage.Subscription) error {
			if sub.Label() == "stranger" {
				return fmt.Errorf("%w: who is this?", stage.ErrRefused)
			}
			fmt.Println("comes:", sub.Consumer())
			return nil
		}))
	var got, none []int
	member, stranger := gather(&got, stage.Name("member")), gather(&none)
	member.SubscribeTo(numbers)
	stranger.SubscribeTo(numbers, stage.Label("stranger"), stage.Cancel(stage.CancelTemporary))
	stranger.OnCancel(func(_ context.Context, _ *stage.Subscription, end stage.Cancellation) error {
		fmt.Println("refused:", errors.Is(end.Reason, stage.ErrRefused))
		return nil
	})
	err := stage.Run(context.Background(), numbers, stage.NewPipeline(member), stage.NewPipeline(stranger))
	fmt.Println(got, none, err)
	// Unordered output:
	// comes: member
	// refused: true
	// [1 2 3] [] <nil>
}

// In a pipeline a producer ends when its last consumer has gone. One with KeepRunning waits for the next.
func ExampleKeepRunning() {
	gone := make(chan struct{})
	source := stage.FromSeq(func(yield func(int) bool) {
		for n := 0; yield(n); n++ {
		}
	}, stage.KeepRunning(), stage.OnConsumerGone(func(_ context.Context, _ *stage.Subscription, end stage.Cancellation) error {
		fmt.Println("a consumer is", end.Kind)
		gone <- struct{}{}
		return nil
	}))
	first := func() *stage.Consumer[int] {
		c := stage.ForEach(func(_ context.Context, n int) error {
			fmt.Println("got", n)
			return stage.ErrDone
		})
		c.SubscribeTo(source, stage.MaxDemand(1))
		return c
	}
	pipeline := stage.NewPipeline(source, first())
	ended := make(chan error, 1)
	go func() { ended <- pipeline.Run(context.Background()) }()
	<-gone
	go func() { _ = first().Run(context.Background()) }()
	<-gone
	_ = pipeline.Stop(context.Background())
	fmt.Println(<-ended)
	// Output:
	// got 0
	// a consumer is down
	// got 1
	// a consumer is down
	// <nil>
}

// What no call returns, as an event that is dropped, goes to a log: slog's default, or one of one's own.
func ExampleLogger() {
	logger := slog.New(slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{
		ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		},
	}))
	numbers := stage.FromSlice([]int{1, 2, 3}, stage.Name("numbers"), stage.Logger(logger))
	numbers.DispatchWith(stage.PartitionBy(func(n int) bool { return n > 2 }, true)) // there is no partition false
	var got []int
	large := gather(&got)
	large.SubscribeTo(stage.Partition(numbers, true))
	err := stage.Run(context.Background(), numbers, large)
	fmt.Println(got, numbers.Stats().Output.Dropped, err)
	// Output:
	// level=WARN msg="stage: the dispatcher drops events" stage=numbers dropped=2 error="stage: PartitionBy: there is no partition false"
	// [3] 2 <nil>
}

// Pipelines nest, and have names.
func ExamplePipeline_Named() {
	numbers := stage.FromSlice([]int{1, 2, 3}, stage.Name("numbers"))
	var got []int
	sink := gather(&got, stage.Name("sink"))
	sink.SubscribeTo(numbers)
	ingest := stage.NewPipeline(numbers, sink).Named("ingest")
	for _, s := range ingest.Stages() {
		fmt.Println(ingest.Name(), "has", s.Name())
	}
	fmt.Println(ingest.Run(context.Background()), ingest.Stats().Stage)
	// Output:
	// ingest has numbers
	// ingest has sink
	// <nil> ingest
}
