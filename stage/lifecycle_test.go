package stage_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// docs/protocol.md, S1, S2, S6 and M4; runs after one another; contexts.

// journal keeps what happened, in order.
type journal struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (j *journal) add(line string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, line)
}

func (j *journal) list() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return append([]string(nil), j.lines...)
}

func (j *journal) onInit(name string, pause time.Duration, err error) stage.Option {
	return stage.OnInit(func(context.Context) error {
		time.Sleep(pause)
		j.add("init " + name)
		return err
	})
}

func (j *journal) onTerminate(name string) stage.Option {
	return stage.OnTerminate(func(error) { j.add("terminate " + name) })
}

func (j *journal) onSubscribe(name string, pause time.Duration) stage.InputOption {
	return stage.OnSubscribe(func(context.Context, *stage.Subscription) error {
		time.Sleep(pause)
		j.add("subscribe " + name)
		return nil
	})
}

// OnInit of all in order, then the subscriptions, then, when all are answered, demand.
func TestStartingOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var j journal
		left := 4
		source := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
			j.add("demand")
			n := min(demand, left)
			if left -= n; left == 0 {
				return make([]int, n), stage.ErrDone
			}
			return make([]int, n), nil
		}, j.onInit("source", time.Second, nil))
		middle := relay(0, j.onInit("middle", time.Minute, nil), j.onSubscribe("middle", time.Minute))
		quick := newSink(0, j.onInit("quick", 0, nil), j.onSubscribe("quick", 0))
		slow := newSink(0, j.onInit("slow", 0, nil), j.onSubscribe("slow", time.Hour/2))
		middle.SubscribeTo(source, stage.MaxDemand(2))
		quick.SubscribeTo(source, stage.MaxDemand(2))
		slow.SubscribeTo(middle, stage.MaxDemand(2))

		// Sinks first: the order is that of the pipeline, not that of the flow.
		p := stage.NewPipeline(slow, quick, middle, source)
		require.NoError(t, start(t.Context(), p).wait(t))
		all := j.list()
		require.Equal(t, []string{"init slow", "init quick", "init middle", "init source"}, all[:4])
		require.ElementsMatch(t, []string{"subscribe middle", "subscribe quick", "subscribe slow"}, all[4:7])
		require.Equal(t, "demand", all[7])
		closed(t, p)
	})
}

// Nothing of a stage is called before its OnInit has returned.
func TestNothingBeforeOnInit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var j journal
		c := newSink(0, j.onInit("c", time.Minute, nil), j.onSubscribe("c", 0))
		p := silent(j.onInit("p", time.Hour/2, nil))
		c.SubscribeTo(p, stage.MaxDemand(1))
		runs := runAlone(t.Context(), p, c)
		require.NoError(t, c.Tell(func(context.Context) error { j.add("told"); return nil }))
		require.NoError(t, c.Do(t.Context(), func(context.Context) error { j.add("done"); return nil }))
		require.Equal(t, []string{"init c", "told", "done"}, j.list())
		require.NoError(t, p.Do(t.Context(), func(context.Context) ([]int, error) { return nil, nil }))
		synctest.Wait()
		require.Equal(t, []string{"init c", "told", "done", "init p", "subscribe c"}, j.list())
		abortAll(t, runs...)
		closed(t, p, c)
	})
}

// A failing OnInit ends the pipeline before any event, and before the OnInit of those behind.
func TestFailingOnInit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var j journal
		source := stage.NewProducer(func(context.Context, int) ([]int, error) {
			j.add("demand")
			return nil, nil
		}, j.onInit("source", 0, nil), j.onTerminate("source"))
		middle := relay(0, stage.Name("middle"), j.onInit("middle", 0, errBoom), j.onTerminate("middle"))
		c := newSink(0, j.onInit("c", 0, nil), j.onTerminate("c"))
		middle.SubscribeTo(source)
		c.SubscribeTo(middle)
		p := stage.NewPipeline(source, middle, c)
		require.Equal(t, &stage.Error{Stage: "middle", Err: errBoom}, start(t.Context(), p).wait(t))
		require.Equal(t, []string{"init source", "init middle", "terminate source"}, j.list())
		closed(t, p)
	})
}

