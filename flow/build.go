package flow

import (
	"context"
	"fmt"
	"iter"

	"github.com/go-genstage/genstage/stage"
)

// unit is one stage of a layer as the builder sees it, whatever it receives.
type unit struct {
	stage     stage.Stage
	out       stage.Source[event]
	subscribe func(src any, opts ...stage.SubscribeOption) // src is a stage.Source of what it receives
	dispatch  func(d stage.DispatcherFactory[event], opts ...stage.DispatchOption)
	tell      func(fn func(ctx context.Context) ([]event, error)) error
}

// handler is what a unit does. Of handle, expand and collect one is set.
type handler struct {
	handle   func(ctx context.Context, input any, from *stage.Subscription) ([]event, error)
	expand   func(ctx context.Context, input any, from *stage.Subscription) iter.Seq2[event, error]
	collect  func(n int, part func(i, j int) any, from *stage.Subscription) ([]event, error)
	complete func(ctx context.Context) ([]event, error)
	gone     func(ctx context.Context, sub *stage.Subscription) ([]event, error)
	bounded  bool // it fails when its buffer is full
	opts     []stage.ProducerConsumerOption
}

// newUnit makes the stage.
func newUnit[In any](h handler) *unit {
	var pc *stage.ProducerConsumer[In, event]
	switch {
	case h.expand != nil:
		pc = stage.NewExpander(func(ctx context.Context, in []In, from *stage.Subscription) iter.Seq2[event, error] {
			return h.expand(ctx, in, from)
		}, h.opts...)
	case h.collect != nil:
		pc = stage.NewProducerConsumer(func(_ context.Context, in []In, from *stage.Subscription) ([]event, error) {
			return h.collect(len(in), func(i, j int) any { return in[i:j:j] }, from)
		}, h.opts...)
	default:
		pc = stage.NewProducerConsumer(func(ctx context.Context, in []In, from *stage.Subscription) ([]event, error) {
			return h.handle(ctx, in, from)
		}, h.opts...)
	}
	if h.complete != nil {
		pc.OnComplete(h.complete)
	}
	pc.OnCancel(func(ctx context.Context, sub *stage.Subscription, end stage.Cancellation) ([]event, error) {
		if err := cut(sub, end); err != nil || end.Reason != nil || h.gone == nil {
			return nil, err
		}
		return h.gone(ctx, sub)
	})
	if h.bounded {
		pc.OnDiscard(func(_ context.Context, events []event) {
			pc.Abort(fmt.Errorf("%w: %d results too many; raise BufferSize, or say with KeepFirst or KeepLast which may go", ErrBufferFull, len(events)))
		})
	}
	return &unit{
		stage: pc,
		out:   pc,
		subscribe: func(src any, opts ...stage.SubscribeOption) {
			pc.SubscribeTo(src.(stage.Source[In]), opts...)
		},
		dispatch: pc.DispatchWith,
		tell:     pc.Tell,
	}
}

// builder makes the stages of a plan. In the end stages has all of them, sources first.
type builder struct {
	stages []stage.Stage
	tails  map[*step]tail
}

// tail is where a built step emits: units of a layer, or sources.
type tail struct {
	units   []*unit
	sources []any
}

// build makes the stages of all steps but the last, the end, and returns the units that it is to
// subscribe to.
func (b *builder) build(p *plan) []*unit {
	b.tails = map[*step]tail{}
	for _, s := range p.steps[:len(p.steps)-1] {
		if s.source != nil {
			b.source(s)
		} else {
			b.layer(s)
		}
	}
	return b.before(p.steps[len(p.steps)-1]).units
}

// before returns what a step subscribes to.
func (b *builder) before(s *step) tail {
	var all tail
	for _, in := range s.inputs {
		t := b.tails[in.from]
		all.units = append(all.units, t.units...)
		all.sources = append(all.sources, t.sources...)
	}
	return all
}

func (b *builder) source(s *step) {
	var before []stage.Source[event]
	for _, u := range b.before(s).units {
		before = append(before, u.out)
	}
	o := s.source.open(s, before)
	b.stages = append(b.stages, o.run...)
	b.tails[s] = tail{sources: o.sources}
}

func (b *builder) layer(s *step) {
	heads, tails := b.units(s)
	before := b.before(s)
	for i, u := range heads {
		opts := []stage.SubscribeOption{stage.MaxDemand(s.max), stage.MinDemand(s.min)}
		if s.reorders() {
			opts = []stage.SubscribeOption{stage.Manual()}
		}
		for _, src := range before.sources {
			u.subscribe(src, opts...)
		}
		for _, from := range before.units {
			u.subscribe(sharedBy(s, from, i), opts...)
		}
	}
	for _, u := range tails {
		if s.share == toAll && s.parts > 1 {
			u.dispatch(stage.Broadcast[event])
		}
		if s.share == byKey && s.parts > 1 {
			u.dispatch(stage.PartitionBy(func(e event) int { return int(e.part) }, partitions(s.parts)...))
		}
	}
	b.tails[s] = tail{units: tails}
}

// sharedBy is what the stage of a step with that index subscribes to of a stage before it.
func sharedBy(s *step, from *unit, index int) stage.Source[event] {
	if s.inputs[0].share == byKey && s.stages > 1 {
		return stage.Partition(from.out, index)
	}
	return from.out
}

func partitions(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// units makes the stages of a layer, and returns those that subscribe and those that emit.
func (b *builder) units(s *step) (heads, tails []*unit) {
	if s.reorders() {
		return b.ordered(s)
	}
	for i := range s.stages {
		u := b.worker(s, i)
		b.stages = append(b.stages, u.stage)
		heads = append(heads, u)
	}
	return heads, heads
}

// worker makes one stage of a layer.
func (b *builder) worker(s *step, index int) *unit {
	l := s.layer
	var u *unit
	var w *worker // owned by the stage goroutine; made anew by each run
	h := handler{
		handle: func(ctx context.Context, input any, from *stage.Subscription) ([]event, error) {
			return w.handle(ctx, input, from)
		},
		complete: func(ctx context.Context) ([]event, error) { return w.complete(ctx) },
		gone:     func(ctx context.Context, sub *stage.Subscription) ([]event, error) { return w.gone(ctx, sub) },
	}
	if l.expander() {
		h.expand = func(ctx context.Context, input any, from *stage.Subscription) iter.Seq2[event, error] {
			return w.expand(ctx, input, from)
		}
	}
	h.opts = []stage.ProducerConsumerOption{
		stage.Name(s.name(index)),
		stage.OnInit(func(ctx context.Context) error {
			w = &worker{name: s.name(index), index: index, total: s.stages, parts: s.parts, shared: s.share == toAll, tell: u.tell, stats: u.stage.Stats, ctx: ctx}
			l.link(w)
			if l.opts.init == nil {
				return nil
			}
			if err := l.opts.init(ctx, index, s.stages); err != nil {
				return failure(err)
			}
			return nil
		}),
		stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { w.came(sub); return nil }),
		stage.OnTerminate(func(error) { w.terminate() }),
	}
	if s.reorders() {
		h.handle = func(ctx context.Context, input any, from *stage.Subscription) ([]event, error) {
			return w.answer(ctx, input.([]event), from)
		}
		u = newUnit[event](h)
		return u
	}
	h.opts = append(h.opts, l.opts.forStage()...)
	h.bounded = l.opts.bounded()
	u = s.newUnit(h)
	return u
}

// newUnit makes a stage that receives what the step is fed with.
func (s *step) newUnit(h handler) *unit {
	if src := s.inputs[0].from.source; src != nil {
		return src.unit(h)
	}
	return newUnit[event](h)
}
