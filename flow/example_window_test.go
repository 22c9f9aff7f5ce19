package flow_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-genstage/genstage/flow"
	"github.com/go-genstage/genstage/stage"
)

// order is what the examples of windows are about.
type order struct {
	item string
	at   time.Time
}

// orders reads "item@seconds" separated by spaces.
func orders(s string) []order {
	var all []order
	for _, f := range strings.Fields(s) {
		var o order
		var seconds int64
		item, at, _ := strings.Cut(f, "@")
		fmt.Sscan(at, &seconds)
		o.item, o.at = item, time.Unix(seconds, 0)
		all = append(all, o)
	}
	return all
}

func (o order) time() time.Time { return o.at }

// items folds orders into the list of what was ordered.
func items(acc []string, o order) []string { return append(acc, o.item) }

func noItems() []string { return nil }

// show emits a line for each trigger, and goes on with the same accumulator.
func show(acc []string, t flow.Trigger, emit func(line string)) []string {
	name := "window"
	switch {
	case !t.Window.End.IsZero():
		name = fmt.Sprintf("%d-%d s", t.Window.Start.Unix(), t.Window.End.Unix())
	case t.Window.Index > 0:
		name = fmt.Sprintf("window %d", t.Window.Index)
	}
	emit(strings.TrimSpace(fmt.Sprintf("%s: %v %v %s", name, acc, t.Timing, t.Name)))
	return acc
}

func tooLate(_ context.Context, o order) error {
	fmt.Println("late:", o.item, o.at.Unix())
	return nil
}

// printLines runs a flow of lines.
func printLines(lines flow.Flow[string]) {
	err := lines.ForEach(context.Background(), func(_ context.Context, line string) error {
		fmt.Println(line)
		return nil
	})
	if err != nil {
		fmt.Println(err)
	}
}

var one = flow.Stages(1)

// Without triggers, the only window is emitted with the end of the input.
func ExampleFlow_GlobalWindow() {
	numbers := flow.FromSlice([]int{1, 2, 3, 4, 5}, one)
	sums := flow.Reduce(numbers.GlobalWindow().TriggerEvery(2),
		func() int { return 0 },
		func(sum, n int) int { return sum + n })
	running := flow.OnTrigger(sums, func(sum int, t flow.Trigger, emit func(string)) int {
		emit(fmt.Sprint(sum, " ", t.Timing))
		return sum
	})
	fmt.Println(running.Collect(context.Background()))
	// Output: [3 early 10 early 15 final] <nil>
}

// There is no empty window at the end.
func ExampleFlow_CountWindows() {
	numbers := flow.FromSlice([]int{1, 2, 3, 4, 5, 6}, one)
	sums := flow.Reduce(numbers.CountWindows(2),
		func() int { return 0 },
		func(sum, n int) int { return sum + n })
	fmt.Println(sums.EmitState().Collect(context.Background()))
	// Output: [3 7 11] <nil>
}

// Only windows with events are emitted, whatever lies between them; an event that comes too late is handed out.
func ExampleFlow_FixedWindows() {
	input := flow.FromSlice(orders("tea@1 milk@8 tea@12 milk@9 tea@1000000"), one)
	windows := input.FixedWindows(10*time.Second, order.time).OnLate(tooLate)
	printLines(flow.OnTrigger(flow.Reduce(windows, noItems, items), show))
	// Output:
	// late: milk 9
	// 0-10 s: [tea milk] final
	// 10-20 s: [tea] final
	// 1000000-1000010 s: [tea] final
}

// The watermark lies 5 seconds behind the newest order, so windows wait for orders that are not in order.
func ExampleDisorder() {
	input := flow.FromSlice(orders("tea@1 milk@12 salt@9 tea@14 milk@15 salt@8"), one)
	windows := input.FixedWindows(10*time.Second, order.time, flow.Disorder(5*time.Second)).
		OnLate(func(context.Context, order) error { return nil }) // counting is enough
	lists := flow.OnTrigger(flow.Reduce(windows, noItems, items), func(acc []string, t flow.Trigger, emit func(string)) []string {
		emit(fmt.Sprint(acc, " late so far: ", t.Late))
		return acc
	})
	printLines(lists)
	// Output:
	// [tea salt] late so far: 0
	// [milk tea milk] late so far: 1
}

