package flow

import (
	"context"
	"fmt"
	"time"

	"github.com/go-genstage/genstage/internal/window"
	"github.com/go-genstage/genstage/stage"
)

// Windows is a flow whose values are divided into windows. [Reduce] and [ReduceEmit] have an accumulator for each window then. It is an
// immutable value, like a Flow; each method returns a changed one.
//
// Each stage of a layer has windows of its own: let [Partition] go before if equal keys must meet in one. A window exists from its first value on;
// one without a value is never emitted. It is emitted with [Final] once, when it is closed, at the latest with the end of the input; before that
// whenever a trigger fires, if values have come into it since it was emitted last. No trigger clears an accumulator by itself: what a
// window goes on with is what [OnTrigger] returns, and a fresh one with those that hand the accumulator over.
type Windows[T any] struct {
	flow    Flow[T]
	spec    window.Spec
	at      func(v T) time.Time                  // fixed windows
	late    func(ctx context.Context, v T) error // nil: none
	before  func() func(v T) bool                // nil: none
	after   func() func(v T) bool                // nil: none
	signals []*Signal
}

// Reducible is what can be reduced: [Windows], or a [Flow], of whose values each stage has one window, which ends with the input.
type Reducible[T any] interface {
	windows() Windows[T]
}

func (g Windows[T]) windows() Windows[T] { return g }

func (f Flow[T]) windows() Windows[T] { return Windows[T]{flow: f} }

// GlobalWindow returns the flow as one window for each stage, which ends with the input: to give it triggers. Without them it is no different from the
// flow itself.
func (f Flow[T]) GlobalWindow() Windows[T] { return f.windows() }

// CountWindows divides the values into windows of n, those of each stage for itself: over several stages, values that follow each other in the
// input are seldom in one window. For windows of n values of the whole flow let Shuffle(Stages(1)) go before. The last one may have
// fewer, but never none. n is at least 1.
func (f Flow[T]) CountWindows(n int) Windows[T] {
	return Windows[T]{flow: f, spec: window.Spec{Kind: window.Count, Size: n}}
}

// PeriodicWindows divides the values by the time at which they come into spans of d, which begin at multiples of d since the zero time, as
// [time.Time.Truncate] has them. The same flow over the same values gives other windows in each run; FixedWindows does not. d is above 0.
func (f Flow[T]) PeriodicWindows(d time.Duration) Windows[T] {
	return Windows[T]{flow: f, spec: window.Spec{Kind: window.Periodic, Duration: d}}
}

// FixedWindows divides the values by a time of their own, event time, which at returns, into spans of d, which begin at multiples of d since the
// zero time, as [time.Time.Truncate] has them: hours and days in UTC, weeks on a Monday.
//
// A window ends when the watermark has come to its end: the event time before which no more values are expected. Each stage before the layer,
// or each source, has one: the newest time of a value of it, less [Disorder]. The smallest one counts, but what is ahead of it waits for no longer
// than the [Idle] time; and it never goes back. So the values of each source should be in order, or nearly so, and those of different sources need not be. Behind what keeps values back
// in the same layer (Batch, UniqBy, another Reduce) it is not known from whom they are, and all together count as one source.
//
// A value that comes when its window is closed is late: it is left out and counted ([Trigger].Late), and handed to [Windows.OnLate]; without that, the
// first late value of each stage is logged. [Lateness] has windows stay open longer. A time that lies more than 30 billion years away ends the flow.
// d is above 0.
func (f Flow[T]) FixedWindows(d time.Duration, at func(v T) time.Time, opts ...EventTimeOption) Windows[T] {
	must(at != nil, "FixedWindows")
	g := Windows[T]{flow: f, at: at, spec: window.Spec{Kind: window.Fixed, Duration: d, Idle: DefaultIdle}}
	for _, opt := range opts {
		if opt == nil {
			return g.fault("a nil EventTimeOption")
		}
		opt(&g.spec)
	}
	return g
}

// OnLate has fn called with each late value, on the goroutines of the layer, by several stages at once. Its error ends the flow. Of several
// calls the last one counts.
func (g Windows[T]) OnLate(fn func(ctx context.Context, v T) error) Windows[T] {
	must(fn != nil, "OnLate")
	g.late = fn
	return g
}

