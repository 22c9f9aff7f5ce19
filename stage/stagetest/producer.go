package stagetest

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
)

// Producer is a producer that a test leads by hand: it emits what the test has it emit, and says what it was asked for.
// It is a [stage.Stage] and a [stage.Source] and has to run, alone or in a pipeline, in a synctest bubble. As with
// [Consumer], its methods wait until every goroutine of the bubble is blocked, need no time-outs, and are called on the
// test's goroutine. Make one with [NewProducer].
type Producer[T any] struct {
	*stage.Producer[T]
	t testing.TB

	mu    sync.Mutex // guards what follows
	asked int64      // since the last look
	gone  []stage.Cancellation
	seen  int // of gone
}

// NewProducer makes a probe. Of the options, OnConsumerGone is the probe's own; its name says where it was made.
func NewProducer[T any](t testing.TB, opts ...stage.ProducerOption) *Producer[T] {
	p := &Producer[T]{t: t}
	opts = append([]stage.ProducerOption{madeAt("producer probe")}, opts...)
	opts = append(opts, stage.OnConsumerGone(
		func(_ context.Context, _ *stage.Subscription, end stage.Cancellation) error {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.gone = append(p.gone, end)
			return nil
		}))
	p.Producer = stage.NewProducer(func(_ context.Context, demand int) ([]T, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.asked += int64(demand)
		return nil, nil
	}, opts...)
	return p
}

// Emit emits events; those that nobody has asked for wait in the buffer, as always. It returns when they have been
// handled as far as they can be, and fails the test, without ending it, if the producer does not run.
func (p *Producer[T]) Emit(events ...T) {
	p.t.Helper()
	p.tell("emits", events, nil)
}

// Complete ends the producer normally, when what it has emitted is delivered.
func (p *Producer[T]) Complete() {
	p.t.Helper()
	p.tell("completes", nil, stage.ErrDone)
}

// Fail ends the producer with an error, which must not be nil: that fails the test.
func (p *Producer[T]) Fail(err error) {
	p.t.Helper()
	if err == nil {
		p.t.Errorf("%s fails with a nil error; for a normal end there is Complete", p.Name())
		return
	}
	p.tell("fails", nil, err)
}

func (p *Producer[T]) tell(what string, events []T, end error) {
	p.t.Helper()
	if err := p.Tell(func(context.Context) ([]T, error) { return events, end }); err != nil {
		p.t.Errorf("%s %s: %v", p.Name(), what, err)
	}
	synctest.Wait()
}

// Demand returns how many events the producer was asked for since the last look: of its callback, so what the buffer has
// met is not part of it.
func (p *Producer[T]) Demand() int64 {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	n := p.asked
	p.asked = 0
	return n
}

// ExpectDemand fails the test unless the producer was asked for n events, in one call or in several, since the last look.
func (p *Producer[T]) ExpectDemand(n int64) {
	p.t.Helper()
	if got := p.Demand(); got != n {
		p.t.Errorf("%s was asked for %d events, not %d", p.Name(), got, n)
	}
}

// ExpectCancel returns how a subscriber has gone: it has cancelled, or ended. It fails the test, and returns false, unless
// one has since the last look.
func (p *Producer[T]) ExpectCancel() (stage.Cancellation, bool) {
	p.t.Helper()
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	fresh := p.gone[p.seen:]
	p.seen = len(p.gone)
	if len(fresh) != 1 {
		p.t.Errorf("%d subscribers of %s have gone, not one", len(fresh), p.Name())
		return stage.Cancellation{}, false
	}
	return fresh[0], true
}
