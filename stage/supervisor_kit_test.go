package stage_test

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// What the tests of the consumer supervisor share.

// crew makes children that run until the test ends them, or their context ends.
type crew struct {
	mu     sync.Mutex
	work   map[int]chan error // guarded by mu: children that run, by event
	begun  map[int]int        // guarded by mu: attempts, by event
	most   int                // guarded by mu: the most that ran at once
	lowest int                // guarded by mu: the fewest that ran when one had ended
}

func newCrew() *crew { return &crew{work: map[int]chan error{}, begun: map[int]int{}, lowest: 1 << 30} }

// child is the function of the children. What it is ended with by a function, it panics or exits
// with.
func (c *crew) child(ctx context.Context, event int) error {
	end := make(chan error)
	c.mu.Lock()
	c.work[event] = end
	c.begun[event]++
	c.most = max(c.most, len(c.work))
	c.mu.Unlock()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.work[event] == end {
			delete(c.work, event)
		}
		c.lowest = min(c.lowest, len(c.work))
	}()
	select {
	case err := <-end:
		if act, ok := err.(acting); ok {
			return act.fn()
		}
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// acting is an error that has the child do something.
type acting struct{ fn func() error }

func (acting) Error() string { return "acts" }

// end ends the child of an event with err, and waits until everything that follows has happened.
func (c *crew) end(t testing.TB, event int, err error) {
	t.Helper()
	c.mu.Lock()
	end := c.work[event]
	c.mu.Unlock()
	require.NotNil(t, end, "no child runs for event %d", event)
	end <- err
	synctest.Wait()
}

// running returns the events whose children run, in order.
func (c *crew) running() []int {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Sorted(maps.Keys(c.work))
}

func (c *crew) attempts(event int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.begun[event]
}

func (c *crew) extremes() (lowest, most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lowest, c.most
}

// forget begins to measure anew.
func (c *crew) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lowest, c.most = 1<<30, 0
}

// asks is a source that remembers what it was asked for.
type asks struct {
	*stage.Producer[int]
	mu  sync.Mutex
	got []int // guarded by mu
}

// counting makes a producer of 1, 2, ... end; without end if that is 0.
func counting(end int, opts ...stage.ProducerOption) *asks {
	a := &asks{}
	next := 1
	a.Producer = stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		a.add(demand)
		var events []int
		for ; len(events) < demand && (end == 0 || next <= end); next++ {
			events = append(events, next)
		}
		if end != 0 && next > end {
			return events, stage.ErrDone
		}
		return events, nil
	}, opts...)
	return a
}

// askedOnly makes a producer that emits only what the test tells it to.
func askedOnly(opts ...stage.ProducerOption) *asks {
	a := &asks{}
	a.Producer = stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		a.add(demand)
		return nil, nil
	}, opts...)
	return a
}

func (a *asks) add(n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.got = append(a.got, n)
}

// taken returns the sum of what was asked since the last take.
func (a *asks) taken() (n int) {
	for _, ask := range a.take() {
		n += ask
	}
	return n
}

// take returns what was asked since the last take.
func (a *asks) take() []int {
	synctest.Wait()
	a.mu.Lock()
	defer a.mu.Unlock()
	got := a.got
	a.got = nil
	return got
}

func (a *asks) emit(t testing.TB, events ...int) {
	t.Helper()
	require.NoError(t, a.Do(t.Context(), func(context.Context) ([]int, error) { return events, nil }))
	synctest.Wait()
}

// letters records dead letters.
type letters struct {
	mu  sync.Mutex
	all []letter // guarded by mu
}

type letter struct {
	event, attempts int
	cause           error
}

func (l *letters) of(s *stage.ConsumerSupervisor[int]) *letters {
	s.OnDeadLetter(func(_ context.Context, event, attempts int, cause error) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, letter{event, attempts, cause})
	})
	return l
}

func (l *letters) list() []letter {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.all)
}

// balanced checks the ledger, and that of the children.
func balanced(t testing.TB, stages ...stage.Stage) {
	t.Helper()
	ledger(t, stages...)
	for _, s := range statsOf(stages) {
		c := s.Children
		require.Equal(t, c.Started, c.Active+c.Restarting+c.Ended, "%q: %+v", s.Stage, c)
		if s.Kind == "consumer-supervisor" {
			require.Equal(t, s.Input.InHand, c.Active+c.Restarting, "children are in hand: %+v", s.Input)
		}
	}
}

// list returns the events of the children that have not ended, the oldest first.
func list(s *stage.ConsumerSupervisor[int]) []int {
	events := []int{}
	for _, c := range s.Children() {
		events = append(events, c.Event)
	}
	return events
}
