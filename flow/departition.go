package flow

// partial is what a stage of a partitioned reduction has for the merging one.
type partial[A any] struct {
	acc     A
	trigger Trigger
}

// merged is a window of which some stages have reported.
type merged[B any] struct {
	acc   B
	final int // how many stages are done with it
}

// Departition merges the accumulators of all stages of a reduction in one stage. Each trigger there hands its accumulator over, and a
// fresh one is begun there; merge makes of the merged accumulator of that window, at first what init returns,
// and it the next one. Its own trigger, which is final, comes for a window when all stages have had their final one for it, or else
// at the end of the input. The options are those of the layer that it begins; it always has one stage.
func Departition[A, B any](r Reduction[A], init func() B, merge func(acc B, part A) B, opts ...Option) Reduction[B] {
	must(init != nil && merge != nil, "Departition")
	return departition(r, init, merge, false, opts)
}

// departition is Departition; always has the global window come at the end even if no stage has anything.
//
//go:noinline
func departition[A, B any](r Reduction[A], init func() B, merge func(acc B, part A) B, always bool, opts []Option) Reduction[B] {
	parts := OnTrigger(r, func(acc A, t Trigger, emit func(v partial[A])) A {
		emit(partial[A]{acc, t})
		return r.fresh()
	})
	f := begin([]Flow[partial[A]]{parts}, onDemand, nil, opts)
	return Reduction[B]{
		layer: f.layer.with("departition", traits{keeps: true, one: true}),
		fresh: init,
		fold: func(w *worker, fire func(acc B, t Trigger) B) func(input any) {
			open := map[Window]*merged[B]{} // owned by the stage goroutine, like order
			var order []Window              // of open, the oldest first, and some that are done
			any := false                    // something has come
			done := func(at Window) {
				m := open[at]
				delete(open, at)
				fire(m.acc, Trigger{Window: at, Final: true, Stages: 1})
				for len(order) > 0 && open[order[0]] == nil {
					order = order[1:]
				}
			}
			feed := f.chain(w, func(p partial[A]) bool {
				any = true
				at := p.trigger.Window
				m := open[at]
				if m == nil {
					m = &merged[B]{acc: init()}
					open[at] = m
					order = append(order, at)
				}
				m.acc = merge(m.acc, p.acc)
				if p.trigger.Final {
					m.final++
				}
				if m.final == p.trigger.Stages {
					done(at)
				}
				return w.more()
			})
			w.hooks = append(w.hooks, hook{end: func() {
				if !any && always {
					fire(init(), Trigger{Final: true, Stages: 1})
				}
				for len(order) > 0 {
					done(order[0])
				}
			}})
			return feed
		},
	}
}
