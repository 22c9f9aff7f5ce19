package stage

import (
	"context"
	"fmt"
)

// Producer emits events, never more than its subscribers have asked for: what it emits beyond
// that waits in its buffer. Make one with [NewProducer] or a ready-made one ([FromSlice],
// [FromSeq], [FromSeq2], [FromChannel], [Lines], [Poll]). It must not be copied.
type Producer[Out any] struct {
	handle
	out outPort[Out]
	def definition[none, Out] // guarded by handle.mu
}

// NewProducer makes a producer of what demand returns.
//
// The function is called on the stage's goroutine when consumers have asked for more than has
// been asked of it already, with the number of events they wait for beyond that: 1 at least, and as large as
// anyone asked. It may return fewer: then it owes the rest and is not called for it again, but
// emits it later through [Producer.Do] or [Producer.Tell] (with [Retry] it is called again after
// [Producer.Wake]). It may return more: the rest is buffered. With [ErrDone] the events are
// delivered and the stage completes; any other error ends the stage and its events are not
// emitted. While it blocks, the stage does nothing else.
//
// The slice is handed over: the producer must not touch it again.
//
// NewProducer panics if the function is nil.
func NewProducer[Out any](demand func(ctx context.Context, demand int) ([]Out, error), opts ...ProducerOption) *Producer[Out] {
	if demand == nil {
		panic("stage: NewProducer: nil callback")
	}
	return newProducer(func() (demandFunc[Out], func()) { return demand, nil }, opts)
}

// newProducer makes a producer whose callback is made anew for each run; release is called when
// the run has ended. It must be called by the exported constructor directly, for the call site.
func newProducer[Out any](produce func() (demand demandFunc[Out], release func()), opts []ProducerOption) *Producer[Out] {
	p := &Producer[Out]{}
	p.init(kindProducer, 2)
	for _, o := range opts {
		if o == nil {
			p.conf.fault("a nil ProducerOption")
			continue
		}
		o.forProducer(&p.conf)
	}
	p.out.h, p.waiters = &p.handle, &p.out
	p.def = definition[none, Out]{out: &p.out, produce: produce}
	p.newRun = func(ctx context.Context, s *scope) controller {
		r := newRun(ctx, s, &p.handle, p.def)
		p.out.opened(r.serve)
		return r
	}
	return p
}

func (p *Producer[Out]) itself() Stage {
	if p == nil {
		return nil
	}
	return p
}

// Name returns the stage's name. Safe for concurrent use.
func (p *Producer[Out]) Name() string { return p.self().Name() }

// Run runs the stage alone and blocks until the run has ended and all its goroutines with it.
// It returns nil after a normal end ([ErrDone], completion, Stop), and else an error that wraps
// the reason in an [Error]. When ctx ends, the run is aborted with the context's cause,
// which Run then wraps. A stage may run again after it ended; while it runs, Run returns
// [ErrRunning], and while a callback that was abandoned in an earlier run has not returned,
// [ErrStuck] ([Grace]). Options out of range and faults of wiring come back from here, before any
// callback.
//
// Stages that belong together run in a [Pipeline], which starts them in order and ends them
// together.
func (p *Producer[Out]) Run(ctx context.Context) error { return p.self().Run(ctx) }

// Stop has the stage drain: a producer is asked no more, a consumer cancels its subscriptions;
// what has been emitted is delivered, what has been received is handled, held events are waited
// for, and the stage completes. Stop blocks until it has ended and returns nil; it returns
// [ErrNotRunning] if the stage was never run and nil if it has ended. When ctx ends before
// that, the run is aborted and Stop returns a [*StopError] that says what was left. From a
// callback of the stage it returns [ErrSelfCall].
func (p *Producer[Out]) Stop(ctx context.Context) error { return p.self().Stop(ctx) }

// Abort ends the run without draining: after it returns no callback of the stage begins, except
// OnTerminate. The callback in progress sees its context end and is waited for by Run, as long as
// [Grace] says. What the stage held is handed back or counted lost. cause is what Run then wraps; nil stands for
// [ErrShutdown]. It never blocks, may be called from any goroutine, callbacks included, and
// does nothing when the stage does not run.
func (p *Producer[Out]) Abort(cause error) { p.self().Abort(cause) }

// Stats returns what the stage has done in this run, or in its last one if it does not run. It
// never blocks on the stage and is cheap; see [Stats] for what the counters mean.
func (p *Producer[Out]) Stats() Stats { return p.self().Stats() }

// self returns the handle; nil for a nil stage.
func (p *Producer[Out]) self() *handle {
	if p == nil {
		return nil
	}
	return &p.handle
}

func (p *Producer[Out]) port() *outPort[Out] {
	if p == nil {
		return nil
	}
	return &p.out
}

func (p *Producer[Out]) request() Request[Out] { return Request[Out]{} }

// OnDiscard has fn called on the stage's goroutine with the events that a full buffer discards.
// Call it before Run; the last call counts.
func (p *Producer[Out]) OnDiscard(fn func(ctx context.Context, events []Out)) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.def.onDiscard = fn
}

// Do runs fn on the stage's goroutine, between two callbacks, and returns when what fn emitted
// has been dispatched or buffered. It blocks while the stage is busy. This is how events from
// outside enter, and how the stage's state is reached without a lock; it works while the stage
// drains, too.
//
// If ctx or the run ends before fn has begun, Do returns the context's cause or [ErrEnded], and
// fn never runs; once fn has begun, Do waits for it, or until it is abandoned ([Grace]), and then
// returns an error that wraps [ErrStuck]. An error of fn ends the stage, events
// beside it are not emitted, and Do returns it; with [ErrDone] the events are delivered, the
// stage ends normally, and Do returns nil. An error for the caller alone goes through a
// variable that fn sets. From a callback of the same stage Do returns [ErrSelfCall]; where
// stages would wait for each other in a ring, [ErrCallCycle], provided that callbacks pass on
// their context. Before the first run it returns [ErrNotRunning]: Run on another goroutine may
// not have got that far, OnInit says when it has. (A [Queue] takes events before it runs.) Safe for
// concurrent use.
func (p *Producer[Out]) Do(ctx context.Context, fn func(context.Context) ([]Out, error)) error {
	return doOn[none](ctx, p.self(), "Do", false, fn)
}

