package sim

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/go-genstage/genstage/stage"
)

func (n *node) buildSink() {
	if n.o.Kind == Children {
		n.buildSupervisor()
		return
	}
	opts := []stage.ConsumerOption{stage.OnSubscribe(n.onSubscribe)}
	for _, o := range n.options() {
		opts = append(opts, o)
	}
	var c *stage.Consumer[event]
	if n.o.Kind == Each {
		c = stage.ForEach(n.one, opts...)
	} else {
		c = stage.NewConsumer(n.events, opts...)
	}
	n.stage, n.in, n.says = c, c, c
	c.OnCancel(func(_ context.Context, sub *stage.Subscription, end stage.Cancellation) error {
		return n.onCancel(sub, end)
	})
	if n.o.Alternate {
		c.OnComplete(func(context.Context) error { return n.complete() })
	}
}

// complete is the OnComplete of sinks.
func (n *node) complete() error {
	if err := n.call("OnComplete", nil); err != nil || !n.o.Stays {
		return cmpDone(err)
	}
	n.w.sched.Go(n.name+" ends it", func() {
		n.w.sleep(n.name+" ends it", 20)
		_ = n.says.Tell(func(context.Context) error { return stage.ErrDone })
	})
	return nil
}

func cmpDone(err error) error {
	if err == nil {
		return stage.ErrDone
	}
	return err
}

// events is the events callback.
func (n *node) events(_ context.Context, events []event, from *stage.Subscription) error {
	t := n.begin(from, events)
	err := n.call("events", func() error { n.hold(t, len(events)); return nil })
	t.returned += int64(len(events))
	return n.noted(err)
}

// noted notes that the stage will be done.
func (n *node) noted(err error) error {
	_, err = n.emitted(nil, err)
	return err
}

// hold leaves events of a manual subscription, or a part of them, to a goroutine, and asks for as many.
func (n *node) hold(t *tie, count int) {
	w := n.w
	switch {
	case !t.in.Manual && w.once(6):
		count = 1 + w.below(count)
		if n.held(t, count) {
			w.sched.Go(n.name+" holder", func() {
				w.sleep(n.name+" holder", 12)
				n.home(t.sub.Release(count))
			})
		}
	case !t.in.Manual:
	case w.once(3) || !n.held(t, count):
		n.home(t.sub.Ask(count))
	default:
		w.sched.Go(n.name+" holder", func() {
			for range count {
				w.sleep(n.name+" holder", 12)
				if w.once(3) {
					err := t.sub.Tell(func(context.Context) error { n.home(t.sub.Next(1)); return nil })
					n.home(err)
					continue
				}
				n.home(t.sub.Next(1))
			}
		})
	}
}

func (n *node) held(t *tie, count int) bool {
	err := t.sub.Hold(count)
	if err != nil {
		n.w.violate("%s: Hold(%d): %v", n.name, count, err)
	}
	return err == nil
}

// home looks at what became of a Release, an Ask or a Tell.
func (n *node) home(err error) {
	switch {
	case errors.Is(err, stage.ErrEnded):
		n.w.reach(HomeTooLate)
	case err != nil:
		n.w.violate("%s: %v", n.name, err)
	}
}

// one is the callback of ForEach. It does not know the subscription.
func (n *node) one(_ context.Context, e event) error {
	n.life.begun++
	n.w.trace.add(n.name, "begins %v", e)
	n.w.nodes[e.From].beginElsewhere(n, e)
	return n.noted(n.call("events", nil))
}

// beginElsewhere notes an event that a stage begins without telling over which subscription.
func (from *node) beginElsewhere(n *node, e event) {
	w := from.w
	for _, t := range w.order {
		if t.from == from && t.to == n && t.subscribed && t.life == n.life && t.mayBegin(e) {
			t.begun++
			t.beginOne(e)
			return
		}
	}
	w.violate("%s: event %v came over no subscription", n.name, e)
}

// mayBegin reports whether an event may have come over this subscription.
func (t *tie) mayBegin(e event) bool {
	switch {
	case t.to.o.Kind == Children: // it begins when its goroutine does
		return !t.to.w.o.Observed || slices.Contains(t.sent, e)
	case t.cancelled:
		return false
	default:
		return !t.to.w.o.Observed || len(t.sent) > 0 && t.sent[0] == e
	}
}

func (n *node) buildSupervisor() {
	opts := []stage.ConsumerSupervisorOption{stage.OnSubscribe(n.onSubscribe)}
	for _, o := range n.options() {
		opts = append(opts, o)
	}
	switch n.w.o.Seed % 3 {
	case 0:
		opts = append(opts, stage.Restart(stage.RestartTransient), stage.MaxRestarts(2, time.Second))
	case 1:
		opts = append(opts, stage.Restart(stage.RestartTransient), stage.MaxAttempts(3), stage.Backoff(1, 1))
	}
	var s *stage.ConsumerSupervisor[event]
	if n.o.Alternate {
		s = stage.StartWith(n.start, opts...)
	} else {
		s = stage.NewConsumerSupervisor(func(ctx context.Context, e event) error { n.beginChild(e); return n.child(ctx, e) }, opts...)
	}
	n.stage, n.in, n.says, n.kids = s, s, s, s
	s.OnCancel(func(_ context.Context, sub *stage.Subscription, end stage.Cancellation) error {
		return n.onCancel(sub, end)
	})
	s.OnDeadLetter(func(context.Context, event, int, error) {
		n.w.reach(DeadLetter)
		_ = n.call("OnDeadLetter", nil)
	})
	if n.o.Stays {
		s.OnComplete(func(context.Context) error { return n.complete() })
	}
}

// start is the start phase of a child.
func (n *node) start(_ context.Context, e event) (func(context.Context) error, error) {
	n.beginChild(e)
	if err := n.call("start", nil); err != nil {
		return nil, err
	}
	if n.w.once(20) {
		return nil, nil
	}
	return func(ctx context.Context) error { return n.child(ctx, e) }, nil
}

// child is what runs beside the supervisor.
func (n *node) child(ctx context.Context, e event) error {
	w := n.w
	if n.life.aborted {
		w.violate("%s: a child begins after Abort has returned", n.name)
	}
	who := n.name + " child"
	w.atWork++
	defer func() { w.atWork-- }()
	n.adjustOwn(ctx)
	w.sleep(who, 10)
	if w.once(8) {
		var err error
		w.block(who, func() { err = n.says.Do(ctx, func(context.Context) error { return n.call("Do", nil) }) })
		if err != nil {
			return err
		}
	}
	err := n.fault("child")
	if err == nil && w.o.Faults > 0 && !w.calm && w.once(10) { // they may fail oftener than stages
		w.disturbed, err = true, errBoom
	}
	w.trace.add(n.name, "child of %v ends%s", e, said(err))
	return err
}

// beginChild notes the first attempt of a child.
func (n *node) beginChild(e event) {
	if n.attempted[e] {
		n.w.reach(ChildAgain)
		if n.stopped || n.w.ending {
			n.w.reach(RestartWhileDraining)
		}
		return
	}
	n.attempted[e] = true
	n.life.begun++
	n.w.trace.add(n.name, "begins %v", e)
	if e.From < 0 { // by hand
		return
	}
	n.w.nodes[e.From].beginElsewhere(n, e)
}
