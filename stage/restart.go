package stage

import (
	"fmt"
	"slices"
	"time"
)

// RestartMode says whether a supervisor starts again what has ended.
type RestartMode uint8

const (
	// RestartTemporary never starts it again: any end is its end.
	RestartTemporary RestartMode = iota
	// RestartTransient starts it again when it failed: it returned an error, panicked or called
	// [runtime.Goexit]. It does not after a clean end: nil, an error that wraps [ErrShutdown], or
	// any error that it returned after its context had ended.
	RestartTransient
	// RestartPermanent always starts it again. It is for the members of a [Supervisor]; the children of a
	// [ConsumerSupervisor] refuse it, since an event is handled once.
	RestartPermanent
)

// The intensity of restarts without [MaxRestarts].
const (
	DefaultMaxRestarts    = 3
	DefaultRestartsWithin = 5 * time.Second
)

// childPolicy is what the options of either kind of supervisor came to.
type childPolicy struct {
	mode     RestartMode
	max      int           // restarts within that time over all children
	within   time.Duration // 0: MaxRestarts was not given
	attempts int           // of one child; 0: not bounded
	pause    struct{ first, longest time.Duration }
}

// Restart sets whether what has ended is started again.
//
// A child of a [ConsumerSupervisor] is, with the same event, if it has failed and the mode is [RestartTransient]; by
// default it is [RestartTemporary]. A child that is started again keeps its slot: nothing is asked for it.
//
// A member of a [Supervisor] is [RestartTransient] by default.
func Restart(mode RestartMode) RestartOption { return restartOption(mode) }

type restartOption RestartMode

func (o restartOption) forConsumerSupervisor(c *config) {
	if RestartMode(o) > RestartTransient {
		c.fault("Restart(%d): no such mode for a child", o)
		return
	}
	c.children.mode = RestartMode(o)
}

func (o restartOption) forMember(c *memberConfig) {
	if RestartMode(o) > RestartPermanent {
		c.faults = append(c.faults, fmt.Errorf("%w: Restart(%d): no such mode", ErrInvalidOption, o))
		return
	}
	c.mode = RestartMode(o)
}

// MaxRestarts sets how many restarts are allowed within that time, counted over all children of a
// [ConsumerSupervisor], or all members of a [Supervisor], where what one failure took down is one; the ends of that span belong to it. The supervisor ends with an error that wraps [ErrIntensity] and
// the last failure when one more would be needed. By default 3 within 5 seconds; with
// [MaxAttempts] and without MaxRestarts as many as it takes. n is at least 0, within above 0.
func MaxRestarts(n int, within time.Duration) IntensityOption {
	return intensityOption(func(c *config) {
		if n < 0 || within <= 0 {
			c.fault("MaxRestarts(%d, %v): must be at least 0 restarts, within more than 0", n, within)
			return
		}
		c.children.max, c.children.within = n, within
	})
}

// MaxAttempts gives an event up when its child has failed n times, instead of ending the
// supervisor: the event is counted as failed and goes to OnDeadLetter, or the log, and the
// supervisor goes on. n is at least 1; it needs [RestartTransient]. Add [MaxRestarts] to end the
// supervisor nevertheless when very much fails at once: an outage should not use up the attempts
// of every event.
func MaxAttempts(n int) ConsumerSupervisorOption {
	return consumerSupervisorOption(func(c *config) {
		if n < 1 {
			c.fault("MaxAttempts(%d): must be at least 1", n)
			return
		}
		c.children.attempts = n
	})
}

// Backoff sets the pause before a restart: first, doubled at each further restart of the same
// child or member up to longest, and of that a random part between half and all, so that what failed
// together does not come back together. By default there is none. first must be above 0 and
// longest at least first. A member of a [Supervisor] that has run for longer than the span of
// [MaxRestarts] begins with first again.
func Backoff(first, longest time.Duration) IntensityOption {
	return intensityOption(func(c *config) {
		if first <= 0 || longest < first {
			c.fault("Backoff(%v, %v): the first pause must be above 0, the longest at least that", first, longest)
			return
		}
		c.children.pause.first, c.children.pause.longest = first, longest
	})
}

// complete checks the options of a supervisor together and fills in what was not given.
func (p *childPolicy) complete(c *config) {
	if p.attempts > 0 && p.mode != RestartTransient {
		c.fault("MaxAttempts(%d): only with Restart(RestartTransient)", p.attempts)
	}
	if p.within == 0 && p.attempts == 0 {
		p.max, p.within = DefaultMaxRestarts, DefaultRestartsWithin
	}
}

// backoff returns the pause before the nth restart of a child, by a random number below what draw is given.
func (p *childPolicy) backoff(n int, draw func(below int64) int64) time.Duration {
	d := p.pause.first
	for ; n > 1 && d < p.pause.longest; n-- {
		d *= 2
		if d <= 0 { // past the end of time
			d = p.pause.longest
		}
	}
	d = min(d, p.pause.longest)
	return d - time.Duration(draw(int64(d/2+1)))
}

// intensity counts restarts in a moving span of time. It has no clock.
type intensity struct {
	max    int
	within time.Duration // 0: no bound
	times  []time.Time   // of the restarts within, oldest first; never more than max
}

// allow records a restart and reports true, or false if it would be one too many.
func (i *intensity) allow(now time.Time) bool {
	if i.within == 0 {
		return true
	}
	past := 0
	for past < len(i.times) && now.Sub(i.times[past]) > i.within {
		past++
	}
	i.times = slices.Delete(i.times, 0, past)
	if len(i.times) == i.max {
		return false
	}
	i.times = append(i.times, now)
	return true
}
