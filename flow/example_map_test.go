package flow_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-genstage/genstage/flow"
)

func ExampleMap() {
	f := flow.FromSlice([]string{"a", "b"}, flow.Stages(1))
	fmt.Println(flow.Map(f, strings.ToUpper).Collect(context.Background()))
	// Output: [A B] <nil>
}

// The error names the item, the operation and the stage.
func ExampleMapErr() {
	f := flow.FromSlice([]string{"1", "2", "three"}, flow.Stages(1))
	parse := func(_ context.Context, s string) (int, error) { return strconv.Atoi(s) }
	got, err := flow.MapErr(f, parse).Collect(context.Background())
	fmt.Println(got, err)
	var item *flow.ItemError
	fmt.Println(errors.As(err, &item), item.Item, item.Op, item.Stage, errors.Is(err, strconv.ErrSyntax))
	// Output:
	// [] stage "2:map": map of three: strconv.Atoi: parsing "three": invalid syntax
	// true three map 2:map true
}

func ExampleFlow_OnError() {
	ctx := context.Background()
	f := flow.FromSlice([]string{"1", "two", "3"}, flow.Stages(1))
	tries := 0
	parse := func(_ context.Context, s string) (int, error) { tries++; return strconv.Atoi(s) }

	fmt.Println(flow.MapErr(f.OnError(flow.Skip()), parse).Collect(ctx))
	tries = 0
	fmt.Println(flow.MapErr(f.OnError(flow.Retry(2, time.Millisecond, time.Second), flow.Skip()), parse).Collect(ctx))
	fmt.Println(tries, "tries")
	dead := flow.DeadLetter(func(_ context.Context, e *flow.ItemError) error {
		fmt.Println("dead letter:", e.Item, "in", e.Stage)
		return nil
	})
	fmt.Println(flow.MapErr(f.OnError(dead), parse).Collect(ctx))
	// Output:
	// [1 3] <nil>
	// [1 3] <nil>
	// 5 tries
	// dead letter: two in 2:map
	// [1 3] <nil>
}

func ExampleFlow_Filter() {
	f := flow.FromSlice([]int{1, 2, 3, 4}, flow.Stages(1))
	fmt.Println(f.Filter(func(n int) bool { return n > 2 }).Collect(context.Background()))
	// Output: [3 4] <nil>
}

func ExampleFlow_Reject() {
	f := flow.FromSlice([]int{1, 2, 3, 4}, flow.Stages(1))
	fmt.Println(f.Reject(func(n int) bool { return n > 2 }).Collect(context.Background()))
	// Output: [1 2] <nil>
}

func ExampleFlow_Tap() {
	f := flow.FromSlice([]int{1, 2}, flow.Stages(1)).Tap(func(n int) { fmt.Println("saw", n) })
	fmt.Println(f.Collect(context.Background()))
	// Output:
	// saw 1
	// saw 2
	// [1 2] <nil>
}

func ExampleFlatMap() {
	f := flow.FromSlice([]string{"a b", "c"}, flow.Stages(1))
	fmt.Println(flow.FlatMap(f, strings.Fields).Collect(context.Background()))
	// Output: [a b c] <nil>
}

func ExampleFlatMapErr() {
	f := flow.FromSlice([]string{"1,2", "3"}, flow.Stages(1))
	numbers := flow.FlatMapErr(f, func(_ context.Context, s string) ([]int, error) {
		var all []int
		for part := range strings.SplitSeq(s, ",") {
			n, err := strconv.Atoi(part)
			if err != nil {
				return nil, err
			}
			all = append(all, n)
		}
		return all, nil
	})
	fmt.Println(numbers.Collect(context.Background()))
	// Output: [1 2 3] <nil>
}

// One value becomes a billion; as many are made as are taken.
func ExampleFlatMapSeq() {
	f := flow.FromSlice([]int{1_000_000_000})
	numbers := flow.FlatMapSeq(f, func(n int) iter.Seq[int] {
		return func(yield func(int) bool) {
			for i := range n {
				if !yield(i) {
					return
				}
			}
		}
	})
	fmt.Println(numbers.Take(3).Collect(context.Background()))
	// Output: [0 1 2] <nil>
}

// A batch is what a stage has received at once, here up to two values.
func ExampleMapBatch() {
	f := flow.FromSlice([]int{1, 2, 3, 4}, flow.Stages(1), flow.MaxDemand(2), flow.MinDemand(0))
	sums := flow.MapBatch(f, func(_ context.Context, ids []int) ([]string, error) {
		return []string{fmt.Sprint("loaded ", ids)}, nil // one query for all of them
	})
	fmt.Println(sums.Collect(context.Background()))
	// Output: [loaded [1 2] loaded [3 4]] <nil>
}

func ExampleMapValues() {
	f := flow.FromSlice([]flow.Pair[string, int]{{Key: "a", Value: 1}, {Key: "b", Value: 2}}, flow.Stages(1))
	fmt.Println(flow.MapValues(f, func(n int) int { return 10 * n }).Collect(context.Background()))
	// Output: [{a 10} {b 20}] <nil>
}

func ExampleFlow_Take() {
	f := flow.FromSlice([]int{1, 2, 3, 4})
	fmt.Println(f.Take(2).Collect(context.Background()))
	// Output: [1 2] <nil>
}

func ExampleBatch() {
	f := flow.FromSlice([]int{1, 2, 3, 4, 5}, flow.Stages(1))
	fmt.Println(flow.Batch(f, 2, time.Minute).Collect(context.Background()))
	// Output: [[1 2] [3 4] [5]] <nil>
}

func ExampleBatchWeight() {
	f := flow.FromSlice([]string{"aa", "b", "cccc", "d"}, flow.Stages(1))
	bytes := func(s string) int64 { return int64(len(s)) }
	fmt.Println(flow.BatchWeight(f, 3, bytes, time.Minute).Collect(context.Background()))
	// Output: [[aa b] [cccc] [d]] <nil>
}

func ExampleBatchBy() {
	f := flow.FromSlice([]int{1, 2, 3, 4, 5, 7})
	odd := func(n int) bool { return n%2 == 1 }
	got, err := flow.BatchBy(f, odd, 2, time.Minute, flow.Stages(1)).Collect(context.Background())
	slices.SortFunc(got, func(a, b flow.Pair[bool, []int]) int { return a.Value[0] - b.Value[0] })
	fmt.Println(got, err)
	// Output: [{true [1 3]} {false [2 4]} {true [5 7]}] <nil>
}
