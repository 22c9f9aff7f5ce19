package conformance

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/go-genstage/genstage/stage"
)

// What must hold of every scenario that differs: no event that GenStage delivered is lost here, none comes
// twice, and each subscription gets its events in the order in which they were emitted.

// final is what a stage had done at the end of the scenario.
type final = stage.Stats

// sum adds something up over all stages, as they were at the end of the scenario.
func (w *world) sum(what func(final) int64) (n int64) {
	for _, f := range w.finals {
		n += what(f)
	}
	return n
}

// emits notes what a stage emits, in order.
func (a *actor) emits(out []event, err error) ([]event, error) {
	if err == nil || err == stage.ErrDone {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.emitted = append(a.emitted, out...)
	}
	return out, err
}

// emitting notes what a call emits.
func (a *actor) emitting(fn func(context.Context) ([]event, error)) func(context.Context) ([]event, error) {
	return func(ctx context.Context) ([]event, error) { return a.emits(fn(ctx)) }
}

// unfair says what is wrong with a difference; "" for nothing.
func unfair(p *played) string {
	ours, theirs := deliveries(p.have), deliveries(p.want)
	for _, id := range slices.Sorted(maps.Keys(ours)) {
		if from := p.w.sourceOf(id); from != nil && !inOrder(ours[id], from.shifted()) {
			return fmt.Sprintf("%s got its events out of order: %s of %s", id, text(ours[id]), text(from.emitted))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.w.actors)) {
		from := p.w.actors[name]
		if from.source == nil || from.probe != nil || from.spec.Kind == "enumerable" {
			continue
		}
		waiting := int(p.w.finals[name].Output.Buffered + p.w.finals[name].Output.Held)
		broadcast := from.spec.dispatches("broadcast")
		got, expected, out := map[string]int{}, map[string]int{}, map[string]int{}
		for _, e := range from.shifted() {
			out[text(e)]++
		}
		for id, l := range p.w.links {
			if l.to != name {
				continue
			}
			prefix := ""
			if broadcast { // each subscription by itself
				prefix = id + " "
			}
			count(got, prefix, ours[id])
			count(expected, prefix, theirs[id])
		}
		for key, n := range got {
			if _, e, isPair := cutLast(key); !broadcast && n > out[key] || broadcast && isPair && n > out[e] {
				return fmt.Sprintf("%s: %s came %d times", name, key, n)
			}
		}
		for key, n := range expected {
			waiting -= max(0, n-got[key])
		}
		if waiting < 0 {
			return fmt.Sprintf("%s: %d events that GenStage delivered are lost", name, -waiting)
		}
	}
	return ""
}

func count(m map[string]int, prefix string, list []any) {
	for _, e := range list {
		m[prefix+text(e)]++
	}
}

// cutLast cuts around the last space.
func cutLast(s string) (before, after string, found bool) {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == ' ' {
			return s[:i], s[i+1:], true
		}
	}
	return s, "", false
}

// deliveries returns the events of each subscription.
func deliveries(t *trace) map[string][]any {
	all := map[string][]any{}
	for _, s := range t.Steps {
		for _, e := range s.Stages {
			for _, r := range e.Records {
				if id, _ := r["sub"].(string); r["cb"] == "events" {
					list, _ := reread[[]any](r["events"])
					all[id] = append(all[id], list...)
				}
			}
		}
	}
	return all
}

// sourceOf returns the stage whose events a subscription gets, if what that emits is known.
func (w *world) sourceOf(id string) *actor {
	l := w.links[id]
	if l == nil {
		return nil
	}
	a := w.actors[l.to]
	if a == nil || a.probe != nil || a.spec.Kind == "enumerable" {
		return nil
	}
	return a
}

// shifted is what was emitted, as subscribers get it: a hash may add to the events.
func (a *actor) shifted() []event {
	d := a.spec.Dispatcher
	if d == nil || d.Hash == nil || d.Hash.Add == 0 {
		return a.emitted
	}
	var list []event
	for _, e := range a.emitted {
		list = append(list, e.(int)+d.Hash.Add)
	}
	return list
}

// inOrder says whether the events stand in all in this order.
func inOrder(list []any, all []event) bool {
	i := 0
	for _, e := range all {
		if i < len(list) && text(list[i]) == text(e) {
			i++
		}
	}
	return i == len(list)
}