// A declared subscription waits for its source, whatever the mode; to one that completed in its
// last run it is complete at once.
func TestDeclaredSubscriptionWaits(t *testing.T) {
	for mode, name := range modes {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				p := stage.FromSlice(upTo(3))
				c := newSink(0)
				c.SubscribeTo(p, stage.Cancel(mode))
				run := start(t.Context(), c)
				time.Sleep(time.Minute)
				require.True(t, run.running())
				require.Len(t, c.Stats().Upstreams, 1)
				require.NoError(t, p.Run(t.Context()))
				require.Equal(t, mode != stage.CancelPermanent, run.running())
				if mode != stage.CancelPermanent {
					require.NoError(t, c.Stop(t.Context()))
				}
				require.NoError(t, run.wait(t))
				require.Equal(t, upTo(3), c.events())
				closed(t, p, c)

				again := start(t.Context(), c)
				require.Equal(t, mode != stage.CancelPermanent, again.running(), "complete at once")
				if mode != stage.CancelPermanent {
					require.NoError(t, c.Stop(t.Context()))
				}
				require.NoError(t, again.wait(t))
				closed(t, c)
			})
		})
	}
}

// A source that failed is not complete: its next run is waited for.
func TestDeclaredSubscriptionWaitsForTheNextRun(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(3))
		run := start(t.Context(), p)
		p.Abort(errBoom)
		require.ErrorIs(t, run.wait(t), errBoom)
		c := newSink(0)
		c.SubscribeTo(p)
		consumer := start(t.Context(), c)
		require.True(t, consumer.running())
		require.NoError(t, p.Run(t.Context()))
		require.NoError(t, consumer.wait(t))
		require.Equal(t, upTo(3), c.events())
		closed(t, p, c)
	})
}

// A stage runs again with its state made anew and new subscriptions; the old ones are void.
func TestRunAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		next := 0
		source := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
			if next++; next > 3 {
				return nil, stage.ErrDone
			}
			return []int{next}, nil
		}, stage.OnInit(func(context.Context) error { next = 0; return nil }))
		var subs []*stage.Subscription
		c := newSink(0, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
			subs = append(subs, sub)
			return nil
		}))
		c.SubscribeTo(source, stage.MaxDemand(1))
		p := stage.NewPipeline(source, c)
		for i := range 3 {
			require.NoError(t, start(t.Context(), p).wait(t))
			require.Len(t, c.events(), 3*(i+1))
			require.Equal(t, i+1, c.Stats().Runs)
			require.Equal(t, i+1, p.Stats().Runs)
			require.EqualValues(t, 3, c.Stats().Input.Received, "Stats are those of one run")
			closed(t, p)
		}
		require.Len(t, subs, 3)
		require.NotSame(t, subs[0], subs[1])
		run := start(t.Context(), c) // a fourth one, alone
		old := func(context.Context) error { t.Error("in a later run"); return nil }
		require.ErrorIs(t, subs[0].Tell(old), stage.ErrEnded)
		require.ErrorIs(t, subs[0].Do(t.Context(), old), stage.ErrEnded)
		require.ErrorIs(t, subs[0].Cancel(errBoom), stage.ErrEnded)
		abortAll(t, run)
		closed(t, c)
	})
}

// A stage that failed may run again, too.
func TestRunAgainAfterEachFailure(t *testing.T) {
	for _, f := range faults {
		t.Run(f.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				failing := true
				source := stage.FromSlice(upTo(5))
				var c *stage.Consumer[int]
				got := 0
				c = stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
					if got += len(events); failing {
						return f.does()
					}
					return nil
				}, stage.OnInit(func(context.Context) error { got = 0; return nil }))
				c.SubscribeTo(source, stage.MaxDemand(2))
				p := stage.NewPipeline(source, c)
				_ = start(t.Context(), p).wait(t)
				closed(t, p)
				failing = false
				require.NoError(t, start(t.Context(), p).wait(t))
				require.Equal(t, 5, got)
				closed(t, p)
			})
		})
	}
}

