package stage_test

import (
	"context"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// B21, T42: what fails while Stop drains is not started again, and Stop says so.
func TestSupervisorStopStartsNothing(t *testing.T) {
	testkit.Report(t, "T42", 1)
	bubble(t, func(t *testing.T) {
		var d diary
		sup := stage.NewSupervisor(quiet)
		source := endless(stage.Name("s"), d.onInit("s"))
		crash := make(chan struct{})
		sink := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
			<-crash
			return errBoom
		}, stage.Name("c"), d.onInit("c"))
		sink.SubscribeTo(source, stage.MaxDemand(10))
		sup.Add(source)
		sup.Add(sink)
		run := start(t.Context(), sup)
		stopped := make(chan error, 1)
		go func() { stopped <- sup.Stop(t.Context()) }() // ends with the run
		synctest.Wait()
		d.take()
		close(crash)
		var left *stage.StopError
		require.ErrorAs(t, <-stopped, &left)
		require.ErrorIs(t, left, errBoom)
		require.ErrorIs(t, run.wait(t), errBoom)
		require.Empty(t, d.take(), "no start after Stop began")
		require.Zero(t, sup.Stats().Restarts)
		closed(t, sup)
	})
}

// A part of a pipeline has ended while the pipeline goes on: at Stop it is known that the part will not run again, and
// its producer is not kept for it (R2), which another part waits for.
func TestSupervisorStopWhileAPartOfAPipelineHasEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup := stage.NewSupervisor(quiet, stage.OneForOne)
		source := endless()
		middle := relay(0)
		middle.SubscribeTo(source, stage.MaxDemand(10))
		first := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return stage.ErrDone })
		first.SubscribeTo(middle, stage.MaxDemand(4), stage.MinDemand(0))
		stays := newSink(time.Second)
		stays.SubscribeTo(source, stage.MaxDemand(4))
		sup.Add(source)
		sup.Add(middle)
		sup.Add(stage.NewPipeline(first, stays), stage.Restart(stage.RestartPermanent))
		run := start(t.Context(), sup)
		time.Sleep(time.Minute)
		require.False(t, first.Stats().Running)
		require.True(t, middle.Stats().Running, "it waits for the pipeline's next run")
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, sup.Stop(ctx))
		require.NoError(t, run.wait(t))
		closed(t, sup)
	})
}

// A member that is always started again has completed once, and its consumer lives on without it: at Stop nobody will take
// what it has received meanwhile, and it is ended (R2) instead of waiting for the deadline.
func TestSupervisorStopOfAMemberWhoseConsumersHaveSeenItComplete(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup := stage.NewSupervisor(quiet, stage.OneForOne)
		source, middle, sink := endless(), relay(0), newSink(time.Second)
		middle.SubscribeTo(source, stage.MaxDemand(10))
		sink.SubscribeTo(middle, stage.MaxDemand(4))
		sink.SubscribeTo(source, stage.MaxDemand(4))
		sup.Add(source)
		sup.Add(middle, stage.Restart(stage.RestartPermanent))
		sup.Add(sink)
		run := start(t.Context(), sup)
		require.NoError(t, middle.Do(t.Context(), func(context.Context) ([]int, error) { return nil, stage.ErrDone }))
		time.Sleep(time.Minute)
		require.Equal(t, 2, middle.Stats().Runs)
		require.True(t, middle.Stats().Running, "it waits for somebody to subscribe")
		require.EqualValues(t, 10, middle.Stats().Input.Queued)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, sup.Stop(ctx))
		require.NoError(t, run.wait(t))
		closed(t, sup)
	})
}

// The same of a queue, whose only consumer is not started again with the others.
func TestSupervisorStopOfAQueueThatHasLostItsConsumer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup := stage.NewSupervisor(quiet, stage.OneForAll)
		queue, sink, other := stage.NewQueue[int](10), newSink(0), endless()
		sink.SubscribeTo(queue)
		sup.Add(queue, stage.Restart(stage.RestartPermanent))
		sup.Add(sink, stage.Restart(stage.RestartTemporary))
		sup.Add(other)
		run := start(t.Context(), sup)
		other.Abort(errBoom)
		synctest.Wait()
		require.Equal(t, 2, queue.Stats().Runs)
		require.False(t, sink.Stats().Running)
		require.NoError(t, queue.TryPush(1, 2))
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		require.NoError(t, sup.Stop(ctx))
		require.NoError(t, run.wait(t))
		require.EqualValues(t, 2, queue.Stats().Output.Lost)
		closed(t, sup)
	})
}

