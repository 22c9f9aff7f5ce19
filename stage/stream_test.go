package stage_test

import (
	"context"
	"iter"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// failing makes a source of n events that then fails.
func failing(n int, err error, opts ...stage.ProducerOption) *stage.Producer[int] {
	return stage.FromSeq2(func(yield func(int, error) bool) {
		for i := range n {
			if !yield(i, nil) {
				return
			}
		}
		yield(-1, err)
	}, opts...)
}

// rangeOver returns what a range yields, up to stop events.
func rangeOver(seq iter.Seq2[int, error], stop int) (got []int, err error) {
	for event, failure := range seq {
		if failure != nil {
			if err != nil {
				panic("a second error")
			}
			err = failure
			continue
		}
		if got = append(got, event); len(got) == stop {
			break
		}
	}
	return got, err
}

// windows are subscriptions of different chunks.
var windows = [][]stage.SubscribeOption{
	nil,
	{stage.MaxDemand(1)},
	{stage.MaxDemand(3)},
	{stage.MaxDemand(4), stage.MinDemand(0)},
	{stage.MaxDemand(4), stage.MinDemand(3)},
}

func TestEventsYieldsWhatTheSourceHas(t *testing.T) {
	for _, window := range windows {
		for n := range 12 {
			bubble(t, func(t *testing.T) {
				src := stage.FromSlice(upTo(n))
				run := start(t.Context(), src)
				got, err := rangeOver(stage.Events(t.Context(), src, window...), -1)
				require.NoError(t, err)
				require.Len(t, got, n)
				require.True(t, slices.IsSorted(got))
				require.NoError(t, run.wait(t))
				ledger(t, src)
				got, err = rangeOver(stage.Events(t.Context(), src), -1)
				require.NoError(t, err, "its last run completed: nothing comes")
				require.Empty(t, got)
			})
		}
	}
}

func TestEventsEndsWithTheFailureOfItsSource(t *testing.T) {
	for _, window := range windows {
		for n := range 9 {
			for _, mode := range []stage.CancelMode{stage.CancelPermanent, stage.CancelTransient, stage.CancelTemporary} {
				bubble(t, func(t *testing.T) {
					src := failing(n, errBoom, stage.Name("src"))
					run := start(t.Context(), src)
					opts := append(slices.Clone(window), stage.Cancel(mode))
					got, err := rangeOver(stage.Events(t.Context(), src, opts...), -1)
					require.Equal(t, upTo(n), append([]int{}, got...), "what came before the error")
					if mode == stage.CancelTemporary {
						require.NoError(t, err)
					} else {
						require.ErrorIs(t, err, errBoom)
						var end *stage.Error
						require.ErrorAs(t, err, &end)
						require.Equal(t, "src", end.Stage)
					}
					require.ErrorIs(t, run.wait(t), errBoom)
					ledger(t, src)
				})
			}
		}
	}
}

func TestEventsOfASourceThatIsEndedCleanly(t *testing.T) {
	for mode, want := range map[stage.CancelMode]error{
		stage.CancelPermanent: stage.ErrShutdown, stage.CancelTransient: nil, stage.CancelTemporary: nil,
	} {
		bubble(t, func(t *testing.T) {
			src := endless()
			run := start(t.Context(), src)
			n := 0
			for _, err := range stage.Events(t.Context(), src, stage.MaxDemand(4), stage.Cancel(mode)) {
				if n++; n == 5 {
					src.Abort(nil)
				}
				if err != nil {
					require.ErrorIs(t, err, want)
					want = nil
				}
			}
			require.NoError(t, want, "an error was to come")
			require.ErrorIs(t, run.wait(t), stage.ErrShutdown)
		})
	}
}

func TestBreakGivesTheRestBack(t *testing.T) {
	const n = 20
	for _, window := range windows {
		for stop := 1; stop < n; stop++ {
			bubble(t, func(t *testing.T) {
				var gone told
				src := stage.FromSlice(upTo(n), gone.onGone())
				run := start(t.Context(), src)
				got, err := rangeOver(stage.Events(t.Context(), src, window...), stop)
				require.NoError(t, err)
				require.Equal(t, upTo(stop), got)
				require.Empty(t, src.Stats().Downstreams, "it is gone when the loop is left")
				require.Equal(t, []stage.Cancellation{{Kind: stage.Cancelled}}, blank(gone.list()))
				ledger(t, src)

				got, err = rangeOver(stage.Events(t.Context(), src, window...), -1)
				require.NoError(t, err)
				require.Equal(t, upTo(n)[stop:], got, "in order, none lost, none twice")
				require.NoError(t, run.wait(t))
				require.EqualValues(t, n, src.Stats().Output.Emitted)
				require.Zero(t, src.Stats().Output.Lost)
				ledger(t, src)
			})
		}
	}
}

// blank leaves what users see of a Cancellation.
func blank(all []stage.Cancellation) []stage.Cancellation {
	for i, c := range all {
		all[i] = stage.Cancellation{Kind: c.Kind, Reason: c.Reason}
	}
	return all
}

func TestManyRangesOneAfterTheOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		const n = 2000
		src := stage.FromSeq(slices.Values(upTo(n)))
		run := start(t.Context(), src)
		random := rand.New(rand.NewPCG(1, 2))
		seqs := []iter.Seq2[int, error]{}
		for _, window := range windows {
			seqs = append(seqs, stage.Events(t.Context(), src, window...))
		}
		var got []int
		for run.running() {
			some, err := rangeOver(seqs[random.IntN(len(seqs))], 1+random.IntN(10))
			require.NoError(t, err)
			got = append(got, some...)
		}
		require.Equal(t, upTo(n), got)
		ledger(t, src)
	})
}

