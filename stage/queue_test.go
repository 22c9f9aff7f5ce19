package stage_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestQueueDeliversInOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](3)
		c := collect(q, stage.MaxDemand(2))
		run := start(t.Context(), stage.NewPipeline(q, c))
		for i := range 100 {
			require.NoError(t, q.Push(t.Context(), i))
		}
		synctest.Wait()
		require.Equal(t, upTo(100), c.events())
		require.True(t, run.running(), "it waits for Close")
		q.Close()
		q.Close()
		require.NoError(t, run.wait(t))
		require.ErrorIs(t, q.Push(t.Context(), 1), stage.ErrEnded)
		require.ErrorIs(t, q.TryPush(1), stage.ErrEnded)
		closed(t, q, c)
	})
}

func TestQueueBlocksWhileItIsFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](3)
		require.NoError(t, q.TryPush(0, 1))
		require.ErrorIs(t, q.TryPush(2, 3), stage.ErrFull, "all or none")
		require.NoError(t, q.Push(t.Context(), 2))
		require.ErrorIs(t, q.TryPush(3), stage.ErrFull)
		require.NoError(t, q.TryPush())
		require.NoError(t, q.Push(t.Context()))
		require.Equal(t, 3, q.Len())
		require.EqualValues(t, 3, q.Stats().Output.Buffered, "what is pushed before the run is shown")

		pushed := make(chan error)
		go func() { pushed <- q.Push(t.Context(), 3) }()
		synctest.Wait()
		require.Equal(t, 3, q.Len())

		var sub *stage.Subscription
		var got []int
		c := stage.ForEach(func(_ context.Context, event int) error { got = append(got, event); return nil },
			stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub = s; return nil }))
		c.SubscribeTo(q, stage.Manual())
		run := start(t.Context(), stage.NewPipeline(q, c))
		require.EqualValues(t, 3, q.Stats().Output.Buffered)
		ledger(t, q, c)

		require.NoError(t, sub.Ask(1))
		require.NoError(t, <-pushed)
		synctest.Wait()
		require.Equal(t, upTo(1), got)
		require.Equal(t, 3, q.Len())
		ledger(t, q, c)

		require.NoError(t, sub.Ask(5))
		synctest.Wait()
		require.Equal(t, upTo(4), got)
		require.Zero(t, q.Len())
		require.NoError(t, q.Push(t.Context(), 4, 5, 6))
		synctest.Wait()
		require.Equal(t, upTo(6), got, "what is still asked for goes out at once")
		require.Equal(t, 1, q.Len())
		q.Close()
		require.ErrorIs(t, q.Push(t.Context(), 7), stage.ErrEnded)
		require.True(t, run.running(), "what is in it is delivered first")
		require.NoError(t, sub.Ask(1))
		require.NoError(t, run.wait(t))
		require.Equal(t, upTo(7), got)
		closed(t, q, c)
	})
}

func TestPushTakesAllOrNone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](3)
		require.NoError(t, q.Push(t.Context(), 0, 1))
		ctx, cancel := context.WithCancelCause(t.Context())
		failed := make(chan error, 2)
		go func() { failed <- q.Push(ctx, 2, 3) }()
		synctest.Wait()
		later := make(chan error, 1)
		go func() { later <- q.Push(t.Context(), 2) }()
		synctest.Wait()
		require.Empty(t, later, "calls that wait are served in order")
		require.ErrorIs(t, q.TryPush(9), stage.ErrFull, "nobody overtakes")
		cancel(errBoom)
		err := <-failed
		require.ErrorIs(t, err, errBoom)
		var push *stage.PushError
		require.ErrorAs(t, err, &push)
		require.Zero(t, push.Taken)
		require.NoError(t, <-later, "the one behind it fits")
		require.Equal(t, 3, q.Len())

		// More than the queue holds goes in by pieces.
		require.ErrorIs(t, q.Push(ctx, 9), errBoom, "a context that has ended takes nothing")
		ctx, cancel = context.WithCancelCause(t.Context())
		go func() { failed <- q.Push(ctx, 3, 4, 5, 6, 7, 8, 9) }()
		c := stage.ForEach(func(_ context.Context, event int) error {
			if event == 5 {
				time.Sleep(time.Minute)
			}
			return nil
		})
		c.SubscribeTo(q, stage.MaxDemand(1))
		run := start(t.Context(), stage.NewPipeline(q, c))
		require.Equal(t, 3, q.Len()) // 0 to 5 are out, 6 to 8 in
		cancel(errBoom)
		require.ErrorAs(t, <-failed, &push)
		require.ErrorIs(t, push, errBoom)
		require.Equal(t, 6, push.Taken)
		q.Close()
		require.NoError(t, run.wait(t))
		require.EqualValues(t, 9, q.Stats().Output.Dispatched)
		closed(t, q, c)
	})
}

