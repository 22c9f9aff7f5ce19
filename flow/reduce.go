package flow

import "time"

// Reduction is a flow of which each stage folds what it receives into an accumulator. It has no results until
// something triggers it, at the latest the end of its input; what it emits then is said by one of [Reduction.EmitState],
// [EmitEach], [EmitPairs], [OnTrigger] and [Reduction.EmitNothing], or by [Departition], which merges the accumulators of all
// stages. It is an immutable value, like a Flow.
type Reduction[A any] struct {
	layer layer
	fresh func() A
	fold  fold[A]
}

// fold is the chain of a reduction for one worker: fire is called for each trigger with the accumulator, and returns
// the one to go on with.
type fold[A any] func(w *worker, fire func(acc A, t Trigger) A) func(input any)

// Trigger says why a reduction is asked to emit.
type Trigger struct {
	Window Window
	Name   string // what fired; empty at the end of the window
	Final  bool   // the window is at its end: its accumulator is not used any more
	Pane   int    // how often this window has been asked before
	Stage  int    // the stage of the layer, from 0
	Stages int    // how many it has
}

// Window names a window. The zero value is the global one, which all events belong to if nothing else was said.
type Window struct {
	Index      int64     // of a window of so many events, from 0
	Start, End time.Time // of a window of time
}

// Reduce folds the values that each stage of the layer receives: it begins with what init returns and makes of it and a value
// what step returns. The accumulator belongs to one goroutine at a time, so step may modify and return it. A stage
// that receives nothing has no accumulator and emits nothing.
//
// For one result in all use [Departition]; for results by key let [Partition] go before, or use [GroupBy].
func Reduce[T, A any](f Flow[T], init func() A, step func(acc A, v T) A) Reduction[A] {
	must(init != nil && step != nil, "Reduce")
	return folding(f, "reduce", init, func(_ *worker) func(acc A, v T) A { return step }, false)
}

// folding makes a reduction. step is made for each worker. always has it fire at the end even if nothing has come.
//
//go:noinline
func folding[T, A any](f Flow[T], op string, fresh func() A, step func(w *worker) func(acc A, v T) A, always bool) Reduction[A] {
	f = f.kept()
	return Reduction[A]{
		layer: f.layer.with(op, traits{keeps: true}),
		fresh: fresh,
		fold: func(w *worker, fire func(acc A, t Trigger) A) func(input any) {
			var acc A // owned by the stage goroutine, like the rest
			begun := false
			step := step(w)
			feed := f.chain(w, func(v T) bool {
				if !begun {
					acc, begun = fresh(), true
				}
				acc = step(acc, v)
				return w.more()
			})
			w.hooks = append(w.hooks, hook{end: func() {
				if !begun && always {
					acc, begun = fresh(), true
				}
				if begun {
					fire(acc, Trigger{Final: true, Stage: w.index, Stages: w.total})
				}
				begun = false
			}})
			return feed
		},
	}
}

// ReduceEmit is Reduce with a step that emits results as it goes: everything that depends on what came before, as running
// totals, can be made of it. end is called at each trigger, at the latest the end of the input, may emit too, and returns
// the accumulator to go on with; nil emits nothing then. emit must not be kept.
func ReduceEmit[T, A, B any](
	f Flow[T], init func() A, step func(acc A, v T, emit func(v B)) A, end func(acc A, t Trigger, emit func(v B)) A,
) Flow[B] {
	must(init != nil && step != nil, "ReduceEmit")
	f = f.kept()
	return Flow[B]{layer: f.layer.with("reduce", traits{keeps: true}), chain: func(w *worker, out func(v B) bool) func(input any) {
		emit := emitter(w, out)
		stepping := func(*worker) func(acc A, v T) A {
			return func(acc A, v T) A { return step(acc, v, emit) }
		}
		return folding(f, "reduce", init, stepping, false).fold(w, func(acc A, t Trigger) A {
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
// fresh one begun.
func (r Reduction[A]) EmitState() Flow[A] {
	return OnTrigger(r, func(acc A, _ Trigger, emit func(v A)) A {
		emit(acc)
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