// DoAfter is Do behind everything that was emitted before: fn begins when that has been
// dispatched (or discarded). So it blocks while consumers don't ask.
func (p *Producer[Out]) DoAfter(ctx context.Context, fn func(context.Context) ([]Out, error)) error {
	return doOn[none](ctx, p.self(), "DoAfter", true, fn)
}

// Tell is Do without waiting: it returns nil when the mailbox has taken fn. If the run ends
// first, fn never runs. What is told is not bounded by demand; it is for control, not for
// payload (Stats counts what waits). It may be called from the stage's own callbacks.
func (p *Producer[Out]) Tell(fn func(context.Context) ([]Out, error)) error {
	return tellOn[none](p.self(), "Tell", false, fn)
}

// TellAfter is DoAfter without waiting; it returns as [Producer.Tell].
func (p *Producer[Out]) TellAfter(fn func(context.Context) ([]Out, error)) error {
	return tellOn[none](p.self(), "TellAfter", true, fn)
}

// Wake says to a producer made with [Retry], or a [Poll], that there may be events now: its
// callback is called with all the demand that is open, behind what was told before ([Producer.Tell]). It
// never blocks; wakes that come together count once. It returns [ErrNotRunning] or [ErrEnded] when the stage does not run, and
// [ErrInvalidOption] for a producer without Retry.
func (p *Producer[Out]) Wake() error {
	if !p.self().made() {
		return unmade("Wake")
	}
	if !p.conf.retry {
		return fmt.Errorf("stage %q: Wake: %w: the producer was not made with Retry", p.conf.name, ErrInvalidOption)
	}
	return wakeOn[none, Out](p.self())
}

// DispatchWith sets how events are shared among subscribers: [Demand], the default, [Broadcast], or what
// [PartitionBy] or [PartitionWith] returns, with its options:
//
//	p.DispatchWith(stage.Broadcast)
//	p.DispatchWith(stage.Demand, stage.Shuffle(seed))
//	p.DispatchWith(stage.PartitionBy(func(e Event) int { return e.User % 2 }, 0, 1))
//
// Each run gets a fresh one. Call it before Run; the last call counts. A fault (nil, an option out of
// range or of another dispatcher) is reported by Run, with the file and line of this call.
func (p *Producer[Out]) DispatchWith(make DispatcherFactory[Out], opts ...DispatchOption) {
	if p == nil {
		return
	}
	p.def.dispatchWith(&p.handle, make, opts, callSite(1))
}

// Accumulate has the producer keep back demand and events: the demand callback is not called, and what is
// emitted (by Do and Tell) is not dispatched, until [Producer.Forward]. What is kept back is not bounded.
// Subscribing goes on. It returns when the mailbox has taken it: it applies to what is sent to the stage
// from then on. Before the first run it returns [ErrNotRunning] (see [Accumulating]), after the end
// [ErrEnded]. Safe for concurrent use, and in callbacks.
func (p *Producer[Out]) Accumulate() error { return p.setMode("Accumulate", modeAccumulate) }

// Forward ends accumulating: what was kept back is replayed, in order. On a producer that does not
// accumulate it does nothing. Stop does it too. It does not wait for the replay, and returns as
// [Producer.Accumulate] does. Safe for concurrent use, and in callbacks.
func (p *Producer[Out]) Forward() error { return p.setMode("Forward", modeForward) }

func (p *Producer[Out]) setMode(what string, mode int64) error {
	r, err := runOf[none, Out](p.self(), what)
	if err != nil {
		return err
	}
	if !r.box.Post(message[none]{kind: msgMode, n: mode}) {
		return r.refusal(what, ErrEnded)
	}
	return nil
}

// Forwarding reports whether the producer forwards demand and events, as it does by default, or
// accumulates them. Between runs it tells how the next one begins.
func (p *Producer[Out]) Forwarding() bool {
	if r, err := runOf[none, Out](p.self(), "Forwarding"); err == nil {
		return r.forwarding.Load()
	}
	return p != nil && !p.conf.accumulating
}

// Buffered returns how many events wait in the stage for demand, in its buffer and in the queues of its
// dispatcher. An estimate: the stage may be at work. 0 when it does not run. What has been sent and waits in
// the mailboxes of consumers is in Stats ([OutputStats].InMailbox), and what a producer-consumer has
// received and not begun too ([InputStats].Queued).
func (p *Producer[Out]) Buffered() int64 { return p.Stats().Output.Buffered }

// dispatchWith keeps a dispatcher's constructor, if that can be called.
func (d *definition[In, Out]) dispatchWith(h *handle, make DispatcherFactory[Out], opts []DispatchOption, site string) {
	err := fmt.Errorf("%w: nil", ErrInvalidOption)
	if make != nil {
		var disp Dispatcher[Out]
		if disp, err = make(opts...); err == nil && disp == nil {
			err = errNoDispatcher
		}
	}
	if err != nil {
		err = fmt.Errorf("%s: DispatchWith: %w", site, sound(err))
	}
	h.mu.Lock() // not before: the constructor may be the user's
	defer h.mu.Unlock()
	if err != nil {
		h.remember(err)
		return
	}
	d.dispatcher, d.dispatchOptions = make, opts
}
