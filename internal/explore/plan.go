package explore

import "github.com/go-genstage/genstage/stage"

// Plan says what the stages of a model are, and what may happen to them. All states share it.
type Plan struct {
	Events int  // that the source has
	Ends   bool // it is done after the last one; else the producer stays, and owes the rest for ever
	Pushes int  // so many times an event may be emitted without having been asked for

	Max, Min  int
	Middle    bool // a producer-consumer between the producer and the consumers
	Beside    bool // besides that one, a consumer of the producer
	Consumers int
	Wants     []func(event int) bool                // by consumer, for [stage.Where]; nil: everything
	Keys      []any                                 // by consumer, for [stage.Partition]; nil: none
	Key       func(event int) any                   // which of Keys an event is for; nil where that is not fixed
	Dispatch  func() (stage.Dispatcher[int], error) // of the last stage that emits
	All       bool                                  // each event goes to every consumer

	Cancels int  // so many times a consumer may cancel; it stays
	Again   bool // it subscribes anew then
	Crashes int  // so many times a consumer, or what stands between, may fail
	Restart bool // a consumer that has failed runs again
	Stop    bool // everything may be stopped, once

	Wrong Wrong
}

// Wrong is a rule that is broken on purpose: a search must find it.
type Wrong uint8

const (
	// Debt keeps what a departed consumer had open as a debt that the next asks pay before the buffer is looked
	// at, and dispatches past the buffer, as GenStage 1.3.2 does.
	Debt Wrong = iota + 1
	// NoReask lets events that are dropped use up demand.
	NoReask
	// NoRef takes the messages of a consumer's earlier subscription for those of its present one.
	NoRef
	// Lossy forgets what is in the mailbox of a consumer that fails.
	Lossy
	// NoDown does not tell the producer that a consumer has failed.
	NoDown
	// Overtake acts on an end before the events that arrived ahead of it have been begun.
	Overtake
	// Hasty completes as soon as the buffer is empty, and does not wait until all has been begun.
	Hasty
	// Careless answers "that is all" for what has come after the question as well.
	Careless
	// Restless begins input while its own consumers ask for nothing.
	Restless
)

func (*Plan) shared() {}