func TestTwiceAtOnce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, c := endless(), endless(stage.Name("b")), newSink(time.Second)
		c.SubscribeTo(a, stage.MaxDemand(1))
		p := stage.NewPipeline(a, c)
		run := start(t.Context(), p)
		require.ErrorIs(t, p.Run(t.Context()), stage.ErrRunning)
		require.ErrorIs(t, a.Run(t.Context()), stage.ErrRunning)
		require.ErrorIs(t, stage.Run(t.Context(), b, c), stage.ErrRunning)
		require.ErrorIs(t, stage.Run(t.Context(), b, p), stage.ErrRunning)
		require.False(t, b.Stats().Running, "what had begun is ended again")
		require.True(t, run.running())
		abortAll(t, run)
		closed(t, p, b)
	})
}

func TestNestedPipelines(t *testing.T) {
	for _, failure := range []error{nil, errBoom} {
		bubble(t, func(t *testing.T) {
			source := stage.FromSlice(upTo(100))
			first, second := relay(time.Second), relay(time.Second)
			c := newSink(time.Second, stage.Name("c"))
			first.SubscribeTo(source, stage.MaxDemand(10))
			second.SubscribeTo(first, stage.MaxDemand(10))
			c.SubscribeTo(second, stage.MaxDemand(10))
			inner := stage.NewPipeline(first, second)
			outer := stage.NewPipeline(source, inner, stage.NewPipeline(stage.NewPipeline(c)))
			run := start(t.Context(), outer)
			time.Sleep(5500 * time.Millisecond)
			require.True(t, inner.Stats().Running)
			if failure == nil {
				require.NoError(t, run.wait(t))
				require.Equal(t, upTo(100), c.events())
			} else {
				c.Abort(failure)
				require.Equal(t, &stage.Error{Stage: "c", Err: failure}, run.wait(t))
			}
			require.False(t, inner.Stats().Running)
			require.False(t, outer.Stats().Members[1].Running)
			require.Equal(t, 1, outer.Stats().Members[1].Runs)
			require.Same(t, inner, outer.Stages()[1])
			closed(t, outer)
		})
	}
}

// An inner pipeline that is stopped leaves the outer one to its rules.
func TestInnerPipelineStops(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, middle, c := endless(), relay(0), newSink(time.Second)
		middle.SubscribeTo(source, stage.MaxDemand(4))
		c.SubscribeTo(middle, stage.MaxDemand(4))
		inner := stage.NewPipeline(middle)
		outer := stage.NewPipeline(source, inner, c)
		run := start(t.Context(), outer)
		time.Sleep(10 * time.Second)
		require.NoError(t, inner.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		require.EqualValues(t, middle.Stats().Output.Emitted, len(c.events()), "completion runs down")
		require.ErrorIs(t, source.Stats().Err, stage.ErrShutdown)
		closed(t, outer)
	})
}

