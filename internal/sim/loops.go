package sim

import (
	"strings"

	"github.com/go-genstage/genstage/stage"
)

// Loop is the kind of a range over [stage.Events]. It is no stage of the options: meddlers make it.
const Loop = kinds + 1

// loop is the consumer behind one range.
func (w *world) loop(at int) *node {
	n := &node{w: w, index: -1, name: "events", o: &StageOptions{Kind: Loop}, life: &life{}}
	if w.loops == nil {
		w.loops = map[int]*node{}
	}
	w.loops[at] = n
	return n
}

// consumerOf returns who has the subscription with this number.
func (w *world) consumerOf(at int) *node {
	if n := w.loops[at]; n != nil {
		return n
	}
	return w.nodes[w.inputs[at].To]
}

// named holds the name of the consumer of a new subscription against that of the loop it should be.
func (t *tie) named() bool {
	if t.to.o.Kind != Loop {
		return t.to.name == t.sub.Consumer()
	}
	t.to.name, t.subscribed, t.life = t.sub.Consumer(), true, t.to.life
	return strings.HasPrefix(t.to.name, "events ")
}

// iterate ranges over a source.
func (w *world) iterate(who string) {
	at := w.newInput(w.consumer())
	w.inputs[at].Manual = false
	n := w.loop(at)
	src, opts := w.subscription(at)
	ctx, cancel := w.timeout(80)
	defer cancel()
	w.disturbed = true // it takes what others would get
	w.trace.add(who, "ranges over %s", src.Name())
	most, failed, left := 1+w.below(60), false, false
	wait := w.sched.Join(who)
	for e, err := range stage.Events(ctx, src, opts...) {
		wait()
		switch {
		case err != nil:
			failed = true
			w.answered(who, err)
			w.reach(LoopFailed)
		case failed:
			w.violate("%s: an event after an error: %v", who, e)
		default:
			w.trace.add(who, "sees %v", e)
			w.nodes[e.From].beginElsewhere(n, e)
		}
		if w.once(6) {
			w.sleep(who, 8)
		}
		most--
		left = most == 0 && !failed
		wait = w.sched.Join(who)
		if left {
			break
		}
	}
	wait()
	w.trace.add(who, "is behind its loop")
	switch {
	case left:
		w.reach(LoopLeft)
	case !failed:
		w.reach(LoopEnded)
	}
	n.life.terminated = true
}
