package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// The rule, and the figures of the documentation: with max 20, a child ends every second.
func TestSupervisorRefill(t *testing.T) {
	for _, c := range []struct {
		min, ask, lowest int
		mean             float64
		docs             float64 // what GenStage's documentation promises as mean: half-way from min to max
	}{
		{0, 1, 19, 20, 10},
		{5, 5, 15, 18, 12.5},
		{10, 10, 10, 15.5, 15},
		{15, 15, 5, 13, 17.5},
		{19, 19, 1, 11, 19.5},
	} {
		t.Run(fmt.Sprintf("min %d", c.min), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				crew, source := newCrew(), counting(0)
				s := stage.NewConsumerSupervisor(crew.child)
				s.SubscribeTo(source, stage.MaxDemand(20), stage.MinDemand(c.min))
				run := start(t.Context(), stage.NewPipeline(source, s))
				require.Equal(t, []int{20}, source.take(), "the first ask is max")
				crew.forget()

				begin, ran := time.Now(), 0
				rounds := 20 * c.ask
				for range rounds {
					running := crew.running()
					crew.end(t, running[0], nil)
					ran += len(crew.running()) // for the next second
					time.Sleep(time.Second)
				}
				lowest, most := crew.extremes()
				mean := float64(ran) / time.Since(begin).Seconds()
				t.Logf("max 20 min %2d: asks for %2d, running %2d to %d, on average %4.1f (GenStage's docs: %2d to 20, %4.1f)",
					c.min, c.ask, lowest, most, mean, c.min, c.docs)
				require.Equal(t, c.lowest, lowest)
				require.LessOrEqual(t, most, 20)
				require.InDelta(t, c.mean, mean, 1e-9)
				for _, n := range source.take() {
					require.Equal(t, c.ask, n)
				}
				balanced(t, source, s)
				run.Abort(nil)
				require.NoError(t, ignoreShutdown(run.wait(t)))
				closed(t, source, s)
			})
		})
	}
}

func ignoreShutdown(err error) error {
	if errors.Is(err, stage.ErrShutdown) {
		return nil
	}
	return err
}

// With work of random length, no figure is exact, but the limits are.
func TestSupervisorRefillWithRandomWork(t *testing.T) {
	for _, low := range []int{0, 5, 10, 15, 19} {
		bubble(t, func(t *testing.T) {
			var running, lowest, most atomic.Int64
			var busy atomic.Int64 // nanoseconds, over all children
			lowest.Store(20)
			s := stage.NewConsumerSupervisor(func(_ context.Context, event int) error {
				if n := running.Add(1); n > most.Load() {
					most.Store(n)
				}
				d := time.Duration(rand.ExpFloat64() * float64(time.Second))
				time.Sleep(d)
				busy.Add(int64(d))
				if n := running.Add(-1); event <= 5000 && n < lowest.Load() {
					lowest.Store(n)
				}
				return nil
			})
			source := counting(6000)
			s.SubscribeTo(source, stage.MaxDemand(20), stage.MinDemand(low))
			begin := time.Now()
			require.NoError(t, stage.Run(t.Context(), source, s))
			t.Logf("max 20 min %2d, random work: running %2d to %d, on average %.1f", low, lowest.Load(), most.Load(),
				float64(busy.Load())/float64(time.Since(begin)))
			require.EqualValues(t, 20, most.Load())
			require.LessOrEqual(t, lowest.Load(), int64(20-max(low, 1)), "nothing is asked for before")
			require.EqualValues(t, 6000, s.Stats().Input.Handled)
			closed(t, source, s)
		})
	}
}

