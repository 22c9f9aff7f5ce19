package stage

import (
	"context"
	"errors"
	"iter"
)

// NewExpander makes a producer-consumer that turns events into a sequence of others, which is pulled on
// the stage's goroutine as its consumers ask: so one event can become a million without any of them being
// held. (What a plain producer-consumer returns is buffered as far as it exceeds the demand.)
//
// The function is called as that of [NewProducerConsumer]; the sequence that it returns may be nil, for
// nothing. The events of the batch count as handled when the sequence has ended; meanwhile the next batch
// waits. An error in it ends the stage when the events before it have been emitted ([ErrDone]: normally).
// When the run ends first, the sequence sees its yield return false.
//
// NewExpander panics if the function is nil.
func NewExpander[In, Out any](
	expand func(ctx context.Context, events []In, from *Subscription) iter.Seq2[Out, error], opts ...ProducerConsumerOption,
) *ProducerConsumer[In, Out] {
	if expand == nil {
		panic("stage: NewExpander: nil callback")
	}
	p := newProducerConsumer[In, Out](opts)
	p.def.expand = expand
	return p
}

// expansion is the output of one batch of an expander, as far as it has not been pulled.
type expansion[Out any] struct {
	pull demandFunc[Out]
	stop func()
	done bool // it ended with ErrDone
}

// begin starts the expansion of the batch in hand.
func (r *run[In, Out]) begin(seq iter.Seq2[Out, error]) {
	if seq == nil {
		seq = func(func(Out, error) bool) {}
	}
	x := &expansion[Out]{}
	x.pull, x.stop = pull(func(want *int, yield func([]Out) bool) error {
		err := inBatches2(seq, want, yield)
		if errors.Is(err, ErrDone) {
			x.done, err = true, nil
		}
		return err
	})
	r.expansion = x
}

// expand pulls one batch of the expansion, if it is asked for; if more is, the mailbox comes first.
func (r *run[In, Out]) expand() {
	x := r.expansion
	if x == nil || r.verdict != nil {
		return
	}
	if !r.wanted() {
		return
	}
	var out []Out
	want := int(min(r.disp.Live(), maxPull))
	r.describe(0, r.hand.sub)
	err := r.guard(inEvents, func() (err error) {
		out, err = x.pull(r.context(), want)
		r.results = len(out)
		return err
	})
	switch {
	case err == nil:
		r.emit(out)
		r.serveBuffer()
		r.again = r.again || r.wanted()
	case errors.Is(err, ErrDone):
		r.expansion = nil
		r.endChunk(out, x.done)
		r.workHand()
	default:
		r.emit(out)
		r.fail(err)
	}
}

// stopExpansion ends the sequence with the run; its batch is lost, unless it has failed.
func (r *run[In, Out]) stopExpansion() {
	if x := r.expansion; x != nil && !r.shut { // else whoever returns late does it
		r.expansion = nil
		r.unwatched()
		r.callLast(x.stop)
	}
}
