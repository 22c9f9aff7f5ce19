package flow

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"

	"github.com/go-genstage/genstage/stage"
	"golang.org/x/exp/constraints"
)

// Number is a type that can be summed up.
type Number interface {
	constraints.Integer | constraints.Float
}

// total folds the values of each stage, and the results of the stages in one. Over several stages, the order in which the
// values come together is not fixed. With always there is a result of init at the end of an input without values.
//
//go:noinline
func total[T, A any](f Flow[T], op string, init func() A, step func(acc A, v T) A, merge func(acc, part A) A, always bool, opts []Option) Reduction[A] {
	parts := folding(f.windows(), op, init, func(*worker) func(acc A, v T) A { return step })
	return departition(parts, init, merge, always, opts)
}

func zero[T any]() T {
	var z T
	return z
}

// Count returns the flow of one value: how many values f has, at the end of the input. Each stage of the layer counts for itself, and only
// the counts travel. (So it is with Sum, Mean, Min, Max and TopN.) The options are those of the stage that adds up what the
// stages of the layer have counted.
func Count[T any](f Flow[T], opts ...Option) Flow[int64] {
	return total(f, "count", zero[int64], func(n int64, _ T) int64 { return n + 1 }, add[int64], true, opts).EmitState()
}

// Sum returns the flow of one value: the sum of the values of f, 0 if there are none. Integers wrap around where they overflow;
// floats are rounded in an order that differs from run to run, unless all layers have one stage.
func Sum[N Number](f Flow[N], opts ...Option) Flow[N] {
	return total(f, "sum", zero[N], add[N], add[N], true, opts).EmitState()
}

func add[N Number](a, b N) N { return a + b }

// mean is a sum and how many are in it.
type mean struct {
	sum float64
	n   int64
}

// Mean returns the flow of one value: the mean of the values of f, added up as float64. There is none if f has no values.
func Mean[N Number](f Flow[N], opts ...Option) Flow[float64] {
	means := total(f, "mean", zero[mean],
		func(m mean, v N) mean { return mean{m.sum + float64(v), m.n + 1} },
		func(a, b mean) mean { return mean{a.sum + b.sum, a.n + b.n} }, false, opts)
	return Map(means.EmitState(), func(m mean) float64 { return m.sum / float64(m.n) })
}

// best is the least or greatest value so far.
type best[N any] struct {
	v   N
	any bool
}

// Min returns the flow of one value: the least of the values of f. There is none if f has no values. A NaN is less
// than any other number.
func Min[N Number](f Flow[N], opts ...Option) Flow[N] {
	return extreme(f, "min", func(a, b N) bool { return cmp.Less(a, b) }, opts)
}

// Max returns the flow of one value: the greatest of the values of f. There is none if f has no values.
func Max[N Number](f Flow[N], opts ...Option) Flow[N] {
	return extreme(f, "max", func(a, b N) bool { return cmp.Less(b, a) }, opts)
}

//go:noinline
func extreme[N any](f Flow[N], op string, before func(a, b N) bool, opts []Option) Flow[N] {
	better := func(b best[N], v N) best[N] {
		if !b.any || before(v, b.v) {
			return best[N]{v, true}
		}
		return b
	}
	bests := total(f, op, zero[best[N]], better, func(b, part best[N]) best[N] { return better(b, part.v) }, false, opts)
	return Map(bests.EmitState(), func(b best[N]) N { return b.v })
}

// TopN returns the reduction to the n first values in the order that less says, first to last: [EmitEach] has them one
// by one, EmitState in one slice. Each stage keeps n values at most. Which of equal ones are kept is not said. The options are
// those of the stage that merges what the stages of the layer have. n is at least 1; TopN panics if less is nil.
func TopN[T any](f Flow[T], n int, less func(a, b T) bool, opts ...Option) Reduction[[]T] {
	must(less != nil, "TopN")
	if n < 1 {
		f.layer = f.layer.fault(fmt.Errorf("%w: TopN(%d) is less than 1", stage.ErrInvalidOption, n))
	}
	parts := folding(f.windows(), "top", func() *top[T] { return &top[T]{n: n, less: less} },
		func(*worker) func(acc *top[T], v T) *top[T] { return (*top[T]).put })
	merged := departition(parts, parts.fresh, func(acc, part *top[T]) *top[T] {
		for _, v := range part.kept {
			acc.put(v)
		}
		return acc
	}, false, opts)
	return Reduction[[]T]{layer: merged.layer, fresh: zero[[]T], fold: func(w *worker, fire func(acc []T, t Trigger) []T) func(input any) {
		return merged.fold(w, func(acc *top[T], t Trigger) *top[T] {
			fire(acc.sorted(), t)
			return parts.fresh()
		})
	}}
}

// top keeps the n first values: a heap with the last of them in front.
type top[T any] struct {
	n    int
	less func(a, b T) bool
	kept []T
}

func (t *top[T]) Len() int           { return len(t.kept) }
func (t *top[T]) Less(i, j int) bool { return t.less(t.kept[j], t.kept[i]) }
func (t *top[T]) Swap(i, j int)      { t.kept[i], t.kept[j] = t.kept[j], t.kept[i] }
func (t *top[T]) Push(v any)         { t.kept = append(t.kept, v.(T)) }
func (t *top[T]) Pop() any           { panic("flow: top never shrinks") }

// put takes a value in, if it belongs to the first n.
func (t *top[T]) put(v T) *top[T] {
	switch {
	case len(t.kept) < t.n:
		t.kept = append(t.kept, v)
		if len(t.kept) == t.n {
			heap.Init(t)
		}
	case t.less(v, t.kept[0]):
		t.kept[0] = v
		heap.Fix(t, 0)
	}
	return t
}

// sorted returns what is kept, first to last.
func (t *top[T]) sorted() []T {
	slices.SortFunc(t.kept, func(a, b T) int {
		switch {
		case t.less(a, b):
			return -1
		case t.less(b, a):
			return 1
		}
		return 0
	})
	return t.kept
}
