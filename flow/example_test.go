package flow_test

import (
	"context"
	"fmt"
	"strings"

	"github.com/go-genstage/genstage/flow"
)

func ExampleFlow() {
	lines := flow.FromSlice([]string{"roses are red", "violets are blue"}, flow.Ordered(0))
	words := flow.FlatMap(lines, strings.Fields)
	long := words.Filter(func(w string) bool { return len(w) > 3 })
	fmt.Println(long.Collect(context.Background()))
	// Output: [roses violets blue] <nil>
}

func ExampleFlow_Explain() {
	numbers := flow.FromSlice([]int{1, 2, 3, 4}, flow.Stages(2))
	squares := flow.Map(numbers, func(n int) int { return n * n })
	even := squares.Filter(func(n int) bool { return n%2 == 0 })
	byDigit := flow.Partition(even, func(n int) int { return n % 10 }, flow.Stages(3), flow.MaxDemand(100))
	fmt.Print(flow.Map(byDigit, func(n int) string { return fmt.Sprint(n) }).Explain())
	// Output:
	// 1. slice of 4: 1 stage
	// 2. map+filter: 2 stages
	//    from 1, on demand: 2 subscriptions, max 1000, min 500
	// 3. map: 3 stages
	//    from 2, by key: 6 subscriptions, max 100, min 50
	// 4. end: 1 stage
	//    from 3, on demand: 3 subscriptions, max 1000, min 500
	// in all 7 stages, 11 subscriptions
}
