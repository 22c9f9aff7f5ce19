package sim

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// timeout is a context for one call.
func (w *world) timeout(most int) (context.Context, context.CancelFunc) {
	return context.WithTimeout(w.ctx, time.Duration(1+w.below(most))*time.Millisecond)
}

// meddle does things from outside, until the ending or the end of faults.
func (w *world) meddle(who string) {
	for range w.o.Steps {
		w.sleep(who, 8)
		if w.calm || w.ending {
			return
		}
		w.gust(who)
	}
}

// gust does one thing.
func (w *world) gust(who string) {
	gusts := []func(who string){
		w.join, w.resubscribe, w.cancelOne, w.cancelOne, w.setDemand, w.do, w.do, w.after, w.tell, w.subCall, w.ask,
		w.accumulate, w.forward, w.look, w.children, w.swizzle, w.ring, w.limit, w.adjust, w.iterate,
		w.stopOne, w.abortOne,
	}
	i := w.below(len(gusts))
	if i >= len(gusts)-2 && w.below(3) > 0 { // that ends much
		i = 0
	}
	gusts[i](who)
}

// some returns a subscription that was made; nil for none.
func (w *world) some() *tie {
	if len(w.order) == 0 {
		return nil
	}
	t := pick(w, w.order)
	if t.to.o.Kind == Loop {
		return nil
	}
	return t
}

// consumer returns a stage that consumes.
func (w *world) consumer() *node {
	for {
		if n := pick(w, w.nodes); n.in != nil {
			return n
		}
	}
}

// newInput draws a subscription of a stage to one before it.
func (w *world) newInput(to *node) int {
	var from *node
	for from == nil || from.out == nil {
		from = w.nodes[w.below(to.index)]
	}
	d := draw{w.rng}
	in := d.input(&w.o, from.index, to.index)
	if w.below(4) > 0 {
		in.Cancel = stage.CancelTemporary
	}
	in.Duplicate = w.once(3)
	if len(w.budgets) > 0 && in.Lag == 0 && to.o.Kind.sink() && w.once(3) {
		in.Budget = 1
	}
	w.inputs = append(w.inputs, in)
	return len(w.inputs) - 1
}

func (w *world) join(who string) {
	n := w.consumer()
	at := w.newInput(n)
	from := w.nodes[w.inputs[at].From]
	src, opts := w.subscription(at)
	ctx, cancel := w.timeout(30)
	defer cancel()
	w.trace.add(who, "%s joins %s", n.name, from.name)
	w.disturbed = true // if there is no such stage any more, it acts by its mode
	var err error
	w.block(who, func() { _, err = n.in.Subscribe(ctx, src, opts...) })
	w.answered(who, err)
	if err == nil {
		w.reach(LateJoin)
	} else if from.life != nil && from.done {
		w.reach(JoinedEnding)
	}
}

func (w *world) resubscribe(who string) {
	t := w.some()
	if t == nil {
		return
	}
	at := w.newInput(t.to)
	if w.once(2) { // to the same one
		w.inputs[at] = *t.in
	}
	src, opts := w.subscription(at)
	ctx, cancel := w.timeout(30)
	defer cancel()
	w.trace.add(who, "%s resubscribes from %s to %s", t.to.name, t.from.name, w.nodes[w.inputs[at].From].name)
	w.disturbed = true
	t.cancelling = true
	var err error
	w.block(who, func() { _, err = t.to.in.Resubscribe(ctx, t.sub, w.reason(), src, opts...) })
	if t.to.o.Fresh && errors.Is(err, stage.ErrInvalidOption) {
		return // it is of the one that the factory had made before: a producer that was down has seen it only now
	}
	w.answered(who, err)
	if err == nil {
		w.reach(Resubscribed)
	}
}

// reason is one to cancel for.
func (w *world) reason() error { return pick(w, []error{nil, stage.ErrShutdown, errBoom}) }

func (w *world) cancelOne(who string) {
	t := w.some()
	if t == nil {
		return
	}
	if t.to.inside == "events" {
		w.reach(CancelDuringBatch)
	}
	if t.to.done || t.from.done {
		w.reach(CancelWhileEnding)
	}
	reason := w.reason()
	w.trace.add(who, "cancels %s → %s%s", t.from.name, t.to.name, said(reason))
	w.disturbed = true
	t.cancelling = true
	w.answered(who, t.sub.Cancel(reason))
}

func (w *world) setDemand(who string) {
	t := w.some()
	if t == nil || t.in.Manual {
		return
	}
	most := 1 + w.below(64)
	least := w.below(most)
	err := t.sub.SetDemand(most, least)
	w.trace.add(who, "sets the demand of %s → %s: %d to %d%s", t.from.name, t.to.name, least, most, said(err))
	if err == nil {
		if int64(most) < t.max {
			w.reach(Shrunk)
		}
		t.max, t.min, t.changed = max(t.max, int64(most)), int64(least), true
	}
	w.answered(who, err)
}

