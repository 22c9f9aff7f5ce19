package flow_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/flow"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

var errBoom = errors.New("boom")

// An error that means a normal end to a stage would let a part of the results pass for the whole.
func TestErrorsThatEndAStageNormallyAreErrorsOfTheFlow(t *testing.T) {
	for _, clean := range []error{stage.ErrDone, stage.ErrShutdown, fmt.Errorf("wrapped: %w", stage.ErrDone)} {
		synctest.Test(t, func(t *testing.T) {
			f := flow.MapErr(flow.FromSlice([]int{1, 2, 3}), func(_ context.Context, n int) (int, error) { return n, clean })
			got, err := f.Collect(t.Context())
			var item *flow.ItemError
			require.ErrorAs(t, err, &item)
			require.EqualError(t, item.Err, clean.Error())
			require.Nil(t, got)
			require.ErrorAs(t, f.Pipeline().Run(t.Context()), &item)

			err = flow.FromSlice([]int{1}).ForEach(t.Context(), func(context.Context, int) error { return clean })
			require.ErrorAs(t, err, &item)
			require.Equal(t, "foreach", item.Op)
			_, err = flow.FromSlice([]int{1}, flow.OnInit(func(context.Context, int, int) error { return clean })).Collect(t.Context())
			require.ErrorContains(t, err, clean.Error())
		})
	}
}

// A source that is shut down before its end gives a part.
func TestASourceThatIsShutDownCutsTheFlowShort(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			q := stage.NewQueue[int](10)
			require.NoError(t, q.Push(t.Context(), 1, 2, 3))
			time.AfterFunc(time.Second, func() { q.Abort(nil) })
			opts := []flow.Option{flow.Stages(2)}
			if ordered {
				opts = append(opts, flow.Ordered(0))
			}
			f := flow.Map(flow.FromProducers(q).Shuffle(opts...), func(n int) int { return n })
			got, err := f.Collect(t.Context())
			require.ErrorIs(t, err, flow.ErrCutShort)
			require.Nil(t, got)
		})
	}
}

func TestPanicsEndTheFlow(t *testing.T) {
	f := flow.Map(flow.FromSlice([]int{1, 2, 3}).OnError(flow.Skip()), func(int) int { panic(errBoom) })
	got, err := f.Collect(t.Context())
	var p *stage.PanicError
	require.ErrorAs(t, err, &p)
	require.ErrorIs(t, err, errBoom)
	require.Nil(t, got)
}

// The source fails at each of its events, and at its end.
func TestAnErrorBeatsTheEnd(t *testing.T) {
	for n := range 20 {
		for _, f := range []flow.Flow[int]{
			flow.FromSeq2(func(yield func(int, error) bool) {
				for i := range n {
					if !yield(i, nil) {
						return
					}
				}
				yield(0, errBoom)
			}),
			flow.MapErr(flow.FromSlice(make([]int, n+1), flow.MaxDemand(3)), func() func(context.Context, int) (int, error) {
				seen := make(chan struct{}, n)
				return func(_ context.Context, v int) (int, error) {
					select {
					case seen <- struct{}{}:
						return v, nil
					default:
						return v, errBoom // the last one, as its stage or another one ends
					}
				}
			}()),
		} {
			got, err := f.Collect(t.Context())
			require.ErrorIs(t, err, errBoom)
			require.Nil(t, got)
		}
	}
}

func TestRetriesWaitLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		f := flow.FromSlice([]int{1, 2}, flow.Stages(1)).OnError(flow.Retry(5, 10*time.Millisecond, 50*time.Millisecond))
		got, err := flow.MapErr(f, func(_ context.Context, n int) (int, error) {
			at = append(at, time.Since(began))
			if n == 1 && len(at) < 6 {
				return 0, errBoom
			}
			return n, nil
		}).Collect(t.Context())
		require.NoError(t, err)
		require.Equal(t, []int{1, 2}, got)
		ms := time.Millisecond
		require.Equal(t, []time.Duration{0, 10 * ms, 30 * ms, 70 * ms, 120 * ms, 170 * ms, 170 * ms}, at)
	})
}

func TestRetriesThatDoNotHelpEndTheFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := flow.FromSlice([]int{7}).OnError(flow.Retry(2, time.Second, time.Second))
		_, err := flow.MapErr(f, func(context.Context, int) (int, error) { return 0, errBoom }).Collect(t.Context())
		var item *flow.ItemError
		require.ErrorAs(t, err, &item)
		require.Equal(t, flow.ItemError{Item: 7, Op: "map", Stage: item.Stage, Attempts: 3, Err: errBoom}, *item)
		require.ErrorContains(t, err, "map of 7, 3 attempts: boom")
	})
}

func TestTheEndOfTheContextEndsAPauseAndGivesNoItemUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		dead := 0
		f := flow.FromSlice([]int{7}).OnError(flow.Retry(2, time.Hour, time.Hour), flow.DeadLetter(func(context.Context, *flow.ItemError) error { dead++; return nil }))
		_, err := flow.MapErr(f, func(context.Context, int) (int, error) { return 0, errBoom }).Collect(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Zero(t, dead)
	})
}

