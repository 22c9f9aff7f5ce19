package flow

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// Through passes the values through producer-consumers of one's own, which make makes for each run: one, or as many as Stages says, which share the
// values as they ask for them. The other options, MaxDemand, MinDemand and Name, are those of the stage that hands the values over; the
// producer-consumers have their own, but are asked by the layer behind. The flow ends when they have: a finite flow ends by itself, and
// they complete, OnComplete included, as stages do. One that makes nothing of its input is fine; one that
// returns [stage.ErrDone] has had enough, and the rest of its input is left out. What is nil is an error; a panic of make is one of whoever runs
// the flow.
func Through[A, B any](f Flow[A], make func() *stage.ProducerConsumer[A, B], opts ...Option) Flow[B] {
	must(make != nil, "Through")
	given := optionsOf(opts)
	given.handsOver("in Through")
	next := from[B](nil, &passage[A, B]{inner: layer{inputs: f.last(), opts: given}, make: make})
	next.layer.policy = f.layer.policy
	return next
}

// passage is the port for stages of the user's.
type passage[A, B any] struct {
	inner layer
	make  func() *stage.ProducerConsumer[A, B]
}

func (p *passage[A, B]) String() string {
	if p.inner.opts.name != "" {
		return p.inner.opts.name
	}
	return "through"
}

func (p *passage[A, B]) stages() int { return max(1, p.inner.opts.stages) }

func (p *passage[A, B]) fedBy() layer { return p.inner }

// open makes an outlet that the stages of the user's subscribe to, and these.
func (p *passage[A, B]) open(s *step, before []stage.Source[event]) opened {
	out := outlet[A](fmt.Sprintf("%d:%s/in", s.number, s.title))
	for _, src := range before {
		out.SubscribeTo(src, stage.MaxDemand(s.max), stage.MinDemand(s.min))
	}
	all := opened{run: []stage.Stage{out}}
	for range s.stages {
		pc := p.make()
		if pc == nil {
			pc = unmade[A, B](s.title)
		}
		pc.SubscribeTo(out)
		all.run = append(all.run, pc)
		all.sources = append(all.sources, pc)
	}
	return all
}

// unmade stands for what make did not make, and cannot begin.
func unmade[A, B any](title string) *stage.ProducerConsumer[A, B] {
	return stage.NewProducerConsumer(func(context.Context, []A, *stage.Subscription) ([]B, error) { return nil, nil },
		stage.Name(title), stage.OnInit(func(context.Context) error {
			return fmt.Errorf("%w: Through: make returned nil", stage.ErrInvalidStage)
		}))
}

func (p *passage[A, B]) unit(h handler) *unit { return newUnit[B](h) }

func (p *passage[A, B]) wrap() input { return input{from: from[B](nil, p).close(nil)} }