// called is what a Do or Tell has a stage call.
func (n *node) called(context.Context) ([]event, error) {
	err := n.call("Do", nil)
	if err != nil && !errors.Is(err, stage.ErrDone) {
		return nil, err
	}
	if n.o.Kind == Channel { // its events are numbered as they are sent on the channel
		return nil, n.noted(err)
	}
	return n.emitted(n.stamp(n.w.below(4)), err)
}

func (n *node) calledMute(context.Context) error { return n.noted(n.call("Do", nil)) }

func (w *world) do(who string) {
	n := pick(w, w.nodes)
	if n.emits == nil && n.says == nil {
		return
	}
	ctx, cancel := w.timeout(20)
	defer cancel()
	w.trace.add(who, "Do on %s", n.name)
	var err error
	w.block(who, func() {
		if n.emits != nil {
			err = n.emits.Do(ctx, n.called)
		} else {
			err = n.says.Do(ctx, n.calledMute)
		}
	})
	w.answered(who, err)
}

func (w *world) after(who string) {
	n := pick(w, w.nodes)
	if n.emits == nil {
		return
	}
	if n.stage.Stats().Output.Buffered > 0 {
		w.reach(AfterBehindBuffer)
	}
	w.trace.add(who, "DoAfter on %s", n.name)
	n.after++
	number := n.after
	called := func(ctx context.Context) ([]event, error) {
		if number < n.afterDone {
			w.violate("%s: DoAfter %d after %d (D13)", n.name, number, n.afterDone)
		}
		n.afterDone = number
		return n.called(ctx)
	}
	if w.once(2) {
		w.answered(who, n.emits.TellAfter(called))
		return
	}
	ctx, cancel := w.timeout(20)
	defer cancel()
	var err error
	w.block(who, func() { err = n.emits.DoAfter(ctx, called) })
	w.answered(who, err)
}

func (w *world) tell(who string) {
	n := pick(w, w.nodes)
	w.trace.add(who, "Tell to %s", n.name)
	switch {
	case n.emits != nil:
		w.answered(who, n.emits.Tell(n.called))
	case n.says != nil:
		w.answered(who, n.says.Tell(n.calledMute))
	}
}

func (w *world) subCall(who string) {
	t := w.some()
	if t == nil {
		return
	}
	w.trace.add(who, "Do on %s → %s", t.from.name, t.to.name)
	if w.once(2) {
		w.answered(who, t.sub.Tell(t.to.calledMute))
		return
	}
	ctx, cancel := w.timeout(20)
	defer cancel()
	var err error
	w.block(who, func() { err = t.sub.Do(ctx, t.to.calledMute) })
	w.answered(who, err)
}

func (w *world) ask(who string) {
	t := w.some()
	if t == nil {
		return
	}
	n := pick(w, []int{1, 5, math.MaxInt, -1})
	err := t.sub.Ask(n)
	w.trace.add(who, "asks %d over %s → %s%s", n, t.from.name, t.to.name, said(err))
	switch {
	case n < 1:
		if !errors.Is(err, stage.ErrInvalidDemand) {
			w.violate("Ask(%d): %v (A1)", n, err)
		}
	case !t.in.Manual:
		if !errors.Is(err, stage.ErrNotManual) {
			w.violate("Ask on an automatic subscription: %v (A9)", err)
		}
	case errors.Is(err, stage.ErrEnded):
		w.reach(AskAfterEnd)
	case err != nil:
		w.violate("Ask(%d): %v", n, err)
	case n == math.MaxInt:
		w.reach(Saturated)
	}
}

func (w *world) accumulate(who string) {
	n := pick(w, w.nodes)
	if n.modes == nil {
		return
	}
	w.trace.add(who, "%s accumulates", n.name)
	if n.modes.Accumulate() == nil {
		n.accumulating, n.replays = true, true
		n.earlyMode = n.life != nil && (n.life.terminated || n.life.dead)
	}
	w.sleep(who, 20)
	n.forward(who)
}

func (w *world) forward(who string) { pick(w, w.nodes).forward(who) }

func (n *node) forward(who string) {
	if n.modes == nil {
		return
	}
	n.w.trace.add(who, "%s forwards", n.name)
	if n.modes.Forward() == nil {
		n.accumulating, n.earlyMode = false, false
	}
}

// look asks a stage that has something to say for it.
func (w *world) look(who string) {
	n := pick(w, w.nodes)
	s := n.stage.Stats()
	w.trace.add(who, "looks at %s: %d in, %d out", n.name, s.Input.Received, s.Output.Emitted)
}

