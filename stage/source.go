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
	p := newProducer(func() (demandFunc[T], func()) {
		return pull(func(want *int, yield func([]T) bool) error { return inBatches(seq, want, yield) })
	}, opts)
	p.conf.repeat = true
	return p
}

// FromSeq2 is FromSeq for an iterator that can fail: the first error that is not nil ends the
// producer, with that error, when the events before it have been emitted; the value beside it is
// dropped, and the iterator sees its yield return false. An error is looked for only while there is
// demand, as events are. [ErrDone] ends the producer normally. FromSeq2 panics if seq is nil.
func FromSeq2[T any](seq iter.Seq2[T, error], opts ...ProducerOption) *Producer[T] {
	if seq == nil {
		panic("stage: FromSeq2: nil iterator")
	}
	p := newProducer(func() (demandFunc[T], func()) {
		return pull(func(want *int, yield func([]T) bool) error { return inBatches2(seq, want, yield) })
	}, opts)
	p.conf.repeat = true
	return p
}

// FromChannel makes a producer of what is sent on a channel, which completes when the channel is
// closed and empty. It receives only while its subscribers wait for events, never more than they
// wait for, and passes on what there is: it does not wait for a batch to be full. Whatever the
// channel does, the stage stays responsive.
//
// Stop stops receiving; what has been received is delivered, what has not stays in the channel.
// Nothing is ever on the way between the channel and the stage, so an Abort takes no event out of
// the channel either. Each run goes on with the same channel; several producers may share one.
//
// FromChannel panics if the channel is nil.
func FromChannel[T any](ch <-chan T, opts ...ProducerOption) *Producer[T] {
	if ch == nil {
		panic("stage: FromChannel: nil channel")
	}
	p := newProducer[T](nil, opts)
	p.def.newFeed = func(*core, func()) feed[T] { return &inlet[T]{ch: ch} }
	return p
}

// maxPull bounds the batch that is pulled at once: between two of them the stage looks into its
// mailbox, however much was asked.
const maxPull = 4096

// pull pulls batches of a sequence: one switch between coroutines for each, not for each event.
// each ranges over the sequence, and yields as many events at once as *want says.
func pull[T any](each func(want *int, yield func([]T) bool) error) (demandFunc[T], func()) {
	// written between two calls of next, read within one
	var (
		want int
		run  *core
		end  error
	)
	next, stop := iter.Pull(func(yield func([]T) bool) {
		me, returned := goid.Current(), false
		run.aside.Store(me) // what it calls is called from the stage
		defer func() {
			run.aside.CompareAndSwap(me, 0)
			if !returned {
				run.trace = debug.Stack()
			}
		}()
		end = each(&want, yield)
		returned = true
	})
	return func(ctx context.Context, demand int) ([]T, error) {
		want = min(demand, maxPull)
		run, _ = ctx.Value(coreKey{}).(*core)
		batch, ok := next()
		if !ok && end == nil {
			return nil, ErrDone
		}
		return batch, end
	}, stop
}

// batches collects events, and yields as many at once as want says.
type batches[T any] struct {
	want  *int
	yield func([]T) bool
	batch []T // not yielded yet
}

// add takes one event; false says that no more are wanted.
func (b *batches[T]) add(event T) bool {
	if b.batch == nil {
		b.batch = make([]T, 0, *b.want)
	}
	b.batch = append(b.batch, event)
	return len(b.batch) < *b.want || b.flush()
}

// flush yields what there is.
func (b *batches[T]) flush() bool {
	batch := b.batch
	b.batch = nil
	return len(batch) == 0 || b.yield(batch)
}

// inBatches yields the events of seq.
func inBatches[T any](seq iter.Seq[T], want *int, yield func([]T) bool) error {
	b := batches[T]{want: want, yield: yield}
	for event := range seq {
		if !b.add(event) {
			return nil
		}
	}
	b.flush()
	return nil
}

// inBatches2 is inBatches up to the first error.
func inBatches2[T any](seq iter.Seq2[T, error], want *int, yield func([]T) bool) error {
	b := batches[T]{want: want, yield: yield}
	for event, err := range seq {
		if err != nil {
			b.flush()
			return err
		}
		if !b.add(event) {
			return nil
		}
	}
	b.flush()
	return nil
}
