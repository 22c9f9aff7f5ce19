package stage_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
	"github.com/stretchr/testify/require"
)

// What the tests of lifecycle, failure and misuse share. All of it runs in synctest bubbles.

var errBoom = errors.New("boom")

// patient is for stages whose callbacks take their time, whatever becomes of their context.
var patient = stage.Grace(24 * time.Hour)

// bubble runs fn in a synctest bubble.
func bubble(t *testing.T, fn func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, fn)
}

// started is a stage that runs on a goroutine of its own.
type started struct {
	stage.Stage
	done chan struct{}
	err  error // written before done is closed
}

// start runs s, and returns when it can do nothing more for now.
func start(ctx context.Context, s stage.Stage) *started {
	r := &started{Stage: s, done: make(chan struct{})}
	go func() { // ends with the run; wait waits for it
		r.err = s.Run(ctx)
		close(r.done)
	}()
	synctest.Wait()
	return r
}

// wait returns what Run returned, in an hour of the bubble's time at the latest: what hangs is
// named instead of ending the test process.
func (r *started) wait(t testing.TB) error {
	t.Helper()
	select {
	case <-r.done:
		return r.err
	case <-time.After(time.Hour):
		r.Abort(errors.New("the test waited for an hour"))
		require.FailNow(t, "the run does not end", "%q: %+v", r.Name(), r.Stats())
		return nil
	}
}

// running reports whether Run has not returned.
func (r *started) running() bool {
	synctest.Wait()
	select {
	case <-r.done:
		return false
	default:
		return true
	}
}

// runAlone starts each stage by itself.
func runAlone(ctx context.Context, stages ...stage.Stage) []*started {
	runs := make([]*started, len(stages))
	for i, s := range stages {
		runs[i] = start(ctx, s)
	}
	return runs
}

// abortAll ends runs whose end does not matter.
func abortAll(t testing.TB, runs ...*started) {
	t.Helper()
	for _, r := range runs {
		r.Abort(nil)
		_ = r.wait(t)
	}
}

// within fails the test if fn takes longer than an hour of the bubble's time.
func within(t testing.TB, what string, fn func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		fn()
	}()
	select {
	case <-done:
	case <-time.After(time.Hour):
		require.FailNow(t, "hangs", what)
	}
}

// closed checks the ledger of stages that have ended and only met each other.
func closed(t testing.TB, stages ...stage.Stage) {
	t.Helper()
	stagetest.Ended(t, stages...)
}

// ledger checks the ledger of stages, running or not, once all of the bubble is blocked.
func ledger(t testing.TB, stages ...stage.Stage) {
	t.Helper()
	synctest.Wait()
	stagetest.Ledger(t, stages...)
}

func statsOf(stages []stage.Stage) []stage.Stats {
	all := make([]stage.Stats, len(stages))
	for i, s := range stages {
		all[i] = s.Stats()
	}
	return all
}

// upTo returns 0, 1, ... n-1.
func upTo(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

// endless makes a producer that emits what is asked, for ever.
func endless(opts ...stage.ProducerOption) *stage.Producer[int] {
	next := 0
	return stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		batch := make([]int, min(demand, 1000))
		for i := range batch {
			batch[i] = next
			next++
		}
		return batch, nil
	}, opts...)
}

// silent makes a producer that never emits by itself.
func silent(opts ...stage.ProducerOption) *stage.Producer[int] {
	return stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil }, opts...)
}

// sink keeps what it has received.
type sink struct {
	*stage.Consumer[int]
	mu  sync.Mutex
	got []int // guarded by mu
}

// newSink makes a consumer that takes pause for each batch.
func newSink(pause time.Duration, opts ...stage.ConsumerOption) *sink {
	s := &sink{}
	s.Consumer = stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		time.Sleep(pause)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.got = append(s.got, events...)
		return nil
	}, opts...)
	return s
}

func (s *sink) events() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]int(nil), s.got...)
}

// relay makes a producer-consumer that passes on what it gets, after pause for each batch.
func relay(pause time.Duration, opts ...stage.ProducerConsumerOption) *stage.ProducerConsumer[int, int] {
	return stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
		time.Sleep(pause)
		return events, nil
	}, opts...)
}

// told records the Cancellations that a hook was called with.
type told struct {
	mu  sync.Mutex
	all []stage.Cancellation // guarded by mu
}

func (l *told) add(c stage.Cancellation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, c)
}

func (l *told) list() []stage.Cancellation {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]stage.Cancellation(nil), l.all...)
}

// onGone is an option that records the subscribers that went.
func (l *told) onGone() stage.OutputOption {
	return stage.OnConsumerGone(func(_ context.Context, _ *stage.Subscription, c stage.Cancellation) error {
		l.add(c)
		return nil
	})
}

// onCancel records the subscriptions of c that ended.
func (l *told) onCancel(c *stage.Consumer[int]) {
	c.OnCancel(func(_ context.Context, _ *stage.Subscription, end stage.Cancellation) error {
		l.add(end)
		return nil
	})
}

// count counts the calls of a hook.
type count struct{ atomic.Int64 }

// onTerminate is an option that counts the ends.
func (n *count) onTerminate() stage.Option {
	return stage.OnTerminate(func(error) { n.Add(1) })
}
