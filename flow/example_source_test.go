package flow_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-genstage/genstage/flow"
	"github.com/go-genstage/genstage/stage"
)

func ExampleFromSeq() {
	squares := func(yield func(int) bool) { // has no end: Take has
		for n := 1; yield(n * n); n++ {
		}
	}
	fmt.Println(flow.FromSeq(squares).Take(5).Collect(context.Background()))
	// Output: [1 4 9 16 25] <nil>
}

func ExampleFromSeq2() {
	rows := func(yield func(string, error) bool) {
		if yield("a", nil) && yield("b", nil) {
			yield("", errors.New("connection lost"))
		}
	}
	got, err := flow.FromSeq2(rows).Collect(context.Background())
	fmt.Println(got, err)
	// Output: [] stage "1:iterator with errors": connection lost
}

func ExampleFromChannel() {
	ch := make(chan string)
	go func() { // ends when all is sent
		defer close(ch)
		for _, s := range []string{"a", "b", "c"} {
			ch <- s
		}
	}()
	fmt.Println(flow.FromChannel(ch).Collect(context.Background()))
	// Output: [a b c] <nil>
}

func ExampleLines() {
	text := strings.NewReader("one\ntwo\nthree")
	lengths := flow.Map(flow.Lines(text, flow.Stages(1)), func(line string) int { return len(line) })
	fmt.Println(lengths.Collect(context.Background()))
	// Output: [3 3 5] <nil>
}

// Several sources are flows that are merged: all stages of the layer behind them take from all of them.
func ExampleMerge() {
	odd := flow.FromSeq(slices.Values([]int{1, 3, 5}))
	even := flow.FromSlice([]int{2, 4})
	all := flow.Merge(odd, even).Shuffle(flow.Stages(2))
	got, err := flow.Map(all, func(n int) int { return 10 * n }).Collect(context.Background())
	slices.Sort(got)
	fmt.Println(got, err)
	// Output: [10 20 30 40 50] <nil>
}

// Producers of one's own run with the flow.
func ExampleFromProducers() {
	orders := stage.NewQueue[string](10)
	go func() { // ends when all is in the queue
		defer orders.Close()
		_ = orders.Push(context.Background(), "tea", "cake", "tea")
	}()
	uniq := flow.UniqBy(flow.FromProducers(orders), func(order string) string { return order }, flow.Stages(1))
	fmt.Println(uniq.Collect(context.Background()))
	// Output: [tea cake] <nil>
}

// Stages that run elsewhere go on when the flow has ended, here after two of their events.
func ExampleFromStages() {
	ctx := context.Background()
	ticks := stage.NewQueue[int](10, stage.KeepRunning())
	done := make(chan error)
	go func() { done <- ticks.Run(ctx) }()

	_ = ticks.Push(ctx, 1, 2, 3, 4)
	fmt.Println(flow.FromStages(ticks).Take(2).Collect(ctx))
	fmt.Println(flow.FromStages(ticks).Take(2).Collect(ctx))
	ticks.Close()
	fmt.Println(<-done)
	// Output:
	// [1 2] <nil>
	// [3 4] <nil>
	// <nil>
}

// A stage of one's own in the middle: it ends with its input, and may say something then.
func ExampleThrough() {
	numbered := flow.Through(flow.FromSlice([]string{"a", "b"}), func() *stage.ProducerConsumer[string, string] {
		n := 0 // owned by the stage goroutine
		pc := stage.NewProducerConsumer(func(_ context.Context, events []string, _ *stage.Subscription) ([]string, error) {
			var out []string
			for _, e := range events {
				n++
				out = append(out, fmt.Sprint(n, e))
			}
			return out, nil
		})
		pc.OnComplete(func(context.Context) ([]string, error) { return []string{fmt.Sprintf("%d in all", n)}, stage.ErrDone })
		return pc
	})
	fmt.Println(numbered.Collect(context.Background()))
	// Output: [1a 2b 2 in all] <nil>
}