func TestSupervisorAsksWhenSoManyHaveEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		crew, source := newCrew(), counting(8)
		s := stage.NewConsumerSupervisor(crew.child)
		s.SubscribeTo(source, stage.MaxDemand(4), stage.MinDemand(2))
		run := start(t.Context(), stage.NewPipeline(source, s))
		require.Equal(t, []int{1, 2, 3, 4}, crew.running())
		require.Equal(t, []int{4}, source.take())
		crew.end(t, 1, nil)
		require.Empty(t, source.take())
		crew.end(t, 2, nil)
		require.Equal(t, []int{2}, source.take())
		require.Equal(t, []int{3, 4, 5, 6}, crew.running())
		crew.end(t, 3, nil)
		crew.end(t, 5, nil)
		require.Equal(t, []int{4, 6, 7, 8}, list(s))
		balanced(t, source, s)
		for _, event := range []int{8, 7, 6, 4} {
			require.True(t, run.running(), "it completes when its children have ended")
			crew.end(t, event, nil)
		}
		require.NoError(t, run.wait(t))
		require.Equal(t, stage.ChildCounts{Started: 8, Ended: 8}, s.Counts())
		require.EqualValues(t, 8, s.Stats().Input.Handled)
		closed(t, source, s)
	})
}

func TestSupervisorDefaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		crew, source := newCrew(), askedOnly()
		s := stage.NewConsumerSupervisor(crew.child)
		s.SubscribeTo(source)
		run := start(t.Context(), stage.NewPipeline(source, s))
		require.Equal(t, []int{1000}, source.take())
		source.emit(t, 1, 2, 3)
		crew.end(t, 2, nil)
		require.Equal(t, []int{1}, source.take(), "min is 0: each end asks")
		require.False(t, s.Stats().Upstreams[0].Manual)
		abortAll(t, run)
		closed(t, source, s)
	})
}

// A limit is that of one subscription.
func TestSupervisorWithSeveralProducers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		crew := newCrew()
		s := stage.NewConsumerSupervisor(crew.child)
		sources := make([]*asks, 3)
		stages := []stage.Stage{s}
		for i := range sources {
			sources[i] = askedOnly()
			s.SubscribeTo(sources[i], stage.MaxDemand(20), stage.MinDemand(2*i))
			stages = append(stages, sources[i])
		}
		run := start(t.Context(), stage.NewPipeline(stages...))
		for i, source := range sources {
			require.Equal(t, []int{20}, source.take())
			var events []int
			for e := range 30 {
				events = append(events, 100*i+e)
			}
			source.emit(t, events...)
		}
		require.Len(t, crew.running(), 60)
		for _, event := range []int{0, 100, 200} {
			crew.end(t, event, nil)
		}
		require.Len(t, crew.running(), 58, "one buffered event has come: that of the producer with min 0")
		crew.end(t, 101, nil)
		require.Len(t, crew.running(), 59, "two of the second producer")
		balanced(t, stages...)
		abortAll(t, run)
		closed(t, stages...)
	})
}

// B11: a child that restarts keeps its slot.
func TestSupervisorRestartKeepsTheSlot(t *testing.T) {
	for _, pause := range []time.Duration{0, time.Second} {
		bubble(t, func(t *testing.T) {
			crew, source := newCrew(), counting(0)
			opts := []stage.ConsumerSupervisorOption{stage.Restart(stage.RestartTransient)}
			if pause > 0 {
				opts = append(opts, stage.Backoff(pause, pause))
			}
			s := stage.NewConsumerSupervisor(crew.child, opts...)
			s.SubscribeTo(source, stage.MaxDemand(2))
			run := start(t.Context(), stage.NewPipeline(source, s))
			require.Equal(t, []int{2}, source.take())
			for restarts := 1; restarts <= 2; restarts++ {
				crew.end(t, 1, errBoom)
				if pause > 0 {
					require.Equal(t, []int{2}, crew.running())
					require.Equal(t, stage.ChildCounts{Active: 1, Restarting: 1, Started: 2}, s.Counts())
					child := s.Children()[0]
					require.True(t, child.Restarting)
					require.Equal(t, restarts, child.Restarts)
					require.EqualValues(t, 2, s.Stats().Input.InHand)
					balanced(t, source, s)
					time.Sleep(pause)
				}
				require.Equal(t, []int{1, 2}, crew.running())
				require.Empty(t, source.take(), "a restart asks nothing")
				require.Equal(t, stage.ChildCounts{Active: 2, Started: 2}, s.Counts())
			}
			_, most := crew.extremes()
			require.Equal(t, 2, most)
			require.Equal(t, 3, crew.attempts(1))
			crew.end(t, 1, nil)
			require.Equal(t, []int{1}, source.take())
			require.Equal(t, []int{2, 3}, crew.running())
			balanced(t, source, s)
			abortAll(t, run)
			closed(t, source, s)
		})
	}
}

