package flow

import (
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// Take returns the flow of the first n values that come, in one stage, and then ends: what is before it is ended
// too, and asked for no more than it has to be. It begins a layer, always of one stage; by default its max demand is n,
// if that is less. A [stage.Queue] before it must still be closed by whoever feeds it. n is at least 0, for which nothing is begun.
func (f Flow[T]) Take(n int, opts ...Option) Flow[T] {
	if n == 0 { // a stage would wait for a value that it does not want
		none := from[T](opts, slice(0, func(int, int) any { return []T(nil) }))
		none.layer.policy = f.layer.policy
		if _, err := planOf(f.last(), optionsOf(nil)); err != nil {
			none.layer = none.layer.fault(err)
		}
		return none
	}
	f = begin([]Flow[T]{f}, onDemand, nil, opts)
	if n < 0 {
		f.layer = f.layer.fault(fmt.Errorf("%w: Take(%d) is negative", stage.ErrInvalidOption, n))
	}
	if f.layer.opts.maxDemand == 0 && n > 0 {
		f.layer.opts.maxDemand = min(n, stage.DefaultMaxDemand)
	}
	return then(f, "take", traits{one: true}, func(w *worker, out func(v T) bool) (func(v T) bool, hook) {
		left := n // owned by the stage goroutine
		return func(v T) bool {
			if left == 0 {
				return false
			}
			left--
			more := out(v)
			w.full = w.full || left == 0
			return more && left > 0
		}, hook{}
	})
}
