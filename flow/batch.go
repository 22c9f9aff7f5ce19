package flow

import (
	"fmt"
	"time"

	"github.com/go-genstage/genstage/internal/batch"
	"github.com/go-genstage/genstage/stage"
)

// Batch returns the flow of batches of values: a batch is complete when it has n values, or when within has passed
// since its first one, and at the end of the input. 0 stands for no limit; one of them is given. Each stage of the layer
// collects its own; for batches of the whole flow let Shuffle(Stages(1)) go before. No batch is empty.
func Batch[T any](f Flow[T], n int, within time.Duration) Flow[[]T] {
	return batches(f, fmt.Sprintf("Batch(%d, %v)", n, within), batch.Limits{Count: n, Within: within}, nil)
}

// BatchWeight is Batch with a bound for the sum of what weigh says of the values, as their sizes in bytes. A value that is heavier
// than weight goes alone. A negative weight ends the flow.
func BatchWeight[T any](f Flow[T], weight int64, weigh func(v T) int64, within time.Duration) Flow[[]T] {
	must(weigh != nil, "BatchWeight")
	call := fmt.Sprintf("BatchWeight(%d, %v)", weight, within)
	if weight < 1 {
		f.layer = f.layer.fault(fmt.Errorf("%w: %s: weight is less than 1", stage.ErrInvalidOption, call))
		weight = 1 // one fault is enough
	}
	return batches(f, call, batch.Limits{Weight: weight, Within: within}, weigh)
}

// batches makes batches within limits, which call, the user's, has given.
func batches[T any](f Flow[T], call string, limits batch.Limits, weigh func(v T) int64) Flow[[]T] {
	f = f.kept()
	if err := limits.Validate(); err != nil {
		f.layer = f.layer.fault(fmt.Errorf("%w: %s: %w", stage.ErrInvalidOption, call, err))
	}
	return then(f, "batch", traits{keeps: true}, func(w *worker, out func(v []T) bool) (func(v T) bool, hook) {
		b, err := batch.New(limits, weigh) // owned by the stage goroutine
		if err != nil {
			panic(err) // the plan has the fault, and is not run
		}
		var clock *timer
		send := func(done [][]T) bool {
			for _, values := range done {
				if !out(values) {
					return false
				}
			}
			if at, ok := b.Next(); ok {
				clock.at(at)
			} else {
				clock.stop()
			}
			return w.more()
		}
		clock = w.timer(func(now time.Time) { send(b.Advance(nil, now)) })
		return func(v T) bool {
			done, err := b.Add(nil, v, now(limits))
			if err != nil {
				return w.fail(&ItemError{Item: v, Op: "batch", Stage: w.name, Attempts: 1, Err: err})
			}
			if len(done) == 0 && b.Len() > 1 {
				return true // its clock is set
			}
			return send(done)
		}, hook{end: func() { send(b.Flush(nil)) }}
	})
}

// now is the time, where that matters.
func now(limits batch.Limits) time.Time {
	if limits.Within == 0 {
		return time.Time{}
	}
	return time.Now()
}

// BatchBy is [Batch] for each key: the values of a batch have equal keys. It partitions by the key itself, and holds
// an open batch for each key; what is open at the end of the input comes in no order. The options are those of the layer that it begins.
func BatchBy[T any, K comparable](f Flow[T], key func(v T) K, n int, within time.Duration, opts ...Option) Flow[Pair[K, []T]] {
	must(key != nil, "BatchBy")
	limits := batch.Limits{Count: n, Within: within}
	f = Partition(f, key, opts...)
	if err := limits.Validate(); err != nil {
		f.layer = f.layer.fault(fmt.Errorf("%w: BatchBy(%d, %v): %w", stage.ErrInvalidOption, n, within, err))
	}
	return then(f, "batch", traits{keeps: true}, func(w *worker, out func(v Pair[K, []T]) bool) (func(v T) bool, hook) {
		b := &batchers[T, K]{w: w, limits: limits, out: out, open: map[K]*batch.Batcher[T]{}}
		b.clock = w.timer(b.advance)
		return func(v T) bool { return b.add(key(v), v) }, hook{end: b.flush}
	})
}

// batchers are the open batches of a stage, by key. It is owned by the stage goroutine.
type batchers[T any, K comparable] struct {
	w      *worker
	limits batch.Limits
	out    func(v Pair[K, []T]) bool
	open   map[K]*batch.Batcher[T] // none is empty
	due    []dueKey[K]             // in order, since all have the same time; some may be done already
	clock  *timer
}

type dueKey[K comparable] struct {
	key K
	at  time.Time
}

func (b *batchers[T, K]) add(key K, v T) bool {
	one := b.open[key]
	if one == nil {
		one, _ = batch.New[T](b.limits, nil) // the plan has checked the limits
		b.open[key] = one
	}
	done, _ := one.Add(nil, v, now(b.limits)) // an error can come from weights only
	for _, values := range done {
		if !b.out(Pair[K, []T]{key, values}) {
			return false
		}
	}
	switch at, ok := one.Next(); {
	case one.Len() == 0:
		delete(b.open, key)
	case ok && one.Len() == 1:
		b.due = append(b.due, dueKey[K]{key, at})
		if len(b.due) == 1 {
			b.clock.at(at)
		}
	}
	return b.w.more()
}

// advance sends the batches whose time is over.
func (b *batchers[T, K]) advance(now time.Time) {
	for len(b.due) > 0 && !b.due[0].at.After(now) {
		key := b.due[0].key
		b.due = b.due[1:]
		one := b.open[key]
		if one == nil {
			continue
		}
		for _, values := range one.Advance(nil, now) {
			b.out(Pair[K, []T]{key, values})
		}
		if one.Len() == 0 {
			delete(b.open, key)
		}
	}
	if len(b.due) > 0 {
		b.clock.at(b.due[0].at)
	}
}

// flush sends all batches.
func (b *batchers[T, K]) flush() {
	for key, one := range b.open {
		for _, values := range one.Flush(nil) {
			b.out(Pair[K, []T]{key, values})
		}
	}
	b.clock.stop()
}
