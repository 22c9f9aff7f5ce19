package flow

import (
	"context"
	"errors"
	"iter"

	"github.com/go-genstage/genstage/stage"
)

// ending is the last stage of a flow.
type ending interface {
	stage.Stage
	SubscribeTo(src stage.Source[event], opts ...stage.SubscribeOption)
}

// pipeline makes the pipeline of a flow, with an end that subscribes to what it is given. For a flow with a
// fault it returns the fault, and a pipeline that cannot begin.
func (f Flow[T]) pipeline(end options, make func(name string) ending) (*stage.Pipeline, error) {
	p, err := planOf(f.last(), end)
	if err != nil {
		return stage.NewPipeline(faulty(err)), err
	}
	b := &builder{}
	last := p.steps[len(p.steps)-1]
	before := b.build(p)
	s := make(last.name(0))
	for _, u := range before {
		s.SubscribeTo(u.out, stage.MaxDemand(last.max), stage.MinDemand(last.min))
	}
	return stage.NewPipeline(append(b.stages, s)...), nil
}

// last returns what an end subscribes to, layers all.
func (f Flow[T]) last() []input {
	inputs := f.edges(onDemand, nil)
	if len(inputs) == 0 || inputs[0].source != nil {
		return []input{{from: f.close(nil)}}
	}
	return inputs
}

// faulty makes a stage that cannot begin.
func faulty(err error) stage.Stage {
	return stage.NewProducer(func(context.Context, int) ([]event, error) { return nil, stage.ErrDone },
		stage.Name("flow"), stage.OnInit(func(context.Context) error { return err }))
}

// consumer makes an end that calls fn for each value.
func (f Flow[T]) consumer(end options, begin func(name string), fn func(ctx context.Context, v T) bool, err func() error) *stage.Pipeline {
	p, _ := f.pipeline(end, func(name string) ending {
		var now context.Context // owned by the stage goroutine
		feed := each(func(v T) bool { return fn(now, v) })
		c := stage.NewConsumer(func(ctx context.Context, events []event, _ *stage.Subscription) error {
			now = ctx
			feed(events)
			return err()
		}, stage.Name(name), stage.OnInit(func(context.Context) error { begin(name); return nil }))
		c.OnCancel(cutShort)
		return c
	})
	return p
}

func ended(name string, opts []Option) options {
	o := optionsOf(opts)
	if o.name == "" {
		o.name = name
	}
	return o
}

// Pipeline returns the flow as a stage that runs for its effects: the results are dropped. It runs in a [stage.Pipeline] beside
// others, or under whatever holds a Run(ctx) error, as often as one likes, once at a time. Stop drains it: the sources end, and everything
// behind them comes to its end, windows and accumulators included. The options are those of the end: MaxDemand,
// MinDemand, Name.
func (f Flow[T]) Pipeline(opts ...Option) *stage.Pipeline {
	p, _ := f.pipeline(ended("run", opts), func(name string) ending {
		c := stage.NewConsumer(func(context.Context, []event, *stage.Subscription) error { return nil }, stage.Name(name))
		c.OnCancel(cutShort)
		return c
	})
	return p
}

// Run runs the flow for its effects and drops the results. It blocks until the flow has ended and all its goroutines with it: nil when
// all input has passed, or else the first failure. The end of ctx ends the flow; the error then wraps its cause.
func (f Flow[T]) Run(ctx context.Context, opts ...Option) error {
	return f.Pipeline(opts...).Run(ctx)
}

// Collect runs the flow and returns its results: in the order of the input if all layers have one stage or are [Ordered], and else in any
// order. On an error it returns no results. It blocks as Run does.
func (f Flow[T]) Collect(ctx context.Context, opts ...Option) ([]T, error) {
	var got []T // owned by the stage goroutine until the run has ended
	p := f.consumer(ended("collect", opts), func(string) { got = nil }, func(_ context.Context, v T) bool {
		got = append(got, v)
		return true
	}, func() error { return nil })
	if err := p.Run(ctx); err != nil {
		return nil, err
	}
	return got, nil
}