// What its own code does by hand, others must not.
func TestSupervisorsSubscriptionIsItsOwn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var sub *stage.Subscription
		crew, source := newCrew(), askedOnly()
		s := stage.NewConsumerSupervisor(crew.child, stage.OnSubscribe(func(_ context.Context, got *stage.Subscription) error {
			sub = got
			return nil
		}))
		s.SubscribeTo(source, stage.MaxDemand(2))
		run := start(t.Context(), stage.NewPipeline(source, s))
		source.emit(t, 1)
		require.ErrorIs(t, sub.Ask(1), stage.ErrNotManual)
		require.ErrorIs(t, sub.Next(1), stage.ErrNotManual)
		require.ErrorIs(t, sub.Hold(1), stage.ErrInvalidHold)
		require.ErrorIs(t, sub.Release(1), stage.ErrInvalidHold)
		require.Equal(t, []int{2}, source.take())
		require.NoError(t, sub.Do(t.Context(), func(context.Context) error { return nil }))
		require.EqualValues(t, 1, s.Stats().Upstreams[0].Held)
		abortAll(t, run)
		closed(t, source, s)
	})
}

func TestSupervisorOptionsOutOfRange(t *testing.T) {
	nop := func(context.Context, int) error { return nil }
	for name, opt := range map[string]stage.ConsumerSupervisorOption{
		"restart":       stage.Restart(99),
		"restarts":      stage.MaxRestarts(-1, time.Second),
		"within":        stage.MaxRestarts(1, 0),
		"attempts":      stage.MaxAttempts(0),
		"temporary":     stage.MaxAttempts(3),
		"first pause":   stage.Backoff(0, time.Second),
		"longest pause": stage.Backoff(time.Second, time.Millisecond),
		"name":          stage.Name(""),
		"nil":           nil,
		"nil hook":      stage.OnInit(nil),
	} {
		require.ErrorIs(t, stage.NewConsumerSupervisor(nop, opt).Run(t.Context()), stage.ErrInvalidOption, name)
	}
	for name, opt := range map[string]stage.SubscribeOption{
		"max 0": stage.MaxDemand(0), "min -1": stage.MinDemand(-1), "min max": stage.MinDemand(1000),
		"manual": stage.Manual(), "nil": nil, "mode": stage.Cancel(99),
	} {
		bubble(t, func(t *testing.T) {
			source := askedOnly()
			s := stage.NewConsumerSupervisor(nop)
			running := start(t.Context(), s)
			go func() { _ = source.Run(t.Context()) }()
			synctest.Wait()
			_, err := s.Subscribe(t.Context(), source, opt)
			require.ErrorIs(t, err, stage.ErrInvalidOption, name)
			abortAll(t, running)
			source.Abort(nil)
			s.SubscribeTo(source, opt)
			require.ErrorIs(t, s.Run(t.Context()), stage.ErrInvalidOption, name)
			require.Contains(t, s.Run(t.Context()).Error(), "supervisor_demand_test.go")
		})
	}
	require.Panics(t, func() { stage.NewConsumerSupervisor[int](nil) })
	require.Panics(t, func() { stage.StartWith[int](nil) })
	require.Contains(t, stage.NewConsumerSupervisor(nop).Name(), "consumer-supervisor supervisor_demand_test.go:")
	require.Contains(t, stage.StartWith(func(context.Context, int) (func(context.Context) error, error) { return nil, nil }).Name(),
		"consumer-supervisor supervisor_demand_test.go:")
}
