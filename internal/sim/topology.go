package sim

import (
	"strconv"

	"github.com/go-genstage/genstage/stage"
)

// build makes the stages.
func (w *world) build() {
	w.ties = map[*stage.Subscription]*tie{}
	w.inputs = append(w.inputs, w.o.Inputs...)
	w.makeBudgets()
	for i := range w.o.Stages {
		n := w.newNode(i)
		w.nodes = append(w.nodes, n)
		switch {
		case n.o.Kind.source():
			n.buildSource()
		case n.o.Kind.sink():
			n.buildSink()
		default:
			n.buildRelay()
		}
		n.declare()
	}
}

func (w *world) newNode(i int) *node {
	o := &w.o.Stages[i]
	return &node{
		w: w, index: i, name: w.o.name(i), o: o, accumulating: o.Accumulating && o.Kind.source(), replays: o.Accumulating,
		sent: map[int]bool{}, begun: map[int]bool{}, attempted: map[event]bool{}, lastFresh: map[int]int{}, void: map[int]bool{},
	}
}

// declare declares the subscriptions of the options.
func (n *node) declare() {
	for _, at := range n.o.Inputs {
		src, opts := n.w.subscription(at)
		n.in.SubscribeTo(src, opts...)
	}
}

// subscription returns the source and the options of an input.
func (w *world) subscription(at int) (stage.Source[event], []stage.SubscribeOption) {
	in := w.inputs[at]
	src := w.nodes[in.From].out
	opts := []stage.SubscribeOption{
		stage.MaxDemand(in.Max), stage.MinDemand(in.Min), stage.Cancel(in.Cancel), stage.Label(strconv.Itoa(at)),
	}
	if in.Manual {
		opts = append(opts, stage.Manual())
	}
	if in.Duplicate {
		opts = append(opts, stage.AllowDuplicate())
	}
	switch w.nodes[in.From].o.Dispatch {
	case Broadcast:
		if in.Where > 0 {
			src = stage.Where(src, func(e event) bool { return e.N%in.Where != 0 || in.Where == 1 && e.N%7 == 0 })
		}
		if in.Lag > 0 {
			opts = append(opts, stage.Lag(in.Lag, in.Policy))
		}
	case Partition:
		src = stage.Partition(src, in.Part)
	}
	if in.Budget > 0 {
		src = w.charge(in, src)
	}
	return src, opts
}

// dispatching is what chooses who gets which event.
type dispatching interface {
	DispatchWith(makes stage.DispatcherFactory[event], opts ...stage.DispatchOption)
}

func (n *node) dispatch(d dispatching) {
	switch n.o.Dispatch {
	case Shuffle:
		d.DispatchWith(stage.Demand, stage.Shuffle(n.w.o.Seed))
	case Broadcast:
		d.DispatchWith(stage.Broadcast)
	case Partition:
		keys := make([]int, n.o.Parts)
		for i := range keys {
			keys[i] = i
		}
		d.DispatchWith(stage.PartitionWith(func(e event) (event, int, bool) {
			key := e.N % (2*n.o.Parts + 1)
			return e, key / 2, key < 2*n.o.Parts // the last key is for nobody
		}, keys...))
	}
}
