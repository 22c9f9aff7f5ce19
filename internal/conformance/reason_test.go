package conformance

import (
	"errors"
	"strings"

	"github.com/go-genstage/genstage/stage"
)

// reason is an end in the words of a trace. It travels through the library as any error of a
// user's does.
type reason string

func (r reason) Error() string { return string(r) }

// Is makes the clean reasons clean.
func (r reason) Is(target error) bool {
	clean := r == "normal" || r == "shutdown" || strings.HasPrefix(string(r), "shutdown:")
	return clean && target == stage.ErrShutdown
}

// cause returns the error to abort with for a reason.
func cause(text string) error {
	switch text {
	case "killed":
		return stage.ErrKilled
	case "noproc":
		return stage.ErrNoStage
	}
	return reason(text)
}

// answered returns what a callback returns to end its stage with a reason.
func answered(text string) error {
	if text == "normal" {
		return stage.ErrDone
	}
	return cause(text)
}

// cancelled returns what a subscription is cancelled with.
func cancelled(text string) error {
	if text == "normal" {
		return nil
	}
	return cause(text)
}

// reasonOf says an end in the words of a trace.
func reasonOf(err error) string {
	var r reason
	switch {
	case err == nil:
		return "normal"
	case errors.Is(err, stage.ErrIntensity): // it wraps the last failure
		return "shutdown"
	case errors.As(err, &r):
		return string(r)
	case errors.Is(err, stage.ErrKilled):
		return "killed"
	case errors.Is(err, stage.ErrNoStage):
		return "noproc"
	case errors.Is(err, stage.ErrAlreadySubscribed):
		return "error:already_subscribed"
	case errors.Is(err, stage.ErrInvalidOption):
		return "error:bad_opts"
	case errors.Is(err, stage.ErrShutdown):
		return "shutdown"
	}
	return "error:" + err.Error()
}
