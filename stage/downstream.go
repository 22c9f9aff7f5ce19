package stage

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/internal/buffer"
)

// outlet is the emitting half of a run: who gets which event, what nobody has asked for yet, and
// what has been asked of the source.
type outlet[Out any] struct {
	disp  Dispatcher[Out]
	buf   *buffer.Buffer[Out, *call[Out]] // the marks are DoAfter and TellAfter
	edges map[SubID]*edge[Out]            // written under tally.mu
	last  SubID

	send    func(SubID, []Out) // r.sendTo, made once
	refused []refusal[Out]     // by mailboxes that had closed, in the dispatch in progress

	demand        demandFunc[Out]
	releaseDemand func()
	released      bool        // demand callbacks may begin
	owed          int64       // asked of the source and not emitted
	woken         atomic.Bool // a wake is on its way; written by any goroutine
	again         bool        // there is more to do before parking
	pause         time.Duration
	timer         *time.Timer

	feed    feed[Out]   // instead of demand; nil for none
	inlet   *inlet[Out] // the feed, if it is a channel
	fedOpen int64       // open, as the feed was told
	fedAll  bool        // the feed has nothing more
	news    bool        // the feed has something to say

	hadConsumer bool
	admitting   *edge[Out]   // OnConsumer is being asked about it
	spared      bool         // all subscribers are temporary, at the end
	over        []*edge[Out] // subscriptions that came when the run was ending
	discarding  bool         // an episode of discarding has been logged
	toldAll     bool         // every subscriber has been told that this is all
	notBegun    int          // subscribers that have not begun all that they were sent, when toldAll
}

type refusal[Out any] struct {
	id     SubID
	events []Out
}

func (r *run[In, Out]) openOutlet() {
	r.disp = newDemandDispatcher[Out]()
	r.buf = buffer.New[Out, *call[Out]](r.h.conf.bufferSize, r.h.conf.bufferKeep)
	r.edges = map[SubID]*edge[Out]{}
	r.send = r.sendTo
}

// serve posts a subscription to this run. It is called by consumers, on their goroutines.
func (r *run[In, Out]) serve(e *edge[Out]) bool {
	e.up.Store(&upstream{post: r.postUp})
	return r.box.Post(message[In]{kind: msgSubscribe, sub: &e.Subscription, arg: e})
}

// postUp takes a message of a consumer's. Safe for concurrent use.
func (r *run[In, Out]) postUp(k kind, sub *Subscription, n int64, arg any) bool {
	return r.box.Post(message[In]{kind: k, sub: sub, n: n, arg: arg})
}

// subscribed takes a new consumer, or refuses it.
func (r *run[In, Out]) subscribed(e *edge[Out]) {
	if hook := r.h.conf.onConsumer; hook != nil {
		r.admitting = e // should the hook fail, conclude tells e with the others
		err := r.guard(inConsumer, func() error { return hook(r.ctx, &e.Subscription) })
		if err != nil && !errors.Is(err, ErrRefused) && !errors.Is(err, ErrDone) {
			if errors.Is(err, errAborted) {
				r.admitting, r.over = nil, append(r.over, e)
			}
			r.fail(err)
			return
		}
		r.admitting = nil
		if errors.Is(err, ErrRefused) {
			r.tell(e, msgRefused, 0, err)
			return
		}
		if err != nil {
			defer r.finish() // e is the last one, and gets what waits
		}
	}
	r.last++
	e.id = r.last
	if err := r.disp.Subscribe(e.id); err != nil {
		err = fmt.Errorf("%w: %w", ErrRefused, err)
		r.tell(e, msgRefused, 0, err)
		r.callConsumerGone(e, Cancellation{Kind: Cancelled, Reason: err})
		return
	}
	e.served = r
	r.hadConsumer, r.toldAll = true, false
	r.mu.Lock()
	r.edges[e.id] = e
	r.mu.Unlock()
	r.tell(e, msgAccepted, 0, nil)
}

// mine returns the edge of sub if it is one of this run's subscribers.
func (r *run[In, Out]) mine(sub *Subscription) *edge[Out] {
	if e, ok := sub.typed.(*edge[Out]); ok && e.served == any(r) {
		return e
	}
	return nil
}

// asked adds what has been asked since the last time.
func (r *run[In, Out]) asked(sub *Subscription) {
	if e := r.mine(sub); e != nil {
		r.disp.Ask(e.id, sub.asks.Swap(0))
	}
}

