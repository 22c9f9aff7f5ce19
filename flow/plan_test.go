package flow

import (
	"context"
	"iter"
	"runtime"
	"slices"
	"testing"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func inc(n int) int { return n + 1 }

func plannedFor[T any](t *testing.T, f Flow[T]) []*step {
	t.Helper()
	p, err := planOf(f.last(), ended("end", nil))
	require.NoError(t, err)
	for i, s := range p.steps {
		require.Equal(t, i+1, s.number)
		for _, in := range s.inputs {
			require.Less(t, in.from.number, s.number, "what feeds a step is built before it")
		}
	}
	return p.steps
}

func TestOperationsOfALayerRunInOneStep(t *testing.T) {
	f := Map(Map(FromSlice([]int{1}), inc).Filter(func(int) bool { return true }), inc)
	steps := plannedFor(t, f)
	require.Len(t, steps, 3)
	require.Equal(t, "map+filter+map", steps[1].title)
	require.Equal(t, runtime.GOMAXPROCS(0), steps[1].stages)
}

func TestAFlowIsAValue(t *testing.T) {
	f := Map(FromSlice([]int{1}), inc)
	g := f.Filter(func(int) bool { return true })
	h := f.Tap(func(int) {})
	require.Equal(t, "map", plannedFor(t, f)[1].title)
	require.Equal(t, "map+filter", plannedFor(t, g)[1].title)
	require.Equal(t, "map+tap", plannedFor(t, h)[1].title)
}

func TestALayerWithoutOperationsIsNotStarted(t *testing.T) {
	f := FromSlice([]int{1})
	require.Len(t, plannedFor(t, Map(Merge(f, f).Shuffle().Shuffle(Stages(3)), inc)), 4, "two sources, map, end")
	require.Len(t, plannedFor(t, Map(f, inc).Shuffle().Shuffle()), 3)
	require.Len(t, plannedFor(t, f.Shuffle(Stages(2)).Shuffle()), 3, "options are a reason")
	require.Equal(t, 1, plannedFor(t, f)[1].stages)
}

func TestPartitionsAreThoseOfTheNextLayer(t *testing.T) {
	f := Partition(Map(FromSlice([]int{1}), inc), func(n int) int { return n }, Stages(3))
	steps := plannedFor(t, Map(f, inc))
	require.Equal(t, byKey, steps[1].share)
	require.Equal(t, 3, steps[1].parts)
	require.Equal(t, byKey, steps[2].inputs[0].share)
	require.Equal(t, 1, steps[2].parts)
	require.Len(t, plannedFor(t, Partition(Merge(f, f), func(n int) int { return n })), 8, "each of the merged layers chooses the partition")
	require.Equal(t, "pass", plannedFor(t, Partition(FromSlice([]int{1}), func(n int) int { return n }))[1].title, "a source cannot")
}

func TestReductionsKeepTheirStagesApart(t *testing.T) {
	steps := plannedFor(t, Count(FromSlice([]int{1}, Stages(3))))
	require.Equal(t, "count", steps[1].title)
	require.Equal(t, 3, steps[1].stages)
	require.Equal(t, 1, steps[2].stages)
	steps = plannedFor(t, Count(FromSlice([]int{1}, Stages(3), Ordered(0))))
	require.True(t, steps[1].reorders())
	require.Equal(t, 1, steps[2].stages, "behind the sorter: it sees all of the input")
}

func TestDemandOfALayer(t *testing.T) {
	s := plannedFor(t, Map(FromSlice([]int{1}, MaxDemand(8), MinDemand(0)), inc))[1]
	require.Equal(t, []int{8, 0}, []int{s.max, s.min})
	s = plannedFor(t, Map(FromSlice([]int{1}, MaxDemand(8)), inc))[1]
	require.Equal(t, []int{8, 4}, []int{s.max, s.min})
	s = plannedFor(t, FromSlice([]int{1}).Take(3))[1]
	require.Equal(t, 3, s.max, "Take asks for no more than it wants")
}

func TestFaultsAreFoundWithoutRunning(t *testing.T) {
	one := FromSlice([]int{1})
	key := func(n int) int { return n }
	for name, f := range map[string]Flow[int]{
		"Stages(0)":           FromSlice([]int{1}, Stages(0)),
		"MaxDemand(0)":        one.Shuffle(MaxDemand(0)),
		"MinDemand(-1)":       one.Shuffle(MinDemand(-1)),
		"MinDemand(5)":        one.Shuffle(MaxDemand(5), MinDemand(5)),
		"MinDemand(1000)":     one.Shuffle(MinDemand(1000)),
		"BufferSize(-1)":      one.Shuffle(BufferSize(-1)),
		"without BufferSize":  one.Shuffle(KeepLast()),
		"both KeepFirst":      one.Shuffle(BufferSize(1), KeepLast(), KeepFirst()),
		"an empty Name":       one.Shuffle(Name("")),
		"Ordered(-1)":         one.Shuffle(Ordered(-1)),
		"a nil OnInit":        one.Shuffle(OnInit(nil)),
		"a nil Option":        one.Shuffle(nil),
		"Take(-1)":            one.Take(-1),
		"Ordered in a layer":  Map(Partition(one, key, Ordered(0), Stages(2)), inc),
		"the zero Flow":       Map(Flow[int]{}, inc),
		"a nil ErrorOption":   Map(one.OnError(nil), inc),
		"Retry(0, 0s, 0s)":    one.OnError(Retry(0, 0, 0)),
		"Retry(1, 2ns, 1ns)":  one.OnError(Retry(1, 2, 1)),
		"DeadLetter":          one.OnError(DeadLetter(nil)).Shuffle(),
		"neither count":       FlatMap(Batch(one, 0, 0), func(v []int) []int { return v }),
		"count -1":            FlatMap(Batch(one, -1, 0), func(v []int) []int { return v }),
		"BatchWeight(0)":      FlatMap(BatchWeight(one, 0, func(int) int64 { return 1 }, 1), func(v []int) []int { return v }),
		"time -1ns":           FlatMap(BatchBy(one, key, 0, -1), func(v Pair[int, []int]) []int { return v.Value }),
		"MaxDemand(-2)":       Through(one, func() *stage.ProducerConsumer[int, int] { return nil }, MaxDemand(-2)),
		"Stages(-1) is less":  Merge(one, Map(FromSlice([]int{1}, Stages(-1)), inc)),
		"is not below MaxDem": Map(one.Shuffle(MaxDemand(1), MinDemand(1)), inc),
		"the flow has no sou": Merge(one, Flow[int]{}),
		"zero Flow, or FromP": Merge(FromProducers[int](), one),
		"is the zero Flow, o": Partition(Merge(one, FromStages[int]()), key),
		"it is the zero Flow": Flow[int]{}.Take(0),
		"Stages(-2)":          Map(one.Shuffle(Stages(-2)), inc).Shuffle().Take(0),
		"Stages(4) in a laye": one.Take(2, Stages(4)),
		"Stages(5)":           Sum(one, Stages(5)),
		"TopN(0) is less":     EmitEach(TopN(one, 0, func(a, b int) bool { return a < b })),
		"TriggerEvery(0) is ": Reduce(one.GlobalWindow().TriggerEvery(0), zero[int], add[int]).EmitState(),
		"TriggerPeriodically": Reduce(one.GlobalWindow().TriggerPeriodically(0), zero[int], add[int]).EmitState(),
		"no use in Through":   Through(one, func() *stage.ProducerConsumer[int, int] { return nil }, BufferSize(3)),
	} {
		_, err := f.Collect(t.Context())
		require.ErrorIs(t, err, stage.ErrInvalidOption, name)
		require.ErrorContains(t, err, name)
		require.Contains(t, f.Explain(), name)
		for _, err := range f.Seq(t.Context()) {
			require.ErrorIs(t, err, stage.ErrInvalidOption, name)
		}
	}
	require.ErrorContains(t, one.Run(t.Context(), MaxDemand(0)), "MaxDemand(0)", "of the end")
}

// The stage at the end hands results over, one by one: what a layer's stages would do with an option, it does not.
func TestOptionsWithoutUseAreErrors(t *testing.T) {
	one := FromSlice([]int{1})
	none := func(context.Context, int) error { return nil }
	init := func(context.Context, int, int) error { return nil }
	source := func(opt Option) error {
		src, p := Source(one, stage.Demand[int], opt)
		c := stage.ForEach(none)
		c.SubscribeTo(src)
		return stage.Run(t.Context(), p, c)
	}
	for name, opt := range map[string]Option{
		"Stages(2)": Stages(2), "Ordered": Ordered(1), "OnInit": OnInit(init), "BufferSize": BufferSize(1), "KeepFirst": KeepFirst(), "KeepLast": KeepLast(),
	} {
		_, collected := one.Collect(t.Context(), opt)
		for _, err := range append(slices.Collect(errorsOf(one.Seq(t.Context(), opt))),
			collected, one.Run(t.Context(), opt), one.Pipeline(opt).Run(t.Context()), one.ForEach(t.Context(), none, opt), source(opt)) {
			require.ErrorIs(t, err, stage.ErrInvalidOption, name)
			require.ErrorContains(t, err, name)
		}
	}
	require.NoError(t, one.Run(t.Context(), MaxDemand(2), MinDemand(1), Name("last"), Stages(1)), "what it is anyway")
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

func TestErrorsNameTheFlow(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorContains(t, FromSlice([]int{1}).Run(ctx), `"flow"`)
}

func TestNilFunctionsPanic(t *testing.T) {
	f := FromSlice([]int{1})
	require.PanicsWithValue(t, "flow: Map: nil function", func() { Map[int, int](f, nil) })
	require.PanicsWithValue(t, "flow: Reduce: nil function", func() { Reduce[int, int](f, nil, nil) })
	require.PanicsWithValue(t, "flow: Through: nil function", func() { Through[int, int](f, nil) })
	require.PanicsWithValue(t, "flow: Into: nil consumer", func() { Into(f, nil) })
	require.PanicsWithValue(t, "flow: Source: nil function", func() { Source(f, nil) })
}
