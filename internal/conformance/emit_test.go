package conformance

import (
	"context"
	"errors"

	"github.com/go-genstage/genstage/stage"
)

// The emitting side of a stage: producers, and the half of a producer-consumer.

// makeProducer makes the stage of kind producer.
func (a *actor) makeProducer() {
	opts := []stage.ProducerOption{
		stage.Name(a.name), quiet, stage.OnInit(a.onInit), stage.OnTerminate(a.onTerminate),
		stage.OnConsumer(a.onConsumer), stage.OnConsumerGone(a.onConsumerGone),
	}
	for _, o := range a.outputOptions() {
		opts = append(opts, o)
	}
	opts = append(opts, modeOptions(a.spec)...)
	p := stage.NewProducer(a.onDemand, opts...)
	p.OnDiscard(a.onDiscard)
	a.emitsBy(p)
	a.dispatch(p.DispatchWith)
	a.modes = modesOf(p)
}

// emitter is what producers and producer-consumers have in common.
type emitter interface {
	stage.Stage
	stage.Source[event]
	Do(context.Context, func(context.Context) ([]event, error)) error
	Tell(func(context.Context) ([]event, error)) error
	TellAfter(func(context.Context) ([]event, error)) error
	Buffered() int64
}

func (a *actor) emitsBy(p emitter) {
	a.run, a.source = p, p
	a.do = func(ctx context.Context, fn func(context.Context) ([]event, error)) error {
		return p.Do(ctx, a.emitting(fn))
	}
	a.tell = func(fn func(context.Context) ([]event, error)) error { return p.Tell(a.emitting(fn)) }
	a.tellAfter = func(fn func(context.Context) ([]event, error)) error { return p.TellAfter(a.emitting(fn)) }
	a.buffered = func() int64 { return a.inBuffer(p.Buffered()) }
}

func (a *actor) outputOptions() (opts []stage.OutputOption) {
	switch size := a.spec.BufferSize.(type) {
	case float64:
		if size < 0 {
			size += stage.Unlimited // below zero is a fault for both, but -1 has a meaning here
		}
		opts = append(opts, stage.BufferSize(int(size)))
	case string: // "infinity"
		opts = append(opts, stage.BufferSize(stage.Unlimited))
	}
	switch a.spec.BufferKeep {
	case "first":
		opts = append(opts, stage.KeepFirst())
	case "last":
		opts = append(opts, stage.KeepLast())
	}
	return opts
}

// onInit declines to start, if the scenario says so.
func (a *actor) onInit(context.Context) error {
	if a.spec.Init == "" {
		return nil
	}
	if text, stops := cutPrefix(a.spec.Init, "stop:"); stops {
		return cause(text)
	}
	return stage.ErrDone
}

func (a *actor) onTerminate(err error) {
	a.record(record{"cb": "terminate", "reason": reasonOf(err)})
}

func (a *actor) onDemand(_ context.Context, n int) ([]event, error) {
	a.record(record{"cb": "demand", "n": n})
	out, last, err := a.policy.demanded(n)
	if last {
		a.finished()
	}
	return a.emits(out, err)
}

// finished has a producer that is told to stop at its end do so behind its last events.
func (a *actor) finished() {
	if a.spec.Behaviour.AtEnd != "stop" {
		return
	}
	_ = a.tellAfter(func(context.Context) ([]event, error) { // refused only when the stage has ended
		a.record(record{"cb": "info", "msg": "finished"})
		return nil, stage.ErrDone
	})
}

func (a *actor) onConsumer(_ context.Context, sub *stage.Subscription) error {
	l := a.w.saw(sub)
	a.record(record{"cb": "subscribe", "as": "producer", "sub": l.id, "opts": l.opts})
	switch on := a.spec.OnSubscribe; {
	case on.ProducerMode == "manual":
		a.w.saysByType("a producer that asks for manual demand")
		return reason("error:bad_return_value")
	case on.ProducerStop != "":
		return answered(on.ProducerStop)
	}
	return nil
}

func (a *actor) onConsumerGone(_ context.Context, sub *stage.Subscription, end stage.Cancellation) error {
	a.recordCancel(sub, end)
	out, err := a.onCancelAnswer()
	if len(out) > 0 { // what this callback emits is told
		err = errors.Join(err, a.tell(func(context.Context) ([]event, error) { return out, nil }))
	}
	return err
}

func (a *actor) recordCancel(sub *stage.Subscription, end stage.Cancellation) {
	kind := "down"
	if end.Kind == stage.Cancelled {
		kind = "cancel"
	}
	a.record(record{"cb": "cancel", "sub": sub.Label(), "kind": kind, "reason": reasonOf(end.Reason)})
}

// onCancelAnswer is what the cancel callback of the scenario answers.
func (a *actor) onCancelAnswer() ([]event, error) {
	if a.spec.OnCancel == nil {
		return nil, nil
	}
	answer, err := reread[struct {
		Stop string
		Emit events
	}](a.spec.OnCancel)
	if err == nil && answer.Stop != "" {
		err = answered(answer.Stop)
	}
	return answer.Emit, err
}

func (a *actor) onDiscard(_ context.Context, discarded []event) {
	a.record(record{"cb": "discarded", "n": len(discarded)})
}
