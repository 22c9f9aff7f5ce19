package stage_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// docs/protocol.md, R1 to R4, each with the end coming from above and from
// below.

// quiet keeps what a spared failure logs off the tests' output.
var quiet = stage.Logger(slog.New(slog.DiscardHandler))

// R1: a failure ends the pipeline, wherever it happens, and the others are aborted with it.
func TestR1FailureEndsThePipeline(t *testing.T) {
	for _, failing := range []string{"source", "middle", "sink"} {
		for mode, name := range modes {
			if mode == stage.CancelTemporary && failing != "sink" {
				continue // that one is spared
			}
			t.Run(failing+"/"+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					source := endless(stage.Name("source"))
					middle := relay(time.Second, stage.Name("middle"))
					sink := newSink(time.Second, stage.Name("sink"))
					middle.SubscribeTo(source, stage.MaxDemand(4), stage.Cancel(mode))
					sink.SubscribeTo(middle, stage.MaxDemand(4), stage.Cancel(mode))
					p := stage.NewPipeline(source, middle, sink)
					run := start(t.Context(), p)
					time.Sleep(10500 * time.Millisecond)
					fail := func(context.Context) ([]int, error) { return nil, errBoom }
					switch failing {
					case "source":
						require.NoError(t, source.Tell(fail))
					case "middle":
						require.NoError(t, middle.Tell(fail))
					default:
						require.NoError(t, sink.Tell(func(context.Context) error { return errBoom }))
					}
					err := run.wait(t)
					var first *stage.Error
					require.ErrorAs(t, err, &first)
					require.Equal(t, &stage.Error{Stage: failing, Err: errBoom}, first)
					require.Equal(t, err, first, "wrapped once")
					require.Equal(t, err, p.Stats().Err)
					// The others end by it, or by R2 where they lose their last subscriber first.
					for _, m := range p.Stats().Members {
						if m.Err != err {
							require.ErrorIs(t, m.Err, stage.ErrShutdown)
						}
					}
					closed(t, p)
				})
			})
		}
	}
}

// R1: a stage that has subscribers, all of them temporary, fails alone.
func TestR1TemporarySubscribersSpareThePipeline(t *testing.T) {
	for _, second := range []stage.CancelMode{stage.CancelTemporary, stage.CancelTransient, stage.CancelPermanent} {
		t.Run(modes[second], func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				failing := silent(quiet, stage.Name("failing"))
				other := stage.FromSlice(upTo(100), stage.Name("other"))
				a, b := newSink(time.Second), newSink(time.Second)
				a.SubscribeTo(failing, stage.Cancel(stage.CancelTemporary))
				b.SubscribeTo(failing, stage.Cancel(second))
				a.SubscribeTo(other, stage.MaxDemand(2))
				b.SubscribeTo(other, stage.MaxDemand(2))
				p := stage.NewPipeline(failing, other, a, b)
				run := start(t.Context(), p)
				time.Sleep(1500 * time.Millisecond)
				failing.Abort(errBoom)
				if second == stage.CancelTemporary {
					require.NoError(t, run.wait(t))
					require.Len(t, append(a.events(), b.events()...), 100)
				} else {
					require.ErrorIs(t, run.wait(t), errBoom)
				}
				require.ErrorIs(t, failing.Stats().Err, errBoom, "Stats tells it")
				closed(t, p)
			})
		})
	}
}

// R1: without subscribers there is nobody to spare the pipeline for.
func TestR1FailureWithoutSubscribers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		lonely, other := silent(), endless()
		c := newSink(time.Second)
		c.SubscribeTo(other, stage.MaxDemand(2))
		p := stage.NewPipeline(lonely, other, c)
		run := start(t.Context(), p)
		lonely.Abort(errBoom)
		require.ErrorIs(t, run.wait(t), errBoom)
		closed(t, p)
	})
}

// R2: a stage that has had subscribers and has none left is shut down, and so on upwards; what it
// held is lost, and counted.
func TestR2NobodyLeftBelow(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, middle := endless(), stage.NewProducerConsumer(func(_ context.Context, e []int, _ *stage.Subscription) ([]int, error) {
			return make([]int, 100*len(e)), nil // more than is ever asked: some wait in the buffer
		})
		taken := 0
		c := stage.NewConsumer(func(_ context.Context, e []int, _ *stage.Subscription) error {
			if taken += len(e); taken >= 20 {
				return stage.ErrDone
			}
			return nil
		})
		middle.SubscribeTo(source, stage.MaxDemand(10))
		c.SubscribeTo(middle, stage.MaxDemand(5))
		p := stage.NewPipeline(source, middle, c)
		require.NoError(t, start(t.Context(), p).wait(t))
		require.NoError(t, c.Stats().Err)
		require.ErrorIs(t, middle.Stats().Err, stage.ErrShutdown)
		require.ErrorIs(t, source.Stats().Err, stage.ErrShutdown)
		require.Positive(t, middle.Stats().Output.Lost)
		closed(t, p)
	})
}

