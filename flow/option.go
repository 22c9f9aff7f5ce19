package flow

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// Option is an option of a layer, given to the source or the operation that begins the layer; or of the end of a flow, given to what runs it
// (Run, Collect and the others), which takes MaxDemand, MinDemand and Name only. An option out of range, or without use where it is given, is reported when the flow is run, by an error that wraps
// [stage.ErrInvalidOption]. Of one that is given twice the last one counts.
type Option func(*options)

// options are what was given; below 0, or false, is not given.
type options struct {
	given     bool // any
	stages    int
	maxDemand int
	minDemand int
	buffer    int
	keepFirst bool
	keepLast  bool
	name      string
	ordered   bool
	window    int
	init      func(ctx context.Context, index, total int) error
	faults    []error
}

func optionsOf(opts []Option) options {
	o := options{minDemand: -1, buffer: stage.Unlimited, given: len(opts) > 0}
	for _, opt := range opts {
		if opt == nil {
			o.invalid("a nil Option")
			continue
		}
		opt(&o)
	}
	return o
}

func (o *options) invalid(format string, args ...any) {
	o.faults = append(o.faults, fmt.Errorf("%w: %s", stage.ErrInvalidOption, fmt.Sprintf(format, args...)))
}

// handsOver notes as faults what was given to stages that hand values over, one by one, as the end of a flow: they have max and min demand and a
// name. How many there are is another matter.
func (o *options) handsOver(where string) {
	for _, of := range []struct {
		option string
		given  bool
	}{
		{"OnInit", o.init != nil},
		{"Ordered", o.ordered},
		{"BufferSize", o.buffer != stage.Unlimited},
		{"KeepFirst", o.keepFirst},
		{"KeepLast", o.keepLast},
	} {
		if of.given {
			o.invalid("%s has no use %s: give it to a Shuffle before", of.option, where)
		}
	}
}

// check returns the faults, those included that only show when all options are known.
func (o options) check() []error {
	o.faults = o.faults[:len(o.faults):len(o.faults)]
	most := o.maxDemand
	if most == 0 {
		most = stage.DefaultMaxDemand
	}
	if o.minDemand >= most {
		o.invalid("MinDemand(%d) is not below MaxDemand(%d)", o.minDemand, most)
	}
	if o.keepFirst && o.keepLast {
		o.invalid("both KeepFirst and KeepLast")
	}
	if (o.keepFirst || o.keepLast) && o.buffer == stage.Unlimited {
		o.invalid("KeepFirst or KeepLast without BufferSize")
	}
	return o.faults
}

// forStage returns the options of the stages that emit a layer's results.
func (o options) forStage() []stage.ProducerConsumerOption {
	if o.buffer == stage.Unlimited {
		return nil
	}
	opts := []stage.ProducerConsumerOption{stage.BufferSize(o.buffer)}
	if o.keepFirst {
		opts = append(opts, stage.KeepFirst())
	}
	return opts
}

// bounded says that what does not fit into the buffer must not be discarded.
func (o options) bounded() bool { return o.buffer != stage.Unlimited && !o.keepFirst && !o.keepLast }

// Stages sets how many stages the layer has: how many processors it can use at once. By default as many as
// GOMAXPROCS says, and one for a layer without operations. At least 1.
func Stages(n int) Option {
	return func(o *options) {
		if n < 1 {
			o.invalid("Stages(%d) is less than 1", n)
			return
		}
		o.stages = n
	}
}

// MaxDemand sets how many events each stage of the layer may have asked of each stage before it, and
// not handled; by default [stage.DefaultMaxDemand]. For slow work on single events choose 1: else a
// stage may have received events that wait, while another one is idle. At least 1.
func MaxDemand(n int) Option {
	return func(o *options) {
		if n < 1 {
			o.invalid("MaxDemand(%d) is less than 1", n)
			return
		}
		o.maxDemand = n
	}
}

// MinDemand sets how few of the events asked may be left before a stage asks again, up to max demand;
// by default max/2, rounded down. From 0 to max-1. max-min is the largest batch.
func MinDemand(n int) Option {
	return func(o *options) {
		if n < 0 {
			o.invalid("MinDemand(%d) is negative", n)
			return
		}
		o.minDemand = n
	}
}

// BufferSize bounds how many results each stage of the layer may have emitted beyond what was asked of it,
// which happens when one event becomes many. By default there is no bound. When there are more, the flow ends
// with [ErrBufferFull]; with [KeepFirst] or [KeepLast] some are discarded instead. At least 0.
func BufferSize(n int) Option {
	return func(o *options) {
		if n < 0 {
			o.invalid("BufferSize(%d) is negative", n)
			return
		}
		o.buffer = n
	}
}

// KeepFirst has a full buffer (BufferSize) discard the results that come last, instead of ending the flow. The
// stage logs when it begins to discard, and counts (Discarded in [stage.OutputStats]).
func KeepFirst() Option { return func(o *options) { o.keepFirst = true } }

// KeepLast has a full buffer (BufferSize) discard its oldest results, as KeepFirst.
func KeepLast() Option { return func(o *options) { o.keepLast = true } }

// Name names the layer, in [Flow.Explain], in errors and in Stats. Its stages are called by that name and, if there are
// several, their index, as "parse/0". By default the name is the number of the layer in Explain and its operations, as
// "2:flatmap+reduce"; "pass" stands for a layer without operations. It must not be empty.
func Name(name string) Option {
	return func(o *options) {
		if name == "" {
			o.invalid("an empty Name")
			return
		}
		o.name = name
	}
}

// Ordered has the results of the layer come in the order of its input, although several stages
// work on it: batches that are done early wait for those before them. window is how many events may be under way at
// once, from the first stage of the layer to the last, done and waiting ones included: it bounds the memory, and how far
// the fast stages may run ahead of a slow one; 0 stands for the number of stages times max demand. Input from several
// stages is in the order in which it arrives. A layer of one stage keeps the order anyway.
//
// An operation that keeps events back, as Reduce or Batch, does not run in the stages of an ordered layer, which
// see but parts of the input: it begins a layer of one stage behind it. Where the input comes by key
// (Partition and what is made of it) or all to each stage, Ordered is an error, unless there is one stage.
func Ordered(window int) Option {
	return func(o *options) {
		if window < 0 {
			o.invalid("Ordered(%d) is negative", window)
			return
		}
		o.ordered, o.window = true, window
	}
}

// OnInit has fn called on the goroutine of each stage of the layer when it begins, before any event, with
// its number, from 0, and how many there are. An error ends the flow.
func OnInit(fn func(ctx context.Context, index, total int) error) Option {
	return func(o *options) {
		if fn == nil {
			o.invalid("a nil OnInit")
			return
		}
		o.init = fn
	}
}