func TestPushesThatWaitEndWithTheQueue(t *testing.T) {
	for name, end := range map[string]func(*stage.Queue[int]){
		"close": (*stage.Queue[int]).Close,
		"abort": func(q *stage.Queue[int]) { q.Abort(errBoom) },
		"stop":  func(q *stage.Queue[int]) { go q.Stop(context.Background()) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				q := stage.NewQueue[int](2)
				run := start(t.Context(), q)
				results := make(chan error, 3)
				go func() { results <- q.Push(t.Context(), 1, 2, 3, 4, 5) }()
				synctest.Wait()
				go func() { results <- q.Push(t.Context(), 1) }()
				go func() { results <- q.Push(t.Context(), 1, 2) }()
				synctest.Wait()
				end(q)
				synctest.Wait()
				taken := 0
				for range 3 {
					err := <-results
					require.ErrorIs(t, err, stage.ErrEnded)
					var push *stage.PushError
					require.ErrorAs(t, err, &push)
					taken += push.Taken
				}
				require.Equal(t, 2, taken)
				if name == "abort" {
					require.ErrorIs(t, run.wait(t), errBoom)
					require.EqualValues(t, 2, q.Stats().Output.Lost)
					closed(t, q)
					return
				}
				require.True(t, run.running(), "nobody has asked for what is in it")
				c := collect(q)
				consumer := start(t.Context(), c)
				require.NoError(t, run.wait(t))
				require.NoError(t, consumer.wait(t))
				require.Equal(t, []int{1, 2}, c.events())
				closed(t, q, c)
			})
		})
	}
}

func TestQueueClosedBeforeItsRun(t *testing.T) {
	for n := range 4 {
		bubble(t, func(t *testing.T) {
			q := stage.NewQueue[int](4)
			require.NoError(t, q.Push(t.Context(), upTo(n)...))
			q.Close()
			require.ErrorIs(t, q.TryPush(1), stage.ErrEnded)
			c := collect(q)
			require.NoError(t, stage.Run(t.Context(), q, c))
			require.Len(t, c.events(), n)
			closed(t, q, c)
			require.ErrorIs(t, q.Push(t.Context(), 1), stage.ErrEnded, "its run has ended")

			// The next run begins open and empty.
			run := start(t.Context(), stage.NewPipeline(q, c))
			require.NoError(t, q.Push(t.Context(), 7))
			q.Close()
			require.NoError(t, run.wait(t))
			require.Len(t, c.events(), n+1)
			closed(t, q, c)
		})
	}
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](1)
		q.Close()
		require.NoError(t, q.Run(t.Context()), "without subscribers, too")
	})
}

func TestQueueOutlivesItsSubscribersUntilItIsClosed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](10)
		c := stage.ForEach(func(context.Context, int) error { return stage.ErrDone })
		c.SubscribeTo(q, stage.MaxDemand(1))
		run := start(t.Context(), stage.NewPipeline(q, c))
		require.NoError(t, q.Push(t.Context(), 1))
		synctest.Wait()
		require.False(t, c.Stats().Running)
		require.True(t, run.running())
		require.NoError(t, q.Push(t.Context(), 2, 3), "it waits for the next one")
		q.Close()
		require.NoError(t, run.wait(t), "there is nobody for them: R2")
		require.EqualValues(t, 2, q.Stats().Output.Lost)
		require.ErrorIs(t, q.Stats().Err, stage.ErrShutdown)
		closed(t, q, c)
	})
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](10, stage.KeepRunning())
		c := stage.ForEach(func(context.Context, int) error { return stage.ErrDone })
		c.SubscribeTo(q, stage.MaxDemand(1))
		run := start(t.Context(), stage.NewPipeline(q, c))
		require.NoError(t, q.Push(t.Context(), 1, 2, 3))
		q.Close()
		require.True(t, run.running())
		last := collect(q)
		consumer := start(t.Context(), last)
		require.NoError(t, run.wait(t))
		require.NoError(t, consumer.wait(t))
		require.Equal(t, []int{2, 3}, last.events())
		closed(t, q, c, last)
	})
}