func TestEventsAsksWhenTheNextOneIsWanted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := endless()
		run := start(t.Context(), src)
		asked := func() int64 {
			synctest.Wait()
			return src.Stats().Downstreams[0].Asked
		}
		next, stop := iter.Pull2(stage.Events(t.Context(), src, stage.MaxDemand(10), stage.MinDemand(5))) // chunks of 5
		require.Empty(t, src.Stats().Downstreams, "nothing is subscribed before the range")
		for i := range 50 {
			event, err, ok := next()
			require.True(t, ok)
			require.NoError(t, err)
			require.Equal(t, i, event)
			require.EqualValues(t, 10+i/5*5, asked(), "behind element %d", i)
		}
		stop()
		require.Empty(t, src.Stats().Downstreams)
		event, _, ok := next()
		require.False(t, ok)
		require.Zero(t, event)
		abortAll(t, run)
	})
}

func TestEventsWaitsForASourceThatDoesNotRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := stage.FromSlice(upTo(3))
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Minute, errBoom)
		defer cancel()
		before := time.Now()
		got, err := rangeOver(stage.Events(ctx, src), -1)
		require.Empty(t, got)
		require.ErrorIs(t, err, errBoom)
		require.Equal(t, time.Minute, time.Since(before))

		var run *started
		time.AfterFunc(time.Minute, func() {
			run = &started{Stage: src, done: make(chan struct{})}
			run.err = src.Run(t.Context())
			close(run.done)
		})
		got, err = rangeOver(stage.Events(t.Context(), src), -1)
		require.NoError(t, err)
		require.Equal(t, upTo(3), got)
		require.NoError(t, run.wait(t))
	})
}

// A source whose run was over before the subscription came to it, or never got as far, is not waited for again.
func TestEventsOfASourceWhoseRunFailsAsItBegins(t *testing.T) {
	for _, first := range []bool{true, false} {
		bubble(t, func(t *testing.T) {
			src := stage.FromSlice(upTo(3))
			bad := silent(stage.OnInit(func(context.Context) error { return errBoom }))
			members := []stage.Stage{bad, src}
			if first {
				members = []stage.Stage{src, bad}
			}
			run := &started{Stage: stage.NewPipeline(members...), done: make(chan struct{})}
			time.AfterFunc(time.Minute, func() {
				run.err = run.Run(t.Context())
				close(run.done)
			})
			got, err := rangeOver(stage.Events(t.Context(), src), -1)
			require.Empty(t, got)
			require.ErrorIs(t, err, errBoom)
			require.ErrorIs(t, run.wait(t), errBoom)
		})
	}
}

func TestEventsEndsWithItsContext(t *testing.T) {
	for stop := range 12 {
		bubble(t, func(t *testing.T) {
			src := endless()
			run := start(t.Context(), src)
			ctx, cancel := context.WithCancelCause(t.Context())
			if stop == 0 {
				cancel(errBoom)
			}
			var got []int
			var last error
			for event, err := range stage.Events(ctx, src, stage.MaxDemand(4)) {
				if last = err; err != nil {
					continue
				}
				if got = append(got, event); len(got) == stop {
					cancel(errBoom)
					synctest.Wait() // while the body is busy, the rest goes back
					require.Empty(t, src.Stats().Downstreams)
				}
			}
			require.ErrorIs(t, last, errBoom)
			require.Equal(t, upTo(stop), append([]int{}, got...), "nothing comes behind it")
			synctest.Wait()
			ledger(t, src)
			got, err := rangeOver(stage.Events(t.Context(), src), 10)
			require.NoError(t, err)
			for i, e := range got {
				require.Equal(t, stop+i, e, "nothing is lost")
			}
			cancel(nil)
			abortAll(t, run)
		})
	}
}

