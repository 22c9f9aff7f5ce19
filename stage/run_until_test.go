package stage_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

var errSignal = errors.New("signal")

// endsAfter returns a context that ends by itself, as at a signal.
func endsAfter(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithCancelCause(t.Context())
	timer := time.AfterFunc(d, func() { cancel(errSignal) })
	t.Cleanup(func() { timer.Stop() })
	return ctx
}

func TestRunUntil(t *testing.T) {
	for name, c := range map[string]struct {
		signal, drain, work time.Duration // work: of a batch, whatever the context says
		events              int           // 0: endless
		fail                error         // of the consumer, at its second batch
		want                error
		took                time.Duration
	}{
		"its own end":           {signal: time.Hour, drain: time.Hour, work: time.Second, events: 10, took: 5 * time.Second},
		"drained":               {signal: 2500 * time.Millisecond, drain: time.Hour, work: time.Second, took: 4 * time.Second}, // max 4, chunks of 2
		"as long as it takes":   {signal: 2500 * time.Millisecond, drain: 2 * time.Second, work: time.Second, took: 4 * time.Second},
		"too short":             {signal: 2500 * time.Millisecond, drain: time.Second, work: time.Second, want: context.DeadlineExceeded, took: 4 * time.Second},
		"a failure before":      {signal: time.Hour, drain: time.Hour, work: time.Second, fail: errBoom, want: errBoom, took: 2 * time.Second},
		"a failure meanwhile":   {signal: 1500 * time.Millisecond, drain: time.Hour, work: time.Second, fail: errBoom, want: errBoom, took: 2 * time.Second},
		"drain 0":               {signal: 2500 * time.Millisecond, work: time.Second, want: errSignal, took: 3 * time.Second},
		"the signal came first": {signal: 0, drain: time.Hour, work: time.Second, want: errSignal},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := endless()
				if c.events > 0 {
					p = stage.FromSlice(upTo(c.events))
				}
				batches := 0
				sink := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error {
					time.Sleep(c.work)
					if batches++; batches == 2 {
						return c.fail
					}
					return nil
				})
				sink.SubscribeTo(p, stage.MaxDemand(4), stage.MinDemand(2))
				ctx := endsAfter(t, c.signal)
				if c.signal == 0 {
					synctest.Wait()
					<-ctx.Done()
				}
				began := time.Now()
				err := stage.RunUntil(ctx, c.drain, p, sink)
				require.Equal(t, c.took, time.Since(began))
				require.ErrorIs(t, err, c.want)
				if c.want == nil {
					require.NoError(t, err)
				}
				if c.signal > 0 {
					closed(t, p, sink)
				} else {
					require.Zero(t, sink.Stats().Runs, "nothing was begun")
				}
			})
		})
	}
}

// A drain that was aborted says what was left, once.
func TestRunUntilListsWhatWasLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := endless()
		c := newSink(time.Hour, stage.Grace(time.Second))
		c.SubscribeTo(p, stage.MaxDemand(4))
		err := stage.RunUntil(endsAfter(t, time.Second), time.Second, p, c)
		var stop *stage.StopError
		require.ErrorAs(t, err, &stop)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.ErrorIs(t, err, stage.ErrStuck)
		require.Equal(t, "consumer", c.Stats().Kind)
		require.Len(t, stop.Stuck, 1)
		time.Sleep(2 * time.Hour) // the callback returns
	})
}

func TestRunUntilGivesCallbacksItsValues(t *testing.T) {
	bubble(t, func(t *testing.T) {
		type key struct{}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
		p := stage.FromSlice(upTo(3))
		c := stage.NewConsumer(func(ctx context.Context, _ []int, _ *stage.Subscription) error {
			cancel()
			time.Sleep(time.Second)
			require.NoError(t, ctx.Err(), "it drains")
			require.Equal(t, "value", ctx.Value(key{}))
			return nil
		})
		c.SubscribeTo(p)
		require.NoError(t, stage.RunUntil(ctx, time.Hour, p, c))
	})
}

func TestRunUntilMisused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(3))
		err := stage.RunUntil(t.Context(), -time.Second, p)
		require.ErrorIs(t, err, stage.ErrInvalidOption)
		require.ErrorContains(t, err, "RunUntil: a drain of -1s")
		require.ErrorIs(t, stage.RunUntil(t.Context(), time.Second, nil), stage.ErrInvalidStage)

		var within error
		c := stage.NewConsumer(func(ctx context.Context, _ []int, _ *stage.Subscription) error {
			within = stage.RunUntil(ctx, time.Second, p)
			return nil
		})
		c.SubscribeTo(p)
		require.NoError(t, stage.RunUntil(t.Context(), time.Second, p, c))
		require.ErrorIs(t, within, stage.ErrRunning)
	})
}

// Whenever the context ends, what has begun is drained, or nothing has begun.
func TestRunUntilAtAnyMoment(t *testing.T) {
	for seed := range uint64(500) {
		bubble(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			ctx, cancel := context.WithCancelCause(t.Context())
			p := endless()
			middle, c := relay(time.Duration(random.IntN(3))), newSink(time.Duration(1+random.IntN(3))) // else the time of the bubble stands still
			middle.SubscribeTo(p, stage.MaxDemand(1+random.IntN(5)))
			c.SubscribeTo(middle, stage.MaxDemand(1+random.IntN(5)))
			pause, yields := time.Duration(random.IntN(4)), random.IntN(40)
			go func() { // ends at once
				time.Sleep(pause)
				for range yields {
					runtime.Gosched()
				}
				cancel(errSignal)
			}()
			err := stage.RunUntil(ctx, time.Hour, p, middle, c)
			if p.Stats().Runs == 0 {
				require.ErrorIs(t, err, errSignal)
				return
			}
			require.NoError(t, err)
			closed(t, p, middle, c)
			require.ElementsMatch(t, upTo(len(c.events())), c.events())
			require.EqualValues(t, p.Stats().Output.Emitted, len(c.events()), "seed %d", seed)
		})
	}
}
