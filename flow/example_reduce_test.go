package flow_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/go-genstage/genstage/flow"
)

func newCounts() map[string]int { return map[string]int{} }

func countWord(counts map[string]int, word string) map[string]int {
	counts[word]++
	return counts
}

func addCounts(total, part map[string]int) map[string]int {
	for word, n := range part {
		total[word] += n
	}
	return total
}

func ExampleDepartition() {
	lines := flow.FromSlice([]string{"roses are red", "violets are blue"})
	counts := flow.Reduce(flow.FlatMap(lines, strings.Fields), newCounts, countWord)
	total := flow.Departition(counts, newCounts, addCounts)
	fmt.Println(total.EmitState().Collect(context.Background()))
	// Output: [map[are:2 blue:1 red:1 roses:1 violets:1]] <nil>
}

// Equal words come to the same stage, so each is in one accumulator only.
func ExamplePartition() {
	words := flow.FromSlice([]string{"a", "b", "a", "c", "a"})
	byWord := flow.Partition(words, func(w string) string { return w }, flow.Stages(4))
	counts := flow.EmitPairs(flow.Reduce(byWord, newCounts, countWord))
	got, err := counts.Collect(context.Background())
	slices.SortFunc(got, func(a, b flow.Pair[string, int]) int { return strings.Compare(a.Key, b.Key) })
	fmt.Println(got, err)
	// Output: [{a 3} {b 1} {c 1}] <nil>
}

// One's own choice of the stage, and of the value, by a Map before it.
func ExampleFlow_PartitionWith() {
	f := flow.FromSlice([]int{1, 2, 3, 4}).PartitionWith(func(v, n int) int { return v % n }, flow.Stages(2))
	lists := flow.Reduce(f, func() []int { return nil }, func(acc []int, v int) []int { return append(acc, v) })
	got, err := lists.EmitState().Collect(context.Background())
	slices.SortFunc(got, func(a, b []int) int { return a[0] - b[0] })
	fmt.Println(got, err)
	// Output: [[1 3] [2 4]] <nil>
}

// A new layer, with more stages than the one before.
func ExampleFlow_Shuffle() {
	few := flow.Map(flow.FromSlice([]int{1, 2, 3}, flow.Stages(1)), func(n int) int { return n + 1 })
	many := flow.Map(few.Shuffle(flow.Stages(4)), func(n int) int { return n * n })
	got, err := many.Collect(context.Background())
	slices.Sort(got)
	fmt.Println(got, err)
	// Output: [4 9 16] <nil>
}

func ExampleFlow_Broadcast() {
	all := flow.FromSlice([]int{1, 2}).Broadcast(flow.Stages(3))
	fmt.Println(flow.Sum(all).Collect(context.Background()))
	// Output: [9] <nil>
}

func ExampleReduce() {
	f := flow.FromSlice([]int{1, 2, 3}, flow.Stages(1))
	sum := flow.Reduce(f, func() int { return 0 }, func(sum, n int) int { return sum + n })
	fmt.Println(sum.EmitState().Collect(context.Background()))
	// Output: [6] <nil>
}

// Running totals: each step emits one.
func ExampleReduceEmit() {
	f := flow.FromSlice([]int{1, 2, 3}, flow.Stages(1))
	totals := flow.ReduceEmit(f, func() int { return 0 }, func(sum, n int, emit func(int)) int {
		emit(sum + n)
		return sum + n
	}, nil)
	fmt.Println(totals.Collect(context.Background()))
	// Output: [1 3 6] <nil>
}

func ExampleOnTrigger() {
	f := flow.FromSlice([]int{1, 2, 3}, flow.Stages(1))
	sum := flow.Reduce(f, func() int { return 0 }, func(sum, n int) int { return sum + n })
	said := flow.OnTrigger(sum, func(sum int, t flow.Trigger, emit func(string)) int {
		emit(fmt.Sprintf("stage %d of %d, %v: %d", t.Stage, t.Stages, t.Timing, sum))
		return 0
	})
	fmt.Println(said.Collect(context.Background()))
	// Output: [stage 0 of 1, final: 6] <nil>
}

func ExampleReduction_EmitNothing() {
	f := flow.FromSlice([]int{1, 2, 3}, flow.Stages(1))
	seen := flow.Reduce(f, func() int { return 0 }, func(n, v int) int { fmt.Println(n, v); return n + 1 })
	fmt.Println(seen.EmitNothing().Collect(context.Background()))
	// Output:
	// 0 1
	// 1 2
	// 2 3
	// [] <nil>
}

func ExampleGroupBy() {
	words := flow.FromSlice([]string{"bee", "ant", "bear", "ape", "cat"}, flow.Ordered(0))
	groups := flow.GroupBy(words, func(w string) byte { return w[0] }, func(w string) string { return w })
	got, err := flow.EmitPairs(groups).Collect(context.Background())
	slices.SortFunc(got, func(a, b flow.Pair[byte, []string]) int { return int(a.Key) - int(b.Key) })
	for _, g := range got {
		fmt.Printf("%c %v\n", g.Key, g.Value)
	}
	fmt.Println(err)
	// Output:
	// a [ant ape]
	// b [bee bear]
	// c [cat]
	// <nil>
}

func ExampleUniqBy() {
	words := flow.FromSlice([]string{"bee", "ant", "bear", "ape", "cat"})
	first := flow.UniqBy(words, func(w string) byte { return w[0] }, flow.Stages(1))
	fmt.Println(first.Collect(context.Background()))
	// Output: [bee ant cat] <nil>
}

func ExampleTopN() {
	f := flow.FromSlice([]int{3, 1, 4, 1, 5, 9, 2, 6})
	greatest := flow.TopN(f, 3, func(a, b int) bool { return a > b })
	fmt.Println(flow.EmitEach(greatest).Collect(context.Background()))
	// Output: [9 6 5] <nil>
}

func ExampleCount() {
	fmt.Println(flow.Count(flow.FromSlice([]string{"a", "b"})).Collect(context.Background()))
	fmt.Println(flow.Count(flow.FromSlice([]string{})).Collect(context.Background()))
	// Output:
	// [2] <nil>
	// [0] <nil>
}

func ExampleSum() {
	fmt.Println(flow.Sum(flow.FromSlice([]float64{0.5, 1.5})).Collect(context.Background()))
	// Output: [2] <nil>
}

func ExampleMean() {
	fmt.Println(flow.Mean(flow.FromSlice([]int{1, 2, 6})).Collect(context.Background()))
	fmt.Println(flow.Mean(flow.FromSlice([]int{})).Collect(context.Background()))
	// Output:
	// [3] <nil>
	// [] <nil>
}

func ExampleMin() {
	fmt.Println(flow.Min(flow.FromSlice([]int{3, 1, 2})).Collect(context.Background()))
	// Output: [1] <nil>
}

func ExampleMax() {
	fmt.Println(flow.Max(flow.FromSlice([]int{3, 1, 2})).Collect(context.Background()))
	// Output: [3] <nil>
}