// ForEach runs the flow and calls fn for each result, one at a time, on one goroutine. It blocks as Run does. An error of fn is treated as
// [Flow.OnError] says. To do something on all stages at once, use [MapErr] or [Flow.Tap] and Run.
func (f Flow[T]) ForEach(ctx context.Context, fn func(ctx context.Context, v T) error, opts ...Option) error {
	must(fn != nil, "ForEach")
	var w *worker // owned by the stage goroutine
	try := func(ctx context.Context, v T) (struct{}, error) { return struct{}{}, fn(ctx, v) }
	return f.consumer(ended("foreach", opts), func(name string) { w = &worker{name: name} }, func(ctx context.Context, v T) bool {
		w.ctx = ctx
		attempt(w, f.layer.policy, "foreach", v, try)
		return w.err == nil
	}, func() error { return w.err }).Run(ctx)
}

// Source returns the flow as a source of its results, and the pipeline that must run for it: any consumer can subscribe to the source, and dispatch says how
// they share it, as in [stage.Producer.DispatchWith]: stage.Demand, stage.Broadcast, or what stage.PartitionBy returns. The flow begins when
// the first one asks, and is ended when all have gone. A consumer that runs in another pipeline must run at the same time.
func (f Flow[T]) Source(dispatch stage.NewDispatcher[T], opts ...Option) (stage.Source[T], *stage.Pipeline) {
	src, p, _ := f.source(dispatch, opts)
	return src, p
}

func (f Flow[T]) source(dispatch stage.NewDispatcher[T], opts []Option) (stage.Source[T], *stage.Pipeline, error) {
	var out *stage.ProducerConsumer[event, T]
	p, err := f.pipeline(ended("out", opts), func(name string) ending {
		out = outlet[T](name)
		return out
	})
	if err != nil {
		out = outlet[T]("out")
	}
	out.DispatchWith(dispatch)
	return out, p, err
}

// outlet makes a stage that turns the events of a flow into values for others.
func outlet[T any](name string, opts ...stage.ProducerConsumerOption) *stage.ProducerConsumer[event, T] {
	o := stage.NewProducerConsumer(func(_ context.Context, events []event, _ *stage.Subscription) ([]T, error) {
		values := make([]T, 0, len(events))
		eachEvent(events, func(v T) bool { values = append(values, v); return true })
		return values, nil
	}, append(opts, stage.Name(name))...)
	o.OnCancel(func(_ context.Context, sub *stage.Subscription, end stage.Cancellation) ([]T, error) {
		return nil, cut(sub, end)
	})
	return o
}

// Consumer is a stage of one's own that takes what a flow gives: a [stage.Consumer], a [stage.ConsumerSupervisor] or a
// [stage.ProducerConsumer].
type Consumer[T any] interface {
	stage.Stage
	SubscribeTo(src stage.Source[T], opts ...stage.SubscribeOption)
}

// Into returns the flow and consumers of one's own as one pipeline: they share the results on demand, with the default
// max and min demand, and run and end with it. (For other terms, let them subscribe to a [Flow.Source].) The consumers are
// subscribed by this call, so it is made once; the pipeline may run any number of times.
func (f Flow[T]) Into(consumers ...Consumer[T]) *stage.Pipeline {
	src, p := f.Source(stage.Demand)
	stages := []stage.Stage{p}
	for _, c := range consumers {
		c.SubscribeTo(src)
		stages = append(stages, c)
	}
	return stage.NewPipeline(stages...)
}

// Seq returns the results as a sequence. Each range over it runs the flow anew:
//
//	for v, err := range f.Seq(ctx) {
//		if err != nil {
//			return err
//		}
//		use(v)
//	}
//
// The flow works ahead of the loop by what demand allows. An error comes last, in a pair of its own. When the loop is left early
// the flow is ended; when it ends, all goroutines of the flow have ended, too.
func (f Flow[T]) Seq(ctx context.Context) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		src, p, err := f.source(stage.Demand, nil)
		if err != nil {
			yield(none, err)
			return
		}
		run, cancel := context.WithCancelCause(ctx)
		done := make(chan struct{})
		// It ends with the run: with the source, with its only subscriber, or with ctx. Every way out waits for it.
		go func() { defer close(done); err = p.Run(run) }()
		end := func() { cancel(errLeft); <-done }
		defer end()
		for v, broken := range stage.Events(ctx, src) {
			if broken == nil {
				if !yield(v, nil) {
					return
				}
				continue
			}
			end()
			if err == nil || errors.Is(err, errLeft) {
				err = broken
			}
			yield(none, err)
			return
		}
		if <-done; err != nil {
			yield(none, err)
		}
	}
}

// errLeft is why a flow ends whose sequence was left.
var errLeft = errors.New("flow: sequence was left")
