package stage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
	"github.com/go-genstage/genstage/internal/hop"
)

// children is the part of a consumer supervisor's run that keeps the children: what becomes of an
// event from its begin to its end. Its methods are called on the stage goroutine unless they say
// otherwise.
type children[In any] struct {
	*core
	tally  *tally
	post   func(message[In]) bool // to the supervisor's own mailbox
	spec   *childSpec[In]         // read-only
	policy *childPolicy           // read-only

	restarted intensity // owned by the stage goroutine

	starting atomic.Uint64 // the child whose start phase the stage goroutine waits for; 0: none

	mu         sync.Mutex
	all        childTable[In] // guarded by mu: those that have not ended
	restarting int64          // guarded by mu: how many of them wait for their next attempt
	started    int64          // guarded by mu: children so far; the number of the last one
	ended      int64          // guarded by mu
}

func newChildren[In any](c *core, t *tally, post func(message[In]) bool, spec *childSpec[In]) *children[In] {
	p := c.h.conf.children
	return &children[In]{
		core: c, tally: t, post: post, spec: spec, policy: p,
		restarted: intensity{max: p.max, within: p.within},
	}
}

// begin makes a child of an event that has arrived, and holds the event for it.
func (k *children[In]) begin(event In, sub *Subscription, now time.Time) {
	sub.held.Add(1)
	k.heldNow.Add(1)
	c := k.add(event, sub, now)
	if b := k.launch(c); !b.running && !b.stuck {
		k.over(c, b.err, false)
	}
}

// beginByHand begins a child outside all demand. It returns 0 and nil if the child has declined.
func (k *children[In]) beginByHand(event In) (ChildID, error) {
	k.tally.received.Add(1)
	k.heldNow.Add(1)
	c := k.add(event, nil, time.Now())
	b := k.launch(c)
	switch {
	case b.running:
		return c.id, nil
	case b.stuck:
	case b.err == nil:
		k.settle(c, &k.handled)
	default:
		k.settle(c, &k.tally.failed)
	}
	return 0, b.err
}

