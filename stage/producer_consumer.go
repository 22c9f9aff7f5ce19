package stage

import "context"

// ProducerConsumer receives events of one type and emits events of another. Make one with
// [NewProducerConsumer]. It must not be copied.
type ProducerConsumer[In, Out any] struct {
	handle
	in  inPort[In]
	out outPort[Out]
	def definition[In, Out] // guarded by handle.mu
}

// NewProducerConsumer makes a producer-consumer that turns events into others with the function.
//
// The function is called as that of a consumer ([NewConsumer]), but only while the stage's own
// consumers have asked for more than it has emitted: up to max demand of events per upstream wait
// in the stage until then. What it returns is emitted, and buffered as far as it exceeds the
// demand: without bound by default, since one event may become many ([BufferSize] bounds it, and
// discards). It may return the slice it was given. With [ErrDone] what it returned is delivered,
// and the stage ends normally; with any other error it is not emitted.
//
// NewProducerConsumer panics if the function is nil.
func NewProducerConsumer[In, Out any](
	handle func(ctx context.Context, events []In, from *Subscription) ([]Out, error), opts ...ProducerConsumerOption,
) *ProducerConsumer[In, Out] {
	if handle == nil {
		panic("stage: NewProducerConsumer: nil callback")
	}
	p := newProducerConsumer[In, Out](opts)
	p.def.events = handle
	return p
}

// newProducerConsumer must be called by the exported constructor directly, for the call site.
func newProducerConsumer[In, Out any](opts []ProducerConsumerOption) *ProducerConsumer[In, Out] {
	p := &ProducerConsumer[In, Out]{}
	p.init(kindProducerConsumer, 2)
	for _, o := range opts {
		if o == nil {
			p.conf.fault("a nil ProducerConsumerOption")
			continue
		}
		o.forProducerConsumer(&p.conf)
	}
	p.in.h, p.out.h, p.waiters = &p.handle, &p.handle, &p.out
	p.def = definition[In, Out]{in: &p.in, out: &p.out}
	p.newRun = func(ctx context.Context, s *scope) controller {
		r := newRun(ctx, s, &p.handle, p.def)
		p.out.opened(r.serve)
		return r
	}
	return p
}

func (p *ProducerConsumer[In, Out]) itself() Stage {
	if p == nil {
		return nil
	}
	return p
}

// Name returns the stage's name. Safe for concurrent use.
func (p *ProducerConsumer[In, Out]) Name() string { return p.self().Name() }

// Run runs the stage alone and blocks until the run has ended; see [Producer.Run].
func (p *ProducerConsumer[In, Out]) Run(ctx context.Context) error { return p.self().Run(ctx) }

// Stop has the stage drain and blocks until it has ended; see [Producer.Stop].
func (p *ProducerConsumer[In, Out]) Stop(ctx context.Context) error { return p.self().Stop(ctx) }

// Abort ends the run without draining; see [Producer.Abort].
func (p *ProducerConsumer[In, Out]) Abort(cause error) { p.self().Abort(cause) }

// Stats returns what the stage has done; see [Producer.Stats].
func (p *ProducerConsumer[In, Out]) Stats() Stats { return p.self().Stats() }

// self returns the handle; nil for a nil stage.
func (p *ProducerConsumer[In, Out]) self() *handle {
	if p == nil {
		return nil
	}
	return &p.handle
}

func (p *ProducerConsumer[In, Out]) port() *outPort[Out] {
	if p == nil {
		return nil
	}
	return &p.out
}

// SubscribeTo declares a subscription; see [Consumer.SubscribeTo].
func (p *ProducerConsumer[In, Out]) SubscribeTo(src Source[In], opts ...SubscribeOption) {
	if p == nil {
		return
	}
	subscribeToOn[In, Out](&p.in, src, opts)
}

// Subscribe makes a subscription now; see [Consumer.Subscribe].
func (p *ProducerConsumer[In, Out]) Subscribe(ctx context.Context, src Source[In], opts ...SubscribeOption) (*Subscription, error) {
	return subscribeOn[In, Out](ctx, p.self(), src, opts)
}

