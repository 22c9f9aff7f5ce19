package window

import (
	"fmt"
	"time"
)

// Kind says by what events are divided.
type Kind uint8

const (
	Global   Kind = iota // one window, which ends with the stream
	Count                // windows of so many events
	Fixed                // spans of event time
	Periodic             // spans of processing time
)

// String returns the name of k.
func (k Kind) String() string {
	switch k {
	case Global:
		return "global"
	case Count:
		return "count"
	case Fixed:
		return "fixed"
	case Periodic:
		return "periodic"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Spec says what the windows of a stream are and when they are looked at. The zero value is the global window without triggers.
type Spec struct {
	Kind     Kind
	Size     int           // Count: the events of a window, at least 1
	Duration time.Duration // Fixed, Periodic: the span of a window, above 0
	Offset   time.Duration // Fixed, Periodic: spans begin that much after multiples of Duration since the zero time

	// Of event time, for Fixed only.
	Disorder time.Duration // how far an event may lie behind the newest one of its source without being unexpected
	Lateness time.Duration // how long after its end, in event time, a window goes on taking events
	Idle     time.Duration // how long a silent source holds back one that is ahead, in processing time; 0: for ever

	// Triggers, any number of them at once.
	Every    int           // a pane after every so many events of a window; 0: none
	Interval time.Duration // a pane of every changed window every so often, in processing time; 0: none
}

// Validate returns an error that names the first field that is out of range or has no meaning for the kind, nil if there is none.
func (s Spec) Validate() error {
	timed := s.Kind == Fixed || s.Kind == Periodic
	switch {
	case s.Kind > Periodic:
		return fmt.Errorf("window: unknown kind %v", s.Kind)
	case s.Kind == Count && s.Size < 1:
		return fmt.Errorf("window: count %d is less than 1", s.Size)
	case s.Kind != Count && s.Size != 0:
		return fmt.Errorf("window: count %d given to a %v window", s.Size, s.Kind)
	case timed && s.Duration <= 0:
		return fmt.Errorf("window: duration %v is not above 0", s.Duration)
	case !timed && s.Duration != 0:
		return fmt.Errorf("window: duration %v given to a %v window", s.Duration, s.Kind)
	case !timed && s.Offset != 0:
		return fmt.Errorf("window: offset %v given to a %v window", s.Offset, s.Kind)
	case s.Every < 0:
		return fmt.Errorf("window: trigger every %d is negative", s.Every)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
		fixed bool
	}{
		{"disorder", s.Disorder, true},
		{"lateness", s.Lateness, true},
		{"idle", s.Idle, true},
		{"trigger interval", s.Interval, false},
	} {
		if d.value < 0 {
			return fmt.Errorf("window: %s %v is negative", d.name, d.value)
		}
		if d.fixed && d.value != 0 && s.Kind != Fixed {
			return fmt.Errorf("window: %s %v given to a %v window", d.name, d.value, s.Kind)
		}
	}
	return nil
}
