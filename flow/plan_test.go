package flow_test

import (
	"context"
	"iter"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/go-genstage/genstage/flow"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func inc(n int) int { return n + 1 }

// step is a line of Explain, and inlet one below it.
type step struct {
	title  string
	stages int
	remark string
	inputs []inlet
}

type inlet struct {
	from          int // a step
	share         string
	subscriptions int
	asks          string
}

var (
	stepLine  = regexp.MustCompile(`^(\d+)\. (.*): (\d+) stages?(.*)$`)
	inletLine = regexp.MustCompile(`^   from (\d+), ([a-z ]+): (\d+) subscriptions?, (.*)$`)
)

// plannedFor returns the steps of a flow. (They are read from the text of Explain, not from a plan: a test in the package itself has it compiled twice.)
func plannedFor[T any](t *testing.T, f flow.Flow[T]) (steps []step) {
	t.Helper()
	number := func(text string) int {
		n, err := strconv.Atoi(text)
		require.NoError(t, err)
		return n
	}
	lines := strings.Split(strings.TrimSuffix(f.Explain(), "\n"), "\n")
	require.Contains(t, lines[len(lines)-1], "in all ")
	for _, line := range lines[:len(lines)-1] {
		if m := inletLine.FindStringSubmatch(line); m != nil {
			last := &steps[len(steps)-1]
			last.inputs = append(last.inputs, inlet{from: number(m[1]), share: m[2], subscriptions: number(m[3]), asks: m[4]})
			require.Less(t, number(m[1]), len(steps), "what feeds a step is built before it")
			continue
		}
		m := stepLine.FindStringSubmatch(line)
		require.NotNil(t, m, line)
		steps = append(steps, step{title: m[2], stages: number(m[3]), remark: m[4]})
		require.Equal(t, len(steps), number(m[1]))
	}
	return steps
}

func TestOperationsOfALayerRunInOneStep(t *testing.T) {
	f := flow.Map(flow.Map(flow.FromSlice([]int{1}), inc).Filter(func(int) bool { return true }), inc)
	steps := plannedFor(t, f)
	require.Len(t, steps, 3)
	require.Equal(t, "map+filter+map", steps[1].title)
	require.Equal(t, runtime.GOMAXPROCS(0), steps[1].stages)
}

func TestAFlowIsAValue(t *testing.T) {
	f := flow.Map(flow.FromSlice([]int{1}), inc)
	g := f.Filter(func(int) bool { return true })
	h := f.Tap(func(int) {})
	require.Equal(t, "map", plannedFor(t, f)[1].title)
	require.Equal(t, "map+filter", plannedFor(t, g)[1].title)
	require.Equal(t, "map+tap", plannedFor(t, h)[1].title)
}

func TestALayerWithoutOperationsIsNotStarted(t *testing.T) {
	f := flow.FromSlice([]int{1})
	require.Len(t, plannedFor(t, flow.Map(flow.Merge(f, f).Shuffle().Shuffle(flow.Stages(3)), inc)), 4, "two sources, map, end")
	require.Len(t, plannedFor(t, flow.Map(f, inc).Shuffle().Shuffle()), 3)
	require.Len(t, plannedFor(t, f.Shuffle(flow.Stages(2)).Shuffle()), 3, "options are a reason")
	require.Equal(t, 1, plannedFor(t, f)[1].stages)
}

func TestPartitionsAreThoseOfTheNextLayer(t *testing.T) {
	key := func(n int) int { return n }
	f := flow.Partition(flow.Map(flow.FromSlice([]int{1}), inc), key, flow.Stages(3))
	steps := plannedFor(t, flow.Map(f, inc))
	require.Equal(t, []inlet{{from: 2, share: "by key", subscriptions: 3 * steps[1].stages, asks: "max 1000, min 500"}}, steps[2].inputs)
	require.Equal(t, 3, steps[2].stages)
	require.Equal(t, "on demand", steps[3].inputs[0].share)
	require.Len(t, plannedFor(t, flow.Partition(flow.Merge(f, f), key)), 8, "each of the merged layers chooses the partition")
	require.Equal(t, "pass", plannedFor(t, flow.Partition(flow.FromSlice([]int{1}), key))[1].title, "a source cannot")
}

func TestReductionsKeepTheirStagesApart(t *testing.T) {
	steps := plannedFor(t, flow.Count(flow.FromSlice([]int{1}, flow.Stages(3))))
	require.Equal(t, "count", steps[1].title)
	require.Equal(t, 3, steps[1].stages)
	require.Equal(t, 1, steps[2].stages)
	steps = plannedFor(t, flow.Count(flow.FromSlice([]int{1}, flow.Stages(3), flow.Ordered(0))))
	require.Contains(t, steps[1].remark, "between a collector and a sorter")
	require.Equal(t, 1, steps[2].stages, "behind the sorter: it sees all of the input")
}

func TestDemandOfALayer(t *testing.T) {
	asks := func(f flow.Flow[int]) string { return plannedFor(t, f)[1].inputs[0].asks }
	require.Equal(t, "max 8, min 0", asks(flow.Map(flow.FromSlice([]int{1}, flow.MaxDemand(8), flow.MinDemand(0)), inc)))
	require.Equal(t, "max 8, min 4", asks(flow.Map(flow.FromSlice([]int{1}, flow.MaxDemand(8)), inc)))
	require.Contains(t, asks(flow.FromSlice([]int{1}).Take(3)), "max 3, ", "Take asks for no more than it wants")
}

func TestFaultsAreFoundWithoutRunning(t *testing.T) {
	one := flow.FromSlice([]int{1})
	key := func(n int) int { return n }
	for name, f := range map[string]flow.Flow[int]{
		"Stages(0)":           flow.FromSlice([]int{1}, flow.Stages(0)),
		"MaxDemand(0)":        one.Shuffle(flow.MaxDemand(0)),
		"MinDemand(-1)":       one.Shuffle(flow.MinDemand(-1)),
		"MinDemand(5)":        one.Shuffle(flow.MaxDemand(5), flow.MinDemand(5)),
		"MinDemand(1000)":     one.Shuffle(flow.MinDemand(1000)),
		"BufferSize(-1)":      one.Shuffle(flow.BufferSize(-1)),
		"without BufferSize":  one.Shuffle(flow.KeepLast()),
		"both KeepFirst":      one.Shuffle(flow.BufferSize(1), flow.KeepLast(), flow.KeepFirst()),
		"an empty Name":       one.Shuffle(flow.Name("")),
		"Ordered(-1)":         one.Shuffle(flow.Ordered(-1)),
		"a nil OnInit":        one.Shuffle(flow.OnInit(nil)),
		"a nil Option":        one.Shuffle(nil),
		"Take(-1)":            one.Take(-1),
		"Ordered in a layer":  flow.Map(flow.Partition(one, key, flow.Ordered(0), flow.Stages(2)), inc),
		"the zero Flow":       flow.Map(flow.Flow[int]{}, inc),
		"a nil ErrorOption":   flow.Map(one.OnError(nil), inc),
		"Retry(0, 0s, 0s)":    one.OnError(flow.Retry(0, 0, 0)),
		"Retry(1, 2ns, 1ns)":  one.OnError(flow.Retry(1, 2, 1)),
		"DeadLetter":          one.OnError(flow.DeadLetter(nil)).Shuffle(),
		"Batch(0, 0s)":        flow.FlatMap(flow.Batch(one, 0, 0), func(v []int) []int { return v }),
		"Batch(-1, 0s)":       flow.FlatMap(flow.Batch(one, -1, 0), func(v []int) []int { return v }),
		"BatchWeight(0, 1ns)": flow.FlatMap(flow.BatchWeight(one, 0, func(int) int64 { return 1 }, 1), func(v []int) []int { return v }),
		"BatchBy(0, -1ns)":    flow.FlatMap(flow.BatchBy(one, key, 0, -1), func(v flow.Pair[int, []int]) []int { return v.Value }),
		"MaxDemand(-2)":       flow.Through(one, func() *stage.ProducerConsumer[int, int] { return nil }, flow.MaxDemand(-2)),
		"Stages(-1) is less":  flow.Merge(one, flow.Map(flow.FromSlice([]int{1}, flow.Stages(-1)), inc)),
		"is not below MaxDem": flow.Map(one.Shuffle(flow.MaxDemand(1), flow.MinDemand(1)), inc),
		"the flow has no sou": flow.Merge(one, flow.Flow[int]{}),
		"zero Flow, or FromP": flow.Merge(flow.FromProducers[int](), one),
		"is the zero Flow, o": flow.Partition(flow.Merge(one, flow.FromStages[int]()), key),
		"it is the zero Flow": flow.Flow[int]{}.Take(0),
		"Stages(-2)":          flow.Map(one.Shuffle(flow.Stages(-2)), inc).Shuffle().Take(0),
		"Stages(4) in a laye": one.Take(2, flow.Stages(4)),
		"Stages(5)":           flow.Sum(one, flow.Stages(5)),
		"TopN(0) is less":     flow.EmitEach(flow.TopN(one, 0, func(a, b int) bool { return a < b })),
		"CountWindows(0)":     flow.Reduce(one.CountWindows(0), func() int { return 0 }, func(sum, n int) int { return sum + n }).EmitState(),
		"PeriodicWindows(0s)": flow.Reduce(one.PeriodicWindows(0), func() int { return 0 }, func(sum, n int) int { return sum + n }).EmitState(),
		"FixedWindows(1s)": flow.Reduce(one.FixedWindows(time.Second, func(int) time.Time { return time.Time{} }, flow.Lateness(-1)),
			func() int { return 0 }, func(sum, n int) int { return sum + n }).EmitState(),
		"TriggerEvery(0) is ": flow.Reduce(one.GlobalWindow().TriggerEvery(0), func() int { return 0 }, func(sum, n int) int { return sum + n }).EmitState(),
		"TriggerPeriodically": flow.Reduce(one.GlobalWindow().TriggerPeriodically(0), func() int { return 0 }, func(sum, n int) int { return sum + n }).EmitState(),
		"no use in Through":   flow.Through(one, func() *stage.ProducerConsumer[int, int] { return nil }, flow.BufferSize(3)),
	} {
		_, err := f.Collect(t.Context())
		require.ErrorIs(t, err, stage.ErrInvalidOption, name)
		require.ErrorContains(t, err, name)
		require.Contains(t, f.Explain(), name)
		for _, err := range f.Seq(t.Context()) {
			require.ErrorIs(t, err, stage.ErrInvalidOption, name)
		}
	}
	require.ErrorContains(t, one.Run(t.Context(), flow.MaxDemand(0)), "MaxDemand(0)", "of the end")
}

// The stage at the end hands results over, one by one: what a layer's stages would do with an option, it does not.
func TestOptionsWithoutUseAreErrors(t *testing.T) {
	one := flow.FromSlice([]int{1})
	none := func(context.Context, int) error { return nil }
	init := func(context.Context, int, int) error { return nil }
	source := func(opt flow.Option) error {
		src, p := flow.Source(one, stage.Demand[int], opt)
		c := stage.ForEach(none)
		c.SubscribeTo(src)
		return stage.Run(t.Context(), p, c)
	}
	for name, opt := range map[string]flow.Option{
		"Stages(2)": flow.Stages(2), "Ordered": flow.Ordered(1), "OnInit": flow.OnInit(init), "BufferSize": flow.BufferSize(1), "KeepFirst": flow.KeepFirst(), "KeepLast": flow.KeepLast(),
	} {
		_, collected := one.Collect(t.Context(), opt)
		for _, err := range append(slices.Collect(errorsOf(one.Seq(t.Context(), opt))),
			collected, one.Run(t.Context(), opt), one.Pipeline(opt).Run(t.Context()), one.ForEach(t.Context(), none, opt), source(opt)) {
			require.ErrorIs(t, err, stage.ErrInvalidOption, name)
			require.ErrorContains(t, err, name)
		}
	}
	require.NoError(t, one.Run(t.Context(), flow.MaxDemand(2), flow.MinDemand(1), flow.Name("last"), flow.Stages(1)), "what it is anyway")
}

func errorsOf[T any](seq iter.Seq2[T, error]) iter.Seq[error] {
	return func(yield func(error) bool) {
		for _, err := range seq {
			if !yield(err) {
				return
			}
		}
	}
}

func TestThroughNothing(t *testing.T) {
	one := flow.FromSlice([]int{1})
	_, err := flow.Through(one, func() *stage.ProducerConsumer[int, int] { return nil }, flow.Name("mine")).Collect(t.Context())
	require.ErrorIs(t, err, stage.ErrInvalidStage)
	require.ErrorContains(t, err, `"mine"`)
	require.ErrorContains(t, err, "Through: make returned nil")
}

func TestErrorsNameTheFlow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, flow.FromSlice([]int{1}).Run(ctx), `"flow"`)
}

func TestNilFunctionsPanic(t *testing.T) {
	f := flow.FromSlice([]int{1})
	require.PanicsWithValue(t, "flow: Map: nil function", func() { flow.Map[int, int](f, nil) })
	require.PanicsWithValue(t, "flow: Reduce: nil function", func() { flow.Reduce[int, int](f, nil, nil) })
	require.PanicsWithValue(t, "flow: Through: nil function", func() { flow.Through[int, int](f, nil) })
	require.PanicsWithValue(t, "flow: Into: nil consumer", func() { flow.Into(f, nil) })
	require.PanicsWithValue(t, "flow: Source: nil function", func() { flow.Source(f, nil) })
}
