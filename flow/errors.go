package flow

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

var (
	// ErrBufferFull is wrapped by what a flow ends with when a layer's [BufferSize] does not suffice.
	ErrBufferFull = errors.New("flow: buffer is full")

	// ErrCutShort is wrapped by what a flow ends with when a source of it, or a stage of the user's, was
	// shut down before its end: a clean end for stages, but the result would be a part only.
	ErrCutShort = errors.New("flow: shut down before its end")
)

// ItemError is how a flow ends when a function of the user's returns an error for an item, unless
// [Flow.OnError] says otherwise.
type ItemError struct {
	Item     any    // what the function was given
	Op       string // the operation, as "map"
	Stage    string // name of the stage
	Attempts int    // how often it was tried, 1 at least
	Err      error  // what it returned the last time
}

// Error names the operation, the item (the first 100 bytes of it), and the cause.
func (e *ItemError) Error() string {
	item := fmt.Sprintf("%v", e.Item)
	if len(item) > 100 {
		item = item[:100] + "..."
	}
	if e.Attempts > 1 {
		return fmt.Sprintf("%s of %s, %d attempts: %v", e.Op, item, e.Attempts, e.Err)
	}
	return fmt.Sprintf("%s of %s: %v", e.Op, item, e.Err)
}

// Unwrap returns Err.
func (e *ItemError) Unwrap() error { return e.Err }

// failure returns err so that it is a failure to package stage, which has errors that mean a normal
// end. A flow that ended like that would give a part of its results for the whole.
func failure(err error) error {
	if errors.Is(err, stage.ErrDone) || errors.Is(err, stage.ErrShutdown) {
		return failed{err}
	}
	return err
}

// failed is an error in which those that mean a normal end are not found, but everything else is.
type failed struct{ err error }

func (f failed) Error() string { return f.err.Error() }

// Is is not asked for what f wraps, which Unwrap would hand out.
func (f failed) Is(target error) bool {
	return target != stage.ErrDone && target != stage.ErrShutdown && errors.Is(f.err, target)
}

// As is [errors.As] of what f wraps.
func (f failed) As(target any) bool { return errors.As(f.err, target) }

// cut returns the error for a subscription that ended, nil if that was by completion.
func cut(sub *stage.Subscription, end stage.Cancellation) error {
	if end.Reason == nil || !errors.Is(end.Reason, stage.ErrShutdown) {
		return nil // complete, or a failure that the cancel mode passes on
	}
	return fmt.Errorf("%w: %s: %s", ErrCutShort, sub.Producer(), end.Reason)
}

// cutShort is cut as the hook of a consumer.
func cutShort(_ context.Context, sub *stage.Subscription, end stage.Cancellation) error {
	return cut(sub, end)
}
