package flow

import "context"

// Flow is the description of a computation whose results are of type T. It is an immutable value and may be
// copied; the zero Flow has no source, which is an error when it is run. All methods are safe
// for concurrent use.
type Flow[T any] struct {
	layer   layer     // where the operations so far run
	chain   chain[T]  // those operations
	members []Flow[T] // what the layer's events come from, if they are of T: as long as there are no operations
}

// then returns the flow with one operation more.
//
// Like all functions here that make closures it is not inlined: inlined into each other, and instantiated for each
// type, they would take the compiler minutes. They run when a flow is described, not while it runs.
//
//go:noinline
func then[A, B any](f Flow[A], op string, does traits, link func(w *worker, out func(v B) bool) (in func(v A) bool, keeps hook)) Flow[B] {
	return Flow[B]{
		layer: f.layer.with(op, does),
		chain: func(w *worker, out func(v B) bool) func(input any) {
			in, keeps := link(w, out)
			feed := f.chain(w, in)
			if keeps.batch != nil || keeps.end != nil || keeps.gone != nil {
				w.hooks = append(w.hooks, keeps)
			}
			return feed
		},
	}
}

// begin returns a flow without operations, in a new layer that is given the results of others.
//
//go:noinline
func begin[T any](members []Flow[T], share sharing, route func(v T, parts int) int32, opts []Option) Flow[T] {
	l := layer{share: share, opts: optionsOf(opts), policy: members[0].layer.policy}
	for _, m := range members {
		l.inputs = append(l.inputs, m.edges(share, route)...)
	}
	l.inputs = alike(l.inputs)
	return Flow[T]{layer: l, chain: decode[T], members: members}
}

// kept returns the flow for an operation that keeps something back. In an ordered layer of several stages it would
// see but parts of the input: there it runs in a stage of its own, behind the sorter.
//
//go:noinline
func (f Flow[T]) kept() Flow[T] {
	if f.layer.reorders() {
		return begin([]Flow[T]{f}, onDemand, nil, []Option{Stages(1)})
	}
	return f
}

// decode is the chain of a layer without operations. When the run is aborted, the rest of the batch is left: its values may be slow.
func decode[T any](w *worker, out func(v T) bool) func(input any) {
	return each(func(v T) bool {
		if w.ctx.Err() != nil {
			return w.fail(context.Cause(w.ctx))
		}
		return out(v)
	})
}

// bare reports that the layer does nothing: what comes behind it can as well subscribe to its inputs.
func (f Flow[T]) bare() bool {
	return len(f.layer.inputs) > 0 && len(f.layer.ops) == 0 && len(f.layer.faults) == 0 && f.layer.share == onDemand && !f.layer.opts.given
}

// edges returns what a layer that f's results go to subscribes to.
//
//go:noinline
func (f Flow[T]) edges(share sharing, route func(v T, parts int) int32) []input {
	switch {
	case !f.bare():
	case len(f.members) > 0:
		var all []input
		for _, m := range f.members {
			all = append(all, m.edges(share, route)...)
		}
		return all
	case share == onDemand:
		return f.layer.inputs
	}
	return []input{{from: f.close(route)}}
}

// close makes a finished layer of the one that f's operations stand in. route says to which
// partition of the next layer a value goes; nil if there are none.
//
//go:noinline
func (f Flow[T]) close(route func(v T, parts int) int32) *node {
	return &node{layer: f.layer, link: func(w *worker) {
		if f.chain == nil {
			return
		}
		var to func(v T) int32
		if route != nil {
			to = func(v T) int32 { return route(v, w.parts) }
		}
		if f.layer.expander() {
			s := &single[T]{route: to, shared: w.shared}
			w.take = func() []event { return nil }
			w.feed = f.chain(w, func(v T) bool { return w.push(s.event(v)) })
			return
		}
		c := &column[T]{route: to}
		w.take = c.take
		w.feed = f.chain(w, func(v T) bool { c.put(v); return true })
	}}
}