// TriggerEvery emits a window after each n values that have come into it; the [Trigger] is called "every". A value that closes its window has
// it emitted once, with Final. Of several calls the last one counts. n is at least 1.
func (g Windows[T]) TriggerEvery(n int) Windows[T] {
	if n < 1 {
		return g.fault("TriggerEvery(%d) is less than 1", n)
	}
	g.spec.Every = n
	return g
}

// TriggerPeriodically emits every d those windows into which values have come since they were emitted last, in processing time, counted
// from the first value on; the [Trigger] is called "periodically". Of several calls the last one counts. d is above 0.
func (g Windows[T]) TriggerPeriodically(d time.Duration) Windows[T] {
	if d <= 0 {
		return g.fault("TriggerPeriodically(%v) is not above 0", d)
	}
	g.spec.Interval = d
	return g
}

// TriggerFunc emits a window when a function says so: begin is called for each new window, and what it returns with each value
// that has come into it. True emits the window with that value; the [Trigger] is called "func". What the function remembers is its window's alone. Of
// several calls the last one counts.
func (g Windows[T]) TriggerFunc(begin func() func(v T) bool) Windows[T] {
	must(begin != nil, "TriggerFunc")
	g.after = begin
	return g
}

// TriggerBefore is TriggerFunc for values that begin something new: the window is emitted without the value, which then comes into it. If nothing
// has come into it since it was emitted last, it is not.
func (g Windows[T]) TriggerBefore(begin func() func(v T) bool) Windows[T] {
	must(begin != nil, "TriggerBefore")
	g.before = begin
	return g
}

// TriggerOn emits windows when s says so: [Signal.Send]. It may be called for several signals.
func (g Windows[T]) TriggerOn(s *Signal) Windows[T] {
	if s == nil {
		panic("flow: TriggerOn: nil Signal")
	}
	g.signals = append(g.signals[:len(g.signals):len(g.signals)], s)
	return g
}

func (g Windows[T]) fault(format string, args ...any) Windows[T] {
	g.flow.layer = g.flow.layer.fault(fmt.Errorf("%w: %s", stage.ErrInvalidOption, fmt.Sprintf(format, args...)))
	return g
}

// call is how the user has said what the windows are.
func (g Windows[T]) call() string {
	switch g.spec.Kind {
	case window.Count:
		return fmt.Sprintf("CountWindows(%d)", g.spec.Size)
	case window.Fixed:
		return fmt.Sprintf("FixedWindows(%v)", g.spec.Duration)
	case window.Periodic:
		return fmt.Sprintf("PeriodicWindows(%v)", g.spec.Duration)
	}
	return "GlobalWindow"
}

// plain says that there is one window and nothing that emits it before its end.
func (g Windows[T]) plain() bool {
	return g.spec == window.Spec{} && g.before == nil && g.after == nil && len(g.signals) == 0
}

// EventTimeOption is an option of [Flow.FixedWindows].
type EventTimeOption func(*eventTime)

// eventTime is what the options change.
type eventTime = window.Spec

// Disorder says by how much, in event time, a value may be older than the newest one of its source and be expected all the same. Windows
// are emitted that much later. By default 0: the values of a source are in order. Not negative.
func Disorder(d time.Duration) EventTimeOption {
	return func(s *window.Spec) { s.Disorder = d }
}

// Lateness has windows stay open for d, in event time, after the watermark has come to their end. At its end a window is emitted with [OnTime],
// then again with [Late] for each value that comes into it, and with [Final] when the watermark has come to its end plus d; if that happens at once,
// only with Final. By default 0: a window is closed at its end. Not negative.
func Lateness(d time.Duration) EventTimeOption {
	return func(s *window.Spec) { s.Lateness = d }
}

// DefaultIdle is the idle time of a flow without [Idle].
const DefaultIdle = time.Minute

// Idle says how long, in processing time, a source that is silent holds windows open: from when another source has come past their end. How long it
// was silent before does not count, so after a pause of all sources the first one to speak does not make the values of the others late. A source
// whose values wait to be handled is not silent. By default [DefaultIdle]; 0 has each window wait for each source, until that has ended. Not
// negative.
func Idle(d time.Duration) EventTimeOption {
	return func(s *window.Spec) { s.Idle = d }
}

// Offset moves the beginnings of the windows by d; by default 0. It may be negative.
func Offset(d time.Duration) EventTimeOption {
	return func(s *window.Spec) { s.Offset = d }
}