// R2: KeepRunning exempts a stage. It waits for the next subscriber and loses nothing.
func TestR2KeepRunning(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(100))
		middle := relay(0, stage.KeepRunning())
		first := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return stage.ErrDone })
		idle := silent()
		second := newSink(0)
		middle.SubscribeTo(source, stage.MaxDemand(10))
		first.SubscribeTo(middle, stage.MaxDemand(10), stage.MinDemand(5))
		second.SubscribeTo(idle, stage.Cancel(stage.CancelTemporary))
		p := stage.NewPipeline(source, middle, first, idle, second)
		run := start(t.Context(), p)
		time.Sleep(time.Hour / 2)
		require.True(t, run.running())
		require.False(t, first.Stats().Running)
		require.True(t, middle.Stats().Running)
		ledger(t, p)
		_, err := second.Subscribe(t.Context(), middle)
		require.NoError(t, err)
		require.NoError(t, run.wait(t))
		require.Len(t, second.events(), 95)
		require.True(t, second.events()[0] == 5, "what the first one had not begun comes first")
		closed(t, p)
	})
}

// R2 does not look before everybody who is declared has come.
func TestR2WaitsForTheStart(t *testing.T) {
	for range 200 {
		bubble(t, func(t *testing.T) {
			source := stage.FromSlice(upTo(10))
			first := newSink(0, stage.OnSubscribe(func(context.Context, *stage.Subscription) error { return stage.ErrDone }))
			second := newSink(0)
			first.SubscribeTo(source)
			second.SubscribeTo(source)
			p := stage.NewPipeline(first, source, second)
			require.NoError(t, start(t.Context(), p).wait(t))
			require.Equal(t, upTo(10), second.events())
			closed(t, p)
		})
	}
}

// ... and then it does.
func TestR2LooksAfterTheStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := endless()
		first := newSink(0, stage.OnSubscribe(func(context.Context, *stage.Subscription) error { return stage.ErrDone }))
		first.SubscribeTo(source)
		p := stage.NewPipeline(source, first)
		require.NoError(t, start(t.Context(), p).wait(t))
		closed(t, p)
	})
}

// R3: a stage whose subscriptions have all ended completes, whatever their mode: OnComplete once.
func TestR3NothingLeftAbove(t *testing.T) {
	for mode, name := range modes {
		for _, end := range []string{"completed", "shut down", "cancelled", "failed"} {
			if mode == stage.CancelPermanent && end != "completed" || mode == stage.CancelTransient && end == "failed" {
				continue // it ends by the mode
			}
			t.Run(name+"/"+end, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					source := silent(quiet)
					middle := relay(time.Second)
					var completes count
					middle.OnComplete(func(context.Context) ([]int, error) {
						completes.Add(1)
						return []int{8, 9}, stage.ErrDone
					})
					c := newSink(time.Second)
					middle.SubscribeTo(source, stage.Cancel(mode))
					c.SubscribeTo(middle)
					p := stage.NewPipeline(source, middle, c)
					run := start(t.Context(), p)
					require.NoError(t, source.Do(t.Context(), func(context.Context) ([]int, error) { return []int{1, 2}, nil }))
					switch end {
					case "completed":
						require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, stage.ErrDone }))
					case "shut down":
						source.Abort(nil)
					case "failed":
						source.Abort(errBoom)
					default:
						require.NoError(t, source.Stop(t.Context()))
					}
					require.NoError(t, run.wait(t))
					require.EqualValues(t, 1, completes.Load())
					require.Equal(t, []int{1, 2, 8, 9}, c.events())
					closed(t, p)
				})
			})
		}
	}
}

// R3: a subscription that waits for its source is one that is left.
func TestR3WaitingCounts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, later := stage.FromSlice(upTo(3)), stage.FromSlice(upTo(5))
		c := newSink(0)
		c.SubscribeTo(source, stage.Cancel(stage.CancelTemporary))
		c.SubscribeTo(later, stage.Cancel(stage.CancelTemporary))
		p := stage.NewPipeline(source, c)
		run := start(t.Context(), p)
		time.Sleep(time.Hour / 2)
		require.True(t, run.running())
		require.Len(t, c.Stats().Upstreams, 1, "visible in Stats")
		require.NoError(t, later.Run(t.Context()))
		require.NoError(t, run.wait(t))
		require.Len(t, c.events(), 8)
		closed(t, p, later)
	})
}

