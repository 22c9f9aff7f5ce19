package window

import "fmt"

// Timing says why there is a pane.
type Timing uint8

const (
	Early  Timing = iota // a trigger fired before the window's end
	OnTime               // the watermark has reached the end of a window with lateness
	Late                 // an event came after the end, within the lateness
	Final                // the window is closed; there is one for each window, its last pane
)

// String returns the name of t.
func (t Timing) String() string {
	switch t {
	case Early:
		return "early"
	case OnTime:
		return "on time"
	case Late:
		return "late"
	case Final:
		return "final"
	}
	return fmt.Sprintf("Timing(%d)", uint8(t))
}

// The names of the triggers that have no name of their own.
const (
	ByEvery    = "every"        // Spec.Every
	ByInterval = "periodically" // Spec.Interval
	ByFunc     = "func"         // Reducer.Before, Reducer.After
)

// Pane is one look at the accumulator of a window.
type Pane[A any] struct {
	Window  Window
	Number  int // of the panes of this window, from 0 on
	Timing  Timing
	Trigger string // Early: what fired, or the name given to Engine.Message; otherwise empty
	Events  int64  // in the window since the pane before; only an OnTime or Final pane can have 0
	Acc     A
}
