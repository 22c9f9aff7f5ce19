package stage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestFromChannelCompletesWhenItIsClosed(t *testing.T) {
	for _, size := range []int{0, 1, 7, 100} {
		for n := range 10 {
			for _, window := range windows {
				bubble(t, func(t *testing.T) {
					ch := make(chan int, size)
					go func() { // ends when all are received
						for i := range n {
							ch <- i
						}
						close(ch)
					}()
					src := stage.FromChannel(ch)
					c := collect(src, window...)
					require.NoError(t, stage.Run(t.Context(), src, c))
					require.Equal(t, upTo(n), append([]int{}, c.events()...))
					closed(t, src, c)
				})
			}
		}
	}
	require.Panics(t, func() { stage.FromChannel[int](nil) })
}

func TestFromChannelReceivesOnlyWhatIsAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ch := make(chan int, 100)
		for i := range 100 {
			ch <- i
		}
		src := stage.FromChannel(ch)
		var subs []*stage.Subscription
		c := stage.ForEach(func(context.Context, int) error { return nil },
			stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { subs = append(subs, s); return nil }))
		c.SubscribeTo(src, stage.Manual(), stage.AllowDuplicate(), stage.Cancel(stage.CancelTemporary))
		c.SubscribeTo(src, stage.Manual(), stage.AllowDuplicate(), stage.Cancel(stage.CancelTemporary))
		run := start(t.Context(), stage.NewPipeline(src, c))
		require.Len(t, ch, 100)
		for i := 1; i <= 10; i++ {
			require.NoError(t, subs[i%2].Ask(i))
			synctest.Wait()
			require.Len(t, ch, 100-i*(i+1)/2)
			ledger(t, src, c)
		}
		require.NoError(t, subs[0].Ask(1000))
		synctest.Wait()
		require.Empty(t, ch)
		require.NoError(t, subs[0].Cancel(nil)) // takes its demand with it
		synctest.Wait()
		ch <- 100
		synctest.Wait()
		require.Len(t, ch, 1, "nobody waits for it any more")
		require.NoError(t, subs[1].Ask(1))
		synctest.Wait()
		require.Empty(t, ch)
		abortAll(t, run)
		closed(t, src, c)
	})
}

func TestAPartialBatchIsSentAsItComes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ch := make(chan int)
		src := stage.FromChannel(ch)
		c := collect(src)
		run := start(t.Context(), stage.NewPipeline(src, c))
		for i := range 10 {
			ch <- i
			synctest.Wait()
			require.Equal(t, upTo(i+1), c.events())
		}
		within(t, "Do while the channel is silent", func() {
			require.NoError(t, src.Do(t.Context(), func(context.Context) ([]int, error) { return []int{10}, nil }))
		})
		synctest.Wait()
		require.Equal(t, upTo(11), c.events())
		require.NoError(t, run.Stop(t.Context()), "while the channel is silent")
		require.NoError(t, run.wait(t))
		closed(t, src, c)
	})
}

