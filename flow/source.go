package flow

import (
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
	String() string                          // for Explain
	stages() int                             // how many there are
	fedBy() layer                            // what they subscribe to; only its inputs and options matter
	open(name string, before []*unit) opened // makes them for one pipeline
	unit(h handler) *unit                    // makes a stage that can subscribe to them
	wrap() input                             // a layer that passes their events on
}

// opened are the sources of one pipeline.
type opened struct {
	sources []any         // each a stage.Source[T]
	run     []stage.Stage // the stages to be run for them
}

// origin is the port for a source of T.
type origin[T any] struct {
	what string
	make func(name string) (stage.Source[T], stage.Stage) // the stage is nil if it runs elsewhere
}

func (o *origin[T]) String() string { return o.what }

func (o *origin[T]) stages() int { return 1 }

func (o *origin[T]) fedBy() layer { return layer{opts: optionsOf(nil)} }

func (o *origin[T]) open(name string, _ []*unit) opened {
	src, run := o.make(name)
	all := opened{sources: []any{src}}
	if run != nil {
		all.run = []stage.Stage{run}
	}
	return all
}

func (o *origin[T]) unit(h handler) *unit { return newUnit[T](h) }

func (o *origin[T]) wrap() input { return input{from: from[T](nil, o).close(nil)} }

// alike makes the inputs of a layer all sources or all layers.
func alike(inputs []input) []input {
	sources := 0
	for _, in := range inputs {
		if in.source != nil {
			sources++
		}
	}
	if sources == 0 || sources == len(inputs) {
		return inputs
	}
	all := make([]input, len(inputs))
	for i, in := range inputs {
		if in.source != nil {
			in = in.source.wrap()
		}
		all[i] = in
	}
	return all
}

// from returns the flow of some sources.
func from[T any](opts []Option, ports ...port) Flow[T] {
	l := layer{opts: optionsOf(opts)}
	for _, o := range ports {
		l.inputs = append(l.inputs, input{source: o})
	}
	return Flow[T]{layer: l, chain: decode[T]}
}

// started is an origin whose producer is made for each pipeline.
func started[T any](what string, make func(opt stage.ProducerOption) *stage.Producer[T]) *origin[T] {
	return &origin[T]{what: what, make: func(name string) (stage.Source[T], stage.Stage) {
		p := make(stage.Name(name))
		return p, p
	}}
}

// FromSlice makes a flow of the values of a slice, which must not be modified while the flow runs.
// The options are those of the layer that the operations behind it run in.
func FromSlice[T any](values []T, opts ...Option) Flow[T] {
	return from[T](opts, started(fmt.Sprintf("slice of %d", len(values)), func(name stage.ProducerOption) *stage.Producer[T] {
		return stage.FromSlice(values, name)
	}))
}

// FromSeq makes a flow of the values of an iterator, which is ranged over anew by each run, in batches
// of what is asked; see [stage.FromSeq]. FromSeq panics if seq is nil.
func FromSeq[T any](seq iter.Seq[T], opts ...Option) Flow[T] {
	if seq == nil {
		panic("flow: FromSeq: nil iterator")
	}
	return from[T](opts, started("iterator", func(name stage.ProducerOption) *stage.Producer[T] {
		return stage.FromSeq(seq, name)
	}))
}

// FromSeq2 makes a flow of the values of an iterator that can fail: its first error that is not nil
// ends the flow; see [stage.FromSeq2]. FromSeq2 panics if seq is nil.
func FromSeq2[T any](seq iter.Seq2[T, error], opts ...Option) Flow[T] {
	if seq == nil {
		panic("flow: FromSeq2: nil iterator")
	}
	return from[T](opts, started("iterator with errors", func(name stage.ProducerOption) *stage.Producer[T] {
		return stage.FromSeq2(seq, name)
	}))
}

// FromChannel makes a flow of what is sent on a channel, until it is closed. It receives only as much
// as is asked for; what it has not received stays in the channel. See [stage.FromChannel]. FromChannel
// panics if ch is nil.
func FromChannel[T any](ch <-chan T, opts ...Option) Flow[T] {
	if ch == nil {
		panic("flow: FromChannel: nil channel")
	}
	return from[T](opts, started("channel", func(name stage.ProducerOption) *stage.Producer[T] {
		return stage.FromChannel(ch, name)
	}))
}

// Lines makes a flow of the lines of a reader, without their ends. A line of more than 1 MiB
// ([stage.DefaultMaxLine]) is an error; for a reader that may block for ever, and for longer lines,
// use FromProducers with [stage.Lines], which says how a blocked Read is ended. Lines panics if r is nil.
func Lines(r io.Reader, opts ...Option) Flow[string] {
	if r == nil {
		panic("flow: Lines: nil reader")
	}
	return from[string](opts, started("lines", func(name stage.ProducerOption) *stage.Producer[string] {
		return stage.Lines(r, name)
	}))
}

// FromProducers makes a flow of what producers of one's own emit. They run with the flow: one run at a time,
// and each in one flow only. The flow ends when all of them have. Options are those of a [Flow.Shuffle]
// that follows.
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
// flow ends first, what it has not begun goes back to them. Options are those of a [Flow.Shuffle] that follows.
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
