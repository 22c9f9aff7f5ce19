package stage_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// flow is a pipeline under test, in a bubble.
type flow struct {
	*stage.Pipeline
	t     *testing.T
	ended chan error
}

// startFlow runs the stages and returns when all of them are at rest.
func startFlow(t *testing.T, stages ...stage.Stage) *flow {
	t.Helper()
	f := &flow{Pipeline: stage.NewPipeline(stages...), t: t, ended: make(chan error, 1)}
	over := make(chan struct{})
	go func() { // ends with the flow: Cleanup waits for it
		defer close(over)
		f.ended <- f.Run(t.Context())
	}()
	t.Cleanup(func() { // of a test that failed
		f.Abort(nil)
		<-over
	})
	synctest.Wait()
	ledger(t, f)
	return f
}

// rest waits until the flow is at rest and checks its ledger.
func (f *flow) rest() {
	f.t.Helper()
	synctest.Wait()
	ledger(f.t, f)
}

// finish waits for the end of Run, which must be normal.
func (f *flow) finish() {
	f.t.Helper()
	require.NoError(f.t, f.end())
}

// stop drains the flow.
func (f *flow) stop() {
	f.t.Helper()
	require.NoError(f.t, f.Stop(f.t.Context()))
	f.finish()
}

// abort ends the flow as tests do that have seen what they wanted.
func (f *flow) abort() {
	f.t.Helper()
	f.Abort(nil)
	require.ErrorIs(f.t, f.end(), stage.ErrShutdown)
}

func (f *flow) end() error {
	f.t.Helper()
	err := <-f.ended
	ledger(f.t, f)
	return err
}

// source is a producer that emits what tests push and remembers what it was asked for.
type source struct {
	*stage.Producer[int]
	demands []int // owned by the stage goroutine; tests read it at rest
}

func newSource(opts ...stage.ProducerOption) *source {
	s := &source{}
	s.Producer = stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		s.demands = append(s.demands, demand)
		return nil, nil
	}, opts...)
	return s
}

// push emits the events and waits until the bubble is at rest.
func (s *source) push(t *testing.T, events ...int) {
	t.Helper()
	require.NoError(t, s.Do(t.Context(), func(context.Context) ([]int, error) { return events, nil }))
	synctest.Wait()
}

// gatherer is a consumer that keeps the batches it got.
type gatherer[T any] struct {
	*stage.Consumer[T]
	sub     *stage.Subscription // the last one accepted
	batches [][]T               // owned by the stage goroutine; tests read it at rest
}

func newGatherer[T any](opts ...stage.ConsumerOption) *gatherer[T] {
	s := &gatherer[T]{}
	opts = append(opts, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
		s.sub = sub
		return nil
	}))
	s.Consumer = stage.NewConsumer(func(_ context.Context, events []T, _ *stage.Subscription) error {
		s.batches = append(s.batches, events)
		return nil
	}, opts...)
	return s
}

// events returns what came, in order.
func (s *gatherer[T]) events() []T {
	var all []T
	for _, b := range s.batches {
		all = append(all, b...)
	}
	return all
}

func (s *gatherer[T]) sizes() []int {
	var sizes []int
	for _, b := range s.batches {
		sizes = append(sizes, len(b))
	}
	return sizes
}

// messageLog keeps messages that an observer sees.
type messageLog struct {
	mu   sync.Mutex
	sent []stage.Message // guarded by mu
}

func (l *messageLog) add(m stage.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.sent = append(l.sent, m)
}

// sizes returns the N of the messages of one kind, in order.
func (l *messageLog) sizes(k stage.MessageKind) []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	var sizes []int
	for _, m := range l.sent {
		if m.Kind == k {
			sizes = append(sizes, int(m.N))
		}
	}
	return sizes
}

func sum(numbers []int) int {
	total := 0
	for _, n := range numbers {
		total += n
	}
	return total
}
