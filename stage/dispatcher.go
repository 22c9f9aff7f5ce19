package stage

// SubID names a subscriber to a [Dispatcher]. A producer never gives the same
// one to two subscribers of a run.
type SubID uint64

// Dispatcher decides which subscriber gets which event. It is a plain value:
// it knows what each subscriber has asked for, has no goroutine, lock, clock or
// channel, and does not know the producer's state. The producer calls it from
// one goroutine and makes a fresh one for each run.
//
// What a producer relies on:
//
//   - No subscriber is sent more events than it asked for.
//   - An event given to Dispatch is passed to send or returned as rest, never
//     both, and never passed twice to one subscriber.
//   - Each subscriber is sent its events in the order in which they were given.
//   - Dispatch hands out Live events if it is given as many, and returns rest
//     only when Live is 0.
type Dispatcher[T any] interface {
	// Subscribe adds a subscriber that has asked for nothing yet. An error
	// refuses it: the subscriber gets the error, the producer goes on.
	Subscribe(id SubID) error

	// Cancel removes a subscriber, and with it whatever it asked for and was
	// not sent. An unknown id is ignored.
	Cancel(id SubID)

	// Ask adds n to what a subscriber may be sent, up to math.MaxInt64. An
	// unknown id is ignored, and so is n < 1.
	Ask(id SubID, n int64)

	// Dispatch hands out events in order by calling send, each time with a
	// sub-slice of them that has cap == len, and returns those behind the last
	// one handed out: nobody has demand for them. It keeps neither events nor
	// send after it returns. send must not call the dispatcher.
	Dispatch(events []T, send func(id SubID, events []T)) (rest []T)

	// Live returns how many further events Dispatch could hand out now, up to
	// math.MaxInt64.
	Live() int64
}