func TestEachRunOfFromChannelGoesOn(t *testing.T) {
	for _, end := range []string{"stop", "abort", "context"} {
		for i := range 40 {
			bubble(t, func(t *testing.T) {
				random := rand.New(rand.NewPCG(uint64(i), 5))
				const n = 300
				ch := make(chan int, random.IntN(4))
				go func() { // ends when all are received
					for i := range n {
						ch <- i
					}
					close(ch)
				}()
				src := stage.FromChannel(ch)
				c := collect(src, stage.MaxDemand(3))
				var emitted, lost int64
				runs := 0
				for range n {
					ctx, cancel := context.WithCancel(t.Context())
					run := &started{Stage: stage.NewPipeline(src, c), done: make(chan struct{})}
					go func() {
						run.err = run.Run(ctx)
						close(run.done)
					}()
					for range random.IntN(300) {
						runtime.Gosched()
					}
					switch end {
					case "stop":
						_ = run.Stop(context.WithoutCancel(t.Context()))
						synctest.Wait()
						run.Abort(nil) // Stop came too early
					case "abort":
						run.Abort(errBoom)
						synctest.Wait()
						run.Abort(errBoom)
					default:
						cancel()
					}
					err := run.wait(t)
					cancel()
					closed(t, src, c)
					if src.Stats().Runs == runs {
						continue // the context had ended before Run began
					}
					runs++
					emitted += src.Stats().Output.Emitted
					lost += src.Stats().Output.Lost + c.Stats().Input.Lost
					if err == nil && src.Stats().Err == nil && emitted == n {
						break
					}
				}
				got := c.events()
				require.True(t, slices.IsSorted(got))
				require.EqualValues(t, emitted, int64(len(got))+lost, "what was received is accounted for")
				left := 0
				for range ch {
					left++
				}
				require.EqualValues(t, n, int(emitted)+left)
			})
		}
	}
}

func TestSeveralProducersShareAChannel(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ch := make(chan int)
		a, b := stage.FromChannel(ch), stage.FromChannel(ch)
		c := collect(a, stage.MaxDemand(3))
		c.SubscribeTo(b, stage.MaxDemand(3))
		run := start(t.Context(), stage.NewPipeline(a, b, c))
		for i := range 1000 {
			ch <- i
		}
		close(ch)
		require.NoError(t, run.wait(t))
		got := c.events()
		slices.Sort(got)
		require.Equal(t, upTo(1000), got)
		closed(t, a, b, c)
	})
}

// A dispatcher that drops gives the demand back without another ask: the feed must hear of it.
func TestFeedsGoOnWhenADispatcherDrops(t *testing.T) {
	const n = 10_000
	for name, drop := range map[string]func(int) bool{
		"0 %": func(int) bool { return false }, "50 %": func(e int) bool { return e%2 > 0 },
		"75 %": func(e int) bool { return e%4 > 0 }, "100 %": func(int) bool { return true },
	} {
		t.Run(name, func(t *testing.T) {
			want := []int{}
			for e := range n {
				if !drop(e) {
					want = append(want, e)
				}
			}
			partition := stage.PartitionWith(func(e int) (int, int, bool) { return e, 0, !drop(e) }, 0)
			keep := func(e int) bool { return !drop(e) }
			bubble(t, func(t *testing.T) {
				ch := make(chan int)
				src := stage.FromChannel(ch)
				src.DispatchWith(partition)
				c := collect(stage.Partition(src, 0), stage.MaxDemand(5))
				run := start(t.Context(), stage.NewPipeline(src, c))
				for e := range n {
					ch <- e
				}
				close(ch)
				require.NoError(t, run.wait(t))
				require.Equal(t, want, append([]int{}, c.events()...))
				closed(t, src, c)
			})
			bubble(t, func(t *testing.T) {
				q := stage.NewQueue[int](10)
				q.DispatchWith(stage.Broadcast)
				c := collect(stage.Where(q, keep), stage.MaxDemand(5))
				run := start(t.Context(), stage.NewPipeline(q, c))
				for e := range n {
					require.NoError(t, q.Push(t.Context(), e))
				}
				q.Close()
				require.NoError(t, run.wait(t))
				require.Equal(t, want, append([]int{}, c.events()...))
			})
		})
	}
}

