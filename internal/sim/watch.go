package sim

import (
	"context"
	"errors"
	"strconv"

	"github.com/go-genstage/genstage/stage"
)

// tie is one subscription as callbacks and messages have shown it.
type tie struct {
	sub      *stage.Subscription
	at       int // of in, among all
	in       *InputOptions
	life     *life // of the consumer, in which it was made
	from, to *node
	max, min int64 // the largest max, and the min that holds
	changed  bool  // SetDemand was called

	subscribed, cancelled bool // OnSubscribe and OnCancel have been called
	admitted, gone        bool // OnConsumer and OnConsumerGone have been called
	cancelling            bool // Cancel has been called

	asked    int64   // watched
	sent     []event // watched: sent, and not begun
	sends    int64   // watched
	allSaid  int     // watched: how often "that is all" was said
	last     stage.MessageKind
	down     bool // consumer down was sent
	fresh    int  // the last event that a broadcast sent, or the callback saw of it
	begun    int64
	returned int64 // the callback has returned from so many
}

// tie finds what is known of a subscription.
func (w *world) tie(sub *stage.Subscription) *tie {
	if t := w.ties[sub]; t != nil {
		return t
	}
	at, err := strconv.Atoi(sub.Label())
	if err != nil {
		w.violate("a subscription without label: %s → %s", sub.Producer(), sub.Consumer())
		at = 0
	}
	in := &w.inputs[at]
	t := &tie{sub: sub, at: at, in: in, from: w.nodes[in.From], to: w.consumerOf(at), max: int64(in.Max), min: int64(in.Min)}
	if t.from.name != sub.Producer() || !t.named() {
		w.violate("a subscription %s → %s has the label of %s → %s", sub.Producer(), sub.Consumer(), t.from.name, t.to.name)
	}
	w.ties[sub] = t
	w.order = append(w.order, t)
	return t
}

// call stands around every callback. work may be nil.
func (n *node) call(what string, work func() error) error {
	n.enter(what)
	defer n.leave()
	if work != nil {
		if err := work(); err != nil {
			return err
		}
	}
	defer n.late(what)
	n.nap()
	n.hang(what)
	for n.stall != nil {
		n.w.block(n.name+" stalled", func() { <-n.stall })
	}
	return n.fault(what)
}

// enter holds the beginning of a callback against what may begin.
func (n *node) enter(what string) {
	w := n.w
	w.trace.add(n.name, "%s", what)
	switch {
	case n.inside != "":
		w.violate("%s: %s begins inside of %s", n.name, what, n.inside)
	case w.over:
		w.violate("%s: %s after Run has returned", n.name, what)
	case what == "OnInit":
		if n.life != nil && !n.life.terminated && !n.life.dead && !n.life.abandoned {
			w.violate("%s: OnInit again before OnTerminate", n.name)
		}
		n.lives()
	case n.life == nil || n.life.terminated || n.life.dead:
		w.violate("%s: %s outside of OnInit and OnTerminate", n.name, what)
		n.lives()
	case what == "OnTerminate":
		w.tick++
		n.life.terminated, n.life.over = true, w.tick
	case n.life.aborted:
		w.violate("%s: %s after Abort has returned (E8)", n.name, what)
	}
	n.inside = what
}

func (n *node) leave() { n.inside = "" }

// emitted notes what a callback is about to return.
func (n *node) emitted(events []event, err error) ([]event, error) {
	if errors.Is(err, stage.ErrDone) {
		n.done = true
	}
	if n.life.abandoned {
		for _, e := range events {
			n.void[e.N] = true
		}
		return events, err
	}
	if err == nil || errors.Is(err, stage.ErrDone) {
		n.life.emitted += int64(len(events))
		n.asked = max(0, n.asked-len(events))
	}
	return events, err
}

// begin notes events that the events callback is given.
func (n *node) begin(sub *stage.Subscription, events []event) *tie {
	w, t := n.w, n.w.tie(sub)
	n.life.begun += int64(len(events))
	w.trace.add(n.name, "begins %v", events)
	switch {
	case t.to != n:
		w.violate("%s: events of %s → %s", n.name, sub.Producer(), sub.Consumer())
	case !t.subscribed:
		w.violate("%s: events of %s before OnSubscribe (S4)", n.name, sub.Producer())
	case t.cancelled:
		w.violate("%s: events of %s after OnCancel (E3)", n.name, sub.Producer())
	}
	t.begun += int64(len(events))
	for _, e := range events {
		t.beginOne(e)
	}
	if cap(events) != len(events) {
		w.violate("%s: a batch with cap %d and len %d (D7)", n.name, cap(events), len(events))
	}
	return t
}

