package flow

// GroupBy reduces the values to a map of key to the values with that key, in the order in which they came. It partitions
// by the key itself, so each key is in the map of one stage only: [EmitPairs] gives each key once. The options are those of
// the layer that it begins. All values are held until they are emitted.
func GroupBy[T any, K comparable, V any](f Flow[T], key func(v T) K, value func(v T) V, opts ...Option) Reduction[map[K][]V] {
	must(key != nil && value != nil, "GroupBy")
	group := func(acc map[K][]V, v T) map[K][]V {
		k := key(v)
		acc[k] = append(acc[k], value(v))
		return acc
	}
	return folding(Partition(f, key, opts...).windows(), "groupby", func() map[K][]V { return map[K][]V{} },
		func(*worker) func(acc map[K][]V, v T) map[K][]V { return group })
}

// UniqBy returns the flow of the values whose key has not come before. It partitions by the key itself; the options are
// those of the layer that it begins. Of several values with one key the one that comes first is passed on. All keys are held until the flow ends.
func UniqBy[T any, K comparable](f Flow[T], key func(v T) K, opts ...Option) Flow[T] {
	must(key != nil, "UniqBy")
	return then(Partition(f, key, opts...), "uniq", traits{keeps: true}, func(_ *worker, out func(v T) bool) (func(v T) bool, hook) {
		seen := map[K]struct{}{} // owned by the stage goroutine
		return func(v T) bool {
			k := key(v)
			if _, ok := seen[k]; ok {
				return true
			}
			seen[k] = struct{}{}
			return out(v)
		}, hook{}
	})
}
