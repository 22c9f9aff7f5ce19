package flow

import (
	"errors"
	"fmt"
	"runtime"
	"strings"

	"github.com/go-genstage/genstage/stage"
)

// layer is one node of the plan while operations are added to it: where its events come from, and what
// it does with them. It is a value: with returns a changed copy.
type layer struct {
	inputs []input // all of them sources, or none
	share  sharing // how the inputs share their events among this layer's stages
	opts   options
	ops    []string // what its operations are called
	does   traits   // of all its operations
	policy policy   // of the operations that follow
	faults []error  // in the calls that built it
}

// node is a layer that is finished.
type node struct {
	layer
	link func(w *worker) // makes the chain of a worker
}

// input is what a layer subscribes to: one of the two.
type input struct {
	source port
	from   *node
}

// sharing is how the stages before a layer share their events among its stages.
type sharing uint8

const (
	onDemand sharing = iota // to whichever asks for most
	byKey                   // to the one of the event's partition
	toAll                   // to each
)

// traits says what a layer needs because of its operations.
type traits struct {
	expands bool // one event may become very many
	keeps   bool // something is kept back from one batch to the next, or a timer emits
	one     bool // there may be only one stage
}

func (t traits) and(o traits) traits {
	return traits{
		expands: t.expands || o.expands,
		keeps:   t.keeps || o.keeps,
		one:     t.one || o.one,
	}
}

// with returns the layer with one operation more.
func (l layer) with(op string, does traits) layer {
	l.ops = append(l.ops[:len(l.ops):len(l.ops)], op)
	l.does = l.does.and(does)
	return l
}

// fault returns the layer with a fault, which running the flow reports.
func (l layer) fault(err error) layer {
	l.faults = append(l.faults[:len(l.faults):len(l.faults)], err)
	return l
}

// expander says whether the layer's results are pulled as they are asked for. Where something is kept
// back, hooks and timers emit as well, and a chain must not be entered while it waits to be pulled.
func (l layer) expander() bool { return l.does.expands && !l.does.keeps && !l.reorders() }

// reorders says whether the layer needs a collector and a sorter.
func (l layer) reorders() bool { return l.opts.ordered && l.stages() > 1 }

// stages is how many stages the layer has.
func (l layer) stages() int {
	switch {
	case l.does.one:
		return 1
	case l.opts.stages > 0:
		return l.opts.stages
	case len(l.ops) == 0:
		return 1 // nothing to do at the same time
	}
	return runtime.GOMAXPROCS(0)
}

// maxDemand and minDemand are what each stage asks of each of its inputs.
func (l layer) maxDemand() int {
	if l.opts.maxDemand > 0 {
		return l.opts.maxDemand
	}
	return stage.DefaultMaxDemand
}

func (l layer) minDemand() int {
	if l.opts.minDemand >= 0 {
		return l.opts.minDemand
	}
	return l.maxDemand() / 2
}

// reorderWindow is how many events of an ordered layer may be under way.
func (l layer) reorderWindow() int {
	if l.opts.window > 0 {
		return l.opts.window
	}
	return saturated(l.stages(), l.maxDemand())
}

// saturated is a*b for positive numbers, as far as an int reaches.
func saturated(a, b int) int {
	if a > int(^uint(0)>>1)/b {
		return int(^uint(0) >> 1)
	}
	return a * b
}

// title is what the layer's stages are called, without their numbers.
func (l layer) title() string {
	if l.opts.name != "" {
		return l.opts.name
	}
	if len(l.ops) == 0 {
		return "pass"
	}
	return strings.Join(l.ops, "+")
}

// check returns what is wrong with the layer, nil if nothing is.
func (l layer) check() error {
	errs := append([]error(nil), l.faults...)
	errs = append(errs, l.opts.check()...)
	if len(l.inputs) == 0 {
		errs = append(errs, fmt.Errorf("%w: the flow has no source: it is the zero Flow, or FromProducers or FromStages of none", stage.ErrInvalidOption))
	}
	if l.does.one && l.opts.stages > 1 {
		errs = append(errs, fmt.Errorf("%w: Stages(%d) in a layer that has one stage: give them to a Shuffle behind it", stage.ErrInvalidOption, l.opts.stages))
	}
	if l.reorders() && l.share != onDemand {
		errs = append(errs, fmt.Errorf("%w: Ordered in a layer whose input comes by key, or all to each stage: give it to a Shuffle behind it, or add Stages(1)", stage.ErrInvalidOption))
	}
	return errors.Join(errs...)
}
