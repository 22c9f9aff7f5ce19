package flow

import (
	"time"

	"github.com/go-genstage/genstage/internal/window"
)

// Trigger says of which window of which stage a reduction is asked to emit, and why.
type Trigger struct {
	Window Window
	Timing Timing
	Name   string // with Early, what fired: "every", "periodically", "func", or what [Signal.Send] was given; otherwise empty
	Pane   int    // how often this stage has been asked for this window before
	Events int64  // how many values have come into the window since then; 0 only with OnTime and Final
	Late   int64  // how many values of this stage have been late so far
	Stage  int    // the stage of the layer, from 0
	Stages int    // how many it has
}

// Window names a window. The zero value is the global one, which all events belong to if nothing else was said. Windows of one division
// into fixed or periodic windows are equal (==) in all stages; count windows are those of a stage.
type Window struct {
	Index      int64     // of a count window, from 0
	Start, End time.Time // of a window of time: the span, in UTC, without End itself
}

// Timing says when in the life of a window a trigger comes.
type Timing uint8

const (
	Early  Timing = Timing(window.Early)  // before its end
	OnTime Timing = Timing(window.OnTime) // at its end, if it stays open for late values
	Late   Timing = Timing(window.Late)   // after its end, with a value that came into it
	Final  Timing = Timing(window.Final)  // when it is closed: its accumulator is not used any more
)

// String returns "early", "on time", "late" or "final".
func (t Timing) String() string { return window.Timing(t).String() }

// repeats says that there is nothing in the window that has not been emitted before.
func (t Trigger) repeats() bool { return t.Pane > 0 && t.Events == 0 }
