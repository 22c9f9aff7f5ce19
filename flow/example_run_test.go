package flow_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/go-genstage/genstage/flow"
	"github.com/go-genstage/genstage/stage"
)

// A flow is a value: the same one can be extended in two ways, and run twice.
func ExampleFlow_Collect() {
	numbers := flow.FromSlice([]int{1, 2, 3, 4}, flow.Stages(1))
	odd := numbers.Filter(func(n int) bool { return n%2 == 1 })
	even := numbers.Reject(func(n int) bool { return n%2 == 1 })
	fmt.Println(odd.Collect(context.Background()))
	fmt.Println(even.Collect(context.Background()))
	fmt.Println(odd.Collect(context.Background()))
	fmt.Println(flow.FromSlice([]int{}).Collect(context.Background())) // a source without values: an end, and no error
	// Output:
	// [1 3] <nil>
	// [2 4] <nil>
	// [1 3] <nil>
	// [] <nil>
}

// Run is for effects: nothing is kept.
func ExampleFlow_Run() {
	var sum atomic.Int64 // Tap is called by several stages
	numbers := flow.FromSlice([]int{1, 2, 3}).Tap(func(n int) { sum.Add(int64(n)) })
	fmt.Println(numbers.Run(context.Background()), sum.Load())
	// Output: <nil> 6
}

func ExampleFlow_ForEach() {
	err := flow.FromSlice([]string{"a", "b"}).ForEach(context.Background(), func(_ context.Context, s string) error {
		fmt.Println(s)
		return nil
	})
	fmt.Println(err)
	// Output:
	// a
	// b
	// <nil>
}

// Leaving the loop ends the flow.
func ExampleFlow_Seq() {
	numbers := flow.FromSlice(make([]int, 1_000_000))
	n := 0
	for _, err := range numbers.Seq(context.Background()) {
		if err != nil {
			fmt.Println(err)
		}
		if n++; n == 3 {
			break
		}
	}
	fmt.Println(n)
	// Output: 3
}

// Consumers of one's own share the results, or each gets all of them if the flow is a Source with stage.Broadcast.
func ExampleInto() {
	ctx := context.Background()
	sum := 0
	adder := stage.ForEach(func(_ context.Context, n int) error { sum += n; return nil })
	fmt.Println(flow.Into(flow.FromSlice([]int{1, 2, 3}), adder).Run(ctx), sum)
	// Output: <nil> 6
}

func ExampleSource() {
	src, numbers := flow.Source(flow.FromSlice([]int{1, 2, 3, 4}), stage.Broadcast)
	var sum, most int
	adder := stage.ForEach(func(_ context.Context, n int) error { sum += n; return nil })
	adder.SubscribeTo(src, stage.MaxDemand(2))
	maximum := stage.ForEach(func(_ context.Context, n int) error { most = max(most, n); return nil })
	maximum.SubscribeTo(stage.Where(src, func(n int) bool { return n < 4 }))
	fmt.Println(stage.Run(context.Background(), numbers, adder, maximum), sum, most)
	// Output: <nil> 10 3
}

// A flow as a stage: it runs in a pipeline, under a supervisor, or in an errgroup. Stop would drain it, as Close of its source does.
func ExampleFlow_Pipeline() {
	ctx := context.Background()
	jobs := stage.NewQueue[int](10)
	sum := 0
	p := flow.Map(flow.Sum(flow.FromProducers(jobs)), func(n int) int { sum = n; return n }).Pipeline()

	_ = jobs.Push(ctx, 1, 2, 3)
	done := make(chan error)
	go func() { done <- p.Run(ctx) }()
	_ = jobs.Push(ctx, 4)
	jobs.Close()
	fmt.Println(<-done, sum)
	// Output: <nil> 10
}

// Options are those of the layer that a source, or an operation like Shuffle, begins.
func ExampleOption() {
	f := flow.FromSlice([]int{3, 1, 2},
		flow.Name("square"),
		flow.Stages(2),
		flow.MaxDemand(1), // slow work: nothing waits for a stage that is busy
		flow.MinDemand(0),
		flow.BufferSize(100),
		flow.OnInit(func(_ context.Context, index, total int) error {
			_ = index // a connection for each stage, for instance
			return nil
		}))
	squares, err := flow.Map(f, func(n int) int { return n * n }).Collect(context.Background())
	slices.Sort(squares)
	fmt.Println(squares, err)
	_, err = flow.FromSlice([]int{1}, flow.Stages(0)).Collect(context.Background())
	fmt.Println(err)
	// Output:
	// [1 4 9] <nil>
	// stage "flow": flow: layer "pass": stage: invalid option: Stages(0) is less than 1
}

// Three stages work at the same time, and the results come in the order of the input nevertheless.
func ExampleOrdered() {
	f := flow.FromSlice([]int{1, 2, 3, 4, 5, 6}, flow.Stages(3), flow.MaxDemand(1), flow.Ordered(6))
	fmt.Println(flow.Map(f, func(n int) int { return n * n }).Collect(context.Background()))
	// Output: [1 4 9 16 25 36] <nil>
}

// By default a flow ends when a layer's results exceed its buffer: KeepFirst and KeepLast leave some out instead.
func ExampleKeepFirst() {
	ten := func(opts ...flow.Option) flow.Flow[int] {
		f := flow.FromSlice([]int{0}, append(opts, flow.Stages(1), flow.BufferSize(2))...)
		return flow.FlatMap(f, func(int) []int { return []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9} })
	}
	ctx := context.Background()
	_, err := ten().Collect(ctx, flow.MaxDemand(1)) // one is asked for, two have room
	fmt.Println(errors.Is(err, flow.ErrBufferFull))
	fmt.Println(ten(flow.KeepFirst()).Collect(ctx, flow.MaxDemand(1)))
	fmt.Println(ten(flow.KeepLast()).Collect(ctx, flow.MaxDemand(1)))
	// Output:
	// true
	// [0 1 2] <nil>
	// [0 8 9] <nil>
}

// A pipeline over files: they are read and summed on several goroutines, and the lines come in the order of the names.
func Example_orderedFiles() {
	dir, err := os.MkdirTemp("", "ordered")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	for i, text := range []string{"roses are red", "violets are blue", "honey is sweet", "and so are you"} {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.txt", i)), []byte(text), 0o600); err != nil {
			fmt.Println(err)
			return
		}
	}
	names, _ := filepath.Glob(filepath.Join(dir, "*.txt")) // sorted

	files := flow.FromSlice(names, flow.Stages(4), flow.MaxDemand(1), flow.Ordered(8)) // at most eight under way at once
	sums := flow.MapErr(files, func(_ context.Context, name string) (string, error) {
		text, err := os.ReadFile(name)
		return fmt.Sprintf("%x %s", sha256.Sum256(text), filepath.Base(name)), err
	})
	err = sums.ForEach(context.Background(), func(_ context.Context, line string) error {
		fmt.Println(line[:8], line[65:])
		return nil
	})
	fmt.Println(err)
	// Output:
	// 2476f065 0.txt
	// 91bff064 1.txt
	// 33b9bcb4 2.txt
	// 5f0c2329 3.txt
	// <nil>
}