func (t *tie) beginOne(e event) {
	w, from := t.to.w, t.from
	if e.From != from.index || e.N < 1 || e.N > from.next {
		w.violate("%s: event %v came from %s", t.to.name, e, from.name)
		return
	}
	if from.void[e.N] {
		w.violate("%s: event %v was returned by a callback that had been abandoned", t.to.name, e)
	}
	if from.o.Dispatch == Broadcast {
		if !w.o.Observed && t.to.o.Kind != Children { // they start together
			t.ordered(e)
		}
	} else if from.begun[e.N] {
		w.violate("%s: event %v was begun before (H7)", t.to.name, e)
	}
	from.begun[e.N] = true
	if !w.o.Observed {
		return
	}
	at := 0
	if t.to.o.Kind == Children { // they start together
		for at < len(t.sent) && t.sent[at] != e {
			at++
		}
	}
	if at >= len(t.sent) || t.sent[at] != e {
		w.violate("%s: event %v is not what %s sent next: %v", t.to.name, e, from.name, t.sent[:min(5, len(t.sent))])
		return
	}
	t.sent = append(t.sent[:at:at], t.sent[at+1:]...)
}

// ordered holds an event of a broadcast against the one before.
func (t *tie) ordered(e event) {
	if e.N <= t.fresh && !t.from.replays {
		t.to.w.violate("%s: event %v after %d, over %s → %s", t.to.name, e, t.fresh, t.from.name, t.to.name)
	}
	t.fresh = e.N
}

// watch is told of every message.
func (w *world) watch(m stage.Message) {
	if m.Sub.Label() == linesLabel {
		return
	}
	t := w.tie(m.Sub)
	w.trace.add(m.From, "%v %d → %s (%s)%s", m.Kind, m.N, m.To, m.Sub.Label(), said(m.Reason))
	if t.down && m.From == t.to.name && m.Kind != stage.MessageHandBack && m.Kind != stage.MessageAsk && m.Kind != stage.MessageCancel {
		w.violate("%s says %v to %s after consumer down (E6)", m.From, m.Kind, m.To)
	}
	switch m.Kind {
	case stage.MessageAsk:
		if t.asked += m.N; t.asked < 0 {
			t.asked = 1<<63 - 1
		}
	case stage.MessageEvents:
		t.sending(m.Events.([]event))
	case stage.MessageThatIsAll:
		if t.allSaid++; t.allSaid == 2 {
			w.reach(AskedTwice)
		}
	case stage.MessageBegunAll:
		if k := t.to.o.Kind; k != Each && k != Children && k != Loop && t.begun != m.N {
			w.violate("%s says that it has begun %d of %s, not %d (C3)", m.From, m.N, m.To, t.begun)
		}
	case stage.MessageConsumerDown:
		t.down = true
		if m.N > 0 {
			w.reach(HandBack)
		}
	case stage.MessageHandBack:
		w.reach(LateHandBack)
	case stage.MessageRefused, stage.MessageComplete, stage.MessageCancelled, stage.MessageProducerDown:
		if t.last != 0 {
			w.violate("%s says %v to %s after %v (E6)", m.From, m.Kind, m.To, t.last)
		}
		t.last = m.Kind
		if m.Kind == stage.MessageComplete {
			t.complete()
		}
		if m.Kind == stage.MessageRefused {
			w.reach(Refused)
		}
	}
}

// complete holds the end of a producer that is done against what its subscribers have begun.
func (t *tie) complete() {
	ended := t.down || t.cancelled || t.to.life == nil || t.to.life.terminated
	if len(t.sent) > 0 && !ended && t.to.o.Kind != Children && t.to.o.Kind != Loop { // those begin when their goroutine does
		t.to.w.violate("%s says complete to %s, which has not begun %v (C5)", t.from.name, t.to.name, t.sent)
	}
}

