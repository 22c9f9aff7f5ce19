package stage

import (
	"errors"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/internal/hop"
)

// What becomes of functions of the user's that do not return although the run's context has ended. Nothing
// in Go can end them: they are abandoned. core.callback is the fence between a callback and the run: whoever
// changes it first, the callback that leaves or the watchdog, owns the run from then on.

// abandoned marks core.callback when that callback has been abandoned. It stays: the run calls no other.
const abandoned uint32 = 1 << 31

// watchdog abandons what is still in progress when Grace is over. It exists while a run is being aborted, or
// waits at its end for children or a reader.
type watchdog struct {
	mu       sync.Mutex
	timer    *time.Timer   // guarded by mu; nil: not armed
	deadline time.Time     // guarded by mu
	extended bool          // guarded by mu: a callback that waits in Do has been given a further Grace
	over     bool          // guarded by mu: Grace is over; nobody waits any longer for what was in progress then
	overdue  chan struct{} // guarded by mu: closed then; made by who waits for that
	off      bool          // guarded by mu: the run has ended
}

// arm starts the watchdog, if it has not been. Safe for concurrent use.
func (c *core) arm() {
	w := &c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil || w.off {
		return
	}
	w.deadline = time.Now().Add(c.h.conf.grace)
	turn := hop.Join(c.context(), "watchdog")
	// The function ends by itself, or becomes the stage goroutine; finalize stops the timer.
	w.timer = time.AfterFunc(c.h.conf.grace, func() {
		if turn != nil {
			turn()
		}
		if c.graceOver() {
			c.whole.takenOver()
		}
	})
}

// putOff gives what begins now its own Grace, if the watchdog is armed.
func (c *core) putOff() {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	c.watch.putOff(c.h.conf.grace)
}

// putOff moves the deadline. The caller holds mu.
func (w *watchdog) putOff(grace time.Duration) {
	if w.timer != nil {
		w.deadline = time.Now().Add(grace)
		w.timer.Reset(grace)
	}
}

// disarm stops the watchdog; for good, if the run has ended.
func (c *core) disarm(off bool) {
	w := &c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer != nil {
		w.timer.Stop()
		w.timer = nil
	}
	w.off = w.off || off
}

// graceOver ends the time of everything that is in progress, and reports whether it has abandoned the callback
// in progress: then the caller owns the run.
func (c *core) graceOver() bool {
	w := &c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.timer == nil || time.Now().Before(w.deadline) {
		return false // it was put off, or stopped, at this moment
	}
	if c.waitsForAborted() && !w.extended {
		w.extended = true
		w.putOff(c.h.conf.grace)
		return false
	}
	if !w.over && w.overdue != nil {
		close(w.overdue)
	}
	w.over = true
	cb := c.callback.Load()
	if cb == uint32(inNone) || cb == uint32(inStart) || cb&abandoned != 0 {
		return false // what it waits for, if anything, is an errand
	}
	return c.h.stuck.add(c, &c.stuckCallback, Stuck{Callback: callbackNames[cb]}, func() bool {
		return c.callback.CompareAndSwap(cb, cb|abandoned)
	})
}

// graceEnds returns what is closed when Grace is over. Safe for concurrent use.
func (c *core) graceEnds() <-chan struct{} {
	w := &c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.overdue == nil {
		w.overdue = make(chan struct{})
		if w.over {
			close(w.overdue)
		}
	}
	return w.overdue
}

// answeredLate gives a callback whose Do has been answered late, since the other stage was abandoned, time to act
// on that: once.
func (c *core) answeredLate() {
	w := &c.watch
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.extended {
		w.extended = true
		w.putOff(c.h.conf.grace)
	}
}

// takenOver is the stage goroutine from where the abandoned callback has left it.
func (r *run[In, Out]) takenOver() {
	r.shut = true
	if r.verdict == nil {
		r.verdict = r.aborting.Load()
	}
	r.forgetDispatcher()
	r.log(slog.LevelError, "stage: a callback does not return and is abandoned",
		"stage", r.name(), "callback", callbackNames[r.abandonedIn()], "grace", r.h.conf.grace)
	r.main(true)
}

// returnedLate is told by an abandoned callback that has returned after all, with that many events, or failed.
// The caller owns nothing of the run any more, and ends its goroutine.
func (r *run[In, Out]) returnedLate(cb callbackName, results int, failure error) {
	r.releaseLate()
	if r.h.stuck.remove(&r.stuckCallback, results) {
		r.reportLate(callbackNames[cb], 0, results, failure)
	}
}

// releaseLate frees the iterator of the run: nobody else may touch one that was abandoned in its middle.
func (r *run[In, Out]) releaseLate() {
	release := func(stop func()) {
		returned := false
		defer func() {
			if !returned {
				_ = recover() // it is the second thing to go wrong with it
			}
		}()
		stop()
		returned = true
	}
	if x := r.expansion; x != nil {
		release(x.stop)
	}
	if r.outlet.releaseDemand != nil {
		release(r.outlet.releaseDemand)
	}
}

// reportLate logs that what was abandoned has returned.
func (c *core) reportLate(callback string, child ChildID, results int, failure error) {
	args := []any{"stage", c.name(), "callback", callback}
	if child != 0 {
		args = append(args, "child", uint64(child))
	}
	if results > 0 {
		args = append(args, "late_results", results)
	}
	if failure != nil {
		args = append(args, "error", failure)
	}
	c.logFrom(false, slog.LevelWarn, "stage: what was abandoned has returned", args...)
}