// A window is emitted at its end, and again with each order that comes within 20 seconds of event time.
func ExampleLateness() {
	input := flow.FromSlice(orders("tea@1 milk@12 salt@9 tea@29 milk@30 salt@8"), one)
	windows := input.FixedWindows(10*time.Second, order.time, flow.Lateness(20*time.Second)).OnLate(tooLate)
	printLines(flow.OnTrigger(flow.Reduce(windows, noItems, items), show))
	// Output:
	// late: salt 8
	// 0-10 s: [tea] on time
	// 0-10 s: [tea salt] late
	// 10-20 s: [milk] on time
	// 0-10 s: [tea salt] final
	// 20-30 s: [tea] on time
	// 10-20 s: [milk] final
	// 20-30 s: [tea] final
	// 30-40 s: [milk] final
}

// The 10 seconds of these windows begin 3 seconds after each multiple.
func ExampleOffset() {
	input := flow.FromSlice(orders("tea@2 milk@3 salt@12 tea@13"), one)
	windows := input.FixedWindows(10*time.Second, order.time, flow.Offset(3*time.Second))
	printLines(flow.OnTrigger(flow.Reduce(windows, noItems, items), show))
	// Output:
	// -7-3 s: [tea] final
	// 3-13 s: [milk salt] final
	// 13-23 s: [tea] final
}

// One source is silent: after 20 milliseconds the other one is not held back any longer.
func ExampleIdle() {
	busy, silent := make(chan order), make(chan order)
	both := flow.Merge(flow.FromChannel(busy), flow.FromChannel(silent)).Shuffle(one)
	windows := both.FixedWindows(10*time.Second, order.time, flow.Idle(20*time.Millisecond))
	emitted := make(chan string)
	go func() { // ends with the input
		_ = flow.OnTrigger(flow.Reduce(windows, noItems, items), show).ForEach(context.Background(), func(_ context.Context, line string) error {
			emitted <- line
			return nil
		})
		close(emitted)
	}()
	for _, o := range orders("tea@1 milk@12") {
		busy <- o
	}
	fmt.Println(<-emitted)
	close(busy)
	close(silent)
	fmt.Println(<-emitted)
	// Output:
	// 0-10 s: [tea] final
	// 10-20 s: [milk] final
}

// Windows of processing time are those in which values come.
func ExampleFlow_PeriodicWindows() {
	input := make(chan int, 3)
	input <- 1
	input <- 2
	sums := flow.Reduce(flow.FromChannel(input, one).PeriodicWindows(20*time.Millisecond),
		func() int { return 0 },
		func(sum, n int) int { return sum + n })
	total := 0
	for sum, err := range sums.EmitState().Seq(context.Background()) {
		if err != nil {
			fmt.Println(err)
		}
		if total += sum; total == 3 { // emitted although the input goes on
			input <- 4
			close(input)
		}
	}
	fmt.Println(total)
	// Output: 7
}

// Every two orders of a window it is emitted, with what has come since: EmitState hands the list over.
func ExampleWindows_TriggerEvery() {
	input := flow.FromSlice(orders("tea@1 milk@2 salt@3 tea@11 milk@12"), one)
	windows := input.FixedWindows(10*time.Second, order.time).TriggerEvery(2)
	fmt.Println(flow.Reduce(windows, noItems, items).EmitState().Collect(context.Background()))
	// Output: [[tea milk] [salt] [tea milk]] <nil>
}

