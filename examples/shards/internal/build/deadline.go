package build

import (
	"context"
	"fmt"
	"time"
)

// deadline bounds the time of one try, without the time in which it is paused. It is used by one goroutine at a time.
type deadline struct {
	left   time.Duration
	since  time.Time // it runs
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

// withDeadline returns a context that ends d after now, not counting pauses, and its deadline: nil if d is 0. The caller calls
// end.
func withDeadline(ctx context.Context, d time.Duration) (_ context.Context, _ *deadline, end func()) {
	if d == 0 {
		return ctx, nil, func() {}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	late := func() { cancel(fmt.Errorf("no result after %v: %w", d, context.DeadlineExceeded)) }
	t := &deadline{left: d, since: time.Now(), timer: time.AfterFunc(d, late), cancel: cancel}
	return ctx, t, func() { t.timer.Stop(); cancel(nil) }
}

// pause stops the time until the function that it returns is called. A nil deadline has none.
func (t *deadline) pause() (resume func()) {
	if t == nil || !t.timer.Stop() {
		return func() {} // it is over
	}
	t.left -= time.Since(t.since)
	return func() {
		t.since = time.Now()
		t.timer.Reset(t.left)
	}
}