// errand is a function of the user's on a goroutine of its own for which the stage waits: it returns in
// time or is abandoned.
type errand struct {
	state atomic.Uint32 // errandGone, then one of the others, once
	stuck *Stuck        // guarded by stuckCalls.mu: as it is named; nil when it isn't abandoned
}

const (
	errandGone uint32 = iota
	errandBack
	errandAbandoned
)

// back is told when the function has returned or failed; false says that the stage has gone on without it.
func (e *errand) back() bool { return e.state.CompareAndSwap(errandGone, errandBack) }

// await waits for an errand, which tells done, or closes it, behind back. It gives it up, and returns false, when Grace is
// over: after the end of the run's context, and after now.
func (c *core) await(e *errand, done <-chan struct{}, s Stuck) bool {
	began := time.Now()
	select {
	case <-done:
		return true
	case <-c.graceEnds():
	}
	if left := c.h.conf.grace - time.Since(began); left > 0 {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-done:
			return true
		case <-timer.C:
		}
	}
	if c.abandon(e, s) {
		return false
	}
	<-done // it has just returned
	return true
}

// abandon gives up an errand; false if it has returned.
func (c *core) abandon(e *errand, s Stuck) bool {
	return c.h.stuck.add(c, e, s, func() bool { return e.state.CompareAndSwap(errandGone, errandAbandoned) })
}

// backLate is told when an errand that was abandoned has returned.
func (c *core) backLate(e *errand, callback string, child ChildID, failure error) {
	if c.h.stuck.remove(e, 0) {
		c.reportLate(callback, child, 0, failure)
	}
}

// nameStuck has the run's end name what was abandoned in it.
func (c *core) nameStuck() {
	all := c.h.stuck.named(c)
	if len(all) == c.namedStuck {
		return
	}
	if c.namedStuck == 0 {
		c.unnamed = c.verdict
	}
	c.namedStuck = len(all)
	c.verdict = endedBy(c.name(), &StuckError{Stuck: all, Cause: c.unnamed.reason}, c.unnamed.rootOr(c.scope.tenure))
	c.verdict.clean = false
}

// stuckCalls is what a handle knows of functions that did not return within Grace.
type stuckCalls struct {
	mu   sync.Mutex
	run  int      // guarded by mu: the run in which they were abandoned
	out  []*Stuck // guarded by mu: those that have not returned
	late int64    // guarded by mu: events that they have returned
}

// add names what is abandoned, if fence lets it.
func (s *stuckCalls) add(c *core, e *errand, what Stuck, fence func() bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !fence() {
		return false
	}
	what.Stage, what.Since = c.name(), time.Now()
	if s.run != c.number {
		s.run, s.late = c.number, 0
	}
	e.stuck = &what
	s.out = append(s.out, e.stuck)
	c.allStuck = append(c.allStuck, what)
	return true
}

// remove forgets one that has returned, with that many events; false if it has been forgotten already.
func (s *stuckCalls) remove(e *errand, results int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e.stuck == nil {
		return false
	}
	s.out = slices.DeleteFunc(s.out, func(other *Stuck) bool { return other == e.stuck })
	e.stuck = nil
	s.late += int64(results)
	return true
}

// named returns all that were abandoned in a run, whether they have returned or not.
func (s *stuckCalls) named(c *core) []Stuck {
	s.mu.Lock()
	defer s.mu.Unlock()
	return c.allStuck[:len(c.allStuck):len(c.allStuck)]
}

// list returns those that have not returned.
func (s *stuckCalls) list() []Stuck {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listLocked()
}

func (s *stuckCalls) listLocked() []Stuck {
	var list []Stuck
	for _, one := range s.out {
		list = append(list, *one)
	}
	return list
}

// show brings Stats up to date, also those of a run that has ended.
func (s *stuckCalls) show(st *Stats) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.run == st.Runs {
		st.Stuck, st.Output.LateResults = s.listLocked(), s.late
		if len(st.Stuck) > 0 {
			st.State = State{Kind: StateStuck, Since: st.Stuck[0].Since}
		} else if st.State.Kind == StateStuck && !st.endedAt.IsZero() {
			st.State = State{Kind: StateEnded, Since: st.endedAt}
		}
	}
}

// abandonedIn returns the callback that was abandoned; none if none was.
func (c *core) abandonedIn() callbackName {
	if cb := c.callback.Load(); cb&abandoned != 0 {
		return callbackName(cb &^ abandoned)
	}
	return inNone
}

// inProgressNow names the callback in progress that the stage waits for; "" for none.
func (c *core) inProgressNow() string {
	if cb := c.callback.Load(); cb&abandoned == 0 {
		return callbackNames[cb]
	}
	return ""
}

// stuckIn returns what an error names as stuck.
func stuckIn(err error) []Stuck {
	var stuck *StuckError
	if errors.As(err, &stuck) {
		return stuck.Stuck
	}
	return nil
}

// failure is what became of a function that was called apart: nil when it has returned, else what it panicked
// with, or Goexit.
func (c *core) failure(returned bool, value any, callback string) error {
	return failed(returned, value, c.name(), callback)
}

// failed is failure, of whose function it was.
func failed(returned bool, value any, stage, callback string) error {
	if returned {
		return nil
	}
	if value == nil {
		value = ErrGoexit
	}
	return &PanicError{Value: value, Stack: debug.Stack(), Stage: stage, Callback: callback}
}