// What has come is emitted when more than 20 bytes are together.
func ExampleWindows_TriggerFunc() {
	words := flow.FromSlice(strings.Fields("a window is emitted when more than some bytes are together"), one)
	windows := words.GlobalWindow().TriggerFunc(func() func(word string) bool {
		size := 0 // since the window was emitted
		return func(word string) bool {
			if size += len(word); size <= 20 {
				return false
			}
			size = 0
			return true
		}
	})
	lines := flow.Reduce(windows,
		func() []string { return nil },
		func(line []string, word string) []string { return append(line, word) })
	fmt.Printf("%q\n", first(flow.Map(lines.EmitState(), func(line []string) string { return strings.Join(line, " ") }).Collect(context.Background())))
	// Output: ["a window is emitted when more" "than some bytes are together"]
}

// A heading begins a new section, and so emits the one before.
func ExampleWindows_TriggerBefore() {
	lines := flow.FromSlice([]string{"# One", "a", "b", "# Two", "c"}, one)
	windows := lines.GlobalWindow().TriggerBefore(func() func(line string) bool {
		return func(line string) bool { return strings.HasPrefix(line, "#") }
	})
	sections := flow.Reduce(windows,
		func() []string { return nil },
		func(section []string, line string) []string { return append(section, line) })
	fmt.Println(sections.EmitState().Collect(context.Background()))
	// Output: [[# One a b] [# Two c]] <nil>
}

// What was counted since the last time is emitted every 20 milliseconds, if there is anything.
func ExampleWindows_TriggerPeriodically() {
	input := make(chan int, 10)
	input <- 1
	input <- 1
	counts := flow.Reduce(flow.FromChannel(input, one).GlobalWindow().TriggerPeriodically(20*time.Millisecond),
		func() int { return 0 },
		func(count, n int) int { return count + n })
	total := 0
	for count, err := range counts.EmitState().Seq(context.Background()) {
		if err != nil {
			fmt.Println(err)
		}
		if total += count; total == 2 {
			close(input)
		}
	}
	fmt.Println(total)
	// Output: 2
}

// A signal from outside has the flow emit what it has.
func ExampleSignal() {
	var flush flow.Signal
	input := stage.NewQueue[int](10)
	numbers := flow.FromProducers[int](input).Shuffle(one).Tap(func(n int) {
		if n == 3 { // enough for now
			flush.Send("so far")
		}
	})
	sums := flow.Reduce(numbers.GlobalWindow().TriggerOn(&flush),
		func() int { return 0 },
		func(sum, n int) int { return sum + n })
	lines := flow.OnTrigger(sums, func(sum int, t flow.Trigger, emit func(string)) int {
		if t.Timing == flow.Early {
			input.Close()
		}
		emit(strings.TrimSpace(fmt.Sprint(t.Timing, " ", t.Name, " ", sum)))
		return sum
	})
	for n := range 4 {
		_ = input.TryPush(n)
	}
	printLines(lines)
	// Output:
	// early so far 6
	// final  6
}

// A window is merged when no stage has anything more for it.
func ExampleDepartition_windows() {
	input := flow.FromSlice(orders("tea@1 milk@2 tea@3 salt@11 tea@12 milk@25"), one)
	byItem := flow.Partition(input, func(o order) string { return o.item }, flow.Stages(3))
	counts := flow.Reduce(byItem.FixedWindows(10*time.Second, order.time),
		func() map[string]int { return map[string]int{} },
		func(counts map[string]int, o order) map[string]int { counts[o.item]++; return counts })
	all := flow.Departition(counts,
		func() map[string]int { return map[string]int{} },
		func(all, part map[string]int) map[string]int {
			for item, n := range part {
				all[item] += n
			}
			return all
		})
	printLines(flow.OnTrigger(all, func(counts map[string]int, t flow.Trigger, emit func(string)) map[string]int {
		emit(fmt.Sprint(t.Window.Start.Unix(), " ", counts))
		return counts
	}))
	// Output:
	// 0 map[milk:1 tea:2]
	// 10 map[salt:1 tea:1]
	// 20 map[milk:1]
}

func first[T any](v []T, err error) []T {
	if err != nil {
		panic(err)
	}
	return slices.Clip(v)
}
