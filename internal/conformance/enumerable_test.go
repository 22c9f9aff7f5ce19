package conformance

import (
	"iter"
	"slices"

	"github.com/go-genstage/genstage/stage"
)

// makeEnumerable makes the stage of kind enumerable: a producer of a collection. It has no callbacks.
func (a *actor) makeEnumerable() {
	opts := append(modeOptions(a.spec), stage.Name(a.name), quiet, stage.OnInit(a.onInit))
	var p *stage.Producer[event]
	switch src := a.spec.Source; {
	case src.Range != nil:
		p = stage.FromSlice(between(src.Range[0], src.Range[1]), opts...)
	case src.Cycle != nil:
		p = stage.FromSeq(cycle(src.Cycle), opts...)
	default:
		p = stage.FromSeq(slices.Values(src.List), opts...)
	}
	a.emitsBy(p)
	a.dispatch(p.DispatchWith)
	a.modes = modesOf(p)
}

// cycle is the list over and over.
func cycle(list []event) iter.Seq[event] {
	return func(yield func(event) bool) {
		for len(list) > 0 {
			for _, e := range list {
				if !yield(e) {
					return
				}
			}
		}
	}
}
