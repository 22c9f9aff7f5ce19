package stage_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Calls of stages from callbacks: what would wait for itself is an error at once, what does not
// wait is allowed.

// selfCalls makes every call that waits, from a callback of the stage, and what is allowed there.
func (v *victim) selfCalls(ctx context.Context, sub *stage.Subscription) error {
	nothing := func() error { return errors.New("ran") }
	calls := map[string]error{
		"Run":  v.self.Run(ctx),
		"Stop": v.self.Stop(ctx),
		"Do":   v.do(ctx, nothing),
	}
	emit := func(context.Context) ([]int, error) { return nil, nothing() }
	switch s := v.self.(type) {
	case *stage.Producer[int]:
		calls["DoAfter"] = s.DoAfter(ctx, emit)
	case *stage.ProducerConsumer[int, int]:
		calls["DoAfter"] = s.DoAfter(ctx, emit)
		_, calls["Subscribe"] = s.Subscribe(ctx, v.up)
	case *stage.Consumer[int]:
		_, calls["Subscribe"] = s.Subscribe(ctx, v.up)
	}
	if sub != nil {
		calls["sub.Do"] = sub.Do(ctx, func(context.Context) error { return nothing() })
	}
	for name, err := range calls {
		if !errors.Is(err, stage.ErrSelfCall) {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	_ = v.self.Stats()
	return v.tell(func() error { return nil })
}

func TestSelfCall(t *testing.T) {
	testkit.Report(t, "T27", 2*len(places))
	for _, p := range places {
		for _, own := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s/%s %v, own context: %v", p.kind, p.name, p.observe, own), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					result := make(chan error, 1)
					ctx := context.Background()
					var v *victim
					v = newVictim(p, fault{does: func() error {
						var sub *stage.Subscription
						select {
						case sub = <-v.sub:
						default:
						}
						result <- v.selfCalls(ctx, sub)
						return nil
					}, check: func(t *testing.T, err error, _ *victim) { require.NoError(t, err) }})
					if own { // that of the stage's callbacks is got hold of before
						v.ctx = &ctx
					}
					pipeline := stage.NewPipeline(v.stages()...)
					run := start(t.Context(), pipeline)
					v.provoke(t)
					within(t, "a call of itself", func() {
						if err := <-result; err != nil {
							t.Error(err)
						}
					})
					if own && p.name != "OnInit" {
						require.NotEqual(t, context.Background(), ctx)
					}
					abortAll(t, run)
					closed(t, pipeline)
				})
			})
		}
	}
}

// A call of the pipeline from a callback of a member is one of itself, too.
func TestSelfCallOfThePipeline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var inner, outer *stage.Pipeline
		source := stage.NewProducer(func(ctx context.Context, n int) ([]int, error) {
			for _, p := range []*stage.Pipeline{inner, outer} {
				if err := p.Stop(ctx); !errors.Is(err, stage.ErrSelfCall) {
					return nil, fmt.Errorf("Stop: %w", err)
				}
				if err := p.Run(ctx); !errors.Is(err, stage.ErrSelfCall) {
					return nil, fmt.Errorf("Run: %w", err)
				}
			}
			return upTo(3), stage.ErrDone
		})
		c := newSink(0)
		c.SubscribeTo(source)
		inner = stage.NewPipeline(source)
		outer = stage.NewPipeline(inner, c)
		require.NoError(t, start(t.Context(), outer).wait(t))
		closed(t, outer)
	})
}

// A goroutine that a callback started is not the stage: it may wait for it, with any context.
func TestGoroutinesOfCallbacksMayWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		errs := make(chan error, 4)
		source := endless()
		began := false
		var c *stage.Consumer[int]
		c = stage.NewConsumer(func(ctx context.Context, _ []int, sub *stage.Subscription) error {
			time.Sleep(time.Second)
			if began {
				return nil
			}
			began = true
			nothing := func(context.Context) error { return nil }
			var calls sync.WaitGroup
			calls.Go(func() { errs <- c.Do(ctx, nothing) })
			calls.Go(func() { errs <- c.Do(context.Background(), nothing) })
			calls.Go(func() { errs <- sub.Do(ctx, nothing) })
			go func() {
				calls.Wait() // they would find the stage ended
				errs <- c.Stop(ctx)
			}()
			return nil
		})
		c.SubscribeTo(source, stage.MaxDemand(1))
		runs := runAlone(t.Context(), source, c)
		for range 4 {
			require.NoError(t, <-errs)
		}
		require.NoError(t, runs[1].wait(t))
		abortAll(t, runs...)
		closed(t, source, c)
	})
}

// ring makes n consumers, each of which calls the next one, from a function that was told to it.
func ring(n int) []*stage.Consumer[int] {
	all := make([]*stage.Consumer[int], n)
	for i := range all {
		all[i] = newSink(0, stage.Name(fmt.Sprint(i))).Consumer
	}
	return all
}