// add makes a child.
func (k *children[In]) add(event In, sub *Subscription, now time.Time) *child[In] {
	c := &child[In]{event: event, sub: sub, began: now}
	if c.ctx.run = k.context(); sub != nil {
		c.ctx.charge = sub.tab.take()
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.started++
	c.id = ChildID(k.started)
	k.all.add(c)
	return c
}

// launch begins an attempt, and waits for its start phase if it has one.
func (k *children[In]) launch(c *child[In]) begun {
	a := &c.first
	if c.attempt != nil {
		a = &attempt[In]{}
	}
	a.kids, a.of, c.attempt = k, c, a
	if k.spec.start == nil {
		go a.live(k.join("child")) // ends with the child; the run waits for it
		return begun{running: true}
	}
	up := make(chan begun, 1)
	a.up = up
	k.begins(inStart)
	k.callback.Store(uint32(inStart))
	defer k.callback.Store(uint32(inNone))
	k.starting.Store(uint64(c.id))
	defer k.starting.Store(0)
	go a.live(k.join("child")) // the same; and the stage goroutine waits for its start
	select {
	case b := <-up:
		return b
	case <-k.graceEnds():
	}
	select {
	case b := <-up: // in the same moment
		return b
	default:
	}
	if k.abandonChild(c, startCallback) {
		k.aside.Store(0)
		k.shut = true
		return begun{stuck: true, err: ErrStuck}
	}
	return <-up // it has just answered
}

// abandon gives up the children that have not returned, as Grace is over.
func (k *children[In]) abandon() {
	k.mu.Lock()
	all := slices.Collect(k.all.all)
	k.mu.Unlock()
	for _, c := range all {
		k.abandonChild(c, childCallback)
	}
}

// abandonChild gives up a child, and books its event; false if it has returned.
func (k *children[In]) abandonChild(c *child[In], callback string) bool {
	if !k.core.abandon(&c.attempt.errand, Stuck{Callback: callback, Child: c.id}) {
		return false
	}
	c.stuck = true
	k.settle(c, &k.tally.inputLate)
	return true
}

// home takes a child that has ended, or whose pause has.
func (k *children[In]) home(c *child[In]) {
	switch {
	case !c.restarting:
		k.over(c, c.attempt.err, true)
	case c.ctx.Err() != nil: // it was stopped meanwhile
		k.over(c, cause(&c.ctx), true)
	default:
		k.mark(c, false)
		if b := k.launch(c); !b.running && !b.stuck {
			k.over(c, b.err, true)
		}
	}
}

// join has a goroutine that begins take part in a simulation; nil if there is none.
func (k *children[In]) join(name string) (wait func()) {
	if k.hop == nil {
		return nil
	}
	return hop.Join(k.context(), name)
}

// over decides what the end of an attempt means: the end of the child, or another attempt. again
// says whether there may be one: there is none for a child that was refused at its first start.
func (k *children[In]) over(c *child[In], err error, again bool) {
	_, isPanic := err.(*PanicError) // its own: what it returned may wrap that of another
	stopped := c.ctx.Err() != nil
	switch {
	case err == nil || errors.Is(err, ErrDone) && !isPanic:
		k.settle(c, &k.handled)
	case !isPanic && stopped && k.ending(): // it ended because the run does
		k.settle(c, &k.tally.inputLost)
	case stopped:
		k.settle(c, &k.tally.failed)
		if isPanic {
			k.logGivenUp(c, err)
		}
	case again && k.policy.mode == RestartTransient && (isPanic || !errors.Is(err, ErrShutdown)):
		k.restart(c, err)
	default:
		k.giveUp(c, err)
	}
}

// ending reports whether the run is about to end, which its children may see before the stage does.
func (k *children[In]) ending() bool { return k.verdict != nil || k.context().Err() != nil }

// restart starts a child again that has failed, or ends the child, or the supervisor.
func (k *children[In]) restart(c *child[In], err error) {
	if k.policy.attempts > 0 && c.attempts() >= k.policy.attempts {
		k.giveUp(c, err)
		return
	}
	if !k.restarted.allow(time.Now()) {
		k.settle(c, &k.tally.failed) // it may ask, which the end makes void
		k.fail(fmt.Errorf("%w: more than %d within %v; the last was due to child %d, which failed %d times: %w",
			ErrIntensity, k.policy.max, k.policy.within, c.id, c.attempts(), err))
		return
	}
	k.mark(c, true)
	if k.policy.pause.first > 0 {
		go k.pause(c, k.join("pause"), k.policy.backoff(c.restarts, hop.Draw(k.context()))) // ends with the pause, or with c.ctx
		return
	}
	k.post(message[In]{kind: msgChild, arg: c}) // what is in the mailbox comes first
}

// attempts is how often it was started.
func (c *child[In]) attempts() int { return c.restarts + 1 }

// mark says that a child waits for its next attempt, or does no longer.
func (k *children[In]) mark(c *child[In], restarting bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c.restarting = restarting
	if restarting {
		c.restarts++
		k.restarting++
	} else {
		k.restarting--
	}
}

// giveUp ends a child whose event has failed for good.
func (k *children[In]) giveUp(c *child[In], cause error) {
	k.settle(c, &k.tally.failed)
	if hook := k.spec.onDeadLetter; hook != nil && !k.ending() {
		k.describe(1, c.sub)
		err := k.guard(inDeadLetter, func() error { hook(k.context(), c.event, c.attempts(), cause); return nil })
		if err != nil {
			k.fail(err)
		}
		if !errors.Is(err, errAborted) {
			return
		}
	}
	k.logGivenUp(c, cause)
}

func (k *children[In]) logGivenUp(c *child[In], cause error) {
	k.log(slog.LevelError, "stage: a child failed and is not restarted",
		"stage", k.name(), "child", uint64(c.id), "attempts", c.attempts(), "error", cause)
}

// settle ends a child and books its event: as one more of handled, failed or lost.
func (k *children[In]) settle(c *child[In], as *atomic.Int64) {
	c.ctx.end(nil)
	k.mu.Lock()
	k.all.remove(c)
	k.ended++
	if c.restarting {
		k.restarting--
	}
	awaited := c.settled
	k.mu.Unlock()

	as.Add(1)
	c.ctx.charge.settle()
	k.heldNow.Add(-1)
	if sub := c.sub; sub != nil {
		sub.held.Add(-1)
		if as == &k.handled { // in this order: see Subscription.stats
			sub.finished.Add(1)
		}
		if sub.state == subActive && !k.ending() {
			if ask := sub.slots.Ended(); ask > 0 {
				sub.ask(ask)
			}
		}
	}
	if awaited != nil {
		close(awaited)
	}
}

// stop ends the context of a child and waits until it has ended, or ctx has. It is called on the
// goroutine of whoever wants that.
func (k *children[In]) stop(ctx context.Context, id ChildID) error {
	c, settled := k.awaited(id)
	switch {
	case c == nil:
		return ErrNoChild
	case c.goroutine.Load() == goid.Current():
		return ErrSelfCall
	}
	c.ctx.end(ErrShutdown)
	select {
	case <-settled:
		if c.stuck {
			return ErrStuck
		}
		return nil
	case <-ctx.Done():
		return cause(ctx)
	}
}

// awaited returns a child, and what is closed when it has ended; nil if there is none.
func (k *children[In]) awaited(id ChildID) (*child[In], <-chan struct{}) {
	k.mu.Lock()
	defer k.mu.Unlock()
	c := k.all.get(id)
	if c == nil {
		return nil, nil
	}
	if c.settled == nil {
		c.settled = make(chan struct{})
	}
	return c, c.settled
}

// What follows reads, on any goroutine.

// any reports whether there is a child that has not ended.
func (k *children[In]) any() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.all.live > 0
}

// counts also returns when the oldest child was started.
func (k *children[In]) counts() (_ ChildCounts, oldest time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.all.all {
		oldest = c.began
		break
	}
	return ChildCounts{
		Active: int64(k.all.live) - k.restarting, Restarting: k.restarting, Started: k.started, Ended: k.ended,
	}, oldest
}

// list returns the children that have not ended, the oldest first.
func (k *children[In]) list() []ChildInfo[In] {
	k.mu.Lock()
	defer k.mu.Unlock()
	list := make([]ChildInfo[In], 0, k.all.live)
	for c := range k.all.all {
		list = append(list, ChildInfo[In]{ID: c.id, Event: c.event, Started: c.began, Restarts: c.restarts, Restarting: c.restarting})
	}
	return list
}

// stuck names the children that have not returned, and the one whose start phase has not.
func (k *children[In]) stuck() []Stuck {
	starting := ChildID(k.starting.Load())
	var list []Stuck
	for _, c := range k.list() {
		switch {
		case c.ID == starting:
			list = append(list, Stuck{Stage: k.name(), Callback: startCallback, Child: c.ID})
		case !c.Restarting:
			list = append(list, Stuck{Stage: k.name(), Callback: childCallback, Child: c.ID})
		}
	}
	return list
}

// runOn reports whether a child runs on that goroutine.
func (k *children[In]) runOn(goroutine uint64) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	for c := range k.all.all {
		if c.goroutine.Load() == goroutine {
			return true
		}
	}
	return false
}
