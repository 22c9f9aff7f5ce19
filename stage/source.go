package stage

import (
	"context"
	"iter"
	"runtime/debug"

	"github.com/go-genstage/genstage/internal/goid"
)

// FromSlice makes a producer of the events of a slice, in order, that then completes. Each run
// begins anew. The events are not copied: the slice must not be modified while it runs.
func FromSlice[T any](events []T, opts ...ProducerOption) *Producer[T] {
	return newProducer(func() (demandFunc[T], func()) {
		left := events
		return func(_ context.Context, demand int) ([]T, error) {
			n := min(demand, len(left))
			batch := left[:n:n]
			left = left[n:]
			if len(left) == 0 {
				return batch, ErrDone
			}
			return batch, nil
		}, nil
	}, opts)
}

// FromSeq makes a producer of the events of an iterator, which is pulled on the stage's goroutine
// in batches of what was asked: one that blocks keeps its batch, and the stage, until it goes on
// or ends. The producer completes when the iterator does. Each run ranges over it anew; when a
// run ends early, the iterator sees its yield return false. A panic in it ends the stage.
// FromSeq panics if seq is nil.
func FromSeq[T any](seq iter.Seq[T], opts ...ProducerOption) *Producer[T] {
	if seq == nil {
		panic("stage: FromSeq: nil iterator")
	}
	p := newProducer(func() (demandFunc[T], func()) { return pullBatches(seq) }, opts)
	p.conf.repeat = true
	return p
}

// maxPull bounds the batch that is pulled at once: between two of them the stage looks into its
// mailbox, however much was asked.
const maxPull = 4096

// pullBatches pulls a sequence batch by batch: one switch between coroutines for each, not for
// each event.
func pullBatches[T any](seq iter.Seq[T]) (demandFunc[T], func()) {
	// written between two calls of next, read within one
	var (
		want int
		run  *core
	)
	next, stop := iter.Pull(func(yield func([]T) bool) {
		run.aside.Store(goid.Current()) // what it calls is called from the stage
		returned := false
		defer func() {
			if !returned {
				run.trace = debug.Stack()
			}
		}()
		inBatches(seq, &want, yield)
		returned = true
	})
	return func(ctx context.Context, demand int) ([]T, error) {
		want = min(demand, maxPull)
		run, _ = ctx.Value(coreKey{}).(*core)
		batch, ok := next()
		if !ok {
			return nil, ErrDone
		}
		return batch, nil
	}, stop
}

// inBatches yields the events of seq, as many at once as want says.
func inBatches[T any](seq iter.Seq[T], want *int, yield func([]T) bool) {
	var batch []T
	for event := range seq {
		if batch == nil {
			batch = make([]T, 0, *want)
		}
		if batch = append(batch, event); len(batch) >= *want {
			if !yield(batch) {
				return
			}
			batch = nil
		}
	}
	if len(batch) > 0 {
		yield(batch)
	}
}
