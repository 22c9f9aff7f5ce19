package flow

import (
	"context"
	"fmt"
	"io"
	"iter"

	"github.com/go-genstage/genstage/stage"
)

// Producer is a stage that emits, to be run by the flow: a [stage.Producer], a [stage.Queue] or a
// [stage.ProducerConsumer].
type Producer[T any] interface {
	stage.Stage
	stage.Source[T]
}

// port is a source before the flow runs, or stages of the user's, which are one for the layer behind them.
type port interface {
	String() string                                    // for Explain
	stages() int                                       // how many there are
	fedBy() layer                                      // what they subscribe to; only its inputs and options matter
	open(s *step, before []stage.Source[event]) opened // makes them for one pipeline
	unit(h handler) *unit                              // makes a stage that can subscribe to them
	wrap() input                                       // events of theirs; itself if it emits such
}

// opened are the sources of one pipeline.
type opened struct {
	sources []any         // each a stage.Source of event, or of the user's type
	run     []stage.Stage // the stages to be run for them
}

// spring is the port for a source of the flow's own, which emits events. (One of the user's type costs the compiler
// the instances of half of package stage.)
type spring struct {
	what string
	make func(name stage.ProducerOption) *stage.Producer[event] // for each pipeline
}

func (o *spring) String() string { return o.what }

func (o *spring) stages() int { return 1 }

func (o *spring) fedBy() layer { return layer{opts: optionsOf(nil)} }

func (o *spring) open(s *step, _ []stage.Source[event]) opened {
	p := o.make(stage.Name(s.name(0)))
	return opened{sources: []any{p}, run: []stage.Stage{p}}
}

func (o *spring) unit(h handler) *unit { return newUnit[event](h) }

func (o *spring) wrap() input { return input{source: o} }

// origin is the port for a source of T.
type origin[T any] struct {
	what string
	make func(name string) (stage.Source[T], stage.Stage) // the stage is nil if it runs elsewhere
}

func (o *origin[T]) String() string { return o.what }

func (o *origin[T]) stages() int { return 1 }

func (o *origin[T]) fedBy() layer { return layer{opts: optionsOf(nil)} }

func (o *origin[T]) open(s *step, _ []stage.Source[event]) opened {
	src, run := o.make(s.name(0))
	all := opened{sources: []any{src}}
	if run != nil {
		all.run = []stage.Stage{run}
	}
	return all
}

func (o *origin[T]) unit(h handler) *unit { return newUnit[T](h) }

func (o *origin[T]) wrap() input { return input{from: from[T](nil, o).close(nil)} }

// alike makes the inputs of a layer all events, if some are.
func alike(inputs []input) []input {
	wrapped := make([]input, len(inputs))
	typed := 0
	for i, in := range inputs {
		if in.source != nil {
			in = in.source.wrap()
			if in.source == nil {
				typed++
			}
		}
		wrapped[i] = in
	}
	if typed == len(inputs) {
		return inputs
	}
	return wrapped
}

// from returns the flow of some sources.
//
//go:noinline
func from[T any](opts []Option, ports ...port) Flow[T] {
	l := layer{opts: optionsOf(opts)}
	for _, o := range ports {
		l.inputs = append(l.inputs, input{source: o})
	}
	return Flow[T]{layer: l, chain: decode[T]}
}

// FromSlice makes a flow of the values of a slice, which must not be modified while the flow runs.
// The options are those of the layer that the operations behind it run in.
func FromSlice[T any](values []T, opts ...Option) Flow[T] {
	return from[T](opts, slice(len(values), func(i, j int) any { return values[i:j:j] }))
}

// slice makes a source of n values; part returns some of them.
func slice(n int, part func(i, j int) any) *spring {
	return &spring{what: fmt.Sprintf("slice of %d", n), make: func(name stage.ProducerOption) *stage.Producer[event] {
		next := 0 // owned by the stage goroutine
		return stage.NewProducer(func(_ context.Context, demand int) ([]event, error) {
			i := next
			next = i + min(demand, n-i, 1<<16)
			events := eventsOf(&block{values: part(i, next)}, next-i)
			if next == n {
				return events, stage.ErrDone
			}
			return events, nil
		}, name, stage.Retry(), stage.OnInit(func(context.Context) error { next = 0; return nil }))
	}}
}