// Resubscribe replaces a subscription; see [Consumer.Resubscribe].
func (p *ProducerConsumer[In, Out]) Resubscribe(ctx context.Context, old *Subscription, reason error, src Source[In], opts ...SubscribeOption) (*Subscription, error) {
	return resubscribeOn[In, Out](ctx, p.self(), old, reason, src, opts)
}

// OnCancel has fn called when a subscription to a producer has ended, as [Consumer.OnCancel];
// what fn returns is emitted.
func (p *ProducerConsumer[In, Out]) OnCancel(fn func(ctx context.Context, sub *Subscription, end Cancellation) ([]Out, error)) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.def.onCancel = fn
}

// OnComplete has fn called once per run when all input is complete and handled, as
// [Consumer.OnComplete]; what fn returns is emitted. A reducer flushes here.
func (p *ProducerConsumer[In, Out]) OnComplete(fn func(ctx context.Context) ([]Out, error)) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.def.onComplete = fn
}

func (p *ProducerConsumer[In, Out]) request() Request[Out] { return Request[Out]{} }

// DispatchWith sets how events are shared among subscribers; see [Producer.DispatchWith].
func (p *ProducerConsumer[In, Out]) DispatchWith(make DispatcherFactory[Out], opts ...DispatchOption) {
	if p == nil {
		return
	}
	p.def.dispatchWith(&p.handle, make, opts, callSite(1))
}

// OnDemand puts fn between the stage's consumers and its input: it is called on the stage's goroutine with
// the demand that has not been shown to it yet. It returns events that meet part of it (a cache), and how
// much of the rest is passed on: input may be begun, no more of it at once than is passed on and not emitted yet
// (deliveries are cut, also with [Manual]). What is neither met nor passed on is held back, and shown again after
// [ProducerConsumer.Wake] (a rate limiter). With [ErrDone] the events
// are delivered and the stage ends normally; another error ends it. Call it before Run; the last call counts.
//
// Without OnDemand all demand is passed on.
func (p *ProducerConsumer[In, Out]) OnDemand(fn func(ctx context.Context, demand int) (events []Out, pass int, err error)) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.def.onDemand = fn
}

// Wake has OnDemand called with all the demand that is open and was not passed on, behind what was told before
// ([ProducerConsumer.Tell]). It never blocks; wakes that come together count once. It returns [ErrNotRunning] or [ErrEnded]
// when the stage does not run.
func (p *ProducerConsumer[In, Out]) Wake() error { return wakeOn[In, Out](p.self()) }

// Buffered returns how many events wait in the stage for demand; see [Producer.Buffered]. Events that were
// received and not begun are not among them ([Stats] has them).
func (p *ProducerConsumer[In, Out]) Buffered() int64 { return p.Stats().Output.Buffered }

// OnDiscard has fn called with the events that a full buffer discards; see [Producer.OnDiscard].
func (p *ProducerConsumer[In, Out]) OnDiscard(fn func(ctx context.Context, events []Out)) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.def.onDiscard = fn
}

// Do runs fn on the stage's goroutine and returns when what it emitted has been dispatched or
// buffered; see [Producer.Do]. It does not wait for events that are queued in the stage.
func (p *ProducerConsumer[In, Out]) Do(ctx context.Context, fn func(context.Context) ([]Out, error)) error {
	return doOn[In](ctx, p.self(), "Do", false, fn)
}

// DoAfter is Do behind everything that has been received or emitted before: fn begins when that
// has been handled and dispatched.
func (p *ProducerConsumer[In, Out]) DoAfter(ctx context.Context, fn func(context.Context) ([]Out, error)) error {
	return doOn[In](ctx, p.self(), "DoAfter", true, fn)
}

// Tell is Do without waiting; see [Producer.Tell].
func (p *ProducerConsumer[In, Out]) Tell(fn func(context.Context) ([]Out, error)) error {
	return tellOn[In](p.self(), "Tell", false, fn)
}

// TellAfter is DoAfter without waiting.
func (p *ProducerConsumer[In, Out]) TellAfter(fn func(context.Context) ([]Out, error)) error {
	return tellOn[In](p.self(), "TellAfter", true, fn)
}
