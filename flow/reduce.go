package flow

import (
	"fmt"

	"github.com/go-genstage/genstage/internal/window"
	"github.com/go-genstage/genstage/stage"
)

// Reduction is a flow of which each stage folds what it receives into an accumulator. It has no results until
// something triggers it, at the latest the end of its input; what it emits then is said by one of [Reduction.EmitState],
// [EmitEach], [EmitPairs], [OnTrigger] and [Reduction.EmitNothing], or by [Departition], which merges the accumulators of all
// stages. It is an immutable value, like a Flow.
type Reduction[A any] struct {
	layer layer
	spec  window.Spec // of its windows
	fresh func() A
	fold  fold[A]
}

// fold is the chain of a reduction for one worker: fire is called for each trigger with the accumulator, and returns
// the one to go on with.
type fold[A any] func(w *worker, fire func(acc A, t Trigger) A) func(input any)

// Reduce folds the values that each stage of the layer receives: step is given the accumulator, at first what init returns, and a
// value, and returns the accumulator to go on with. The accumulator belongs to one goroutine at a time, so step may modify and return it. A stage
// that receives nothing has no accumulator and emits nothing.
//
// For one result in all use [Departition]; for results by key let [Partition] go before, or use [GroupBy].
func Reduce[T, A any](f Reducible[T], init func() A, step func(acc A, v T) A) Reduction[A] {
	must(f != nil && init != nil && step != nil, "Reduce")
	return folding(f.windows(), "reduce", init, func(_ *worker) func(acc A, v T) A { return step })
}

// folding makes a reduction. step is made for each worker.
//
//go:noinline
func folding[T, A any](g Windows[T], op string, fresh func() A, step func(w *worker) func(acc A, v T) A) Reduction[A] {
	g.flow = g.flow.kept()
	f := g.flow
	if err := g.spec.Validate(); err != nil {
		f.layer = f.layer.fault(fmt.Errorf("%w: %s: %w", stage.ErrInvalidOption, g.call(), err))
	}
	return Reduction[A]{
		layer: f.layer.with(op, traits{keeps: true}),
		spec:  g.spec,
		fresh: fresh,
		fold: func(w *worker, fire func(acc A, t Trigger) A) func(input any) {
			link := windowed[T, A]
			if g.plain() {
				link = whole[T, A]
			}
			in, keeps := link(g, w, fresh, step(w), fire)
			feed := f.chain(w, in)
			w.hooks = append(w.hooks, keeps)
			return feed
		},
	}
}

// whole is windowed for one window that nothing emits before its end.
//
//go:noinline
func whole[T, A any](_ Windows[T], w *worker, fresh func() A, step func(acc A, v T) A, fire func(acc A, t Trigger) A) (func(v T) bool, hook) {
	var acc A // owned by the stage goroutine, like events
	var events int64
	in := func(v T) bool {
		if events == 0 {
			acc = fresh()
		}
		events++
		acc = step(acc, v)
		return w.more()
	}
	end := func() {
		if events > 0 {
			fire(acc, Trigger{Timing: Final, Events: events, Stage: w.index, Stages: w.total})
		}
	}
	return in, hook{end: end}
}

// ReduceEmit is Reduce with a step that emits results as it goes: everything that depends on what came before, as running
// totals, can be made of it. end is called at each trigger, at the latest the end of the input, may emit too, and returns
// the accumulator to go on with; without end (nil) nothing is emitted then. emit must not be kept.
func ReduceEmit[T, A, B any](
	f Reducible[T], init func() A, step func(acc A, v T, emit func(v B)) A, end func(acc A, t Trigger, emit func(v B)) A,
) Flow[B] {
	must(f != nil && init != nil && step != nil, "ReduceEmit")
	reduced := func(emit func(v B)) Reduction[A] {
		return folding(f.windows(), "reduce", init, func(*worker) func(acc A, v T) A {
			return func(acc A, v T) A { return step(acc, v, emit) }
		})
	}
	return Flow[B]{layer: reduced(nil).layer, chain: func(w *worker, out func(v B) bool) func(input any) {
		emit := emitter(w, out)
		return reduced(emit).fold(w, func(acc A, t Trigger) A {
			if end == nil {
				return acc
			}
			return end(acc, t, emit)
		})
	}}
}

// OnTrigger returns the flow of what fn emits at each trigger of a reduction. fn gets the accumulator and returns the one to go on
// with: the same, or a fresh one; nothing is cleared by itself. What it emits must not share memory with an accumulator
// that is gone on with. emit must not be kept.
//
//go:noinline
func OnTrigger[A, B any](r Reduction[A], fn func(acc A, t Trigger, emit func(v B)) A) Flow[B] {
	must(fn != nil, "OnTrigger")
	return Flow[B]{layer: r.layer, chain: func(w *worker, out func(v B) bool) func(input any) {
		emit := emitter(w, out)
		return r.fold(w, func(acc A, t Trigger) A { return fn(acc, t, emit) })
	}}
}

// emitter returns a function that sends values on for as long as they are wanted.
func emitter[B any](w *worker, out func(v B) bool) func(v B) {
	return func(v B) {
		if w.more() {
			out(v)
		}
	}
}

// EmitState returns the flow of the accumulators: one for each trigger of each stage. An accumulator is handed over, and a
// fresh one begun, so a window that is emitted several times is emitted in parts; where nothing has come since the part before, there is none.
func (r Reduction[A]) EmitState() Flow[A] {
	return OnTrigger(r, func(acc A, t Trigger, emit func(v A)) A {
		if !t.repeats() {
			emit(acc)
		}
		return r.fresh()
	})
}

// EmitNothing returns a flow without results, for a reduction that is run for its effects. The accumulators live on to the end
// of their windows.
func (r Reduction[A]) EmitNothing() Flow[A] {
	return OnTrigger(r, func(acc A, _ Trigger, _ func(v A)) A { return acc })
}

// EmitEach returns the flow of the elements of the accumulators, at each trigger. Then a fresh one is begun.
func EmitEach[A ~[]T, T any](r Reduction[A]) Flow[T] {
	return OnTrigger(r, func(acc A, _ Trigger, emit func(v T)) A {
		for _, v := range acc {
			emit(v)
		}
		return r.fresh()
	})
}

// EmitPairs returns the flow of the entries of the accumulators, in no order, at each trigger. Then a fresh one is begun.
func EmitPairs[A ~map[K]V, K comparable, V any](r Reduction[A]) Flow[Pair[K, V]] {
	return OnTrigger(r, func(acc A, _ Trigger, emit func(v Pair[K, V])) A {
		for k, v := range acc {
			emit(Pair[K, V]{k, v})
		}
		return r.fresh()
	})
}
