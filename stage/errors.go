package stage

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// The expected ends and refusals. Compare with [errors.Is]; texts may change.
var (
	// ErrDone is returned by a callback to end its stage normally: what the callback returned
	// beside it is delivered first, then the consumers are told that nothing more will come,
	// and Run returns nil.
	ErrDone = errors.New("stage: done")

	// ErrShutdown is a clean end that is not a completion: an orderly order to stop. Run of the
	// stage returns an error that wraps it; transient subscriptions survive it.
	ErrShutdown = errors.New("stage: shut down")

	// ErrKilled is the customary cause for an Abort that is meant as a kill. It counts as a failure.
	ErrKilled = errors.New("stage: killed")

	// ErrRunning is returned by Run when the stage, or a member of the pipeline, runs already.
	ErrRunning = errors.New("stage: already running")

	// ErrNotRunning is returned by calls that need a running stage, when it was never run.
	ErrNotRunning = errors.New("stage: not running")

	// ErrEnded is returned by calls that need a running stage or a live subscription, when that
	// run or subscription has ended. What was asked for did not happen and never will.
	ErrEnded = errors.New("stage: ended")

	// ErrNoStage is the reason of a dynamic subscription to a stage that is not running.
	ErrNoStage = fmt.Errorf("stage: no such stage: %w", ErrNotRunning)

	// ErrRefused is wrapped by OnSubscribe or OnConsumer to refuse one subscription without
	// ending the stage.
	ErrRefused = errors.New("stage: subscription refused")

	// ErrLagging is the reason for which a subscription with [Lag] and [LagDisconnect] ends.
	ErrLagging = errors.New("stage: subscriber lags behind")

	// ErrAlreadySubscribed is the answer to a second subscription of the same pair of stages
	// without [AllowDuplicate].
	ErrAlreadySubscribed = errors.New("stage: already subscribed")

	// ErrCycle is the answer to a subscription that would make a stage its own upstream.
	ErrCycle = errors.New("stage: subscription makes a ring")

	// ErrSelfCall is returned, at once, by a call that would wait for the stage whose callback
	// makes it.
	ErrSelfCall = errors.New("stage: would wait for itself, as its own callback calls it")

	// ErrCallCycle is returned, at once, by a Do that would close a ring of stages waiting for
	// each other in Do.
	ErrCallCycle = errors.New("stage: ring of calls")

	// ErrInvalidOption is wrapped by what Run and Subscribe return for an option out of range.
	ErrInvalidOption = errors.New("stage: invalid option")

	// ErrInvalidStage is wrapped by what Run returns for a nil stage, a nil source, or a stage
	// that no constructor made.
	ErrInvalidStage = errors.New("stage: invalid stage")

	// ErrInvalidDemand is returned by Ask and Next for n < 1. Nothing changes.
	ErrInvalidDemand = errors.New("stage: demand must be at least 1")

	// ErrInvalidHold is wrapped by what Hold returns outside the callback that received the events or for
	// more than it received, and Release for more than is held. Nothing changes.
	ErrInvalidHold = errors.New("stage: not so many events to hold or release")

	// ErrFull is returned by [Queue.TryPush] when the queue has no room for the events.
	ErrFull = errors.New("stage: queue is full")

	// ErrNotManual is returned by Ask and Next on a subscription without [Manual].
	ErrNotManual = errors.New("stage: the subscription asks by itself, it was not made with Manual")

	// ErrIntensity is wrapped by what a supervisor ends with when it would have to restart more
	// often than [MaxRestarts] allows.
	ErrIntensity = errors.New("stage: too many restarts")

	// ErrNoChild is returned by StopChild when no child with that number runs: it has ended, or
	// there never was one.
	ErrNoChild = errors.New("stage: no such child")

	// ErrStuck is wrapped by what Run returns when a function of the stage's did not return within
	// [Grace] and was abandoned ([*StuckError]); by Run on that stage until the function has returned;
	// and by a Do whose function it is.
	ErrStuck = errors.New("stage: stuck")

	// ErrGoexit is the Value of the [PanicError] of a callback that called [runtime.Goexit]
	// (testing.T.FailNow does).
	ErrGoexit = errors.New("stage: callback called runtime.Goexit")
)

// Error names the stage whose end it describes. Every error that Run returns for the end of
// a stage is wrapped in one, once: the stage where it began.
type Error struct {
	Stage string // name of the stage
	Err   error
}

// Error returns the stage's name and the text of Err.
func (e *Error) Error() string { return fmt.Sprintf("stage %q: %v", e.Stage, e.Err) }

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// PanicError is how a stage ends when one of its callbacks panics or calls [runtime.Goexit].
// The panic ends that stage and no other; neighbours see it as the reason of their
// subscriptions' end.
type PanicError struct {
	Value    any    // the value given to panic; [ErrGoexit] after Goexit
	Stack    []byte // the stack of the callback at that moment
	Stage    string // name of the stage
	Callback string // which function of it, as "events", "OnInit", "Do"; "start" and "child" of a consumer supervisor; "AddFunc"
}

// Error names the callback, the value, and the file and line, if Stack has them. The rest of the stack is not part of it.
func (e *PanicError) Error() string {
	if at := raisedAt(e.Stack); at != "" {
		return fmt.Sprintf("panic in %s: %v, at %s", e.Callback, e.Value, at)
	}
	return fmt.Sprintf("panic in %s: %v", e.Callback, e.Value)
}

