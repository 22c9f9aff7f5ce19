package conformance

import (
	"errors"

	"github.com/go-genstage/genstage/stage"
)

// doSubscription does a step that is about one subscription.
func (w *world) doSubscription(s step) any {
	switch s.Do {
	case "subscribe":
		result := w.subscribe(s)
		if s.Async {
			return nil
		}
		return result
	case "resubscribe":
		return w.resubscribe(s)
	case "ask":
		return w.ask(s)
	default:
		return w.cancelSub(s)
	}
}

// subscribe makes a subscription.
func (w *world) subscribe(s step) any {
	return w.subscribeBy(s, func(a *actor, src stage.Source[event], opts []stage.SubscribeOption) error {
		sub, err := a.subscribe(w.ctx, src, opts...)
		if err == nil {
			w.saw(sub)
		}
		return err
	})
}

// resubscribe replaces one.
func (w *world) resubscribe(s step) any {
	return w.subscribeBy(s, func(a *actor, src stage.Source[event], opts []stage.SubscribeOption) error {
		var old *stage.Subscription
		if l := w.link(s.Replaces); l != nil {
			old = w.subOf(l)
		}
		_, err := a.replace(w.ctx, old, cancelled(s.Reason), src, opts...)
		return err
	})
}

// subscribeBy makes a subscription in one of the two ways.
func (w *world) subscribeBy(s step, way func(*actor, stage.Source[event], []stage.SubscribeOption) error) any {
	a := w.actors[s.Consumer]
	switch {
	case a.isDead():
		return exited("noproc")
	case a.subscribe == nil:
		w.saysByType("a " + a.spec.Kind + " that subscribes")
		return failed("not_a_consumer")
	case s.To == "nobody":
		return w.subscribeToNobody(a, s.Opts)
	}
	w.connect(s.ID, s.To, s.Opts, a)
	src, err := w.sourceFor(s.To, s.Opts)
	if err != nil {
		return failed(err.Error())
	}
	err = way(a, src, a.options(s.ID, s.Opts))
	l := w.link(s.ID)
	switch {
	case err == nil && a.children == nil && l.accepted.Load() == 0:
		panic("a subscription without OnSubscribe: " + s.ID)
	case err == nil:
	case w.subOf(l) == nil: // the request was not sent
		return notSent(err)
	case errors.Is(err, stage.ErrRefused):
		// GenStage answers the caller when the request is sent, and a refusal comes to the consumer, which
		// does not end by it. Ours comes to the caller.
		a.record(record{"cb": "cancel", "sub": s.ID, "kind": "cancel", "reason": reasonOf(err)})
	}
	return "ok"
}

// notSent is the result of a subscription for which nothing was sent to the producer.
func notSent(err error) any {
	if errors.Is(err, stage.ErrInvalidOption) {
		return failed("bad_opts")
	}
	if errors.Is(err, stage.ErrEnded) || errors.Is(err, stage.ErrNotRunning) {
		return exited("noproc")
	}
	return failed(reasonOf(err))
}

// subscribeToNobody answers for a name that nobody has: here a source is a value, so there is
// none that is nobody's.
func (w *world) subscribeToNobody(a *actor, opts subOpts) any {
	w.saysByType("a source that nobody is")
	if opts["cancel"] != "temporary" {
		a.run.Abort(stage.ErrNoStage)
	}
	return "ok"
}

// options translates the options of a subscription of a's.
func (a *actor) options(id string, opts subOpts) []stage.SubscribeOption {
	list := []stage.SubscribeOption{stage.Label(id), stage.AllowDuplicate()}
	for _, number := range []struct {
		name   string
		option func(int) stage.SubscribeOption
	}{{"max_demand", stage.MaxDemand}, {"min_demand", stage.MinDemand}} {
		switch n := opts[number.name].(type) {
		case nil:
		case float64:
			list = append(list, number.option(int(n)))
		default:
			a.w.saysByType(number.name + " that is no number")
			list = append(list, number.option(-1))
		}
	}
	switch opts["cancel"] {
	case nil, "permanent":
	case "transient":
		list = append(list, stage.Cancel(stage.CancelTransient))
	case "temporary":
		list = append(list, stage.Cancel(stage.CancelTemporary))
	default:
		a.w.saysByType("a fourth cancel mode")
		list = append(list, stage.MaxDemand(0))
	}
	if a.isManual(opts) {
		list = append(list, stage.Manual())
	}
	return list
}

// isManual says whether a subscription of a's is manual.
func (a *actor) isManual(opts subOpts) bool {
	if mode, given := opts["mode"]; given {
		return mode == "manual"
	}
	return a.spec.Mode == "manual" || a.firstAsk() > 0
}

// ask asks over a subscription.
func (w *world) ask(s step) any {
	l := w.link(s.Sub)
	if l == nil {
		w.saysByType("an ask over a subscription that nobody has")
		return "ok"
	}
	if l.consumer.isDead() {
		return exited("noproc")
	}
	sub := w.subOf(l)
	if sub == nil {
		return "ok" // it was refused: void
	}
	switch err := sub.Ask(s.n()); {
	case err == nil, errors.Is(err, stage.ErrEnded):
		return "ok" // void, when it has ended, here and there
	case errors.Is(err, stage.ErrNotManual):
		return failed("not_manual")
	default:
		return failed("invalid_demand")
	}
}

// cancelSub cancels a subscription. Whoever does it, the producer is asked to.
func (w *world) cancelSub(s step) any {
	if l := w.link(s.Sub); l != nil {
		if sub := w.subOf(l); sub != nil {
			_ = sub.Cancel(cancelled(s.Reason)) // void when it has ended
		}
	}
	return nil
}
