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

// pipeline makes the pipeline of a flow with these last layers, with an end that subscribes to what it is given. For a flow with a
// fault it returns the fault, and a pipeline that cannot begin.
func pipeline(last []input, end options, make func(name string) ending) (*stage.Pipeline, error) {
	p, err := planOf(last, end)
	if err != nil {
		return stage.NewPipeline(faulty(err)).Named("flow"), err
	}
	b := &builder{}
	step := p.steps[len(p.steps)-1]
	before := b.build(p)
	s := make(step.name(0))
	for _, u := range before {
		s.SubscribeTo(u.out, stage.MaxDemand(step.max), stage.MinDemand(step.min))
	}
	return stage.NewPipeline(append(b.stages, s)...).Named("flow"), nil
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
	p, _ := pipeline(f.last(), end, func(name string) ending {
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
	o.handsOver("at the end of a flow")
	if o.stages > 1 {
		o.invalid("Stages(%d) at the end of a flow, which is one stage: give them to a Shuffle before", o.stages)
	}
	return o
}

// Pipeline returns the flow as a stage that runs for its effects: the results are dropped. It runs in a [stage.Pipeline] beside
// others, or under whatever holds a Run(ctx) error, as often as one likes, once at a time. Stop drains it: the sources end, and everything
// behind them comes to its end, windows and accumulators included. The options are those of the end:
// MaxDemand, MinDemand, Name. Each call returns another pipeline, called "flow", which may be given a name by Named.
func (f Flow[T]) Pipeline(opts ...Option) *stage.Pipeline {
	p, _ := pipeline(f.last(), ended("run", opts), func(name string) ending {
		c := stage.NewConsumer(func(context.Context, []event, *stage.Subscription) error { return nil }, stage.Name(name))
		c.OnCancel(cutShort)
		return c
	})
	return p
}

// Run runs the flow for its effects and drops the results. It blocks until the flow has ended and all its goroutines with it: nil when
// all input has passed, or else the first failure. The end of ctx ends the flow; the error then wraps its cause. The options are
// those of the end, as those of Pipeline.
func (f Flow[T]) Run(ctx context.Context, opts ...Option) error {
	return f.Pipeline(opts...).Run(ctx)
}

// Collect runs the flow and returns its results: in the order of the input if all layers have one stage or are [Ordered], and else in any
// order; nil if there are none. All are held until the end. On an error it returns no results. It blocks as Run does. The options are those of the
// end, as those of [Flow.Pipeline].
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
// [Flow.OnError] says. To do something on all stages at once, use [MapErr] or [Flow.Tap] and Run. The options are those of the
// end, as those of [Flow.Pipeline].
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
// the flow is ended; when it ends, all goroutines of the flow have ended, too. The options are those of the end, as those of [Flow.Pipeline].
func (f Flow[T]) Seq(ctx context.Context, opts ...Option) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for e, err := range sequence(ctx, f.last(), ended("seq", opts)) {
			if err != nil {
				var none T
				yield(none, err)
				return
			}
			on := true
			eachEvent([]event{e}, func(v T) bool { on = yield(v, nil); return on })
			if !on {
				return
			}
		}
	}
}

// sequence runs a flow and returns its last events.
func sequence(ctx context.Context, last []input, end options) iter.Seq2[event, error] {
	return func(yield func(event, error) bool) {
		var out *stage.ProducerConsumer[event, event]
		p, err := pipeline(last, end, func(name string) ending {
			pass := stage.NewProducerConsumer(func(_ context.Context, events []event, _ *stage.Subscription) ([]event, error) { return events, nil },
				stage.Name(name))
			pass.OnCancel(func(_ context.Context, sub *stage.Subscription, end stage.Cancellation) ([]event, error) {
				return nil, cut(sub, end)
			})
			out = pass
			return pass
		})
		if err != nil {
			yield(event{}, err)
			return
		}
		run, cancel := context.WithCancelCause(ctx)
		done := make(chan struct{})
		// It ends with the run: with the source, with its only subscriber, or with ctx. Every way out waits for it.
		go func() {
			defer close(done)
			err = p.Run(run)
		}()
		end := func() { cancel(errLeft); <-done }
		defer end()
		for e, broken := range stage.Events(ctx, out) {
			if broken == nil {
				if !yield(e, nil) {
					return
				}
				continue
			}
			end()
			if err == nil || errors.Is(err, errLeft) {
				err = broken
			}
			yield(event{}, err)
			return
		}
		if <-done; err != nil {
			yield(event{}, err)
		}
	}
}

// errLeft is why a flow ends whose sequence was left.
var errLeft = errors.New("flow: sequence was left")