func TestOnErrorGoesOnInTheNextLayers(t *testing.T) {
	f := flow.FromSlice([]string{"1", "x", "3"}).OnError(flow.Skip())
	parse := func(_ context.Context, s string) (int, error) { return strconv.Atoi(s) }
	got, err := flow.MapErr(flow.Partition(f.Shuffle(), func(s string) string { return s }), parse).Collect(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []int{1, 3}, got)
	_, err = flow.MapErr(f.OnError(), parse).Collect(t.Context())
	require.ErrorIs(t, err, strconv.ErrSyntax)
	_, err = flow.MapErr(f.OnError(flow.DeadLetter(func(context.Context, *flow.ItemError) error { return errBoom })), parse).Collect(t.Context())
	require.ErrorIs(t, err, errBoom)
	lists := flow.FlatMapErr(f, func(_ context.Context, s string) ([]int, error) { n, err := strconv.Atoi(s); return []int{n}, err })
	got, err = lists.Collect(t.Context())
	require.NoError(t, err)
	require.ElementsMatch(t, []int{1, 3}, got)
	batches := flow.MapBatch(f, func(context.Context, []string) ([]int, error) { return nil, errBoom })
	got, err = batches.Collect(t.Context())
	require.NoError(t, err)
	require.Empty(t, got)
}

func TestBufferThatDoesNotSufficeEndsTheFlow(t *testing.T) {
	many := func(int) []int { return make([]int, 100) }
	f := flow.FlatMap(flow.FromSlice([]int{1}, flow.BufferSize(10)), many).Shuffle(flow.Stages(1), flow.MaxDemand(5))
	got, err := f.Collect(t.Context())
	require.ErrorIs(t, err, flow.ErrBufferFull)
	require.Nil(t, got)

	for _, keep := range []flow.Option{flow.KeepFirst(), flow.KeepLast()} {
		f := flow.FlatMap(flow.FromSlice([]int{1}, flow.Stages(1), flow.BufferSize(10), keep), many).Shuffle(flow.Stages(1), flow.MaxDemand(5))
		got, err := f.Collect(t.Context())
		require.NoError(t, err)
		require.Len(t, got, 15, "five are asked for, ten kept")
	}
}

// A flow whose stages cannot begin ends all its ways of running with that error.
func TestAnErrorOfOnInitEndsTheFlow(t *testing.T) {
	f := flow.FromSlice([]int{1}, flow.Stages(2), flow.OnInit(func(_ context.Context, index, total int) error {
		if index == 1 && total == 2 {
			return errBoom
		}
		return nil
	}))
	require.ErrorIs(t, f.Run(t.Context()), errBoom)
	last := error(nil)
	for _, err := range f.Seq(t.Context()) {
		last = err
	}
	require.ErrorIs(t, last, errBoom)
	c := stage.ForEach(func(context.Context, int) error { return nil })
	require.ErrorIs(t, flow.Into(f, c).Run(t.Context()), errBoom)
}

// A sequence that is being pulled when the flow ends is told.
func TestExpansionsEndWithTheFlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		made, left := 0, false
		f := flow.FlatMapSeq(flow.FromSlice([]int{1}), func(int) iter.Seq[int] {
			return func(yield func(int) bool) {
				defer func() { left = true }()
				for ; yield(made); made++ {
				}
			}
		}).Shuffle(flow.Stages(1), flow.MaxDemand(10))
		n := 0
		for _, err := range f.Tap(func(int) { time.Sleep(time.Second) }).Seq(t.Context(), flow.MaxDemand(1)) {
			require.NoError(t, err)
			if n++; n == 5 {
				break
			}
		}
		require.True(t, left)
		require.Less(t, made, 100, "as many as were asked for on the way")
	})
}

func TestTheSameFlowRunsManyTimesAtOnce(t *testing.T) {
	f := flow.Map(flow.Count(flow.UniqBy(flow.FromSlice([]int{1, 2, 2, 3}), func(n int) int { return n })), func(n int64) int { return int(n) })
	results := make(chan []int)
	for range 20 {
		go func() {
			got, err := f.Collect(t.Context())
			if err != nil {
				got = nil
			}
			results <- got
		}()
	}
	for range 20 {
		require.Equal(t, []int{3}, <-results)
	}
}

func TestAPipelineOfAFlowRunsAgain(t *testing.T) {
	sum := 0
	c := stage.ForEach(func(_ context.Context, n int) error { sum += n; return nil })
	p := flow.Into(flow.Sum(flow.FromSlice([]int{1, 2, 3})), c)
	for range 3 {
		require.NoError(t, p.Run(t.Context()))
	}
	require.Equal(t, 18, sum)
	q := flow.FromSlice([]int{1, 2, 3}).Take(2).Pipeline()
	for range 3 {
		require.NoError(t, q.Run(t.Context()))
	}
}

func TestSourcesOfFewEventsAndManyStages(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 50
	}
	for n := range 4 {
		values := slices.Repeat([]int{1}, n)
		for range rounds {
			got, err := flow.Map(flow.FromSlice(values, flow.Stages(11)), func(n int) int { return n }).Collect(t.Context())
			require.NoError(t, err)
			require.Len(t, got, n)
		}
	}
}

// A batch of slow values does not keep a flow that is cancelled: the value in hand is the last one.
func TestTheEndOfTheContextEndsABatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		n := 0
		began := time.Now()
		_, err := flow.Map(flow.FromSlice(make([]int, 100), flow.Stages(1)), func(v int) int {
			n++
			time.Sleep(time.Second)
			return v
		}).Collect(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, 3, n)
		require.Equal(t, 3*time.Second, time.Since(began))
	})
}