// sending holds a batch against what may be sent.
func (t *tie) sending(events []event) {
	w, from := t.to.w, t.from
	if t.last != 0 {
		w.violate("%s sends to %s after %v (E6)", from.name, t.to.name, t.last)
	}
	if t.sends += int64(len(events)); t.sends > t.asked && t.to.o.Kind != Loop { // nobody watches what a loop asks
		w.violate("%s has sent %d to %s, which asked for %d (D2)", from.name, t.sends, t.to.name, t.asked)
	}
	w.trace.add(from.name, "%v", events)
	if k := from.o.Kind; k == Slice || k == Queue || k == Channel { // nobody but its source makes it emit
		w.started = true
	}
	t.sent = append(t.sent, events...)
	for _, e := range events {
		part := 0
		switch {
		case from.o.Dispatch == Broadcast:
			t.ordered(e)
			continue
		case from.sent[e.N]:
			w.reach(Redelivered)
			continue
		case from.o.Dispatch == Partition:
			part = t.in.Part
		}
		from.sent[e.N] = true
		if e.N <= from.lastFresh[part] && !from.replays {
			w.violate("%s sends %v after %d (D5)", from.name, e, from.lastFresh[part])
		}
		from.lastFresh[part] = e.N
	}
}

func said(reason error) string {
	if reason == nil {
		return ""
	}
	return ": " + reason.Error()
}

// life are the options of every stage.
func (n *node) options() []stage.Option {
	w := n.w
	list := []stage.Option{
		stage.Name(n.name), quiet, stage.Grace(w.o.Grace),
		stage.OnInit(func(context.Context) error {
			err := errPanicked
			defer func() { n.life.dead = err != nil && !errors.Is(err, stage.ErrDone) }()
			err = n.call("OnInit", nil)
			return err
		}),
		stage.OnTerminate(func(reason error) {
			w.trace.add(n.name, "ends%s", said(reason))
			n.leavesCharged(reason)
			_ = n.call("OnTerminate", nil)
		}),
	}
	if w.o.Observed {
		list = append(list, stage.Observe(w.watch))
	}
	return list
}

// onSubscribe is the hook of those who consume.
func (n *node) onSubscribe(_ context.Context, sub *stage.Subscription) error {
	t := n.w.tie(sub)
	if t.subscribed {
		n.w.violate("%s: OnSubscribe again for %s", n.name, sub.Producer())
	}
	for _, other := range n.w.order {
		if other != t && other.from == t.from && other.to == n && other.life == n.life && !other.cancelled {
			n.w.reach(Duplicated)
		}
	}
	t.subscribed, t.life = true, n.life
	n.life.said[t.at] = true
	return n.call("OnSubscribe", func() error {
		if t.in.Manual {
			_ = sub.Ask(1 + n.w.below(t.in.Max))
		}
		return nil
	})
}

// onCancel is the hook of those who consume.
func (n *node) onCancel(sub *stage.Subscription, c stage.Cancellation) error {
	t := n.w.tie(sub)
	if t.cancelled {
		n.w.violate("%s: OnCancel again for %s", n.name, sub.Producer())
	}
	t.cancelled = true
	n.life.said[t.at] = true
	n.w.trace.add(n.name, "%v by %s%s", c.Kind, sub.Producer(), said(c.Reason))
	if errors.Is(c.Reason, stage.ErrLagging) {
		n.w.reach(Lagging)
	}
	return n.call("OnCancel", nil)
}

// consumers are the hooks of those who emit.
func (n *node) consumers() []stage.OutputOption {
	list := []stage.OutputOption{
		stage.OnConsumer(func(_ context.Context, sub *stage.Subscription) error {
			t := n.w.tie(sub)
			if t.admitted {
				n.w.violate("%s: OnConsumer again for %s", n.name, sub.Consumer())
			}
			t.admitted = true
			return n.call("OnConsumer", nil)
		}),
		stage.OnConsumerGone(func(_ context.Context, sub *stage.Subscription, _ stage.Cancellation) error {
			t := n.w.tie(sub)
			if t.gone || !t.admitted {
				n.w.violate("%s: OnConsumerGone for %s: admitted %t, gone %t", n.name, sub.Consumer(), t.admitted, t.gone)
			}
			t.gone = true
			return n.call("OnConsumerGone", nil)
		}),
		stage.BufferSize(n.o.Buffer),
	}
	if n.o.KeepFirst {
		list = append(list, stage.KeepFirst())
	}
	if n.o.KeepRunning {
		list = append(list, stage.KeepRunning())
	}
	return list
}

// onDiscard is the hook of those who emit.
func (n *node) onDiscard(_ context.Context, events []event) {
	n.life.discarded += int64(len(events))
	n.w.reach(BufferFull)
	_ = n.call("OnDiscard", nil)
}