// The end of Run's context, at every place where a run can be, is an abort with the context's
// cause, and a clean end.
func TestContextEnds(t *testing.T) {
	because := errors.New("because")
	places := []string{"before", "OnInit", "OnSubscribe", "demand", "events", "OnTerminate", "waiting", "Do", "idle"}
	testkit.Report(t, "T35", 2*len(places))
	for _, obeys := range []bool{true, false} {
		for _, place := range places {
			name := place
			if obeys {
				name += ", the callback returns ctx.Err()"
			}
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					ctx, cancel := context.WithCancelCause(t.Context())
					at := func(ctx context.Context, here string) error {
						if here != place {
							return nil
						}
						time.AfterFunc(time.Second, func() { cancel(because) })
						if !obeys {
							time.Sleep(time.Minute)
							return nil
						}
						<-ctx.Done()
						return ctx.Err()
					}
					init := stage.OnInit(func(ctx context.Context) error { return at(ctx, "OnInit") })
					source := stage.NewProducer(func(ctx context.Context, demand int) ([]int, error) {
						if place == "idle" {
							return nil, nil
						}
						return upTo(1), at(ctx, "demand")
					}, init, patient)
					var j journal
					c := stage.NewConsumer(func(ctx context.Context, _ []int, _ *stage.Subscription) error {
						time.Sleep(time.Millisecond)
						if place == "OnTerminate" {
							return errBoom
						}
						return at(ctx, "events")
					}, patient, stage.OnSubscribe(func(ctx context.Context, _ *stage.Subscription) error { return at(ctx, "OnSubscribe") }),
						stage.OnTerminate(func(error) {
							j.add("terminate")
							_ = at(ctx, "OnTerminate")
						}))
					c.SubscribeTo(source, stage.MaxDemand(1))
					later := silent()
					if place == "waiting" {
						c.SubscribeTo(later)
					}
					if place == "before" {
						cancel(because)
					}
					p := stage.NewPipeline(source, c)
					run := start(ctx, p)
					switch place {
					case "Do":
						require.NoError(t, c.Tell(func(ctx context.Context) error { return at(ctx, "Do") }))
					case "idle", "waiting":
						cancel(because)
					}
					err := run.wait(t)
					if place == "OnTerminate" {
						// The stage failed first, but tells the pipeline so when OnTerminate has returned.
						require.True(t, errors.Is(err, errBoom) || errors.Is(err, because), "%v", err)
						require.ErrorIs(t, c.Stats().Err, errBoom)
					} else {
						require.ErrorIs(t, err, because)
						var at *stage.Error
						require.ErrorAs(t, err, &at)
						require.Equal(t, p.Name(), at.Stage)
						for _, m := range p.Stats().Members {
							require.ErrorIs(t, m.Err, because, m.Stage)
						}
					}
					require.ErrorIs(t, context.Cause(ctx), because)
					wants := []string{"terminate"}
					if place == "before" || place == "OnInit" {
						wants = nil // it never began, or only its OnInit failed
					}
					require.Equal(t, wants, j.list())
					closed(t, p)
					if place != "before" {
						return
					}
					require.Zero(t, source.Stats().Runs, "nothing began")
					again := start(t.Context(), p)
					require.True(t, again.running(), "it can be run with another context")
					abortAll(t, again)
				})
			})
		}
	}
}

// A stage alone ends cleanly by its context for its neighbours: a transient one stays.
func TestOwnContextIsCleanForNeighbours(t *testing.T) {
	bubble(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		source := stage.NewProducer(func(ctx context.Context, demand int) ([]int, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})
		c := newSink(0)
		c.SubscribeTo(source, stage.Cancel(stage.CancelTransient))
		run, other := start(t.Context(), c), start(ctx, source)
		cancel()
		require.ErrorIs(t, other.wait(t), context.Canceled)
		require.True(t, run.running())
		abortAll(t, run)
		closed(t, source, c)
	})
}

// SubscribeTo while the stage starts declares one subscription, and makes one.
func TestSubscribeToWhileStarting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(10))
		var c *sink
		var subscribed count
		c = newSink(time.Second, stage.OnInit(func(context.Context) error {
			c.SubscribeTo(source, stage.MaxDemand(2))
			return nil
		}), stage.OnSubscribe(func(context.Context, *stage.Subscription) error { subscribed.Add(1); return nil }))
		p := stage.NewPipeline(source, c)
		require.NoError(t, start(t.Context(), p).wait(t))
		require.EqualValues(t, 1, subscribed.Load())
		require.Equal(t, upTo(10), c.events())
		closed(t, p)
	})
}

func TestPipelineNamed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice([]int{1})
		sink := newSink(0)
		sink.SubscribeTo(source)
		p := stage.NewPipeline(source, sink).Named("ingest")
		require.Equal(t, "ingest", p.Name())
		require.NoError(t, p.Run(t.Context()))
		require.Equal(t, "ingest", p.Stats().Stage)

		err := stage.NewPipeline(source, sink).Named("").Run(t.Context())
		require.ErrorIs(t, err, stage.ErrInvalidOption)
		require.ErrorContains(t, err, "lifecycle_test.go")
	})
}
