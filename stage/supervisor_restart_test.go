package stage_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// T40: failures at these seconds, with 3 restarts allowed within 5 s.
func TestSupervisorIntensityIsExact(t *testing.T) {
	testkit.Report(t, "T40", 8)
	const s = time.Second
	for _, c := range []struct {
		name     string
		at       []time.Duration
		survives int // failures that it survives
		opts     []stage.ConsumerSupervisorOption
	}{
		{"0 1 2 3", []time.Duration{0, 1 * s, 2 * s, 3 * s}, 3, nil},
		{"0 2 4 6", []time.Duration{0, 2 * s, 4 * s, 6 * s}, 4, nil},
		{"at the end of the span", []time.Duration{0, 1 * s, 2 * s, 5 * s}, 3, nil},
		{"just behind it", []time.Duration{0, 1 * s, 2 * s, 5*s + 1}, 4, nil},
		{"it moves", []time.Duration{0, 3 * s, 4 * s, 6 * s, 7 * s, 8 * s}, 4, nil},
		{"all at once", []time.Duration{0, 0, 0, 0}, 3, nil},
		{"none allowed", []time.Duration{0}, 0, []stage.ConsumerSupervisorOption{stage.MaxRestarts(0, s)}},
		{"1 in 1 ns", []time.Duration{0, 2, 4, 6, 6}, 4, []stage.ConsumerSupervisorOption{stage.MaxRestarts(1, 1)}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				crew, source := newCrew(), askedOnly()
				sup := stage.NewConsumerSupervisor(crew.child, append(c.opts, stage.Restart(stage.RestartTransient), stage.Name("crew"))...)
				sup.SubscribeTo(source, stage.MaxDemand(2))
				up := start(t.Context(), source)
				run := start(t.Context(), sup)
				source.emit(t, 1, 2)
				require.Equal(t, []int{2}, source.take())
				begin := time.Now()
				for i, at := range c.at {
					time.Sleep(at - time.Since(begin))
					crew.end(t, 1+i%2, errBoom) // it is counted over all children
					if i == c.survives {
						break
					}
					require.Equal(t, []int{1, 2}, crew.running(), "after failure %d", i+1)
				}
				if c.survives == len(c.at) {
					require.True(t, run.running())
					run.Abort(errBoom)
				}
				err := run.wait(t)
				in := sup.Stats().Input
				if c.survives < len(c.at) {
					require.ErrorIs(t, err, stage.ErrIntensity)
					require.NotErrorIs(t, err, stage.ErrShutdown, "it is a failure")
					require.ErrorIs(t, err, errBoom, "the last cause")
					require.Contains(t, err.Error(), fmt.Sprintf("child %d", 1+c.survives%2))
					require.EqualValues(t, 1, in.Failed)
					require.EqualValues(t, 1, in.Lost, "the other one")
					require.Equal(t, []int{1}, source.take(), "the last straw has ended, and asks; so does GenStage")
					named := new(stage.Error)
					require.ErrorAs(t, err, &named)
					require.Equal(t, "crew", named.Stage)
				}
				abortAll(t, up)
				closed(t, source, sup)
			})
		})
	}
}

// No panic is a clean end: neither that of a child nor, by it, that of the supervisor.
func TestSupervisorPanicsWithACleanError(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice([]int{1})
		s := stage.NewConsumerSupervisor(func(context.Context, int) error { panic(stage.ErrShutdown) }, stage.Restart(stage.RestartTransient))
		s.SubscribeTo(source)
		require.ErrorIs(t, stage.Run(t.Context(), source, s), stage.ErrIntensity, "a clean end would be nil")
		c := stage.ForEach(func(context.Context, int) error { panic(stage.ErrShutdown) })
		c.SubscribeTo(source)
		var panicked *stage.PanicError
		require.ErrorAs(t, stage.Run(t.Context(), source, c), &panicked)
		closed(t, source, s)
	})
}

