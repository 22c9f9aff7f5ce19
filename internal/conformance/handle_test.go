package conformance

import (
	"context"
	"errors"
	"strings"

	"github.com/go-genstage/genstage/stage"
)

// The consuming side of a stage: consumers, and the half of a producer-consumer.

func cutPrefix(s, prefix string) (string, bool) { return strings.CutPrefix(s, prefix) }

// makeConsumer makes the stage of kind consumer.
func (a *actor) makeConsumer() {
	if a.spec.Behaviour.Policy == "emit_anyway" {
		a.w.saysByType("a consumer that emits")
		a.policy.spec.Policy = ""
	}
	handle := func(ctx context.Context, batch []event, from *stage.Subscription) error {
		_, err := a.onEvents(ctx, batch, from)
		return err
	}
	c := stage.NewConsumer(handle, stage.Name(a.name), quiet, stage.OnInit(a.onInit), stage.OnTerminate(a.onTerminate),
		stage.OnSubscribe(a.onSubscribe), stage.Observe(a.observe))
	c.OnCancel(func(_ context.Context, sub *stage.Subscription, end stage.Cancellation) error {
		a.recordCancel(sub, end)
		_, err := a.onCancelAnswer()
		return err
	})
	a.run = c
	a.consumesBy(c)
	a.do = func(ctx context.Context, fn func(context.Context) ([]event, error)) error {
		return c.Do(ctx, a.mute(fn))
	}
	a.tell = func(fn func(context.Context) ([]event, error)) error { return c.Tell(a.mute(fn)) }
	a.tellAfter = a.tell // nothing of a consumer's waits
}

// mute is fn on a stage that cannot emit.
func (a *actor) mute(fn func(context.Context) ([]event, error)) func(context.Context) error {
	return func(ctx context.Context) error {
		out, err := fn(ctx)
		if len(out) > 0 {
			a.w.saysByType("a consumer that emits")
		}
		return err
	}
}

// makeProducerConsumer makes the stage of kind producer_consumer.
func (a *actor) makeProducerConsumer() {
	opts := []stage.ProducerConsumerOption{
		stage.Name(a.name), quiet, stage.OnInit(a.onInit), stage.OnTerminate(a.onTerminate),
		stage.OnConsumer(a.onConsumer), stage.OnConsumerGone(a.onConsumerGone),
		stage.OnSubscribe(a.onSubscribe), stage.Observe(a.observe),
	}
	for _, o := range a.outputOptions() {
		opts = append(opts, o)
	}
	p := stage.NewProducerConsumer(a.onEvents, opts...)
	p.OnDiscard(a.onDiscard)
	p.OnCancel(func(_ context.Context, sub *stage.Subscription, end stage.Cancellation) ([]event, error) {
		a.recordCancel(sub, end)
		return a.emits(a.onCancelAnswer())
	})
	a.emitsBy(p)
	a.consumesBy(p)
	a.dispatch(p.DispatchWith)
}

// subscriber is what consumers and producer-consumers have in common.
type subscriber interface {
	Subscribe(context.Context, stage.Source[event], ...stage.SubscribeOption) (*stage.Subscription, error)
	SubscribeTo(stage.Source[event], ...stage.SubscribeOption)
	Resubscribe(context.Context, *stage.Subscription, error, stage.Source[event], ...stage.SubscribeOption) (*stage.Subscription, error)
}

func (a *actor) consumesBy(c subscriber) {
	a.subscribe, a.declare, a.replace = c.Subscribe, c.SubscribeTo, c.Resubscribe
}

// observe sees the messages that the stage sends. GenStage calls a consumer's subscribe callback when the
// request is sent, ours when it was accepted: the former is what is recorded, the latter acts.
func (a *actor) observe(m stage.Message) {
	if m.Kind == stage.MessageSubscribe {
		l := a.w.saw(m.Sub)
		if a.children == nil { // a supervisor has no callback for it
			a.record(record{"cb": "subscribe", "as": "consumer", "sub": l.id, "opts": l.opts})
		}
	}
	a.observeForProbe(m)
}

