package stage

// Where makes a source that gives a subscriber only the events that keep returns
// true for. It works with the [Broadcast] dispatcher; any other refuses the
// subscription. What is rejected uses up no demand. keep is called on the
// producer's goroutine, for every event: it must be quick and must not change
// anything. If it panics, this subscription ends with that error. A Where of a
// Where gives what both keep. Where panics if keep is nil.
func Where[T any](src Source[T], keep func(event T) bool) Source[T] {
	if keep == nil {
		panic("stage: Where: nil callback")
	}
	return decorate(src, func(r *Request[T]) {
		if inner := r.Where; inner != nil {
			r.Where = func(event T) bool { return inner(event) && keep(event) }
			return
		}
		r.Where = keep
	})
}

// Partition makes a source of one partition of a producer with the [PartitionBy]
// dispatcher; any other refuses the subscription, and so does that one if it has
// no such partition.
func Partition[T any, K comparable](src Source[T], key K) Source[T] {
	return decorate(src, func(r *Request[T]) { r.Key = key })
}

// part is a source with a request to its dispatcher.
type part[T any] struct {
	Source[T]
	apply func(*Request[T])
}

func decorate[T any](src Source[T], apply func(*Request[T])) Source[T] {
	if portOf(src) == nil {
		return nil // subscribing reports it
	}
	return part[T]{src, apply}
}

func (p part[T]) request() Request[T] {
	r := p.Source.request()
	p.apply(&r)
	return r
}