// T22: a poison event among 10,000.
func TestSupervisorMaxAttempts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		attempts, done := map[int]int{}, map[int]int{}
		source := stage.FromSlice(upTo(10_000))
		s := stage.NewConsumerSupervisor(func(_ context.Context, event int) error {
			mu.Lock()
			defer mu.Unlock()
			attempts[event]++
			switch {
			case event == 666:
				panic("poison")
			case event%100 == 1 && attempts[event] < 3:
				return errBoom // recovers
			}
			done[event]++
			return nil
		}, stage.Restart(stage.RestartTransient), stage.MaxAttempts(3))
		dead := new(letters).of(s)
		s.SubscribeTo(source, stage.MaxDemand(50))
		require.NoError(t, stage.Run(t.Context(), source, s), "the supervisor is alive to the end")
		require.Len(t, done, 9_999)
		for event, n := range done {
			require.Equal(t, 1, n, "event %d", event)
		}
		require.Len(t, dead.list(), 1)
		require.Equal(t, 666, dead.list()[0].event)
		require.Equal(t, 3, dead.list()[0].attempts)
		require.Equal(t, 3, attempts[666])
		in := s.Stats().Input
		require.Equal(t, [3]int64{10_000, 9_999, 1}, [3]int64{in.Received, in.Handled, in.Failed})
		require.Equal(t, stage.ChildCounts{Started: 10_000, Ended: 10_000}, s.Counts())
		closed(t, source, s)
	})
	testkit.Report(t, "T22", 10_000)
}

func TestSupervisorOneAttempt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(100))
		s := stage.NewConsumerSupervisor(func(context.Context, int) error { return errBoom },
			stage.MaxAttempts(1), stage.Restart(stage.RestartTransient))
		dead := new(letters).of(s)
		s.SubscribeTo(source)
		require.NoError(t, stage.Run(t.Context(), source, s))
		require.Len(t, dead.list(), 100)
		closed(t, source, s)
	})
}

// An outage does not use up the attempts of everyone.
func TestSupervisorMaxAttemptsAndMaxRestarts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(1000))
		s := stage.NewConsumerSupervisor(func(context.Context, int) error { return errBoom },
			stage.MaxAttempts(5), stage.MaxRestarts(20, time.Minute), stage.Restart(stage.RestartTransient))
		dead := new(letters).of(s)
		s.SubscribeTo(source, stage.MaxDemand(100))
		require.ErrorIs(t, stage.Run(t.Context(), source, s), stage.ErrIntensity)
		require.Less(t, len(dead.list()), 10)
		closed(t, source, s)
	})
}

// A start that fails when a child is started again is tried again, and each try counts.
func TestSupervisorStartFailsOnRestart(t *testing.T) {
	for _, c := range []struct {
		flaky int // starts that fail before one succeeds
		opts  []stage.ConsumerSupervisorOption
		ok    bool
	}{
		{2, nil, true},  // 3 restarts: one for the child's failure, two for those of its start
		{3, nil, false}, // one too many
		{3, []stage.ConsumerSupervisorOption{stage.MaxAttempts(5)}, true},
		{9, []stage.ConsumerSupervisorOption{stage.MaxAttempts(5)}, true}, // a dead letter
		{2, []stage.ConsumerSupervisorOption{stage.Backoff(time.Second, time.Minute)}, true},
	} {
		bubble(t, func(t *testing.T) {
			crew, source := newCrew(), askedOnly()
			starts := 0
			s := stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
				starts++
				if starts > 1 && starts <= 1+c.flaky {
					if starts == 3 {
						panic("flaky")
					}
					return nil, errBoom
				}
				return func(ctx context.Context) error { return crew.child(ctx, event) }, nil
			}, append(c.opts, stage.Restart(stage.RestartTransient))...)
			dead := new(letters).of(s)
			s.SubscribeTo(source, stage.MaxDemand(1))
			run := start(t.Context(), stage.NewPipeline(source, s))
			source.emit(t, 1)
			source.take()
			crew.end(t, 1, errBoom)
			if len(c.opts) == 1 && c.flaky == 2 {
				require.Equal(t, stage.ChildCounts{Restarting: 1, Started: 1}, s.Counts())
				time.Sleep(time.Minute)
			}
			switch {
			case !c.ok:
				require.ErrorIs(t, run.wait(t), stage.ErrIntensity)
			case c.flaky == 9:
				require.Empty(t, crew.running())
				require.Len(t, dead.list(), 1)
				require.Equal(t, 5, dead.list()[0].attempts)
				require.Equal(t, 5, starts)
				require.Equal(t, []int{1}, source.take())
			default:
				require.Equal(t, []int{1}, crew.running())
				require.Equal(t, stage.ChildCounts{Active: 1, Started: 1}, s.Counts())
				require.Equal(t, 1+c.flaky, s.Children()[0].Restarts)
				require.Empty(t, source.take(), "it kept its slot")
			}
			balanced(t, source, s)
			abortAll(t, run)
			closed(t, source, s)
		})
	}
}

// It may decline when it is started again, too.
func TestSupervisorDeclinesOnRestart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice([]int{1})
		starts := 0
		s := stage.StartWith(func(context.Context, int) (func(context.Context) error, error) {
			if starts++; starts == 2 {
				return nil, nil
			}
			return func(context.Context) error { return errBoom }, nil
		}, stage.Restart(stage.RestartTransient))
		s.SubscribeTo(source)
		require.NoError(t, stage.Run(t.Context(), source, s))
		require.EqualValues(t, 1, s.Stats().Input.Handled)
		closed(t, source, s)
	})
}

