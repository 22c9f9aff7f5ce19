package flow

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// parcel is a part of an ordered layer's input on its way: as many events as one worker handles at once. It
// crosses as one event, whose block it is.
type parcel struct {
	number int64 // in the order of the input
	input  any
	output []event // once it has been worked on
	events int     // how many the collector holds for it
	from   *stage.Subscription
}

func (p *parcel) event() event { return event{in: &block{values: p}} }

// answer is handle for parcels: each is answered with one.
func (w *worker) answer(ctx context.Context, parcels []event, from *stage.Subscription) ([]event, error) {
	answers := make([]event, len(parcels))
	for i, e := range parcels {
		p := *e.in.values.(*parcel)
		output, err := w.handle(ctx, p.input, from)
		if err != nil {
			return nil, err
		}
		p.input, p.output = nil, output
		answers[i] = p.event()
	}
	return answers, nil
}

// reorderShare is what the collector of an ordered step asks of each stage before it.
func (s *step) reorderShare() int {
	before := 0
	for _, in := range s.inputs {
		before += in.from.exits()
	}
	return max(1, s.layer.reorderWindow()/max(1, before))
}

// ordered makes the stages of an ordered layer: a collector that numbers parcels of the input, workers, and a sorter
// that emits what they make of them in order. Only then does it let the collector go on to as many events.
func (b *builder) ordered(s *step) (heads, tails []*unit) {
	collector := s.newUnit(collecting(s))
	sorter := newUnit[event](sorting(s))
	b.stages = append(b.stages, collector.stage)
	window := min(2, s.max) // parcels: one in hand, one that waits, unless nothing may wait
	for i := range s.stages {
		u := b.worker(s, i)
		u.subscribe(collector.out, stage.MaxDemand(window), stage.MinDemand(window-1))
		sorter.subscribe(u.out)
		b.stages = append(b.stages, u.stage)
	}
	b.stages = append(b.stages, sorter.stage)
	return []*unit{collector}, []*unit{sorter}
}

func collecting(s *step) handler {
	var number int64 // owned by the stage goroutine
	return handler{
		collect: func(n int, part func(i, j int) any, from *stage.Subscription) ([]event, error) {
			if err := from.Hold(n); err != nil {
				return nil, err
			}
			size := max(1, min(s.max-s.min, (n+s.stages-1)/s.stages))
			var parcels []event
			for i := 0; i < n; i += size {
				j := min(n, i+size)
				p := &parcel{number: number, input: part(i, j), events: j - i, from: from}
				number++
				parcels = append(parcels, p.event())
			}
			return parcels, nil
		},
		opts: []stage.ProducerConsumerOption{
			stage.Name(fmt.Sprintf("%d:%s/collector", s.number, s.title)),
			stage.OnInit(func(context.Context) error { number = 0; return nil }),
			stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(s.reorderShare()) }),
		},
	}
}

func sorting(s *step) handler {
	var next int64              // owned by the stage goroutine
	var early map[int64]*parcel // the same; those that wait for one before them
	return handler{
		handle: func(_ context.Context, input any, _ *stage.Subscription) ([]event, error) {
			for _, e := range input.([]event) {
				p := e.in.values.(*parcel)
				early[p.number] = p
			}
			var out []event
			for p := early[next]; p != nil; p = early[next] {
				delete(early, next)
				next++
				out = append(out, p.output...)
				if err := p.from.Next(p.events); err != nil && !errors.Is(err, stage.ErrEnded) {
					return nil, err
				}
			}
			return out, nil
		},
		opts: append(s.layer.opts.forStage(),
			stage.Name(fmt.Sprintf("%d:%s/sorter", s.number, s.title)),
			stage.OnInit(func(context.Context) error { next, early = 0, map[int64]*parcel{}; return nil })),
		bounded: s.layer.opts.bounded(),
	}
}
