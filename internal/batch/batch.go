// Package batch groups events into batches by number, weight and time.
//
// It is a plain value: no goroutine, lock, clock or channel. Its owner passes the time in, calls it from one goroutine, and sets one timer for
// [Batcher.Next].
//
// A batch is never empty, no event is lost, and the order stays. A batch is handed out with the event that fills it, when its time is over, or by
// [Batcher.Flush] at the end, whichever comes first.
package batch

import (
	"errors"
	"fmt"
	"time"
)

// ErrWeight is wrapped by the error for an event whose weight is negative.
var ErrWeight = errors.New("batch: negative weight")

// Limits says when a batch is full. At least one of them is given; zero is no limit.
type Limits struct {
	Count  int           // events
	Weight int64         // sum of the weights; an event that is heavier goes alone
	Within time.Duration // since the first event of the batch
}

// Validate returns an error that names the first limit that is out of range, nil if there is none.
func (l Limits) Validate() error {
	switch {
	case l.Count < 0:
		return fmt.Errorf("batch: count %d is negative", l.Count)
	case l.Weight < 0:
		return fmt.Errorf("batch: weight %d is negative", l.Weight)
	case l.Within < 0:
		return fmt.Errorf("batch: time %v is negative", l.Within)
	case l == Limits{}:
		return errors.New("batch: neither count nor weight nor time")
	}
	return nil
}

// Batcher collects the events of one batch at a time.
type Batcher[T any] struct {
	limits Limits
	weigh  func(T) int64

	now     time.Time
	pending []T
	weight  int64     // of pending
	due     time.Time // when the time of pending is over
}

// New returns an empty batcher. The error is that of [Limits.Validate]. weigh is asked once for each event, if there is a limit of weight; it must
// then be given.
func New[T any](limits Limits, weigh func(T) int64) (*Batcher[T], error) {
	if err := limits.Validate(); err != nil {
		return nil, err
	}
	if limits.Weight > 0 && weigh == nil {
		panic("batch: a limit of weight without a function that weighs")
	}
	return &Batcher[T]{limits: limits, weigh: weigh}, nil
}

// Add takes an event and appends to done the batches that are complete: up to two, since an event that no longer fits closes the batch before it and
// may fill the next one alone. A batch whose time is over by now is complete without the event. The error wraps [ErrWeight]; the event is then
// not taken. A now that lies before an earlier one counts as that one.
func (b *Batcher[T]) Add(done [][]T, event T, now time.Time) ([][]T, error) {
	done = b.Advance(done, now)
	var weight int64
	if b.limits.Weight > 0 {
		if weight = b.weigh(event); weight < 0 {
			return done, fmt.Errorf("%w %d", ErrWeight, weight)
		}
		if len(b.pending) > 0 && weight > b.limits.Weight-b.weight { // the sum might overflow
			done = b.Flush(done)
		}
	}
	if len(b.pending) == 0 {
		b.due = b.now.Add(b.limits.Within)
	}
	b.pending = append(b.pending, event)
	b.weight += weight
	if b.limits.Count > 0 && len(b.pending) >= b.limits.Count || b.limits.Weight > 0 && b.weight >= b.limits.Weight {
		done = b.Flush(done)
	}
	return done, nil
}

// Advance appends to done the batch whose time is over by now, if there is one.
func (b *Batcher[T]) Advance(done [][]T, now time.Time) [][]T {
	if now.After(b.now) {
		b.now = now
	}
	if due, ok := b.Next(); ok && !b.now.Before(due) {
		return b.Flush(done)
	}
	return done
}

// Next returns when the time of the batch is over; false if there is none or it has no limit of time.
func (b *Batcher[T]) Next() (at time.Time, ok bool) {
	if b.limits.Within == 0 || len(b.pending) == 0 {
		return time.Time{}, false
	}
	return b.due, true
}

// Flush appends to done what has been collected, if anything has. A batch has cap == len and belongs to the caller.
func (b *Batcher[T]) Flush(done [][]T) [][]T {
	if len(b.pending) == 0 {
		return done
	}
	batch := b.pending[:len(b.pending):len(b.pending)]
	b.pending, b.weight = nil, 0
	return append(done, batch)
}

// Len returns how many events have been collected and not handed out.
func (b *Batcher[T]) Len() int { return len(b.pending) }