func TestFeedsWaitWhileTheProducerAccumulates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ch := make(chan int, 10)
		src := stage.FromChannel(ch)
		c := collect(src)
		run := start(t.Context(), stage.NewPipeline(src, c))
		ch <- 0
		synctest.Wait()
		require.NoError(t, src.Accumulate())
		synctest.Wait()
		for i := range 5 {
			ch <- i + 1
			synctest.Wait()
		}
		require.Len(t, ch, 5)
		require.Equal(t, upTo(1), c.events())
		require.NoError(t, src.Forward())
		synctest.Wait()
		require.Equal(t, upTo(6), c.events())
		close(ch)
		require.NoError(t, run.wait(t))
		closed(t, src, c)
	})
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](3, stage.Accumulating())
		c := collect(q)
		run := start(t.Context(), stage.NewPipeline(q, c))
		require.NoError(t, q.Push(t.Context(), 0, 1, 2))
		require.ErrorIs(t, q.TryPush(3), stage.ErrFull)
		synctest.Wait()
		require.Empty(t, c.events())
		ledger(t, q, c)
		require.NoError(t, q.Forward())
		synctest.Wait()
		require.Equal(t, upTo(3), c.events())
		require.NoError(t, q.Accumulate())
		require.NoError(t, q.Push(t.Context(), 3))
		require.NoError(t, run.Stop(t.Context()), "Stop forwards")
		require.NoError(t, run.wait(t))
		require.Equal(t, upTo(4), c.events())
		closed(t, q, c)
	})
}

func TestFromSeq2EndsWithTheErrorAtEveryIndex(t *testing.T) {
	for _, end := range []error{errBoom, stage.ErrDone, stage.ErrShutdown} {
		for _, window := range windows {
			for n := range 10 {
				bubble(t, func(t *testing.T) {
					cleaned := false
					src := stage.FromSeq2(func(yield func(int, error) bool) {
						defer func() { cleaned = true }()
						for i := range n {
							if !yield(i, nil) {
								return
							}
						}
						if yield(-1, end) {
							t.Error("the error ends it")
						}
					})
					c := collect(src, window...)
					consumer, run := start(t.Context(), c), start(t.Context(), src)
					err := run.wait(t)
					consumerErr := consumer.wait(t)
					if end == stage.ErrDone {
						require.NoError(t, err)
						require.NoError(t, consumerErr)
					} else {
						require.ErrorIs(t, err, end)
						require.ErrorIs(t, consumerErr, end)
					}
					require.Equal(t, upTo(n), append([]int{}, c.events()...), "what came before was emitted")
					require.True(t, cleaned)
					closed(t, src, c)
				})
			}
		}
	}
	require.Panics(t, func() { stage.FromSeq2[int](nil) })
}

func TestFromSeq2IsPulledAsItIsAskedFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		pulled, left := 0, false
		src := stage.FromSeq2(func(yield func(int, error) bool) {
			defer func() { left = true }()
			for i := 0; ; i++ {
				pulled++
				if !yield(i, nil) {
					return
				}
			}
		})
		c := stage.ForEach(func(_ context.Context, event int) error {
			if event == 20 {
				return stage.ErrDone
			}
			return nil
		})
		c.SubscribeTo(src, stage.MaxDemand(4), stage.MinDemand(0))
		require.NoError(t, stage.Run(t.Context(), src, c))
		require.LessOrEqual(t, pulled, 24)
		require.True(t, left)
		closed(t, src, c)

		panics := stage.FromSeq2(func(yield func(int, error) bool) {
			yield(1, nil)
			panic(errBoom)
		})
		all := collect(panics)
		consumer := start(t.Context(), all)
		require.ErrorIs(t, panics.Run(t.Context()), errBoom)
		_ = consumer.wait(t)
		require.Empty(t, all.events(), "a batch in the making is lost with the panic")
	})
}

func TestAQueueIsSlowedDownByItsConsumer(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[string](2)
		c := stage.ForEach(func(context.Context, string) error { time.Sleep(time.Second); return nil })
		c.SubscribeTo(q, stage.MaxDemand(1))
		run := start(t.Context(), stage.NewPipeline(q, c))
		before := time.Now()
		for i := range 10 {
			require.NoError(t, q.Push(t.Context(), fmt.Sprint(i)))
		}
		require.Equal(t, 7*time.Second, time.Since(before), "one is in the callback, two wait")
		q.Close()
		require.NoError(t, run.wait(t))
	})
}
