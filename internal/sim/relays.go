package sim

import (
	"context"
	"errors"
	"iter"

	"github.com/go-genstage/genstage/stage"
)

func (n *node) buildRelay() {
	opts := []stage.ProducerConsumerOption{stage.OnSubscribe(n.onSubscribe)}
	for _, o := range n.options() {
		opts = append(opts, o)
	}
	for _, o := range n.consumers() {
		opts = append(opts, o)
	}
	var p *stage.ProducerConsumer[event, event]
	if n.o.Kind == Expander {
		p = stage.NewExpander(n.expand, opts...)
	} else {
		p = stage.NewProducerConsumer(n.relay, opts...)
	}
	n.stage, n.out, n.in, n.emits = p, p, p, p
	p.OnDiscard(n.onDiscard)
	p.OnCancel(func(_ context.Context, sub *stage.Subscription, c stage.Cancellation) ([]event, error) {
		err := n.onCancel(sub, c)
		if n.w.below(4) > 0 || err != nil && !errors.Is(err, stage.ErrDone) {
			return nil, err
		}
		return n.emitted(n.stamp(1), err)
	})
	if n.o.Kind == Reduce {
		p.OnComplete(n.flush)
	}
	if n.o.Kind == Limiter {
		n.wakes = p
		p.OnDemand(n.limit)
	}
	n.dispatch(p)
}

// relay is the events callback.
func (n *node) relay(_ context.Context, events []event, from *stage.Subscription) (out []event, err error) {
	t := n.begin(from, events)
	err = n.call("events", func() error { n.hold(t, len(events)); return nil })
	t.returned += int64(len(events))
	if err != nil && !errors.Is(err, stage.ErrDone) {
		return nil, err
	}
	switch n.o.Kind {
	case Filter:
		for _, e := range events {
			if e.N%3 == 0 {
				out = append(out, n.stamp(1)...)
			}
		}
	case Expand:
		out = n.stamp(len(events) * n.o.Factor)
	case Reduce:
		if n.sum += len(events); n.sum >= n.o.Most {
			n.sum = 0
			out = n.stamp(1)
		}
	default:
		out = n.stamp(len(events))
	}
	return n.emitted(out, err)
}

// expand is the events callback of an expander.
func (n *node) expand(_ context.Context, events []event, from *stage.Subscription) iter.Seq2[event, error] {
	t := n.begin(from, events)
	err := n.call("events", nil)
	t.returned += int64(len(events)) // the account hears of it when the sequence has ended
	return func(yield func(event, error) bool) {
		if err != nil {
			yield(event{}, err)
			return
		}
		for range len(events) * n.o.Factor {
			if err := n.fault("sequence"); err != nil {
				yield(event{}, err)
				return
			}
			if !yield(n.stamp(1)[0], nil) {
				n.w.reach(ExpansionCut)
				return
			}
		}
	}
}

// flush is the OnComplete of a reducer.
func (n *node) flush(context.Context) ([]event, error) {
	err := n.call("OnComplete", nil)
	if err != nil && !errors.Is(err, stage.ErrDone) {
		return nil, err
	}
	if n.o.Stays && err == nil {
		n.w.sched.Go(n.name+" ends it", func() {
			n.w.sleep(n.name+" ends it", 20)
			_ = n.emits.Tell(func(context.Context) ([]event, error) { return n.emitted(n.stamp(1), stage.ErrDone) })
		})
	} else {
		err = stage.ErrDone
	}
	return n.emitted(n.stamp(2), err)
}

// limit is the OnDemand of a limiter: it passes a part, and may have an event of its own.
func (n *node) limit(_ context.Context, demand int) ([]event, int, error) {
	err := n.call("OnDemand", nil)
	if err != nil && !errors.Is(err, stage.ErrDone) {
		return nil, 0, err
	}
	out := n.stamp(min(demand, n.w.below(5)/4))
	out, err = n.emitted(out, err)
	return out, min(demand-len(out), 1+n.w.below(n.o.Most)), err
}
