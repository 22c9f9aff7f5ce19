package flow

import (
	"context"
	"time"
)

// timer calls a function of an operation on the stage's goroutine at a set time: once for each set. What
// the function hands down the chain is emitted. All methods are called on that goroutine.
type timer struct {
	w    *worker
	fn   func(now time.Time)
	set  *time.Timer // the one in force, nil if there is none
	due  time.Time   // when it goes off
	turn int         // counts sets and stops: a firing of an earlier one does nothing
}

// timer returns a timer that is not set.
func (w *worker) timer(fn func(now time.Time)) *timer {
	t := &timer{w: w, fn: fn}
	w.timers = append(w.timers, t)
	return t
}

// at sets the timer to go off at a time, at once if that has passed, instead of when it was set to before.
func (t *timer) at(when time.Time) {
	t.stop()
	t.due = when
	turn := t.turn
	// The goroutine of AfterFunc ends at once: Tell does not block, and is refused when the run has ended.
	t.set = time.AfterFunc(time.Until(when), func() {
		_ = t.w.tell(func(ctx context.Context) ([]event, error) {
			if t.turn != turn {
				return nil, nil
			}
			t.set = nil
			t.w.ctx = ctx
			t.fn(time.Now())
			return t.w.passed()
		})
	})
}

// by sets the timer to go off at a time, unless it is set to go off before.
func (t *timer) by(when time.Time) {
	if t.set == nil || when.Before(t.due) {
		t.at(when)
	}
}

// stop has it not go off any more.
func (t *timer) stop() {
	t.turn++
	if t.set != nil {
		t.set.Stop()
		t.set = nil
	}
}