func TestRingOfDo(t *testing.T) {
	testkit.Report(t, "T28", 3)
	for _, n := range []int{2, 3, 10} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				all := ring(n)
				var runs []*started
				for _, c := range all {
					runs = append(runs, start(t.Context(), c))
				}
				var last error
				var call func(i int) func(context.Context) error
				call = func(i int) func(context.Context) error {
					return func(ctx context.Context) error {
						err := all[(i+1)%n].Do(ctx, call(i+1))
						if i == n-1 {
							last = err
						}
						return nil
					}
				}
				within(t, "a ring of Do", func() {
					if err := all[0].Do(t.Context(), call(0)); err != nil {
						t.Error(err)
					}
				})
				require.ErrorIs(t, last, stage.ErrCallCycle)
				for _, r := range runs {
					require.True(t, r.running())
				}
				abortAll(t, runs...)
			})
		})
	}
}

// All wait at the same time, each for the next: exactly one of them is told, and the rest go on.
func TestRingOfDoAtTheSameTime(t *testing.T) {
	rounds := testkit.Rounds(300, 3000)
	testkit.Report(t, "T28", 3*rounds)
	for _, n := range []int{2, 3, 10} {
		for range rounds {
			bubble(t, func(t *testing.T) {
				all := ring(n)
				var runs []*started
				for _, c := range all {
					runs = append(runs, start(t.Context(), c))
				}
				var mu sync.Mutex
				var cycles, ran int
				var wg sync.WaitGroup
				for i := range all {
					wg.Add(1)
					require.NoError(t, all[i].Tell(func(ctx context.Context) error {
						defer wg.Done()
						time.Sleep(time.Second) // all wake at the same instant
						err := all[(i+1)%n].Do(ctx, func(context.Context) error {
							mu.Lock()
							defer mu.Unlock()
							ran++
							return nil
						})
						mu.Lock()
						defer mu.Unlock()
						if errors.Is(err, stage.ErrCallCycle) {
							cycles++
						} else if err != nil {
							t.Error(err)
						}
						return nil
					}))
				}
				within(t, "a ring of Do", wg.Wait)
				require.Positive(t, cycles)
				require.Equal(t, n, cycles+ran)
				abortAll(t, runs...)
			})
		}
	}
}

// A stage that calls down the line waits for nobody who waits for it.
func TestChainOfDoIsNoRing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := ring(3)
		var runs []*started
		for _, c := range all {
			runs = append(runs, start(t.Context(), c))
		}
		ran := 0
		require.NoError(t, all[0].Do(t.Context(), func(ctx context.Context) error {
			for range 2 {
				if err := all[1].Do(ctx, func(ctx context.Context) error {
					return all[2].Do(ctx, func(context.Context) error { ran++; return nil })
				}); err != nil {
					return err
				}
				if err := all[2].Do(ctx, func(context.Context) error { ran++; return nil }); err != nil {
					return err
				}
			}
			return nil
		}))
		require.Equal(t, 4, ran)
		abortAll(t, runs...)
	})
}

// Subscribe from a callback of the source waits for that callback: by way of the other stage.
func TestSubscribeToTheCaller(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newSink(0)
		answer := make(chan error, 1)
		var source *stage.Producer[int]
		source = silent(stage.OnInit(func(ctx context.Context) error {
			_, err := c.Subscribe(ctx, source)
			answer <- err
			return nil
		}))
		consumer := start(t.Context(), c)
		run := start(t.Context(), source)
		within(t, "Subscribe", func() {
			if err := <-answer; !errors.Is(err, stage.ErrSelfCall) {
				t.Error(err)
			}
		})
		abortAll(t, run, consumer)
		closed(t, source, c)
	})
}

// fn of a Do that was given up never runs; one that has begun is waited for.
func TestDoGivesUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		c := newSink(0, patient)
		run := start(t.Context(), c)
		require.NoError(t, c.Tell(func(context.Context) error { time.Sleep(time.Minute); return nil }))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := c.Do(ctx, func(context.Context) error { t.Error("ran"); return nil })
		require.ErrorIs(t, err, context.DeadlineExceeded)
		time.Sleep(time.Hour)

		ctx, cancel = context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		require.NoError(t, c.Do(ctx, func(context.Context) error { time.Sleep(time.Minute); return nil }))
		require.Equal(t, time.Minute, time.Since(begin))
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, c.Do(ended, func(context.Context) error { t.Error("ran"); return nil }), context.Canceled)

		// The run ends first.
		waits := make(chan error, 1)
		require.NoError(t, c.Tell(func(context.Context) error { time.Sleep(time.Minute); return nil }))
		go func() {
			waits <- c.Do(context.Background(), func(context.Context) error { t.Error("ran"); return nil })
		}()
		time.Sleep(time.Second)
		c.Abort(nil)
		require.ErrorIs(t, <-waits, stage.ErrEnded)
		require.ErrorIs(t, run.wait(t), stage.ErrShutdown)
		closed(t, c)
	})
}
