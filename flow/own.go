package flow

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// Source returns the flow as a source of its results, and the pipeline that must run for it: any consumer can subscribe to the source, and dispatch
// says how they share it, as in [stage.Producer.DispatchWith]: stage.Demand, stage.Broadcast, or what stage.PartitionBy returns. The flow begins when
// the first one asks, and is ended when all have gone. A consumer that runs in another pipeline must run at the same time. The options are those of
// the stage that hands the results over: MaxDemand, MinDemand, Name. Source does not block; it panics if dispatch is nil.
func Source[T any](f Flow[T], dispatch stage.DispatcherFactory[T], opts ...Option) (stage.Source[T], *stage.Pipeline) {
	must(dispatch != nil, "Source")
	var out *stage.ProducerConsumer[event, T]
	p, err := pipeline(f.last(), ended("out", opts), func(name string) ending {
		out = outlet[T](name)
		return out
	})
	if err != nil { // Run of p returns it
		out = outlet[T]("out")
	}
	out.DispatchWith(dispatch)
	return out, p
}

// outlet makes a stage that turns the events of a flow into values for others.
func outlet[T any](name string) *stage.ProducerConsumer[event, T] {
	o := stage.NewProducerConsumer(func(_ context.Context, events []event, _ *stage.Subscription) ([]T, error) {
		values := make([]T, 0, len(events))
		eachEvent(events, func(v T) bool { values = append(values, v); return true })
		return values, nil
	}, stage.Name(name))
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
// max and min demand, and run and end with it. (For other terms, let them subscribe to a [Source].) The consumers are
// subscribed by this call, so it is made once; the pipeline may run any number of times. Without consumers its Run returns an error that wraps
// [stage.ErrInvalidOption]. Into panics if one is nil.
func Into[T any](f Flow[T], consumers ...Consumer[T]) *stage.Pipeline {
	if len(consumers) == 0 { // nobody would ever ask
		return stage.NewPipeline(faulty(fmt.Errorf("%w: Into without consumers", stage.ErrInvalidOption))).Named("flow")
	}
	src, p := Source(f, stage.Demand)
	stages := []stage.Stage{p}
	for _, c := range consumers {
		if c == nil {
			panic("flow: Into: nil consumer")
		}
		c.SubscribeTo(src)
		stages = append(stages, c)
	}
	return stage.NewPipeline(stages...).Named("flow")
}
