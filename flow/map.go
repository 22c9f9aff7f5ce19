package flow

import (
	"context"
	"iter"
)

// must panics if a function that an operation needs is missing.
func must(ok bool, op string) {
	if !ok {
		panic("flow: " + op + ": nil function")
	}
}

// passing links an operation that keeps nothing.
//
//go:noinline
func passing[A, B any](f Flow[A], op string, link func(w *worker, out func(v B) bool) func(v A) bool) Flow[B] {
	return then(f, op, traits{}, func(w *worker, out func(v B) bool) (func(v A) bool, hook) {
		return link(w, out), hook{}
	})
}

// Map returns the flow of what fn makes of each value. fn is called on the goroutines of the layer: by several stages at once. (So are
// the functions of all operations, unless something else is said.)
func Map[A, B any](f Flow[A], fn func(v A) B) Flow[B] {
	must(fn != nil, "Map")
	return passing(f, "map", func(_ *worker, out func(v B) bool) func(v A) bool {
		return func(v A) bool { return out(fn(v)) }
	})
}

// MapErr is Map for a function that may fail, or waits for something: ctx ends when the flow is to end, and its stage waits for fn to return. An
// error is treated as [Flow.OnError] says; by default it ends the flow. While fn waits, so do the values that its stage has received: see [MaxDemand].
func MapErr[A, B any](f Flow[A], fn func(ctx context.Context, v A) (B, error)) Flow[B] {
	must(fn != nil, "MapErr")
	policy := f.layer.policy
	return passing(f, "map", func(w *worker, out func(v B) bool) func(v A) bool {
		return func(v A) bool {
			made, ok := attempt(w, policy, "map", v, fn)
			if !ok {
				return w.err == nil
			}
			return out(made)
		}
	})
}

// Filter returns the flow of the values for which keep returns true.
func (f Flow[T]) Filter(keep func(v T) bool) Flow[T] {
	must(keep != nil, "Filter")
	return passing(f, "filter", func(_ *worker, out func(v T) bool) func(v T) bool {
		return func(v T) bool { return !keep(v) || out(v) }
	})
}

// Reject returns the flow of the values for which drop returns false.
func (f Flow[T]) Reject(drop func(v T) bool) Flow[T] {
	must(drop != nil, "Reject")
	return passing(f, "reject", func(_ *worker, out func(v T) bool) func(v T) bool {
		return func(v T) bool { return drop(v) || out(v) }
	})
}

// Tap returns the flow unchanged, and has fn called with each value, on the goroutines of the layer: by several
// stages at once. fn must not modify what the value refers to.
func (f Flow[T]) Tap(fn func(v T)) Flow[T] {
	must(fn != nil, "Tap")
	return passing(f, "tap", func(_ *worker, out func(v T) bool) func(v T) bool {
		return func(v T) bool { fn(v); return out(v) }
	})
}

// FlatMap returns the flow of the elements of the slices that fn makes of the values. What one batch of values
// becomes is held until it is asked for; where that is too much, use [FlatMapSeq].
func FlatMap[A, B any](f Flow[A], fn func(v A) []B) Flow[B] {
	must(fn != nil, "FlatMap")
	return passing(f, "flatmap", func(_ *worker, out func(v B) bool) func(v A) bool {
		return func(v A) bool {
			for _, made := range fn(v) {
				if !out(made) {
					return false
				}
			}
			return true
		}
	})
}

// FlatMapErr is FlatMap for a function that may fail or waits; see [MapErr].
func FlatMapErr[A, B any](f Flow[A], fn func(ctx context.Context, v A) ([]B, error)) Flow[B] {
	must(fn != nil, "FlatMapErr")
	policy := f.layer.policy
	return passing(f, "flatmap", func(w *worker, out func(v B) bool) func(v A) bool {
		return func(v A) bool {
			made, ok := attempt(w, policy, "flatmap", v, fn)
			if !ok {
				return w.err == nil
			}
			for _, m := range made {
				if !out(m) {
					return false
				}
			}
			return true
		}
	})
}

// FlatMapSeq returns the flow of the values of the iterators that fn makes of the values. In a layer that keeps nothing
// back (without Reduce, Batch and what is made of them, and not Ordered) the iterators are pulled as
// their values are asked for, so one value may become a million without any of them being held. Behind a Reduce in the
// same layer the values go straight into the accumulator. A nil iterator is an empty one.
func FlatMapSeq[A, B any](f Flow[A], fn func(v A) iter.Seq[B]) Flow[B] {
	must(fn != nil, "FlatMapSeq")
	return then(f, "flatmap", traits{expands: true}, func(_ *worker, out func(v B) bool) (func(v A) bool, hook) {
		return func(v A) bool {
			seq := fn(v)
			if seq == nil {
				return true
			}
			for made := range seq {
				if !out(made) {
					return false
				}
			}
			return true
		}, hook{}
	})
}

// MapBatch returns the flow of what fn makes of whole batches: the values that reach it of what a stage received at
// once, at most max-min of the layer's demand if nothing before it multiplies them. It is never called with none. So
// what is cheaper for many at once, a lookup in a database, is done for many at once. fn may keep and modify
// the slice. On an error, the item that [Flow.OnError] treats is the whole batch.
func MapBatch[A, B any](f Flow[A], fn func(ctx context.Context, batch []A) ([]B, error)) Flow[B] {
	must(fn != nil, "MapBatch")
	policy := f.layer.policy
	return then(f, "mapbatch", traits{}, func(w *worker, out func(v B) bool) (func(v A) bool, hook) {
		var batch []A // owned by the stage goroutine
		return func(v A) bool { batch = append(batch, v); return true }, hook{batch: func() {
			if len(batch) == 0 {
				return
			}
			full := batch
			batch = nil
			made, ok := attempt(w, policy, "mapbatch", full, fn)
			if !ok {
				return
			}
			for _, m := range made {
				if !out(m) {
					return
				}
			}
		}}
	})
}

// Pair is a key and a value.
type Pair[K, V any] struct {
	Key   K
	Value V
}

// MapValues returns the flow of the pairs with what fn makes of their values.
func MapValues[K, A, B any](f Flow[Pair[K, A]], fn func(v A) B) Flow[Pair[K, B]] {
	must(fn != nil, "MapValues")
	return passing(f, "mapvalues", func(_ *worker, out func(v Pair[K, B]) bool) func(v Pair[K, A]) bool {
		return func(v Pair[K, A]) bool { return out(Pair[K, B]{v.Key, fn(v.Value)}) }
	})
}