func TestQueueFails(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](10, stage.OnConsumer(func(context.Context, *stage.Subscription) error { panic(errBoom) }))
		require.NoError(t, q.Push(t.Context(), 1, 2))
		c := collect(q)
		require.ErrorIs(t, stage.Run(t.Context(), q, c), errBoom)
		require.EqualValues(t, 2, q.Stats().Output.Lost)
		require.ErrorIs(t, q.Push(t.Context(), 3), stage.ErrEnded)
		q.Close()
		closed(t, q, c)
	})
	bubble(t, func(t *testing.T) { // before its OnInit
		q := stage.NewQueue[int](2)
		first := silent(stage.OnInit(func(context.Context) error { return errBoom }))
		require.NoError(t, q.Push(t.Context(), 1, 2))
		pushed := make(chan error, 1)
		go func() { pushed <- q.Push(t.Context(), 3) }()
		synctest.Wait()
		require.ErrorIs(t, stage.Run(t.Context(), first, q), errBoom)
		require.ErrorIs(t, <-pushed, stage.ErrEnded)
		require.EqualValues(t, 2, q.Stats().Output.Lost)
	})
	bubble(t, func(t *testing.T) { // a hook ends it normally
		var q *stage.Queue[int]
		q = stage.NewQueue[int](1, stage.OnConsumerGone(func(ctx context.Context, _ *stage.Subscription, _ stage.Cancellation) error {
			require.NoError(t, q.TryPush(1))
			if err := q.Push(ctx, 2); !errors.Is(err, stage.ErrSelfCall) {
				return err
			}
			return stage.ErrDone
		}))
		run := start(t.Context(), q)
		c := start(t.Context(), collect(q))
		abortAll(t, c)
		require.True(t, run.running(), "what is in it is delivered first")
		last := collect(q)
		require.NoError(t, start(t.Context(), last).wait(t))
		require.NoError(t, run.wait(t))
		require.Equal(t, []int{1}, last.events())
	})
	require.ErrorIs(t, stage.NewQueue[int](0).Run(t.Context()), stage.ErrInvalidOption)
	var none *stage.Queue[int]
	require.ErrorIs(t, stage.Run(t.Context(), none), stage.ErrInvalidStage)
	c := newSink(0)
	c.SubscribeTo(none)
	require.ErrorIs(t, stage.Run(t.Context(), c), stage.ErrInvalidStage)
}

// Pushes of every kind, contexts that end and a Close or an Abort at a random moment: what was
// pushed is what was dispatched and what was lost, each pusher's events come in its order, and
// every call returns.
func TestQueueStorm(t *testing.T) {
	rounds := 300
	if testing.Short() {
		rounds = 30
	}
	for seed := range rounds {
		bubble(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(seed), 1))
			size := 1 + random.IntN(8)
			q := stage.NewQueue[int](size)
			var (
				pushed atomic.Int64
				wg     sync.WaitGroup
				quit   = make(chan struct{})
			)
			for pusher := range 4 {
				seed := random.Uint64()
				wg.Go(func() {
					random := rand.New(rand.NewPCG(seed, 2))
					for next := 0; ; {
						select {
						case <-quit:
							return
						default:
						}
						events := make([]int, random.IntN(2*size+1))
						for i := range events {
							events[i] = pusher*1_000_000 + next + i
						}
						taken, err := len(events), error(nil)
						switch random.IntN(3) {
						case 0:
							err = q.TryPush(events...)
							if err != nil {
								taken = 0
							}
						default:
							ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(3))*time.Millisecond)
							err = q.Push(ctx, events...)
							cancel()
							var push *stage.PushError
							if errors.As(err, &push) {
								taken = push.Taken
								if len(events) <= size && taken > 0 {
									t.Errorf("%d of %d events taken", taken, len(events))
								}
							}
						}
						pushed.Add(int64(taken))
						next += taken
						if errors.Is(err, stage.ErrEnded) {
							return
						}
						time.Sleep(time.Duration(random.IntN(2)) * time.Millisecond)
					}
				})
			}
			var consumers []*collector[int]
			stages := []stage.Stage{q}
			for range 1 + random.IntN(2) {
				c := collect(q, stage.MaxDemand(1+random.IntN(5)), stage.MinDemand(0))
				consumers = append(consumers, c)
				stages = append(stages, c)
			}
			run := start(t.Context(), stage.NewPipeline(stages...))
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
			for range random.IntN(100) {
				runtime.Gosched()
			}
			aborted := random.IntN(2) == 0
			if aborted {
				run.Abort(errBoom)
			} else {
				q.Close()
			}
			_ = run.wait(t)
			close(quit)
			wg.Wait()
			stats := q.Stats()
			require.Equal(t, pushed.Load(), stats.Output.Emitted, "seed %d", seed)
			got := 0
			for _, c := range consumers {
				last := map[int]int{}
				for _, e := range c.events() {
					pusher, n := e/1_000_000, e%1_000_000
					if len(consumers) == 1 && !aborted {
						require.Equal(t, last[pusher], n, "seed %d: in order, none missing", seed)
					}
					require.GreaterOrEqual(t, n, last[pusher])
					last[pusher] = n + 1
					got++
				}
			}
			if !aborted {
				require.Zero(t, stats.Output.Lost)
				require.EqualValues(t, pushed.Load(), got)
			}
			closed(t, stages...)
		})
	}
}
