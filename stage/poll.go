package stage

import (
	"context"
	"time"
)

// The pauses of a [Poll] without [PollEvery].
const (
	DefaultPollMin = 100 * time.Millisecond
	DefaultPollMax = 10 * time.Second
)

// Poll makes a producer that looks for events while there is demand for them, and only then. poll
// is called on the stage's goroutine with the number of events asked for; it returns what it
// finds, up to that. While it finds something it is called again at once for the rest; when it
// finds nothing, after a pause that doubles from 100 ms to 10 s ([PollEvery] sets both) and
// begins anew when it found something or after [Producer.Wake]. [ErrDone] ends the
// producer normally and another error with that error; an empty answer does not. Poll panics if the
// function is nil.
func Poll[T any](poll func(ctx context.Context, demand int) ([]T, error), opts ...ProducerOption) *Producer[T] {
	if poll == nil {
		panic("stage: Poll: nil callback")
	}
	polls := producerOption(func(c *config) {
		c.retry, c.repeat = true, true
		c.poll = &pollPolicy{min: DefaultPollMin, max: DefaultPollMax}
	})
	return newProducer(func() (demandFunc[T], func()) { return poll, nil }, append([]ProducerOption{polls}, opts...))
}

// PollEvery sets the first and the longest pause of a [Poll] that finds nothing. first must be
// above 0 and longest at least first. On another producer it is reported by Run.
func PollEvery(first, longest time.Duration) ProducerOption {
	return producerOption(func(c *config) {
		if c.poll == nil {
			c.fault("PollEvery(%v, %v): the producer is no Poll", first, longest)
			return
		}
		if first <= 0 || longest < first {
			c.fault("PollEvery(%v, %v): the first pause must be above 0, the longest at least that", first, longest)
			return
		}
		c.poll = &pollPolicy{min: first, max: longest}
	})
}
