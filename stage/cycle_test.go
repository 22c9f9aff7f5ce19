package stage_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Rings of calls that begin in a hook: a stage calls another one, whose function calls the first.

// roundTrip is what a hook does: B.Do, and from there back to the stage of the hook.
type roundTrip struct {
	other *stage.Consumer[int]
	back  func(ctx context.Context) error
	ctx   context.Context // of the hook's stage
	inner chan error      // what the call back got
}

func (r *roundTrip) run(ctx context.Context) error {
	return r.other.Do(ctx, func(ctx context.Context) error {
		select {
		case r.inner <- r.back(ctx):
		default: // the hook is called again
		}
		return nil
	})
}

func TestRingThroughEveryHook(t *testing.T) {
	hooks := map[string]error{
		"OnInit": stage.ErrCallCycle, "OnSubscribe": stage.ErrCallCycle, "OnConsumer": stage.ErrCallCycle,
		"OnConsumerGone": stage.ErrCallCycle, "OnCancel": stage.ErrCallCycle, "OnComplete": stage.ErrCallCycle,
		"OnTerminate": stage.ErrCallCycle, "start": stage.ErrCallCycle, "OnDeadLetter": stage.ErrCallCycle,
		"child": nil, // it is not the stage: the stage may be called
	}
	testkit.Report(t, "T28", len(hooks))
	for name, wants := range hooks {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				other := newSink(0)
				r := &roundTrip{other: other.Consumer, inner: make(chan error, 1)}
				at := func(ctx context.Context, here string) error {
					if here == "OnInit" {
						r.ctx = ctx
					}
					if here != name {
						return nil
					}
					return r.run(ctx)
				}
				source := stage.FromSlice(upTo(3))
				if name == "OnConsumerGone" {
					source = silent() // else the consumer is not the first to end
				}
				down, events := newSink(0), stage.FromSlice(upTo(3))
				self := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) { return events, nil },
					stage.OnInit(func(ctx context.Context) error { return at(ctx, "OnInit") }),
					stage.OnSubscribe(func(ctx context.Context, _ *stage.Subscription) error { return at(ctx, "OnSubscribe") }),
					stage.OnConsumer(func(ctx context.Context, _ *stage.Subscription) error { return at(ctx, "OnConsumer") }),
					stage.OnConsumerGone(func(ctx context.Context, _ *stage.Subscription, _ stage.Cancellation) error {
						return at(ctx, "OnConsumerGone")
					}),
					stage.OnTerminate(func(error) { _ = at(r.ctx, "OnTerminate") }))
				self.OnCancel(func(ctx context.Context, _ *stage.Subscription, _ stage.Cancellation) ([]int, error) {
					return nil, at(ctx, "OnCancel")
				})
				self.OnComplete(func(ctx context.Context) ([]int, error) {
					return nil, errors.Join(at(ctx, "OnComplete"), stage.ErrDone)
				})
				self.SubscribeTo(source)
				r.back = func(ctx context.Context) error {
					return self.Do(ctx, func(context.Context) ([]int, error) { return nil, nil })
				}
				down.SubscribeTo(self)
				s := stage.StartWith(func(ctx context.Context, event int) (func(context.Context) error, error) {
					if err := at(ctx, "start"); err != nil {
						return nil, err
					}
					return func(ctx context.Context) error {
						if name == "OnDeadLetter" {
							return errBoom
						}
						return at(ctx, "child")
					}, nil
				})
				s.OnDeadLetter(func(ctx context.Context, _ int, _ int, _ error) { _ = at(ctx, "OnDeadLetter") })
				if name == "start" || name == "child" || name == "OnDeadLetter" {
					r.back = func(ctx context.Context) error {
						return s.Do(ctx, func(context.Context) error { return nil })
					}
					s.SubscribeTo(events)
				}
				b := start(t.Context(), other)
				runs := runAlone(t.Context(), source, events, self, s, down)
				if name == "OnConsumerGone" {
					down.Abort(nil)
				}
				within(t, name, func() {
					if err := <-r.inner; !errors.Is(err, wants) {
						t.Errorf("the call back got %v", err)
					}
				})
				begin := time.Now()
				abortAll(t, append(runs, b)...)
				require.Less(t, time.Since(begin), stage.DefaultGrace, "nobody hangs")
			})
		})
	}
}

// Without the context of its callbacks a ring is not seen. It lasts until somebody aborts: then Grace ends it.
func TestRingThatNobodySees(t *testing.T) {
	testkit.Report(t, "T28", 1)
	bubble(t, func(t *testing.T) {
		a, b := newSink(0, stage.Name("a")), newSink(0, stage.Name("b"))
		pipeline := stage.NewPipeline(a, b)
		run := start(t.Context(), pipeline)
		nothing := func(context.Context) error { return nil }
		errs := make(chan error, 2)
		require.NoError(t, a.Tell(func(context.Context) error {
			errs <- b.Do(context.Background(), func(context.Context) error {
				errs <- a.Do(context.Background(), nothing)
				return nil
			})
			return nil
		}))
		require.True(t, run.running())
		begin := time.Now()
		pipeline.Abort(nil)
		require.ErrorIs(t, run.wait(t), stage.ErrStuck)
		require.LessOrEqual(t, time.Since(begin), 2*stage.DefaultGrace)
		time.Sleep(time.Minute)
		require.Error(t, errors.Join(<-errs, <-errs))
		for _, m := range pipeline.Stats().Members {
			require.Empty(t, m.Stuck, "all have returned")
		}
		closed(t, pipeline)
	})
}
