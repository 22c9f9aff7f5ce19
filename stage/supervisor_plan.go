package stage

import (
	"slices"
	"time"
)

// Strategy says which members of a [Supervisor] are started again beside one that has ended. It is a
// [SupervisorOption].
type Strategy uint8

const (
	// RestForOne restarts the member and all those that were added after it: the members of a chain, from producer
	// to consumer, depend on those before them. It is the default.
	RestForOne Strategy = iota
	// OneForOne restarts the member alone.
	OneForOne
	// OneForAll restarts all members.
	OneForAll
)

// String returns "rest for one", "one for one" or "one for all".
func (s Strategy) String() string {
	switch s {
	case RestForOne:
		return "rest for one"
	case OneForOne:
		return "one for one"
	case OneForAll:
		return "one for all"
	}
	return "unknown"
}

func (s Strategy) forSupervisor(c *config) {
	if s > OneForAll {
		c.fault("Strategy(%d): no such strategy", uint8(s))
		return
	}
	c.strategy = s
}

// plan is what a supervisor does about the ends of its members: whom it stops, in which order, whom it starts, when,
// and when it gives up. It has no goroutine, lock, clock or channel: it is told what happened and what time it is.
type plan struct {
	strategy  Strategy
	pause     func(n int) time.Duration // before the nth restart in a row of a member; nil: none
	restarted intensity
	counted   []any // the causes of those
	members   []planned
	exceeded  bool // more restarts were needed than are allowed: everything is stopped, nothing started
}

// planned is one member of a plan.
type planned struct {
	mode  RestartMode
	state memberState
	begun time.Time // its last start
	due   time.Time // not to be started before
	row   int       // restarts in a row: each before the last one had run for long
	cause any       // where its last end began
}

// memberState is where a member stands.
type memberState uint8

const (
	memberRuns     memberState = iota
	memberStopping             // runs, and is to be stopped
	memberDue                  // does not run, and is to be started
	memberEnded                // has ended for good; a group that is started again takes it along
	memberDropped              // a temporary one that has ended
)

// memberEnd says how a member ended.
type memberEnd struct {
	clean  bool
	cause  any // where it began; one value for one failure
	caused int // by which member's own end, itself included; -1: by that of somebody outside, or within a supervisor in one
}

// ended notes the end of member i, and reports whether it will be started again.
func (p *plan) ended(i int, end memberEnd, now time.Time) bool {
	m := &p.members[i]
	switch {
	case m.mode == RestartTemporary:
		m.state = memberDropped
		return false
	case m.state == memberStopping && p.exceeded:
		m.state = memberEnded
		return false
	case m.state == memberStopping:
		m.state = memberDue
		return true
	case m.mode == RestartTransient && end.clean:
		m.state = memberEnded
		return false
	}
	counts := p.counts(i, end)
	m.cause = end.cause
	if counts && !p.allow(end.cause, now) {
		m.state = memberEnded
		p.giveUp()
		return false
	}
	if now.Sub(m.begun) > p.restarted.within {
		m.row = 0
	}
	m.row++
	m.state, m.due = memberDue, now
	if p.pause != nil {
		m.due = now.Add(p.pause(m.row))
	}
	p.takeAlong(i)
	return true
}

// allow records a restart for a failure, or reports that it would be one too many.
func (p *plan) allow(cause any, now time.Time) bool {
	if !p.restarted.allow(now) {
		return false
	}
	p.counted = append(p.counted, cause)
	p.counted = slices.Delete(p.counted, 0, len(p.counted)-len(p.restarted.times))
	return true
}

// counts reports whether an end counts as a failure of its own. One that another member's failure brought about does
// not, once, if that has been counted: that is the case unless the other one is not started again for it, being
// temporary, stopped already, or a supervisor that has mended it itself. The other one may have failed again since.
func (p *plan) counts(i int, end memberEnd) bool {
	if end.caused == i || p.members[i].cause == end.cause {
		return true
	}
	return !slices.Contains(p.counted, end.cause) && !slices.ContainsFunc(p.members, func(m planned) bool { return m.cause == end.cause })
}

// takeAlong has those stopped and started that are restarted together with i.
func (p *plan) takeAlong(i int) {
	var group []planned
	switch p.strategy {
	case RestForOne:
		group = p.members[i+1:]
	case OneForAll:
		group = p.members
	}
	for j := range group {
		switch m := &group[j]; m.state {
		case memberRuns:
			m.state = memberStopping
		case memberEnded:
			m.state = memberDue
		}
	}
}

// giveUp has everything stopped and nothing started.
func (p *plan) giveUp() {
	p.exceeded = true
	for i := range p.members {
		switch m := &p.members[i]; m.state {
		case memberRuns:
			m.state = memberStopping
		case memberDue:
			m.state = memberEnded
		}
	}
}

// toStop returns who is to be stopped next, when the one before has ended: they stop in reverse order. -1: nobody.
func (p *plan) toStop() int {
	for i, m := range slices.Backward(p.members) {
		if m.state == memberStopping {
			return i
		}
	}
	return -1
}

// toStart returns who is to be started now, in order, when nobody is to be stopped. Else it returns when to ask
// again; never if that is zero. A group starts together.
func (p *plan) toStart(now time.Time) (list []int, next time.Time) {
	var last time.Time
	for i, m := range p.members {
		if m.state != memberDue {
			continue
		}
		if m.due.After(now) {
			if next.IsZero() || m.due.Before(next) {
				next = m.due
			}
			if m.due.After(last) {
				last = m.due
			}
			if p.strategy == OneForOne {
				continue
			}
		}
		list = append(list, i)
	}
	if p.strategy != OneForOne && !last.IsZero() {
		return nil, last
	}
	if len(list) > 0 {
		return list, time.Time{}
	}
	return nil, next
}

// started notes that a member has been started.
func (p *plan) started(i int, now time.Time) {
	m := &p.members[i]
	m.state, m.begun, m.due = memberRuns, now, time.Time{}
}

// over reports whether all members have ended for good.
func (p *plan) over() bool {
	return !slices.ContainsFunc(p.members, func(m planned) bool { return m.state <= memberDue })
}