func (w *world) children(who string) {
	n := pick(w, w.nodes)
	if n.kids == nil {
		return
	}
	ctx, cancel := w.timeout(20)
	defer cancel()
	all := n.kids.Children()
	var err error
	if len(all) > 0 && w.once(2) {
		id := pick(w, all).ID
		w.trace.add(who, "stops child %d of %s", id, n.name)
		w.block(who, func() { err = n.kids.StopChild(ctx, id) })
		if err == nil {
			w.reach(ChildStopped)
		}
	} else {
		w.byHand++
		e := event{-1, w.byHand}
		w.trace.add(who, "starts child %v of %s", e, n.name)
		w.block(who, func() { _, err = n.kids.StartChild(ctx, e) })
	}
	w.answered(who, err)
}

// swizzle stops sinks one by one, and lets them go on in another order.
func (w *world) swizzle(who string) {
	var some []*node
	for _, n := range w.nodes {
		if n.o.Kind.sink() && n.stall == nil && w.once(2) {
			w.trace.add(who, "stalls %s", n.name)
			n.stall = make(chan struct{})
			some = append(some, n)
			w.sleep(who, 5)
		}
	}
	w.rng.Shuffle(len(some), func(i, j int) { some[i], some[j] = some[j], some[i] })
	for _, n := range some {
		w.sleep(who, 10)
		n.release(who)
		w.reach(Swizzled)
	}
}

// release ends a stall.
func (n *node) release(who string) {
	if n.stall != nil {
		n.w.trace.add(who, "lets %s go on", n.name)
		close(n.stall)
		n.stall = nil
	}
}

// ring has a stage call another one from a callback, which calls back.
func (w *world) ring(who string) {
	a, b := pick(w, w.nodes), pick(w, w.nodes)
	if a.says == nil || b.says == nil {
		return
	}
	ctx, cancel := w.timeout(40)
	defer cancel()
	w.trace.add(who, "has %s call %s", a.name, b.name)
	var err error
	w.block(who, func() {
		err = a.says.Do(ctx, func(ctx context.Context) error {
			var inner error
			w.block(a.name+" calling", func() {
				inner = b.says.Do(ctx, func(ctx context.Context) error {
					err := a.says.Do(ctx, func(context.Context) error { return nil })
					if a != b && !errors.Is(err, stage.ErrCallCycle) && !errors.Is(err, stage.ErrEnded) && !errors.Is(err, stage.ErrStuck) && ctx.Err() == nil {
						w.violate("%s calls %s, which calls back: %v", a.name, b.name, err)
					}
					w.reach(CallCycle)
					return nil
				})
			})
			switch {
			case a != b:
			case errors.Is(inner, stage.ErrSelfCall):
				w.reach(SelfCall)
			default:
				w.violate("%s calls itself: %v", a.name, inner)
			}
			return nil
		})
	})
	w.answered(who, err)
}

func (w *world) stopOne(who string) {
	n := pick(w, w.nodes)
	ctx, cancel := w.timeout(60)
	defer cancel()
	w.trace.add(who, "stops %s", n.name)
	w.disturbed = true
	n.stops()
	if n.stage.Stats().Output.Buffered > 0 {
		w.reach(StopWithBuffer)
	}
	var err error
	w.block(who, func() { err = n.stage.Stop(ctx) })
	w.answered(who, err)
}

func (w *world) abortOne(who string) {
	n := pick(w, w.nodes)
	w.trace.add(who, "aborts %s", n.name)
	if n.inside != "" {
		w.reach(AbortDuringCallback)
	}
	w.disturbed = true
	n.stage.Abort(pick(w, []error{nil, errBoom, stage.ErrKilled}))
	n.aborted()
}

// aborted notes that Abort has returned: what runs is over.
func (n *node) aborted() {
	if n.life != nil {
		n.life.aborted = true
	}
}

// answered looks at what a call from outside returned.
func (w *world) answered(who string, err error) {
	w.trace.add(who, "hears%s", said(err))
	var stopped *stage.StopError
	switch {
	case err == nil:
	case errors.As(err, &stopped) && errors.Is(err, context.DeadlineExceeded):
		w.reach(StopDeadline)
	case errors.Is(err, context.DeadlineExceeded):
		w.reach(CallGivenUp)
	case errors.Is(err, stage.ErrEnded), errors.Is(err, stage.ErrNotRunning):
		w.reach(CallTooLate)
	case w.legal(err), errors.Is(err, stage.ErrCallCycle), errors.Is(err, stage.ErrAlreadySubscribed), errors.Is(err, stage.ErrNoChild), errors.Is(err, stage.ErrDone):
	default:
		w.violate("%s: an error that nobody made: %v", who, err)
	}
}