// consumerGone ends a subscription because its consumer cancelled or ended.
func (r *run[In, Out]) consumerGone(m message[In]) {
	e := r.mine(m.sub)
	if e == nil {
		return
	}
	r.dropEdge(e)
	c := Cancellation{Kind: Cancelled}
	if m.kind == msgCancel {
		c.Reason, _ = m.arg.(error)
		c.clean = c.Reason == nil || errors.Is(c.Reason, ErrShutdown)
		r.tell(e, msgCancelled, 0, c.Reason)
	} else {
		end := m.arg.(*ending)
		c = Cancellation{Kind: Down, Reason: end.reason, clean: end.clean}
		r.takeBack(e.returned)
		e.returned = nil
	}
	r.callConsumerGone(e, c)
	r.checkAbandoned()
}

// dropEdge forgets a subscriber and its demand.
func (r *run[In, Out]) dropEdge(e *edge[Out]) {
	r.disp.Cancel(e.id)
	if r.toldAll && e.begun != e.sent.Load() {
		r.notBegun--
	}
	e.served = nil
	r.departed.Add(e.sent.Load())
	r.mu.Lock()
	delete(r.edges, e.id)
	r.mu.Unlock()
}

func (r *run[In, Out]) callConsumerGone(e *edge[Out], c Cancellation) {
	if hook := r.h.conf.onConsumerGone; hook != nil {
		r.ends(r.guard(inConsumerGone, func() error { return hook(r.ctx, &e.Subscription, c) }))
	}
}

// checkAbandoned ends a stage of a pipeline that has had subscribers and has none left (R2).
func (r *run[In, Out]) checkAbandoned() {
	if r.verdict != nil || r.scope.alone || r.h.conf.keepRunning || len(r.edges) > 0 || r.def.out.awaited() {
		return
	}
	if r.feed != nil && r.feed.patient() {
		return
	}
	if r.finishing && r.buf.Len() == 0 && r.heldNow.Load() == 0 {
		return // it has delivered everything
	}
	r.fail(ErrShutdown)
}

// takeBack puts events that a consumer did not begin in front of everything that waits.
func (r *run[In, Out]) takeBack(events []Out) {
	if len(events) == 0 {
		return
	}
	r.takenBack.Add(int64(len(events)))
	r.buf.PutFront(events)
	r.buffered.Store(int64(r.buf.Len()))
}

// begunAll notes that a subscriber has begun the n events that it has received.
func (r *run[In, Out]) begunAll(sub *Subscription, n int64) {
	e := r.mine(sub)
	if e == nil || n != e.sent.Load() || e.begun == n {
		return
	}
	e.begun = n
	if r.toldAll {
		r.notBegun--
	}
}

// allBegun reports whether everything emitted has been begun by somebody, and asks those that
// have not said so.
func (r *run[In, Out]) allBegun() bool {
	if r.buf.Len() > 0 || r.buf.Marks() > 0 {
		return false
	}
	if !r.toldAll {
		r.toldAll, r.notBegun = true, 0
		for _, e := range r.edges {
			sent := e.sent.Load()
			if e.begun != sent {
				r.notBegun++
			}
			if e.told != sent {
				e.told = sent
				r.tell(e, msgThatIsAll, sent, nil)
			}
		}
	}
	return r.notBegun == 0
}

// tell posts a message other than events to a subscriber.
func (r *run[In, Out]) tell(e *edge[Out], k kind, n int64, arg any) {
	if r.observing() {
		m := Message{Kind: observed[k], From: r.name(), To: e.Consumer(), Sub: &e.Subscription, N: n}
		switch reason := arg.(type) {
		case error:
			m.Reason = reason
		case *ending:
			m.Reason = reason.reason
		}
		r.observe(m)
	}
	e.deliver(message[Out]{kind: k, sub: &e.Subscription, n: n, arg: arg})
}

// emit takes events from a callback: they are dispatched as far as there is demand, behind what
// waits already; the rest waits.
func (r *run[In, Out]) emit(events []Out) {
	n := len(events)
	if n == 0 || r.def.out == nil {
		return
	}
	if r.verdict != nil {
		r.emitted.Add(int64(n))
		r.outputLost.Add(int64(n))
		return
	}
	r.emitted.Add(int64(n))
	r.owed = max(0, r.owed-int64(n))
	events = events[:n:n]
	if r.buf.Len() == 0 && r.buf.Marks() == 0 {
		events = r.dispatch(events)
	}
	if len(events) > 0 {
		r.store(events)
	} else if r.discarding {
		r.discarding = false
	}
	r.putBackRefused()
}

