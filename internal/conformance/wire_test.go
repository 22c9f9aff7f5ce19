package conformance

import (
	"context"
	"sync"

	"github.com/go-genstage/genstage/stage"
)

// probe plays a bare process that speaks the protocol: it is a producer that does only what the scenario says,
// and a manual consumer. What the other side sends is seen by its observer. What no stage can send here ends
// the scenario: a subscription that nobody has, and events that were not asked for.
type probe struct {
	a        *actor
	consumer *stage.Consumer[event]
	over     chan struct{} // closed when the consumer's Run has returned

	mu       sync.Mutex
	asked    map[string]int                 // guarded by mu: over each subscription, less what was sent
	subs     map[string]*stage.Subscription // guarded by mu: those that end at the probe
	dropping bool                           // guarded by mu: the probe cancels itself
	confirms chan struct{}                  // guarded by mu: closed when a cancel is to be confirmed; nil if none waits
}

// makeProbe makes the stage of kind probe.
func (a *actor) makeProbe() {
	x := &probe{a: a, over: make(chan struct{}), asked: map[string]int{}, subs: map[string]*stage.Subscription{}}
	a.probe = x
	p := stage.NewProducer(func(context.Context, int) ([]event, error) { return nil, nil },
		stage.Name(a.name), quiet, stage.OnConsumer(x.subscribed))
	a.run, a.source, a.tell = p, p, p.Tell

	x.consumer = stage.NewConsumer(func(_ context.Context, batch []event, from *stage.Subscription) error {
		a.record(record{"cb": "wire_events", "sub": from.Label(), "events": append(events{}, batch...)})
		return nil
	}, stage.Name(a.name), quiet)
	x.consumer.OnCancel(func(_ context.Context, sub *stage.Subscription, end stage.Cancellation) error {
		a.record(record{"cb": "wire_cancelled", "sub": sub.Label(), "reason": reasonOf(end.Reason)})
		return nil
	})
	go func() { // ends when world.end aborts the consumer, which leave waits for
		defer close(x.over)
		_ = x.consumer.Run(a.w.ctx)
	}()
}

// leave ends the probe's second half.
func (x *probe) leave() {
	x.consumer.Abort(stage.ErrShutdown)
	<-x.over
}

func (x *probe) subscribed(_ context.Context, sub *stage.Subscription) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	l := x.a.w.saw(sub)
	x.subs[l.id] = sub
	x.a.record(record{"cb": "wire_subscribe", "sub": l.id, "opts": l.opts})
	return nil
}

// observeForProbe tells a probe what a consumer sends to it.
func (a *actor) observeForProbe(m stage.Message) {
	to := a.w.actors[m.To]
	if to == nil || to.probe == nil {
		return
	}
	to.probe.sees(m)
}

func (x *probe) sees(m stage.Message) {
	x.mu.Lock()
	defer x.mu.Unlock()
	id := m.Sub.Label()
	switch {
	case m.Kind == stage.MessageAsk:
		x.asked[id] += int(m.N)
		x.a.record(record{"cb": "wire_ask", "sub": id, "n": m.N})
	case m.Kind == stage.MessageCancel && !x.dropping:
		x.a.record(record{"cb": "wire_cancel", "sub": id, "reason": reasonOf(m.Reason)})
		confirmed := make(chan struct{})
		x.confirms = confirmed
		// A producer confirms a cancel at once; the probe does when it is told to. Until then it is busy.
		_ = x.a.tell(func(ctx context.Context) ([]event, error) {
			select {
			case <-confirmed:
			case <-ctx.Done():
			}
			return nil, nil
		})
	}
}

// doWire does a step in which the probe sends a message itself.
func (w *world) doWire(s step) any {
	x := w.actors[s.Probe].probe
	switch s.Do {
	case "wire_subscribe":
		return x.subscribe(s)
	case "wire_events":
		x.send(s)
	case "wire_drop":
		x.drop(s)
	case "wire_ask", "wire_cancel":
		l := w.link(s.Sub)
		if l == nil {
			w.cannotSay("a message over a subscription that nobody has")
			return nil
		}
		if sub := w.subOf(l); sub != nil && s.Do == "wire_ask" {
			_ = sub.Ask(s.n()) // void when it has ended
		} else if sub != nil {
			_ = sub.Cancel(cancelled(s.Reason))
		}
	default:
		panic("unknown step " + s.Do)
	}
	return nil
}

// cannotSay ends the scenario at a step that no stage can do here.
func (w *world) cannotSay(what string) {
	w.saysByType(what)
	w.cut = true
}

// subscribe has the probe subscribe to a stage.
func (x *probe) subscribe(s step) any {
	w, id := x.a.w, s.Sub
	if id == "" {
		id = s.ID
	}
	if w.link(id) != nil {
		w.cannotSay("a subscription that is made twice")
		return nil
	}
	w.connect(id, s.To, s.Opts, x.a)
	src, err := w.sourceFor(s.To, s.Opts)
	if err != nil {
		w.cannotSay(err.Error())
		return nil
	}
	opts := append(x.a.options(id, s.Opts), stage.Manual(), stage.Cancel(stage.CancelTemporary))
	if sub, err := x.consumer.Subscribe(w.ctx, src, opts...); err == nil {
		w.saw(sub)
	}
	return nil
}

// send has the probe send events.
func (x *probe) send(s step) {
	x.mu.Lock()
	defer x.mu.Unlock()
	switch {
	case x.subs[s.Sub] == nil:
		x.a.w.cannotSay("events over a subscription that nobody has")
	case len(s.Events) > x.asked[s.Sub]:
		x.a.w.cannotSay("more events than were asked for")
	case len(x.subs) > 1:
		x.a.w.cannotSay("a producer that chooses who gets its events")
	default:
		x.asked[s.Sub] -= len(s.Events)
		_ = x.a.tell(func(context.Context) ([]event, error) { return s.Events, nil })
	}
}

// drop has the probe end a subscription from the producer's end, or confirm that it has.
func (x *probe) drop(s step) {
	x.mu.Lock()
	sub, waits := x.subs[s.Sub], x.confirms
	x.dropping, x.confirms = waits == nil, nil
	x.mu.Unlock()
	switch {
	case waits != nil:
		close(waits)
	case sub == nil:
		x.a.w.cannotSay("the end of a subscription that nobody has")
	default:
		_ = sub.Cancel(cancelled(s.Reason)) // void when it has ended
	}
	x.mu.Lock()
	x.dropping = false
	x.mu.Unlock()
}
