package stage_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// holder is a consumer that holds all it gets. Tests release it.
type holder struct {
	*stage.Consumer[int]
	sub  *stage.Subscription
	got  []int // owned by the stage goroutine; tests read it at rest
	hold func(n int, from *stage.Subscription) error
}

func newHolder(opts ...stage.ConsumerOption) *holder {
	h := &holder{hold: func(n int, from *stage.Subscription) error { return from.Hold(n) }}
	opts = append(opts, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
		h.sub = sub
		return sub.Ask(4)
	}))
	h.Consumer = stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
		h.got = append(h.got, events...)
		return h.hold(len(events), from)
	}, opts...)
	return h
}

func TestHoldKeepsTheStageFromCompleting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := stage.FromSlice(upTo(6)), newHolder()
		completed := false
		h.OnComplete(func(context.Context) error { completed = true; return stage.ErrDone })
		h.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, h)
		require.Len(t, h.got, 4)
		require.EqualValues(t, 4, h.Stats().Input.InHand)
		require.Zero(t, h.Stats().Input.Handled)

		require.NoError(t, h.sub.Next(3))
		f.rest()
		require.Len(t, h.got, 6, "two more, and that was all")
		require.EqualValues(t, 3, h.Stats().Input.InHand)
		time.Sleep(24 * time.Hour)
		f.rest()
		require.False(t, completed)

		require.NoError(t, h.sub.Next(2), "asks nothing, the producer is done")
		f.rest()
		require.False(t, completed)
		require.NoError(t, h.sub.Release(1))
		f.finish()
		require.True(t, completed)
		require.EqualValues(t, 6, h.Stats().Input.Handled)
	})
}

func TestStopWaitsForWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newSource(), newHolder()
		h.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, h)
		p.push(t, 1, 2)
		began := time.Now()
		time.AfterFunc(time.Hour, func() { h.sub.Release(1) })
		time.AfterFunc(2*time.Hour, func() { h.sub.Release(1) })
		f.stop()
		require.Equal(t, 2*time.Hour, time.Since(began))
	})
}

func TestStopNamesWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newSource(), newHolder(stage.Name("holder"))
		h.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, h)
		p.push(t, 1, 2, 3)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var left *stage.StopError
		require.ErrorAs(t, f.Stop(ctx), &left)
		require.Equal(t, []stage.Leftover{{Stage: "holder", InHand: 3}}, left.Left[len(left.Left)-1:])
		require.Error(t, f.end())
		require.EqualValues(t, 3, h.Stats().Input.Lost)
	})
}

func TestHoldBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newSource(), newHolder()
		h.hold = func(n int, from *stage.Subscription) error {
			for _, bad := range []int{0, -1, math.MinInt64, n + 1, math.MaxInt64} {
				if !errors.Is(from.Hold(bad), stage.ErrInvalidHold) {
					t.Errorf("Hold(%d) of %d", bad, n)
				}
			}
			for range 2 {
				if from.Hold(1) != nil {
					t.Error("cannot hold in pieces")
				}
			}
			if !errors.Is(from.Hold(n-1), stage.ErrInvalidHold) {
				t.Error("held more than came")
			}
			if from.Release(1) != nil {
				t.Error("Release in the callback")
			}
			return nil
		}
		h.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, h)
		p.push(t, 1, 2, 3)
		f.rest()
		require.EqualValues(t, 1, h.Stats().Input.InHand)
		require.EqualValues(t, 2, h.Stats().Input.Handled)
		require.ErrorIs(t, h.sub.Hold(1), stage.ErrInvalidHold, "not in the callback")
		for _, bad := range []int{0, -1, math.MinInt64, 2, math.MaxInt64} {
			require.ErrorIs(t, h.sub.Release(bad), stage.ErrInvalidHold, bad)
		}
		require.ErrorIs(t, h.sub.Next(2), stage.ErrInvalidHold)
		require.EqualValues(t, 4, p.Stats().Downstreams[0].Asked, "a Next that fails asks nothing")
		require.NoError(t, h.sub.Release(1))
		require.ErrorIs(t, h.sub.Release(1), stage.ErrInvalidHold)
		f.stop()
		require.ErrorIs(t, h.sub.Hold(1), stage.ErrInvalidHold)
	})
}

func TestReleaseFromManyGoroutinesIsExact(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, h := newSource(), newHolder()
		h.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, h)
		require.NoError(t, h.sub.Ask(996))
		f.rest()
		p.push(t, upTo(1000)...)
		var wg sync.WaitGroup
		var mu sync.Mutex
		released, refused := 0, 0
		for range 1500 {
			wg.Go(func() {
				err := h.sub.Release(1)
				mu.Lock()
				defer mu.Unlock()
				switch {
				case err == nil:
					released++
				case errors.Is(err, stage.ErrInvalidHold):
					refused++
				}
			})
		}
		wg.Wait()
		require.Equal(t, 1000, released)
		require.Equal(t, 500, refused)
		f.stop()
	})
}

func TestHoldDoesNotTouchAutomaticDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSource()
		var sub *stage.Subscription
		c := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
			sub = from
			return from.Hold(len(events))
		})
		c.SubscribeTo(p, stage.MaxDemand(1))
		f := startFlow(t, p, c)
		p.push(t, 1, 2, 3)
		require.EqualValues(t, 3, c.Stats().Input.InHand, "asked again as if they were finished")
		require.ErrorIs(t, sub.Next(1), stage.ErrNotManual)
		require.NoError(t, sub.Release(3))
		f.stop()
	})
}

func TestReleaseWhenTheSubscriptionHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, other, h := newSource(), newSource(), newHolder()
		h.SubscribeTo(p, stage.Manual(), stage.Cancel(stage.CancelTemporary))
		f := startFlow(t, p, h, other)
		sub := h.sub
		h.SubscribeTo(other, stage.Manual())
		f.rest()
		p.push(t, 1, 2, 3)
		require.NoError(t, sub.Cancel(nil))
		f.rest()
		require.ErrorIs(t, sub.Ask(1), stage.ErrEnded)
		require.EqualValues(t, 3, h.Stats().Input.InHand)
		require.NoError(t, sub.Next(1), "releases and asks nothing")
		require.NoError(t, sub.Release(1))
		f.rest()
		require.EqualValues(t, 1, h.Stats().Input.InHand)
		require.EqualValues(t, 2, h.Stats().Input.Handled)
		require.NoError(t, sub.Release(1))
		require.ErrorIs(t, sub.Release(1), stage.ErrInvalidHold)
		f.stop()
	})
}

func TestHeldIsLostAtACrashAndAtAnAbort(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name string
		end  func(t *testing.T, h *holder)
		want error
	}{
		{"abort", func(_ *testing.T, h *holder) { h.Abort(stage.ErrKilled) }, stage.ErrKilled},
		{"error", func(_ *testing.T, h *holder) { h.Do(context.Background(), func(context.Context) error { return boom }) }, boom},
		{"panic", func(_ *testing.T, h *holder) { h.Do(context.Background(), func(context.Context) error { panic(boom) }) }, boom},
		{"cancel mode", func(_ *testing.T, h *holder) { h.sub.Cancel(boom) }, boom},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, h := newSource(), newHolder()
				h.SubscribeTo(p, stage.Manual())
				f := startFlow(t, p, h)
				p.push(t, 1, 2, 3)
				require.NoError(t, h.sub.Release(1))
				c.end(t, h)
				require.ErrorIs(t, f.end(), c.want)
				in := h.Stats().Input
				require.EqualValues(t, 2, in.Lost)
				require.EqualValues(t, 1, in.Handled)
				require.Zero(t, in.InHand)
				require.ErrorIs(t, h.sub.Release(1), stage.ErrEnded)
				require.ErrorIs(t, h.sub.Next(1), stage.ErrEnded)
				require.ErrorIs(t, h.sub.Tell(func(context.Context) error { return nil }), stage.ErrEnded)
			})
		})
	}
}

// What a callback held before it failed is lost; the rest of its batch has failed.
func TestHoldInACallbackThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		p, h := newSource(), newHolder()
		h.hold = func(_ int, from *stage.Subscription) error {
			if err := from.Hold(1); err != nil {
				return err
			}
			return boom
		}
		h.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, h)
		p.push(t, 1, 2, 3)
		require.ErrorIs(t, f.end(), boom)
		require.EqualValues(t, 1, h.Stats().Input.Lost)
		require.EqualValues(t, 2, h.Stats().Input.Failed)
	})
}

// builder takes a number, hands out as many tasks, and emits it when all their results are in. It
// asks for the next number only then.
type builder struct {
	open    map[int]int // tasks that are out; owned by the stage goroutine
	mostNow int
}

func (b *builder) subscribed(_ context.Context, sub *stage.Subscription) error { return sub.Ask(2) }

func TestBuilderThatHandsOutWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const total = 20
		b := &builder{open: map[int]int{}}
		var built []int
		p := stage.FromSlice(upTo(total))
		c := stage.NewConsumer(func(ctx context.Context, events []int, from *stage.Subscription) error {
			if err := from.Hold(len(events)); err != nil {
				return err
			}
			for _, e := range events {
				b.open[e] = e + 1
				b.mostNow = max(b.mostNow, len(b.open))
				for range e + 1 {
					go func() { // ends with its second of work
						time.Sleep(time.Second)
						from.Tell(func(context.Context) error {
							if b.open[e]--; b.open[e] > 0 {
								return nil
							}
							delete(b.open, e)
							built = append(built, e)
							return from.Next(1)
						})
					}()
				}
			}
			return nil
		}, stage.OnSubscribe(b.subscribed))
		c.SubscribeTo(p, stage.Manual())
		began := time.Now()
		f := startFlow(t, p, c)
		f.finish()
		require.ElementsMatch(t, upTo(total), built)
		require.Equal(t, 2, b.mostNow, "never more than it asked for, and all of that")
		require.Equal(t, total/2*time.Second, time.Since(began))
	})
}

// A producer-consumer that holds what it was given: results come home by sub.Tell, what is made of
// them is emitted by Tell, and the end waits for all of it.
func TestProducerConsumerThatHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := stage.FromSlice(upTo(10)), newGatherer[int]()
		var pc *stage.ProducerConsumer[int, int]
		pc = stage.NewProducerConsumer(func(_ context.Context, events []int, from *stage.Subscription) ([]int, error) {
			err := from.Hold(len(events))
			for _, e := range events {
				time.AfterFunc(time.Duration(e%3+1)*time.Second, func() {
					pc.Tell(func(context.Context) ([]int, error) { return []int{10 * e}, from.Next(1) })
				})
			}
			return nil, err
		}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(3) }))
		flushed := false
		pc.OnComplete(func(context.Context) ([]int, error) { flushed = true; return []int{-1}, stage.ErrDone })
		pc.SubscribeTo(p, stage.Manual())
		s.SubscribeTo(pc, stage.MaxDemand(2))
		f := startFlow(t, p, pc, s)
		require.EqualValues(t, 3, pc.Stats().Input.InHand)
		f.finish()
		require.True(t, flushed)
		got := s.events()
		require.Equal(t, -1, got[len(got)-1], "what OnComplete emits comes last")
		require.ElementsMatch(t, []int{0, 10, 20, 30, 40, 50, 60, 70, 80, 90, -1}, got)
	})
}
