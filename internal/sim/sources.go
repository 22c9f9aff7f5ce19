package sim

import (
	"context"
	"errors"
	"iter"
	"math"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// bound is how many events an endless source has.
const bound = 1000

func (n *node) buildSource() {
	if n.o.Kind == Lines {
		n.buildLines()
		return
	}
	var opts []stage.ProducerOption
	for _, o := range n.options() {
		opts = append(opts, o)
	}
	for _, o := range n.consumers() {
		opts = append(opts, o)
	}
	if n.o.Accumulating {
		opts = append(opts, stage.Accumulating())
	}
	if n.o.Kind == Queue {
		q := stage.NewQueue[event](n.o.Room, opts...)
		n.stage, n.out, n.modes, n.queue = q, q, q, q
		q.OnDiscard(n.onDiscard)
		n.dispatch(q)
		return
	}
	p := n.producer(opts)
	n.stage, n.out, n.modes, n.wakes = p, p, p, p
	if n.o.Kind != Slice {
		n.emits = p
	}
	p.OnDiscard(n.onDiscard)
	n.dispatch(p)
}

func (n *node) producer(opts []stage.ProducerOption) *stage.Producer[event] {
	switch n.o.Kind {
	case Slice:
		return stage.FromSlice(n.stamp(n.o.Events), opts...)
	case Sequence:
		return stage.FromSeq2(n.sequence(), opts...)
	case Retry:
		return stage.NewProducer(n.some, append(opts, stage.Retry())...)
	case Poll:
		return stage.Poll(n.some, append(opts, stage.PollEvery(time.Millisecond, 8*time.Millisecond))...)
	case Channel:
		n.ch = make(chan event, n.o.Room-1)
		return stage.FromChannel(n.ch, opts...)
	case Short:
		return stage.NewProducer(n.less, opts...)
	default:
		return stage.NewProducer(n.all, opts...)
	}
}

// left returns how many events the source still has.
func (n *node) left() int {
	switch {
	case n.o.Kind == Callback:
		return max(0, n.o.Events-n.next)
	case n.w.calm || n.w.ending:
		return 0
	default:
		return max(0, bound-n.next)
	}
}

// demanded is the demand callback: it emits so many, and is done when there are no more.
func (n *node) demanded(events int) (out []event, err error) {
	n.w.started = true
	err = n.call("demand", nil)
	if err != nil && !errors.Is(err, stage.ErrDone) {
		return nil, err
	}
	left := n.left()
	out = n.stamp(min(events, left))
	if len(out) == left {
		err = stage.ErrDone
	}
	return n.emitted(out, err)
}

// all returns what is asked for.
func (n *node) all(_ context.Context, demand int) ([]event, error) {
	n.askedFor(demand)
	return n.demanded(demand)
}

// askedFor holds what a source is asked for against what its subscribers wait for.
func (n *node) askedFor(demand int) {
	open := n.most(n.stage.Stats())
	if n.asked += demand; !n.replays && open < 1<<62 && int64(n.asked) > open {
		n.w.violate("%s is asked for %d, and owes %d then; %d are wanted (P1)", n.name, demand, n.asked, open)
	}
}

// some returns a part of what is asked for; somebody wakes the source for more.
func (n *node) some(_ context.Context, demand int) ([]event, error) {
	return n.demanded(min(demand, n.w.below(n.o.Most+1)))
}

// less returns a part of what is asked for, and emits the rest later.
func (n *node) less(_ context.Context, demand int) ([]event, error) {
	now := min(demand, n.w.below(n.o.Most+1))
	n.askedFor(demand)
	before := n.owed
	n.owed = min(n.owed, math.MaxInt-(demand-now)) + demand - now // demand may be for all there is
	out, err := n.demanded(now)
	if before == 0 && n.owed > 0 && err == nil {
		n.w.sched.Go(n.name+" pays", n.pay)
	}
	return out, err
}

// pay emits what a short source owes.
func (n *node) pay() {
	w, who, life := n.w, n.name+" pays", n.life
	for n.owed > 0 && !w.over && n.life == life { // else another one pays
		w.sleep(who, 5)
		var err error
		if w.once(2) {
			err = n.emits.Tell(n.payment)
		} else {
			w.block(who, func() { err = n.emits.Do(w.ctx, n.payment) })
		}
		if err != nil && n.life == life {
			n.owed = 0
		}
	}
}

// payment is what pay has the stage call.
func (n *node) payment(context.Context) (out []event, err error) {
	if n.owed == 0 {
		return nil, nil
	}
	err = n.call("payment", nil)
	if err != nil && !errors.Is(err, stage.ErrDone) {
		return nil, err
	}
	left := n.left()
	out = n.stamp(min(1+n.w.below(n.o.Most), n.owed, left))
	if n.owed -= len(out); len(out) == left {
		n.owed, err = 0, stage.ErrDone
	}
	return n.emitted(out, err)
}

// sequence yields events, and now and then an error.
func (n *node) sequence() iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		for range n.o.Events {
			n.w.started = true
			if err := n.fault("sequence"); err != nil {
				yield(event{}, err)
				return
			}
			if !yield(n.stamp(1)[0], nil) {
				return
			}
		}
	}
}

// feed pushes into a queue, or sends on a channel; it may run more than once.
func (n *node) feed(who string) {
	w := n.w
	for range n.o.Events {
		if w.calm || w.ending {
			break
		}
		w.sleep(who, 3)
		if n.queue == nil {
			n.send(who)
			continue
		}
		events := n.stamp(1 + w.below(n.o.Room+n.o.Room/2))
		if w.once(3) {
			_ = n.queue.TryPush(events...)
			continue
		}
		ctx, cancel := w.timeout(10)
		var err error
		w.block(who, func() { err = n.queue.Push(ctx, events...) })
		cancel()
		var failed *stage.PushError
		if errors.As(err, &failed) {
			w.reach(PushRefused)
			if failed.Taken < 0 || failed.Taken >= len(events) {
				w.violate("%s: Push of %d: %v", n.name, len(events), err)
			}
		}
	}
}

// send sends one event on the channel, unless nobody receives it for long.
func (n *node) send(who string) {
	w := n.w
	e := n.stamp(1)[0]
	ctx, cancel := w.timeout(10)
	defer cancel()
	select {
	case n.ch <- e: // as long as nobody waits, there is no choice
		return
	default:
	}
	w.block(who, func() {
		select {
		case n.ch <- e:
		case <-ctx.Done():
		}
	})
}

// feeders starts those who feed, and closes behind the last one.
func (n *node) feeders() {
	if n.queue == nil && n.ch == nil {
		return
	}
	left := 1 + n.w.below(2)
	for range left {
		n.w.sched.Go(n.name+" feeder", func() {
			n.feed(n.name + " feeder")
			if left--; left > 0 {
				return
			}
			n.fed = true
			if n.queue != nil {
				n.queue.Close()
			} else {
				close(n.ch)
			}
		})
	}
}

// wake wakes the source until the end.
func (n *node) wake() {
	who := n.name + " waker"
	for !n.w.over {
		n.w.sleep(who, 10)
		_ = n.wakes.Wake()
	}
}
