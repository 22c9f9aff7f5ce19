package flow_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-genstage/genstage/flow"
)

// The flow that docs/flow.md begins with.
func Example() {
	ctx, file := context.Background(), strings.NewReader("roses are red\nviolets are blue\n")

	lines := flow.Lines(file)
	words := flow.FlatMap(lines.Shuffle(flow.Stages(4)), strings.Fields)
	counts := flow.Reduce(words, newCounts, countWord)      // a map in each stage
	total := flow.Departition(counts, newCounts, addCounts) // one map
	err := flow.EmitPairs(total).ForEach(ctx, func(_ context.Context, p flow.Pair[string, int]) error {
		fmt.Println(p.Value, p.Key)
		return nil
	})

	fmt.Println(err)
	fmt.Print(flow.EmitPairs(total).Explain())
	// Unordered output:
	// 1 roses
	// 2 are
	// 1 red
	// 1 violets
	// 1 blue
	// <nil>
	// 1. lines: 1 stage
	// 2. flatmap+reduce: 4 stages
	//    from 1, on demand: 4 subscriptions, max 1000, min 500
	// 3. departition: 1 stage
	//    from 2, on demand: 4 subscriptions, max 1000, min 500
	// 4. end: 1 stage
	//    from 3, on demand: 1 subscription, max 1000, min 500
	// in all 7 stages, 9 subscriptions
}

type click struct {
	user string
	at   time.Time
}

// The windows of docs/flow.md.
func Example_windows() {
	noon := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	clicks := []click{{"ann", noon}, {"bob", noon.Add(time.Minute)}, {"ann", noon.Add(2 * time.Minute)}, {"ann", noon.Add(90 * time.Minute)}}
	keep := func(_ context.Context, c click) error { fmt.Println("late:", c); return nil }
	newCount := func() map[string]int { return map[string]int{} }
	count := func(counts map[string]int, c click) map[string]int { counts[c.user]++; return counts }

	byUser := flow.Partition(flow.FromSlice(clicks), func(c click) string { return c.user }, flow.Stages(2))
	hourly := byUser.FixedWindows(time.Hour, func(c click) time.Time { return c.at }, flow.Disorder(time.Minute), flow.Lateness(time.Hour))
	counts := flow.Reduce(hourly.OnLate(keep).TriggerEvery(1000), newCount, count)

	var lines []string
	err := flow.OnTrigger(counts, func(acc map[string]int, t flow.Trigger, emit func(string)) map[string]int {
		for user, n := range acc {
			if t.Timing == flow.Final {
				emit(fmt.Sprint(t.Window.Start.Format("15:04 "), user, " ", n))
			}
		}
		return acc
	}).ForEach(context.Background(), func(_ context.Context, line string) error { lines = append(lines, line); return nil })
	slices.Sort(lines)
	fmt.Println(strings.Join(lines, "\n"), err)
	// Output:
	// 12:00 ann 2
	// 12:00 bob 1
	// 13:00 ann 1 <nil>
}
