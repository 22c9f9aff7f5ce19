package stage

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// sound returns an error of the user's that everyone may look into from here on: err, or, if a method of it panics
// (Unwrap of a nil pointer, an Is of its own) or calls Goexit, one that says so. That would otherwise happen outside of a callback,
// and not be that callback's.
func sound(err error) error {
	if err == nil || plain(err) {
		return err
	}
	return probed(err)
}

// plainTypes are those of errors that the standard library makes of nothing but others.
var plainTypes = []reflect.Type{
	reflect.TypeOf(ErrDone), reflect.TypeOf(context.DeadlineExceeded), reflect.TypeOf(errors.Join(ErrDone)),
	reflect.TypeOf(fmt.Errorf("%w", ErrDone)), reflect.TypeOf(fmt.Errorf("%w %w", ErrDone, ErrDone)),
}

// plain reports whether an error, and all that it wraps, is of those types: nothing of the user's is called in it.
func plain(err error) bool {
	if !slices.Contains(plainTypes, reflect.TypeOf(err)) {
		return false
	}
	switch err := err.(type) {
	case interface{ Unwrap() error }:
		wrapped := err.Unwrap()
		return wrapped == nil || plain(wrapped)
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(err.Unwrap(), func(wrapped error) bool { return !plain(wrapped) })
	}
	return true
}

// probed looks into an error for all that is looked for in one, on a goroutine of its own: nothing can stop Goexit.
func probed(err error) error {
	safe := make(chan error, 1)
	go func() { // ends with what methods of err do; probed waits for it
		returned := false
		defer func() {
			switch v := recover(); {
			case returned:
				safe <- err
			case v == nil:
				safe <- fmt.Errorf("an error of type %T, of which a method calls Goexit", err)
			default:
				safe <- fmt.Errorf("an error of type %T, of which a method panics: %v", err, v)
			}
		}()
		for _, target := range []error{ErrDone, ErrShutdown, ErrRefused, ErrEnded, ErrNoStage, errAborted, errRunOver} {
			_ = errors.Is(err, target)
		}
		_, _ = errors.AsType[*PanicError](err)
		_, _ = errors.AsType[*StuckError](err)
		returned = true
	}()
	return <-safe
}