// FromSeq makes a flow of the values of an iterator, which is ranged over anew by each run, in batches
// of what is asked; see [stage.FromSeq]. FromSeq panics if seq is nil.
func FromSeq[T any](seq iter.Seq[T], opts ...Option) Flow[T] {
	must(seq != nil, "FromSeq")
	return from[T](opts, &spring{what: "iterator", make: func(name stage.ProducerOption) *stage.Producer[event] {
		return stage.FromSeq(func(yield func(event) bool) {
			var s single[T]
			for v := range seq {
				if !yield(s.event(v)) {
					return
				}
			}
		}, name)
	}})
}

// FromSeq2 makes a flow of the values of an iterator that can fail: its first error that is not nil
// ends the flow; see [stage.FromSeq2]. FromSeq2 panics if seq is nil.
func FromSeq2[T any](seq iter.Seq2[T, error], opts ...Option) Flow[T] {
	must(seq != nil, "FromSeq2")
	return from[T](opts, &spring{what: "iterator with errors", make: func(name stage.ProducerOption) *stage.Producer[event] {
		return stage.FromSeq2(func(yield func(event, error) bool) {
			var s single[T]
			for v, err := range seq {
				if err != nil {
					yield(event{}, failure(err))
					return
				}
				if !yield(s.event(v), nil) {
					return
				}
			}
		}, name)
	}})
}

// FromChannel makes a flow of what is sent on a channel, until it is closed. It receives only as much
// as is asked for; what it has not received stays in the channel, for another run or anybody else. See [stage.FromChannel]. FromChannel
// panics if ch is nil.
func FromChannel[T any](ch <-chan T, opts ...Option) Flow[T] {
	if ch == nil {
		panic("flow: FromChannel: nil channel")
	}
	return from[T](opts, &origin[T]{what: "channel", make: func(name string) (stage.Source[T], stage.Stage) {
		p := stage.FromChannel(ch, stage.Name(name))
		return p, p
	}})
}

// Lines makes a flow of the lines of a reader, without their ends. A line of more than 1 MiB
// ([stage.DefaultMaxLine]) is an error; for a reader that may block for ever, and for longer lines,
// use FromProducers with [stage.Lines], which says how a blocked Read is ended. A reader is read once: run the flow once. Lines panics if r is nil.
func Lines(r io.Reader, opts ...Option) Flow[string] {
	if r == nil {
		panic("flow: Lines: nil reader")
	}
	return from[string](opts, &origin[string]{what: "lines", make: func(name string) (stage.Source[string], stage.Stage) {
		p := stage.Lines(reader{r}, stage.Name(name))
		return p, p
	}})
}

// reader is a reader of the user's, whose errors are failures.
type reader struct{ r io.Reader }

func (r reader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	return n, failure(err)
}

// FromProducers makes a flow of what producers of one's own emit. They run with the flow: one run at a time,
// and each in one place of one flow only. The flow ends when all of them have; without any it is an error to run it. Options are those of a
// [Flow.Shuffle] that follows. FromProducers panics if one is nil.
func FromProducers[T any](producers ...Producer[T]) Flow[T] {
	origins := make([]port, len(producers))
	for i, p := range producers {
		if p == nil {
			panic("flow: FromProducers: nil producer")
		}
		origins[i] = &origin[T]{what: "producer " + p.Name(), make: func(string) (stage.Source[T], stage.Stage) { return p, p }}
	}
	return from[T](nil, origins...)
}

// FromStages makes a flow of what stages emit that run elsewhere, or will: the flow waits for those that have
// not begun. It ends when all of them have completed, and with [ErrCutShort] if one is shut down. When the
// flow ends first, what it has not begun goes back to them. Without sources it is an error to run it. Options are those of a [Flow.Shuffle] that
// follows. FromStages panics if one is nil.
func FromStages[T any](sources ...stage.Source[T]) Flow[T] {
	origins := make([]port, len(sources))
	for i, s := range sources {
		if s == nil {
			panic("flow: FromStages: nil source")
		}
		origins[i] = &origin[T]{what: "stage " + s.Name(), make: func(string) (stage.Source[T], stage.Stage) { return s, nil }}
	}
	return from[T](nil, origins...)
}