// A member shuts down in the first start. The others have not begun: they end with that, and not as if all were done.
func TestSupervisorStartOfAMemberThatIsShutDown(t *testing.T) {
	for name, keep := range map[string]func(queue, sink stage.Stage) stage.Stage{
		"a pipeline": func(queue, sink stage.Stage) stage.Stage { return stage.NewPipeline(queue, sink) },
		"a supervisor": func(queue, sink stage.Stage) stage.Stage {
			sup := stage.NewSupervisor(quiet)
			sup.Add(queue)
			sup.Add(sink)
			return sup
		},
		"a pipeline in a supervisor": func(queue, sink stage.Stage) stage.Stage {
			sup := stage.NewSupervisor(quiet)
			sup.Add(queue)
			sup.Add(stage.NewPipeline(sink))
			return sup
		},
		"a supervisor in a supervisor": func(queue, sink stage.Stage) stage.Stage {
			inner, sup := stage.NewSupervisor(quiet), stage.NewSupervisor(quiet)
			inner.Add(sink)
			sup.Add(queue)
			sup.Add(inner)
			return sup
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				queue := stage.NewQueue[int](10)
				sink := newSink(0, stage.OnInit(func(context.Context) error { return stage.ErrShutdown }))
				sink.SubscribeTo(queue)
				require.NoError(t, queue.TryPush(1, 2))
				run := start(t.Context(), keep(queue, sink))
				require.ErrorIs(t, run.wait(t), stage.ErrShutdown)
				require.ErrorIs(t, queue.Stats().Err, stage.ErrShutdown)
				require.EqualValues(t, 2, queue.Stats().Output.Lost)
				closed(t, queue, sink)
			})
		})
	}
}

// B36: Stop during a pause returns at once.
func TestSupervisorStopDuringAPause(t *testing.T) {
	for _, strategy := range []stage.Strategy{stage.RestForOne, stage.OneForOne, stage.OneForAll} {
		bubble(t, func(t *testing.T) {
			var d diary
			sup := stage.NewSupervisor(strategy, quiet, stage.Backoff(time.Hour, time.Hour))
			members := d.members(sup, 3)
			run := start(t.Context(), sup)
			fail(t, members[1])
			d.take()
			began := time.Now()
			err := sup.Stop(t.Context())
			require.ErrorIs(t, err, errBoom, "its restart was given up")
			require.ErrorIs(t, run.wait(t), errBoom)
			require.Zero(t, time.Since(began))
			require.NotContains(t, d.take(), "+")
			require.NoError(t, sup.Stop(t.Context()))

			run = start(t.Context(), sup)
			fail(t, members[2])
			d.take()
			sup.Abort(nil)
			require.ErrorIs(t, run.wait(t), stage.ErrShutdown, "an Abort asks for nothing more")
			require.NotContains(t, d.take(), "+")
		})
	}
}

// Stop while OnInit of a restart runs: nothing behind it is started.
func TestSupervisorStopDuringARestart(t *testing.T) {
	testkit.Report(t, "T42", 3)
	for _, strategy := range []stage.Strategy{stage.RestForOne, stage.OneForOne, stage.OneForAll} {
		bubble(t, func(t *testing.T) {
			var d diary
			var slow atomic.Bool
			sup := stage.NewSupervisor(strategy, quiet)
			a := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
				stage.OnInit(func(ctx context.Context) error {
					if slow.Load() {
						time.Sleep(time.Minute)
					}
					return nil
				}))
			sup.Add(a)
			b := d.members(sup, 1)[0]
			run := start(t.Context(), sup)
			slow.Store(true)
			fail(t, a)
			d.take()
			err := sup.Stop(t.Context())
			if strategy == stage.OneForOne {
				require.NoError(t, err, "a was started again")
			}
			_ = run.wait(t)
			require.NotContains(t, d.take(), "+")
			closed(t, sup)
			_ = b
		})
	}
}

