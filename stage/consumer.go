package stage

import (
	"context"
	"errors"
)

// Consumer receives events and emits none. Make one with [NewConsumer] or [ForEach]. It must not
// be copied.
type Consumer[In any] struct {
	handle
	in  inPort[In]
	def definition[In, none] // guarded by handle.mu
}

// NewConsumer makes a consumer that handles events with the function.
//
// The function is called on the stage's goroutine with events that came over one subscription,
// in order: at most max-min of its demand at once, one whole delivery with [Manual]. When it has
// returned they count as finished, except those that [Subscription.Hold] keeps open, and as many
// may be asked for again. With [ErrDone] the stage ends normally; any other error, or a panic,
// ends it with that error, the batch counts as failed, and what was not begun goes back to the
// producers.
//
// The slice may be kept but not modified: other consumers may have it too.
//
// NewConsumer panics if the function is nil.
func NewConsumer[In any](handle func(ctx context.Context, events []In, from *Subscription) error, opts ...ConsumerOption) *Consumer[In] {
	if handle == nil {
		panic("stage: NewConsumer: nil callback")
	}
	return newConsumer(handle, opts)
}

func newConsumer[In any](handle func(context.Context, []In, *Subscription) error, opts []ConsumerOption) *Consumer[In] {
	c := &Consumer[In]{}
	c.init(kindConsumer, 2)
	for _, o := range opts {
		if o == nil {
			c.conf.fault("a nil ConsumerOption")
			continue
		}
		o.forConsumer(&c.conf)
	}
	c.in.h = &c.handle
	c.def = definition[In, none]{in: &c.in, events: func(ctx context.Context, events []In, sub *Subscription) ([]none, error) {
		return nil, handle(ctx, events, sub)
	}}
	c.newRun = func(ctx context.Context, s *scope) controller { return newRun(ctx, s, &c.handle, c.def) }
	return c
}

func (c *Consumer[In]) itself() Stage {
	if c == nil {
		return nil
	}
	return c
}

// Name returns the stage's name. Safe for concurrent use.
func (c *Consumer[In]) Name() string { return c.self().Name() }

// Run runs the stage alone and blocks until the run has ended; see [Producer.Run].
func (c *Consumer[In]) Run(ctx context.Context) error { return c.self().Run(ctx) }

// Stop has the stage drain and blocks until it has ended; see [Producer.Stop].
func (c *Consumer[In]) Stop(ctx context.Context) error { return c.self().Stop(ctx) }

// Abort ends the run without draining; see [Producer.Abort].
func (c *Consumer[In]) Abort(cause error) { c.self().Abort(cause) }

// Stats returns what the stage has done; see [Producer.Stats].
func (c *Consumer[In]) Stats() Stats { return c.self().Stats() }

// self returns the handle; nil for a nil stage.
func (c *Consumer[In]) self() *handle {
	if c == nil {
		return nil
	}
	return &c.handle
}

// ForEach makes a consumer that calls fn for one event after the other. An error of fn ends the
// stage, and the batch that the event came with counts as failed; [ErrDone] ends it normally, and
// the events behind this one go back to the producer, as they do when the stage is aborted meanwhile.
// ForEach panics if fn is nil.
func ForEach[In any](fn func(ctx context.Context, event In) error, opts ...ConsumerOption) *Consumer[In] {
	if fn == nil {
		panic("stage: ForEach: nil callback")
	}
	return newConsumer(func(ctx context.Context, events []In, _ *Subscription) error {
		for i, e := range events {
			if i > 0 && ctx.Err() != nil { // aborted meanwhile: no further call
				return &begunOnly{i, cause(ctx)}
			}
			if err := fn(ctx, e); errors.Is(err, ErrDone) {
				return &begunOnly{i + 1, err}
			} else if err != nil {
				return err
			}
		}
		return nil
	}, opts)
}

// SubscribeTo declares a subscription to src, which is made at the beginning of every run, and
// now if the stage runs. A source that does not run yet is waited for. It returns nothing: a
// fault (an option out of range, a nil source, a second subscription to the same source, a ring)
// is reported by Run with the file and line of this call; on a running stage it ends the run.
// It never blocks.
func (c *Consumer[In]) SubscribeTo(src Source[In], opts ...SubscribeOption) {
	if c == nil {
		return
	}
	subscribeToOn[In, none](&c.in, src, opts)
}

// Subscribe makes a subscription now, in this run only, and returns when the producer has
// accepted it and OnSubscribe has returned. It does not wait for a source that is not running:
// then it returns [ErrNoStage], and the consumer acts on that as on the end of a producer, by the
// cancel mode. Before the consumer's own first run it returns [ErrNotRunning], after its end
// [ErrEnded], and from its own callbacks or those of src [ErrSelfCall] (use SubscribeTo there). When ctx ends
// first it returns the cause, and the subscription is cancelled if it comes about nevertheless.
// A refusal, and a fault that SubscribeTo would report, is returned and changes nothing. Safe for
// concurrent use.
func (c *Consumer[In]) Subscribe(ctx context.Context, src Source[In], opts ...SubscribeOption) (*Subscription, error) {
	return subscribeOn[In, none](ctx, c.self(), src, opts)
}

// Resubscribe replaces a subscription of this stage in one step: the producer ends old with reason and takes
// the new one, so that nothing can come between. Events that came over the old one are handled; it then ends
// as if it had been cancelled, by its cancel mode. old may have ended already. If old is a subscription to
// another stage, it is cancelled there. Otherwise it is as [Consumer.Subscribe].
func (c *Consumer[In]) Resubscribe(ctx context.Context, old *Subscription, reason error, src Source[In], opts ...SubscribeOption) (*Subscription, error) {
	return resubscribeOn[In, none](ctx, c.self(), old, reason, src, opts)
}

// OnCancel has fn called on the stage's goroutine when a subscription has ended in any way, after
// its last event was begun, and before the cancel mode is acted on. With [ErrDone] the stage ends
// normally, with another error with that error, whatever the mode. Call it before Run; the last
// call counts.
func (c *Consumer[In]) OnCancel(fn func(ctx context.Context, sub *Subscription, end Cancellation) error) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.def.onCancel = nil; fn == nil {
		return
	}
	c.def.onCancel = func(ctx context.Context, sub *Subscription, end Cancellation) ([]none, error) {
		return nil, fn(ctx, sub, end)
	}
}

// OnComplete has fn called once per run on the stage's goroutine, when all input is complete and
// handled and nothing is held. With [ErrDone] the stage then ends normally; with nil it stays,
// driven by Do and Tell, until a callback returns ErrDone. Without OnComplete the stage ends.
// Call it before Run; the last call counts.
func (c *Consumer[In]) OnComplete(fn func(ctx context.Context) error) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.def.onComplete = withoutEvents[none](fn)
}

// Do runs fn on the stage's goroutine, between two callbacks, and returns when fn has returned;
// see [Producer.Do] for what it waits for and how it fails. A consumer emits nothing.
func (c *Consumer[In]) Do(ctx context.Context, fn func(context.Context) error) error {
	return doOn[In](ctx, c.self(), "Do", false, withoutEvents[none](fn))
}

// Tell is Do without waiting; see [Producer.Tell].
func (c *Consumer[In]) Tell(fn func(context.Context) error) error {
	return tellOn[In](c.self(), "Tell", false, withoutEvents[none](fn))
}