// The pauses double from first to longest, less a random part of up to half.
func TestSupervisorBackoff(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var at []time.Time
		source := stage.FromSlice([]int{1})
		s := stage.NewConsumerSupervisor(func(context.Context, int) error {
			at = append(at, time.Now())
			return errBoom
		}, stage.Restart(stage.RestartTransient), stage.MaxAttempts(8), stage.Backoff(time.Second, 10*time.Second))
		new(letters).of(s)
		s.SubscribeTo(source)
		require.NoError(t, stage.Run(t.Context(), source, s))
		require.Len(t, at, 8)
		for i, longest := range []time.Duration{1, 2, 4, 8, 10, 10, 10} {
			pause := at[i+1].Sub(at[i])
			require.LessOrEqual(t, pause, longest*time.Second)
			require.GreaterOrEqual(t, pause, longest*time.Second/2)
		}
		closed(t, source, s)
	})
}

// T41: what fails together does not come back together.
func TestSupervisorBackoffSpreads(t *testing.T) {
	testkit.Report(t, "T41", 1000)
	bubble(t, func(t *testing.T) {
		var mu sync.Mutex
		again := map[int64]int{} // restarts per 100 ms
		begin := time.Now()
		failed := map[int]bool{}
		source := stage.FromSlice(upTo(1000))
		s := stage.NewConsumerSupervisor(func(_ context.Context, event int) error {
			mu.Lock()
			defer mu.Unlock()
			if !failed[event] {
				failed[event] = true
				return errBoom
			}
			again[time.Since(begin).Milliseconds()/100]++
			return nil
		}, stage.Restart(stage.RestartTransient), stage.MaxAttempts(3), stage.Backoff(10*time.Second, time.Minute))
		s.SubscribeTo(source)
		require.NoError(t, stage.Run(t.Context(), source, s))
		most := 0
		for at, n := range again {
			require.GreaterOrEqual(t, at, int64(50))
			require.LessOrEqual(t, at, int64(100))
			most = max(most, n)
		}
		t.Logf("1,000 restarts within 5 s: at most %d in 100 ms", most)
		require.Less(t, most, 60, "20 is even")
		closed(t, source, s)
	})
}

// Very long pauses do not overflow, and an end does not wait for them.
func TestSupervisorEndsInAPause(t *testing.T) {
	for _, abort := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			crew, source := newCrew(), askedOnly()
			s := stage.NewConsumerSupervisor(crew.child, stage.Restart(stage.RestartTransient),
				stage.MaxAttempts(1000), stage.Backoff(1<<62, 1<<63-1))
			s.SubscribeTo(source)
			run := start(t.Context(), stage.NewPipeline(source, s))
			source.emit(t, 1)
			crew.end(t, 1, errBoom)
			require.Equal(t, stage.ChildCounts{Restarting: 1, Started: 1}, s.Counts())
			begin := time.Now()
			if abort {
				run.Abort(stage.ErrKilled)
				require.ErrorIs(t, run.wait(t), stage.ErrKilled)
				require.Zero(t, time.Since(begin))
			} else { // Stop waits, restarts included
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				var left *stage.StopError
				require.ErrorAs(t, run.Stop(ctx), &left)
				require.EqualValues(t, 1, left.Left[0].InHand, "the producer has ended")
				require.Empty(t, left.Stuck, "nothing has not returned")
				_ = run.wait(t)
				require.Equal(t, time.Minute, time.Since(begin))
			}
			require.EqualValues(t, 1, s.Stats().Input.Lost)
			closed(t, source, s)
		})
	}
}

// A storm of failures leaves the mailbox open: Stop and Abort get in.
func TestSupervisorRestartStormCanBeAborted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(10))
		s := stage.NewConsumerSupervisor(func(context.Context, int) error { return errBoom },
			stage.Restart(stage.RestartTransient), stage.MaxRestarts(1<<20, time.Hour))
		s.SubscribeTo(source)
		result := make(chan error, 1)
		go func() { result <- stage.Run(t.Context(), source, s) }()
		for s.Counts().Started < 10 {
			time.Sleep(0)
		}
		s.Abort(stage.ErrKilled)
		err := <-result
		require.True(t, errors.Is(err, stage.ErrKilled) || errors.Is(err, stage.ErrIntensity), err)
		synctest.Wait()
		closed(t, source, s)
	})
}