func (a *actor) onSubscribe(_ context.Context, sub *stage.Subscription) error {
	a.w.saw(sub).accept()
	if stop := a.spec.OnSubscribe.ConsumerStop; stop != "" {
		return answered(stop)
	}
	if n := a.firstAsk(); n > 0 {
		return sub.Ask(n)
	}
	return nil
}

// firstAsk is what the subscribe callback asks for; 0 for nothing.
func (a *actor) firstAsk() int {
	b := a.spec.Behaviour
	if b.Policy == "shard_worker" {
		return deref(b.Ask, 1)
	}
	return b.AskOnSubscribe
}

// onEvents handles a batch: record, gate, notify, hand off, then crash, stop or emit.
func (a *actor) onEvents(ctx context.Context, batch []event, from *stage.Subscription) ([]event, error) {
	a.w.pause()
	a.record(record{"cb": "events", "sub": from.Label(), "events": append(events{}, batch...)})
	if a.spec.Gated && !a.passGate(ctx) {
		return nil, context.Cause(ctx)
	}
	b := a.policy.spec
	if b.Notify != nil {
		for _, e := range batch {
			a.w.actors[b.Notify.Stage].info(map[string]any{"done": e})
		}
	}
	if h := b.Handoff; h != nil {
		subtasks := expand(batch, h.K, h.Base)
		err := a.w.actors[h.Stage].do(ctx, func(context.Context) ([]event, error) { return subtasks, nil })
		if err != nil {
			return nil, err
		}
	}
	for _, e := range batch {
		switch e {
		case b.CrashOn:
			panic(reason("error:crash"))
		case b.BadReturnOn:
			a.w.saysByType("a callback that answers something not allowed")
			return nil, reason("error:bad_return_value")
		}
	}
	a.policy.seen += len(batch)
	if b.StopAfter > 0 && a.policy.seen >= b.StopAfter {
		return nil, answered(b.Reason)
	}
	return a.emits(a.policy.handled(batch), nil)
}

// passGate waits for one gate step; false when the stage ends first.
func (a *actor) passGate(ctx context.Context) bool {
	a.setBlocked(true)
	defer a.setBlocked(false)
	select {
	case <-a.gates:
		return true
	case <-ctx.Done():
		return false
	}
}

func (a *actor) setBlocked(blocked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.blocked = blocked
}

// info sends the stage a plain message.
func (a *actor) info(msg any) {
	_ = a.tell(a.informed(msg)) // a message to a stage that has ended is lost, as everywhere
}

// informed is the callback of a message: {"emit": [...]} emits, {"stop": R} stops, and a shard
// worker counts {"done": e}.
func (a *actor) informed(msg any) func(context.Context) ([]event, error) {
	return func(context.Context) ([]event, error) {
		if a.run == nil || a.children != nil {
			return nil, nil // a supervisor has no callback for it
		}
		a.record(record{"cb": "info", "msg": msg})
		m, err := reread[struct {
			Emit events
			Stop string
			Done *event
		}](msg)
		switch {
		case err != nil: // some other message
			return nil, nil
		case m.Stop != "":
			return nil, answered(m.Stop)
		case m.Done != nil && a.spec.Behaviour.Policy == "shard_worker":
			return nil, a.workReturned()
		}
		return m.Emit, nil
	}
}

// workReturned counts a subtask that has come back to a shard worker, which asks again when all
// have.
func (a *actor) workReturned() error {
	a.policy.returns++
	if a.policy.returns < a.policy.handed {
		return nil
	}
	for _, sub := range a.w.upstreams(a) {
		if err := sub.Ask(a.firstAsk()); err != nil && !errors.Is(err, stage.ErrEnded) {
			return err
		}
	}
	return nil
}

// upstreams returns the subscriptions that a consumes from.
func (w *world) upstreams(a *actor) (subs []*stage.Subscription) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, l := range w.links {
		if l.consumer == a && l.sub != nil {
			subs = append(subs, l.sub)
		}
	}
	return subs
}