// A deadline of Stop that passes aborts what is left, and names it.
func TestSupervisorStopHasADeadline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup := stage.NewSupervisor(quiet)
		source, sink := endless(), newSink(3*time.Second, stage.Name("slow"))
		sink.SubscribeTo(source)
		sup.Add(source)
		sup.Add(sink)
		run := start(t.Context(), sup)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var left *stage.StopError
		require.ErrorAs(t, sup.Stop(ctx), &left)
		require.ErrorIs(t, left, context.DeadlineExceeded)
		require.Equal(t, []stage.Stuck{{Stage: "slow", Callback: "events"}}, left.Stuck)
		require.Error(t, run.wait(t))
		closed(t, sup)
	})
}

// The end of the context of Run ends all, and starts nothing.
func TestSupervisorContextEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var d diary
		ctx, cancel := context.WithCancelCause(t.Context())
		sup := stage.NewSupervisor(quiet)
		d.members(sup, 3, stage.Restart(stage.RestartPermanent))
		run := start(ctx, sup)
		d.take()
		cancel(errBoom)
		require.ErrorIs(t, run.wait(t), errBoom)
		require.NotContains(t, d.take(), "+")
		closed(t, sup)
	})
}

// B37, B38: Run, Stop and Abort at any moment, with members that fail at any moment: no hang, and when Stop or Run
// has returned, no callback runs.
func TestSupervisorRunAndStopStorm(t *testing.T) {
	t.Parallel() // one of the longest
	seeds := testkit.Rounds(3000, 60_000)
	testkit.Report(t, "T42", seeds)
	for seed := range uint64(seeds) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 37))
			var inside atomic.Int64
			sup := stage.NewSupervisor(stage.Strategy(random.IntN(3)), quiet, stage.MaxRestarts(random.IntN(20), time.Second))
			if random.IntN(2) == 0 {
				sup = stage.NewSupervisor(stage.Strategy(random.IntN(3)), quiet, stage.Backoff(time.Millisecond, time.Second))
			}
			faulty := rand.New(rand.NewPCG(seed, 38)) // its stages run one callback at a time each, but not one after the other
			odds := make(chan int, 1)
			odds <- 0
			callback := func() error {
				inside.Add(1)
				defer inside.Add(-1)
				<-odds
				n := faulty.IntN(40)
				odds <- 0
				time.Sleep(time.Duration(n) * 100 * time.Microsecond)
				if n == 7 {
					return errBoom
				}
				return nil
			}
			source := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
				return make([]int, demand), callback()
			}, stage.OnInit(func(context.Context) error { return callback() }))
			middle := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
				return events, callback()
			})
			sink := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return callback() },
				stage.OnTerminate(func(error) { _ = callback() }))
			middle.SubscribeTo(source, stage.MaxDemand(1+random.IntN(10)), stage.Cancel(stage.CancelMode(random.IntN(3))))
			sink.SubscribeTo(middle, stage.MaxDemand(1+random.IntN(10)), stage.Cancel(stage.CancelMode(random.IntN(3))))
			for _, s := range []stage.Stage{source, middle, sink} {
				sup.Add(s, stage.Restart(stage.RestartMode(random.IntN(3))))
			}
			for range 3 {
				run := start(t.Context(), sup)
				time.Sleep(time.Duration(random.IntN(30000)) * time.Microsecond)
				switch random.IntN(3) {
				case 0:
					ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
					_ = sup.Stop(ctx)
					require.NoError(t, ctx.Err(), "seed %d: Stop hangs: %+v", seed, before(sup))
					cancel()
				case 1:
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(5))*time.Millisecond)
					_ = sup.Stop(ctx)
					cancel()
					_ = run.wait(t)
				default:
					sup.Abort(nil)
					_ = run.wait(t)
				}
				require.Zero(t, inside.Load(), "seed %d: a callback runs", seed)
				_ = run.wait(t)
				require.False(t, sup.Stats().Running)
				for _, m := range sup.Stats().Members {
					require.False(t, m.Running, "seed %d", seed)
				}
				ledger(t, sup)
			}
		})
	}
}

func before(s stage.Stage) stage.Stats { return s.Stats() }
