package stage_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
	"github.com/stretchr/testify/require"
)

func ExampleNewExpander() {
	words := stage.FromSlice([]string{"go", "stage"})
	letters := stage.NewExpander(func(_ context.Context, words []string, _ *stage.Subscription) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			for _, word := range words {
				for _, letter := range word {
					if !yield(string(letter), nil) {
						return
					}
				}
			}
		}
	})
	letters.SubscribeTo(words, stage.MaxDemand(1))
	printer := stage.NewConsumer(func(_ context.Context, letters []string, _ *stage.Subscription) error {
		fmt.Println(letters)
		return nil
	})
	printer.SubscribeTo(letters, stage.MaxDemand(2), stage.MinDemand(0))
	fmt.Println(stage.Run(context.Background(), words, letters, printer))
	// Output:
	// [g o]
	// [s t]
	// [a g]
	// [e]
	// <nil>
}

// million makes a sequence of n copies of each event, counting what was pulled; then err.
func million(pulled *atomic.Int64, n int, err error) func(context.Context, []int, *stage.Subscription) iter.Seq2[int, error] {
	return func(_ context.Context, events []int, _ *stage.Subscription) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for _, e := range events {
				for range n {
					pulled.Add(1)
					if !yield(e, nil) {
						return
					}
				}
			}
			if err != nil {
				yield(0, err)
			}
		}
	}
}

func TestExpanderHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pulled atomic.Int64
		source := stage.FromSlice(upTo(3))
		x := stage.NewExpander(million(&pulled, 1_000_000, nil))
		x.SubscribeTo(source, stage.MaxDemand(1))
		c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
			time.Sleep(time.Second)
			return nil
		})
		c.SubscribeTo(x, stage.MaxDemand(100), stage.MinDemand(50))
		p := stage.NewPipeline(source, x, c)
		result := make(chan error, 1)
		go func() { result <- p.Run(t.Context()) }()
		synctest.Wait()
		require.EqualValues(t, 100, pulled.Load(), "what was asked, and no more")
		require.Zero(t, x.Buffered())
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		require.EqualValues(t, 600, pulled.Load())
		stagetest.Ledger(t, p)
		require.EqualValues(t, 1, x.Stats().Input.InHand)
		p.Abort(stage.ErrKilled)
		require.ErrorIs(t, <-result, stage.ErrKilled)
		stagetest.Ledger(t, p)
		require.EqualValues(t, 1, x.Stats().Input.Lost, "the batch that was cut short")
	})
}

func TestExpanderEndsOfItsSequence(t *testing.T) {
	boom := errors.New("boom")
	for name, c := range map[string]struct {
		err  error
		want error
		got  int
	}{
		"it ends":   {nil, nil, 3000},
		"an error":  {boom, boom, 1000},
		"ErrDone":   {stage.ErrDone, nil, 1000},
		"wraps one": {fmt.Errorf("in the middle: %w", boom), boom, 1000},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var pulled atomic.Int64
				source := stage.FromSlice(upTo(3))
				x := stage.NewExpander(million(&pulled, 1000, c.err))
				x.SubscribeTo(source, stage.MaxDemand(1))
				got := 0
				sink := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
					got += len(events)
					return nil
				})
				sink.SubscribeTo(x, stage.MaxDemand(7), stage.MinDemand(0))
				p := stage.NewPipeline(source, x, sink)
				require.ErrorIs(t, p.Run(t.Context()), c.want)
				if c.want == nil {
					require.Equal(t, c.got, got)
				}
				stagetest.Ledger(t, p)
			})
		})
	}
}

// R2: it is done, and its consumers go before the sequence in progress has ended.
func TestExpanderLosesItsConsumersWhenItIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pulled atomic.Int64
		source := stage.FromSlice(upTo(3))
		x := stage.NewExpander(million(&pulled, 1_000_000, nil))
		x.SubscribeTo(source, stage.MaxDemand(1))
		sub := make(chan *stage.Subscription, 1)
		c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
			stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub <- s; return s.Ask(1) }))
		c.SubscribeTo(x, stage.Manual())
		p := stage.NewPipeline(source, x, c)
		run := make(chan error, 1)
		go func() { run <- p.Run(t.Context()) }()
		synctest.Wait()
		require.NoError(t, x.Do(t.Context(), func(context.Context) ([]int, error) { return nil, stage.ErrDone }))
		require.NoError(t, (<-sub).Cancel(nil))
		synctest.Wait()
		select {
		case err := <-run:
			require.NoError(t, err)
		default:
			p.Abort(stage.ErrKilled)
			t.Fatalf("it goes on: %v", <-run)
		}
		stagetest.Ended(t, p)
	})
}

func TestExpanderMindsItsMailboxWhileItExpands(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(1))
		var stopped atomic.Bool
		x := stage.NewExpander(func(context.Context, []int, *stage.Subscription) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for yield(1, nil) {
				}
				stopped.Store(true)
			}
		})
		x.SubscribeTo(source)
		c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
			stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(1 << 40) }))
		c.SubscribeTo(x, stage.Manual())
		p := stage.NewPipeline(source, x, c)
		result := make(chan error, 1)
		go func() { result <- p.Run(t.Context()) }()
		for x.Stats().Output.Emitted < 100_000 { // the bubble is never idle, so its clock stands still
			runtime.Gosched()
		}
		require.NoError(t, x.Do(t.Context(), func(context.Context) ([]int, error) { return nil, nil }), "it answers")
		p.Abort(nil)
		require.ErrorIs(t, <-result, stage.ErrShutdown)
		require.True(t, stopped.Load())
		stagetest.Ledger(t, p)
	})
}
