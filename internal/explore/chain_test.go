package explore_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/explore"
	"github.com/go-genstage/genstage/internal/hop"
	"github.com/go-genstage/genstage/internal/hop/hoptest"
	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
)

// chainPlay is a pipeline of a producer that emits on its own, a producer-consumer and a consumer; it is stopped
// at any point.
type chainPlay struct {
	events, max int
	slow        bool // the consumer takes a second for each batch: input waits in the middle
}

// act plays once, and returns what must not be.
func (p chainPlay) act(t *testing.T, c *explore.Choices) (violations []string) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{choices: c, begun: true}
		s.Scheduler = hoptest.New(s.choose)
		ctx := hop.With(t.Context(), s.Scheduler)

		emitted, got, ended := 0, []int(nil), false
		producer := stage.NewProducer(func(_ context.Context, demand int) (events []int, err error) {
			for ; len(events) < demand && emitted < p.events; emitted++ {
				events = append(events, emitted)
			}
			return events, nil
		}, stage.Name("producer"))
		middle := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
			if ended {
				s.violated("OnCancel was called before %v had been begun", events)
			}
			return events, nil
		}, stage.Name("middle"))
		middle.OnCancel(func(context.Context, *stage.Subscription, stage.Cancellation) ([]int, error) {
			ended = true
			return nil, nil
		})
		consumer := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
			got = append(got, events...)
			if p.slow {
				s.Sleep("consumer", time.Second)
			}
			return nil
		}, stage.Name("consumer"))
		middle.SubscribeTo(producer, stage.MaxDemand(p.max))
		consumer.SubscribeTo(middle, stage.MaxDemand(p.max))
		pipeline := stage.NewPipeline(producer, middle, consumer)

		s.Go("run", func() {
			if err := pipeline.Run(ctx); err != nil {
				s.violated("Run: %v", err)
			}
		})
		stop := func() {
			if err := pipeline.Stop(ctx); err != nil {
				s.violated("Stop: %v", err)
			}
		}
		s.Go("when it runs", func() { // Stop before would be ErrNotRunning
			for !pipeline.Stats().Running {
				s.Sleep("when it runs", time.Millisecond)
			}
			s.Go(faultName, stop)
		})
		if err := s.Run(); err != nil {
			s.violated("%v: %+v", err, pipeline.Stats())
			pipeline.Abort(err)
			synctest.Wait()
		}
		if len(got) != emitted || !slices.IsSorted(got) {
			s.violated("%d events were emitted, the consumer got %v", emitted, got)
		}
		violations = append(s.violations, stagetest.FaultsAtEnd(pipeline.Stats())...)
	})
	return violations
}
