package flow

import (
	"fmt"
	"hash/maphash"
)

// Shuffle begins a layer whose stages share the values as they ask for them: each value comes to one of them. It is also where options go for the
// operations behind what takes none.
func (f Flow[T]) Shuffle(opts ...Option) Flow[T] {
	return begin([]Flow[T]{f}, onDemand, nil, opts)
}

// Broadcast begins a layer each of whose stages gets all the values, at the pace of the slowest. The values are not copied: what they refer to is
// shared by the stages, and must not be modified.
func (f Flow[T]) Broadcast(opts ...Option) Flow[T] {
	return begin([]Flow[T]{f}, toAll, nil, opts)
}

// Merge returns the flow of the values of several flows, in the order in which they come. It ends when all of them have. Options for the
// operations behind it are those of a [Flow.Shuffle] that follows: Merge(f, g).Shuffle(Stages(2)). What [Flow.OnError] has said for f holds
// for the operations behind it as well.
func Merge[T any](f Flow[T], others ...Flow[T]) Flow[T] {
	return begin(append([]Flow[T]{f}, others...), onDemand, nil, nil)
}

// Partition begins a layer in which values with equal keys come to the same stage, those of one stage before it in order.
// Which stage that is differs from flow to flow; by default there are as many as GOMAXPROCS says. key is called by the stages before the layer, by
// several at once. A busy stage holds the others up: a stage before it keeps at most
// as many values waiting for it as the stages of the layer ask for in all.
func Partition[T any, K comparable](f Flow[T], key func(v T) K, opts ...Option) Flow[T] {
	must(key != nil, "Partition")
	seed := maphash.MakeSeed()
	return begin([]Flow[T]{f}, byKey, func(v T, parts int) int32 {
		if parts == 1 {
			return 0
		}
		return int32(maphash.Comparable(seed, key(v)) % uint64(parts))
	}, opts)
}

// PartitionWith is Partition for a function of one's own, which says to which of the layer's n stages a value
// goes, from 0 to n-1. Another number ends the flow, with a [*stage.PanicError].
func (f Flow[T]) PartitionWith(stageOf func(v T, n int) int, opts ...Option) Flow[T] {
	must(stageOf != nil, "PartitionWith")
	return begin([]Flow[T]{f}, byKey, func(v T, parts int) int32 {
		i := stageOf(v, parts)
		if i < 0 || i >= parts {
			panic(fmt.Sprintf("flow: PartitionWith: stage %d of %d", i, parts))
		}
		return int32(i)
	}, opts)
}