// dispatch hands out events and returns the rest.
func (r *run[In, Out]) dispatch(events []Out) []Out {
	rest := r.disp.Dispatch(events, r.send)
	r.dispatched.Add(int64(len(events) - len(rest)))
	r.toldAll = false
	return rest
}

// sendTo sends one batch to one subscriber. A mailbox that has closed refuses it.
func (r *run[In, Out]) sendTo(id SubID, events []Out) {
	n := int64(len(events))
	e := r.edges[id]
	if e == nil {
		panic(fmt.Sprintf("stage: rule D1: the dispatcher sent %d events to %d, which is no subscriber", n, id))
	}
	if sent, asked := e.sent.Add(n), e.Subscription.asked.Load(); sent > asked {
		panic(fmt.Sprintf("stage: rule D2: the dispatcher has sent %d events to a subscriber that asked for %d", sent, asked))
	}
	if r.observing() {
		r.observe(Message{Kind: MessageEvents, From: r.name(), To: e.Consumer(), Sub: &e.Subscription, N: n, Events: events})
	}
	if !e.deliver(message[Out]{kind: msgEvents, sub: &e.Subscription, events: events}) {
		e.Subscription.refused.Add(n)
		r.outlet.refused = append(r.outlet.refused, refusal[Out]{id, events})
	}
}

// putBackRefused puts what closed mailboxes refused in front of what waits, in order. Their
// demand is void; their end is on its way.
func (r *run[In, Out]) putBackRefused() {
	refused := r.outlet.refused
	for i := len(refused) - 1; i >= 0; i-- {
		r.disp.Cancel(refused[i].id)
		r.takeBack(refused[i].events)
	}
	clear(refused)
	r.outlet.refused = refused[:0]
}

// store keeps events that nobody has asked for. What does not fit is discarded.
func (r *run[In, Out]) store(events []Out) {
	discarded := r.buf.Put(events)
	r.buffered.Store(int64(r.buf.Len()))
	if len(discarded) == 0 {
		r.discarding = false
		return
	}
	r.discarded.Add(int64(len(discarded)))
	if !r.discarding {
		r.discarding = true
		r.log(slog.LevelWarn, "stage: buffer is full, events are discarded",
			"stage", r.name(), "discarded", len(discarded), "buffer_size", r.h.conf.bufferSize)
	}
	if hook := r.def.onDiscard; hook != nil {
		r.ends(r.guard(inDiscard, func() error { hook(r.ctx, discarded); return nil }))
	}
}

// serveBuffer dispatches what waits, as far as there is demand, and calls the DoAfter and
// TellAfter whose turn has come.
func (r *run[In, Out]) serveBuffer() {
	for r.verdict == nil {
		if c, ok := r.buf.Due(); ok {
			r.invoke(c)
			continue
		}
		live := min(r.disp.Live(), int64(r.buf.Len()))
		if live <= 0 {
			return
		}
		rest := r.dispatch(r.buf.Take(int(live)))
		if len(rest) > 0 {
			panic("stage: rule D3: the dispatcher returned events while it had demand for them")
		}
		r.putBackRefused()
		r.buffered.Store(int64(r.buf.Len()))
	}
}

// callDemand asks the source for what is open: live demand, less what it owes and what waits.
// It does so once; if more is open afterwards, the mailbox comes first.
func (r *run[In, Out]) callDemand() {
	if !r.released || r.finishing || r.verdict != nil || r.timer != nil {
		return
	}
	if r.feed != nil {
		r.follow()
		return
	}
	want := r.open()
	if want <= 0 {
		return
	}
	r.owed += want
	var out []Out
	err := r.guard(inDemand, func() (err error) {
		out, err = r.demand(r.ctx, int(min(want, math.MaxInt)))
		return err
	})
	if err != nil && !errors.Is(err, ErrDone) {
		r.fail(err)
		return
	}
	r.emit(out)
	if err != nil {
		r.finish()
		r.serveBuffer()
		return
	}
	if r.h.conf.repeat && len(out) > 0 {
		r.owed, r.pause = 0, 0
	} else if poll := r.h.conf.poll; poll != nil {
		r.pause = min(max(2*r.pause, poll.min), poll.max)
		r.timer = time.NewTimer(r.pause)
	}
	r.serveBuffer()
	r.again = r.again || r.open() > 0 && r.timer == nil && r.verdict == nil
}

// open returns how many events are asked for and on no one's way.
func (r *run[In, Out]) open() int64 {
	return r.disp.Live() - r.owed - int64(r.buf.Len())
}