// R3: with OnComplete returning nil the stage stays, and is driven by Do.
func TestR3OnCompleteMayStay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(3))
		middle := relay(0)
		var completes count
		middle.OnComplete(func(context.Context) ([]int, error) {
			completes.Add(1)
			return nil, nil
		})
		c := newSink(0)
		middle.SubscribeTo(source)
		c.SubscribeTo(middle)
		p := stage.NewPipeline(source, middle, c)
		run := start(t.Context(), p)
		time.Sleep(time.Hour / 2)
		require.True(t, run.running())
		require.EqualValues(t, 1, completes.Load())
		require.NoError(t, middle.Do(t.Context(), func(context.Context) ([]int, error) { return []int{7}, nil }))
		require.NoError(t, middle.Do(t.Context(), func(context.Context) ([]int, error) { return []int{8}, stage.ErrDone }))
		require.NoError(t, run.wait(t))
		require.Equal(t, []int{0, 1, 2, 7, 8}, c.events())
		require.EqualValues(t, 1, completes.Load())
		closed(t, p)
	})
}

// R4: Run waits for every member, also for one that has nothing to do with the failure.
func TestR4RunWaitsForAll(t *testing.T) {
	for _, failure := range []error{nil, errBoom} {
		t.Run(fmt.Sprint(failure), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				begin := time.Now()
				a, b := stage.FromSlice(upTo(1)), stage.FromSlice(upTo(1))
				quick, slow := newSink(0), newSink(time.Hour/2, patient) // does not look at its context
				quick.SubscribeTo(a)
				slow.SubscribeTo(b)
				p := stage.NewPipeline(a, b, quick, slow)
				run := start(t.Context(), p)
				if failure != nil {
					b.Abort(failure)
				}
				require.ErrorIs(t, run.wait(t), failure)
				require.Equal(t, time.Hour/2, time.Since(begin))
				closed(t, p)
			})
		})
	}
}

// R4: the first failure is returned, not what it brought about, nor a later one.
func TestR4FirstFailure(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := endless(stage.Name("source"))
		c := stage.NewConsumer(func(ctx context.Context, _ []int, _ *stage.Subscription) error {
			<-ctx.Done()
			return fmt.Errorf("cleaning up: %w", stage.ErrKilled)
		})
		c.SubscribeTo(source, stage.MaxDemand(1))
		p := stage.NewPipeline(source, c)
		run := start(t.Context(), p)
		source.Abort(errBoom)
		require.Equal(t, &stage.Error{Stage: "source", Err: errBoom}, run.wait(t))
		closed(t, p)
	})
}

// A failure that spared the pipeline is logged, once; no other end is.
func TestSparedFailureIsLogged(t *testing.T) {
	for _, end := range []string{"fails", "fails alone", "is aborted", "falls with another"} {
		t.Run(end, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var log strings.Builder
				source := silent(stage.Name("up"), stage.Logger(slog.New(slog.NewTextHandler(&log, nil))))
				c := newSink(0)
				c.SubscribeTo(source, stage.Cancel(stage.CancelTemporary))
				var runs []*started
				if end == "fails alone" {
					runs = runAlone(t.Context(), source, c)
				} else {
					runs = []*started{start(t.Context(), stage.NewPipeline(source, c))}
				}
				switch end {
				case "is aborted":
					runs[0].Abort(errBoom)
				case "falls with another":
					c.Abort(errBoom)
				default:
					source.Abort(errBoom)
				}
				time.Sleep(time.Second)
				abortAll(t, runs...)
				lines := 0
				if end == "fails" {
					lines = 1
				}
				require.Equal(t, lines, strings.Count(log.String(), "all its subscribers are temporary"), log.String())
				closed(t, source, c)
			})
		})
	}
}

// Within one call of Run a stage runs once: a declared subscription that comes when its source has ended, without
// completing, is told so; it does not wait for a run that nobody will start.
func TestDeclaredSubscriptionToAMemberThatHasEnded(t *testing.T) {
	for name, mode := range map[string]stage.CancelMode{"permanent": stage.CancelPermanent, "temporary": stage.CancelTemporary} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				source := endless()
				early := newSink(time.Second)
				early.SubscribeTo(source)
				var late *sink
				late = newSink(0, stage.OnInit(func(context.Context) error {
					return late.Tell(func(context.Context) error { // when everything is under way
						time.Sleep(time.Hour)
						late.SubscribeTo(source, stage.Cancel(mode))
						return nil
					})
				}))
				p := stage.NewPipeline(source, early, late)
				run := start(t.Context(), p)
				time.Sleep(time.Minute)
				source.Abort(nil) // a clean end: the pipeline goes on
				require.NoError(t, run.wait(t))
				closed(t, p)
			})
		})
	}
}