func TestEventsAnswersMisuse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var none *stage.Producer[int]
		src := stage.FromSlice(upTo(3), stage.OnConsumer(func(context.Context, *stage.Subscription) error {
			return stage.ErrRefused
		}))
		run := start(t.Context(), src)
		for name, c := range map[string]struct {
			seq  iter.Seq2[int, error]
			want error
		}{
			"nil source":    {stage.Events[int](t.Context(), nil), stage.ErrInvalidStage},
			"typed nil":     {stage.Events(t.Context(), none), stage.ErrInvalidStage},
			"max demand":    {stage.Events(t.Context(), src, stage.MaxDemand(0)), stage.ErrInvalidOption},
			"nil option":    {stage.Events(t.Context(), src, nil), stage.ErrInvalidOption},
			"manual":        {stage.Events(t.Context(), src, stage.Manual()), stage.ErrInvalidOption},
			"refused":       {stage.Events(t.Context(), src), stage.ErrRefused},
			"refused again": {stage.Events(t.Context(), src, stage.Cancel(stage.CancelTransient)), stage.ErrRefused},
		} {
			got, err := rangeOver(c.seq, -1)
			require.Empty(t, got, name)
			require.ErrorIs(t, err, c.want, name)
			require.ErrorContains(t, err, "events stream_test.go:", name)
		}
		abortAll(t, run)
	})
	bubble(t, func(t *testing.T) {
		var src *stage.Producer[int]
		src = stage.NewProducer(func(ctx context.Context, _ int) ([]int, error) {
			_, err := rangeOver(stage.Events(ctx, src), 1)
			return nil, err
		})
		require.ErrorIs(t, stage.Run(t.Context(), src, collect(src)), stage.ErrSelfCall)
	})
}

func TestALoopThatIsLeftInOtherWays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		src := endless()
		run := start(t.Context(), src)
		require.PanicsWithValue(t, "body", func() {
			for event := range stage.Events(t.Context(), src, stage.MaxDemand(3)) {
				if event == 4 {
					panic("body")
				}
			}
		})
		synctest.Wait()
		require.Empty(t, src.Stats().Downstreams)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for event := range stage.Events(t.Context(), src, stage.MaxDemand(3)) {
				require.GreaterOrEqual(t, event, 5)
				if event == 7 {
					runtime.Goexit()
				}
			}
		}()
		<-done
		synctest.Wait()
		require.Empty(t, src.Stats().Downstreams)
		got, err := rangeOver(stage.Events(t.Context(), src), 1)
		require.NoError(t, err)
		require.Equal(t, []int{8}, got)
		abortAll(t, run)
	})
}

// A break waits for the source, which may be busy; not longer than its context.
func TestBreakWaitsForTheSource(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		src := stage.NewProducer(func(context.Context, int) ([]int, error) {
			if calls++; calls > 1 {
				time.Sleep(time.Hour)
			}
			return upTo(4), nil
		}, patient)
		run := start(t.Context(), src)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		before := time.Now()
		for event := range stage.Events(ctx, src, stage.MaxDemand(4)) {
			if event == 2 {
				synctest.Wait()
				require.Equal(t, "demand", src.Stats().Callback)
				break
			}
		}
		require.Equal(t, time.Minute, time.Since(before))
		abortAll(t, run)
	})
}

func TestEventsOfAPipeline(t *testing.T) {
	for stop := range 30 {
		bubble(t, func(t *testing.T) {
			src := stage.FromSlice(upTo(25))
			mid := relay(time.Second)
			mid.SubscribeTo(src, stage.MaxDemand(4))
			run := start(t.Context(), stage.NewPipeline(src, mid))
			got, err := rangeOver(stage.Events(t.Context(), mid, stage.MaxDemand(2)), stop)
			require.NoError(t, err)
			if stop == 0 || stop > 25 {
				stop = 25
			}
			require.Equal(t, upTo(stop), got)
			require.NoError(t, run.wait(t), "a pipeline without consumers ends")
			ledger(t, src, mid)
		})
	}
}

func TestEventsOfAPartOfABroadcast(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](5, stage.Accumulating())
		q.DispatchWith(stage.Broadcast)
		run := start(t.Context(), q)
		even := stage.Where(q, func(e int) bool { return e%2 == 0 })
		results := make(chan []int, 2)
		for _, src := range []stage.Source[int]{q, even} {
			go func() { // ends with the source
				got, err := rangeOver(stage.Events(t.Context(), src, stage.MaxDemand(3)), -1)
				if err != nil {
					t.Error(err)
				}
				results <- got
			}()
		}
		synctest.Wait()
		require.NoError(t, q.Forward())
		for i := range 100 {
			require.NoError(t, q.Push(t.Context(), i))
		}
		q.Close()
		require.NoError(t, run.wait(t))
		one, two := <-results, <-results
		if len(one) < len(two) {
			one, two = two, one
		}
		require.Equal(t, upTo(100), one)
		require.Equal(t, slices.DeleteFunc(upTo(100), func(e int) bool { return e%2 > 0 }), two)
		ledger(t, q)
	})
}