// raisedAt returns the file and line that called panic or Goexit, or did what made the runtime panic: that of the function
// below these, as the runtime shows none of its own. "" if the stack, whose form Go does not promise, does not say.
func raisedAt(stack []byte) string {
	below := false
	lines := strings.Split(string(stack), "\n")
	for i, line := range lines[:len(lines)-1] {
		switch {
		case strings.HasPrefix(line, "panic("), strings.HasPrefix(line, "runtime.Goexit("):
			below = true
		case below && !strings.HasPrefix(line, "\t"):
			place, _, _ := strings.Cut(strings.TrimSpace(lines[i+1]), " ")
			return filepath.Base(place)
		}
	}
	return ""
}

// Unwrap returns Value if that is an error, else nil. For an error whose own methods panic, as those of
// a nil pointer do, it returns one that says so.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return sound(err)
}

// StopError is what Stop returns when the stages did not drain before its context ended, or
// when one of them failed meanwhile. The run was aborted then.
type StopError struct {
	Left  []Leftover // stages that had not finished, with the events they had
	Stuck []Stuck    // callbacks and children that had not returned
	Cause error      // why it ended: the context's cause, or the failure
}

// Leftover says what a stage had in it when Stop gave up.
type Leftover struct {
	Stage    string
	Queued   int64 // received, not begun
	InHand   int64 // begun, not finished: in a callback or held
	Buffered int64 // emitted, not dispatched
}

// Stuck names a function of the user's that has not returned: when Stop gave up, or when it was abandoned
// ([Grace]).
type Stuck struct {
	Stage    string
	Callback string    // as in [PanicError]; "Read" of [Lines]
	Child    ChildID   // of a consumer supervisor, when Callback is "child" or "start"; else 0
	Since    time.Time // when it was abandoned; zero if it was not
}

// StuckError is how a run ends in which functions of the user's did not return within [Grace] after the end of
// their context, and were abandoned. It is not a clean end. errors.Is finds [ErrStuck] and the cause in it. Run
// returns it too, without a cause, on a stage for whose function it would have to wait.
type StuckError struct {
	Stuck []Stuck
	Cause error // why the run ended: as Run would have returned otherwise; nil for a normal end
}

// Error lists what was stuck.
func (e *StuckError) Error() string {
	var b strings.Builder
	b.WriteString(ErrStuck.Error())
	writeStuck(&b, e.Stuck, "is in")
	if e.Cause != nil {
		fmt.Fprintf(&b, "; %v", e.Cause)
	}
	return b.String()
}

// Unwrap returns ErrStuck and, if there is one, Cause.
func (e *StuckError) Unwrap() []error {
	if e.Cause == nil {
		return []error{ErrStuck}
	}
	return []error{ErrStuck, e.Cause}
}

// maxShown bounds the text of an error: a thousand children may be stuck.
const maxShown = 10

// writeStuck lists what was stuck.
func writeStuck(b *strings.Builder, list []Stuck, verb string) {
	for i, s := range list {
		if i == maxShown {
			fmt.Fprintf(b, "; and %d more", len(list)-i)
			return
		}
		fmt.Fprintf(b, "; %q %s %s", s.Stage, verb, s.Callback)
		if s.Child != 0 {
			fmt.Fprintf(b, " %d", s.Child)
		}
	}
}

// Error lists what was left and what was stuck.
func (e *StopError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "stage: stop did not drain: %v", e.Cause)
	for i, l := range e.Left {
		if i == maxShown {
			fmt.Fprintf(&b, "; and %d more", len(e.Left)-i)
			break
		}
		fmt.Fprintf(&b, "; %q had %s", l.Stage, l.events())
	}
	writeStuck(&b, e.Stuck, "was in")
	return b.String()
}

// events lists what there was.
func (l Leftover) events() string {
	var parts []string
	for _, part := range []struct {
		n    int64
		what string
	}{{l.Queued, "queued"}, {l.InHand, "in hand"}, {l.Buffered, "buffered"}} {
		if part.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", part.n, part.what))
		}
	}
	if len(parts) == 0 {
		return "no events"
	}
	return strings.Join(parts, ", ")
}

// Unwrap returns Cause.
func (e *StopError) Unwrap() error { return e.Cause }

// ending is how a run ended, as neighbours and the pipeline are told.
type ending struct {
	reason    error // nil: normally
	clean     bool  // nil, ErrShutdown, or the run's own context
	completed bool  // everything emitted was delivered and begun, and nothing more will come

	root *tenure // where it began: the run of a supervisor's member; nil elsewhere
}

// endedBy makes the ending of a stage that ends by its own err. An ending that came from
// elsewhere (a neighbour, the pipeline) is passed on as it is, so that the name of the stage
// where it began stands in it once.
func endedBy(stage string, err error, root *tenure) *ending {
	if err == nil {
		return &ending{clean: true}
	}
	err = sound(err)
	var panicked *PanicError // no panic is clean, whatever its value
	return &ending{
		reason: &Error{Stage: stage, Err: err},
		clean:  errors.Is(err, ErrShutdown) && !errors.As(err, &panicked),
		root:   root,
	}
}

// cause is context.Cause without the chance of nil.
func cause(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return sound(err)
	}
	return ErrShutdown
}
