package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// Ends in figures: T26, T34 and T37 of internal/catalogue, with bugs that others have had with them.

// T34: Stop, Abort and Run of one pipeline from 64 goroutines at the same few instants. Pass: every call returns, none
// panics, those that stop one run agree, and every event is accounted for.
func TestStopAbortAndRunFromManyGoroutines(t *testing.T) {
	t.Parallel() // one of the longest
	for seed := range counted(t, "T34", 10_000, 200_000) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			rng := rand.New(rand.NewPCG(seed, 34))
			source, mid, c := endless(quiet), relay(time.Millisecond, quiet), newSink(time.Millisecond, quiet)
			mid.SubscribeTo(source, stage.MaxDemand(10))
			c.SubscribeTo(mid, stage.MaxDemand(10))
			p := stage.NewPipeline(source, mid, c)
			var all sync.WaitGroup
			var mu sync.Mutex
			stops := map[time.Time][]error{} // guarded by mu: what Stop returned, and when
			begun := time.Now()
			for range 64 {
				what, wait := rng.IntN(20), time.Duration(rng.IntN(5))*time.Millisecond
				all.Go(func() {
					time.Sleep(wait)
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					switch {
					case what < 10:
						err := p.Stop(ctx)
						mu.Lock()
						stops[time.Now()] = append(stops[time.Now()], err)
						mu.Unlock()
						if err != nil && !errors.Is(err, stage.ErrNotRunning) && !errors.As(err, new(*stage.StopError)) {
							t.Errorf("seed %d: Stop: %v", seed, err)
						}
					case what < 12:
						p.Abort(stage.ErrKilled)
					default:
						err := p.Run(ctx)
						if err != nil && !errors.Is(err, stage.ErrRunning) && !errors.Is(err, stage.ErrKilled) && !errors.Is(err, context.DeadlineExceeded) {
							t.Errorf("seed %d: Run: %v", seed, err)
						}
					}
				})
			}
			all.Wait()
			require.LessOrEqual(t, time.Since(begun), 2*time.Second)
			synctest.Wait()
			require.False(t, p.Stats().Members[0].Running)
			closed(t, p)
		})
	}
}

// T37, R3.5, R3.7, B32: a subscription is cancelled by several goroutines, in OnSubscribe, in the events callback, before
// it has asked, while its producer ends. Pass: each side is told once, and of the end only.
func TestCancelInAnyOrder(t *testing.T) {
	for seed := range counted(t, "T37", 10_000, 200_000) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			rng := rand.New(rand.NewPCG(seed, 37))
			var gone, cancelled told
			var subscribed count
			p := endless(quiet, gone.onGone())
			inHook, inCallback, manual := rng.IntN(5) == 0, rng.IntN(3) == 0, rng.IntN(3) == 0
			var mu sync.Mutex
			var sub *stage.Subscription // guarded by mu
			ended := false              // owned by the consumer's goroutine
			c := stage.NewConsumer(func(_ context.Context, _ []int, from *stage.Subscription) error {
				if ended {
					t.Errorf("seed %d: events after the end", seed)
				}
				time.Sleep(time.Millisecond)
				if inCallback {
					_ = from.Cancel(nil)
					_ = from.Cancel(errBoom)
				}
				return nil
			}, quiet, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error {
				subscribed.Add(1)
				mu.Lock()
				sub = s
				mu.Unlock()
				if inHook {
					return s.Cancel(nil)
				}
				if manual {
					return s.Ask(5)
				}
				return nil
			}))
			c.OnCancel(func(_ context.Context, s *stage.Subscription, end stage.Cancellation) error {
				ended = true
				cancelled.add(end)
				if err := s.Cancel(nil); !errors.Is(err, stage.ErrEnded) {
					t.Errorf("seed %d: Cancel after the end: %v", seed, err)
				}
				if err := s.Ask(1); manual && !errors.Is(err, stage.ErrEnded) {
					t.Errorf("seed %d: Ask after the end: %v", seed, err)
				}
				return nil
			})
			opts := []stage.SubscribeOption{stage.MaxDemand(1 + rng.IntN(5)), stage.Cancel(stage.CancelMode(rng.IntN(3)))}
			if manual {
				opts = append(opts, stage.Manual())
			}
			c.SubscribeTo(p, opts...)
			runs := runAlone(t.Context(), p, c)
			var all sync.WaitGroup
			for range []int{1, 3, 100}[rng.IntN(3)] {
				wait, reason := time.Duration(rng.IntN(4))*time.Millisecond, []error{nil, errBoom, stage.ErrShutdown}[rng.IntN(3)]
				all.Go(func() {
					time.Sleep(wait)
					mu.Lock()
					s := sub
					mu.Unlock()
					_ = s.Cancel(reason)
				})
			}
			producerEnds := rng.IntN(2) == 0
			if producerEnds {
				time.Sleep(time.Duration(rng.IntN(4)) * time.Millisecond)
				p.Abort([]error{nil, errBoom}[rng.IntN(2)])
			}
			all.Wait()
			time.Sleep(time.Minute)
			synctest.Wait()
			require.EqualValues(t, 1, subscribed.Load())
			require.Len(t, cancelled.list(), 1, "the consumer is told once")
			require.LessOrEqual(t, len(gone.list()), 1, "the producer is told once")
			if !producerEnds {
				require.Len(t, gone.list(), 1)
			}
			abortAll(t, runs...)
			closed(t, p, c)
		})
	}
}

// R3.4, R3.5: while the producer's callback takes an hour, an ask and a cancel return at once. R3.6: an ask after the
// cancel brings nothing, and takes nothing from others.
func TestAskAndCancelDoNotWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		emitted := 0
		p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
			time.Sleep(time.Hour)
			emitted += demand
			return make([]int, demand), nil
		})
		a, b := newGatherer[int](), newGatherer[int]()
		a.SubscribeTo(p, stage.Manual(), stage.Cancel(stage.CancelTemporary))
		b.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, a, b)
		require.NoError(t, b.sub.Ask(1))
		f.rest()
		begun := time.Now()
		require.NoError(t, a.sub.Cancel(nil))
		for range 1000 {
			require.NoError(t, a.sub.Ask(1), "void")
		}
		require.NoError(t, b.sub.Ask(4))
		require.Zero(t, time.Since(begun))
		time.Sleep(3 * time.Hour)
		f.rest()
		require.Empty(t, a.events())
		require.Len(t, b.events(), 5)
		require.ErrorIs(t, a.sub.Ask(1), stage.ErrEnded)
		require.Equal(t, 5, emitted)
		f.stop()
	})
}

// T26: one consumer of a broadcast is stuck. Pass: the others get what it has asked for and no more, and Stats shows who
// it is; with Lag and LagDisconnect they get everything.
func TestAStuckConsumerOfABroadcast(t *testing.T) {
	const total = 10_000
	for _, detach := range []bool{false, true} {
		bubble(t, func(t *testing.T) {
			p := stage.FromSlice(upTo(total), quiet)
			p.DispatchWith(stage.Broadcast)
			stuck := stage.ForEach(func(ctx context.Context, _ int) error {
				<-ctx.Done()
				return nil
			}, stage.Name("stuck"), quiet)
			opts := []stage.SubscribeOption{stage.MaxDemand(10), stage.Cancel(stage.CancelTemporary)}
			if detach {
				opts = append(opts, stage.Lag(10, stage.LagDisconnect))
			}
			stuck.SubscribeTo(p, opts...)
			all := []stage.Stage{p, stuck}
			var sinks []*sink
			for range 3 {
				s := newSink(time.Millisecond)
				s.SubscribeTo(p)
				sinks, all = append(sinks, s), append(all, s)
			}
			run := start(t.Context(), stage.NewPipeline(all...))
			time.Sleep(time.Hour)
			synctest.Wait()
			ledger(t, all...)
			want := 10
			if detach {
				want = total
			}
			for _, s := range sinks {
				require.Len(t, s.events(), want)
			}
			var holdsUp []string // those without open demand
			for _, d := range p.Stats().Downstreams {
				if d.Asked == d.Sent {
					holdsUp = append(holdsUp, d.Consumer)
				}
			}
			if !detach {
				require.Equal(t, []string{"stuck"}, holdsUp)
			}
			abortAll(t, run)
		})
	}
	testkit.Report(t, "T26", 2)
}

// B17, B23: a source, or a stage behind it, fails at any event, also at the last one, beside ErrDone. Pass: Run returns
// the failure, always.
func TestAFailureIsNeverAPartialSuccess(t *testing.T) {
	for seed := range counted(t, "B17", 10_000, 200_000) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			rng := rand.New(rand.NewPCG(seed, 17))
			total := 1 + rng.IntN(40)
			bad, where, panics := rng.IntN(total), rng.IntN(3), rng.IntN(2) == 0
			fails := func(events []int, layer int) error {
				if layer != where || !slices.Contains(events, bad) {
					return nil
				}
				if panics {
					panic(errBoom)
				}
				return errBoom
			}
			nap := func() { time.Sleep(time.Duration(rng.IntN(2)) * time.Millisecond) }
			next := 0
			p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
				events := upTo(min(total, next+demand))[next:]
				next += len(events)
				if err := fails(events, 0); err != nil {
					return events, err
				}
				if next == total {
					return events, stage.ErrDone
				}
				return events, nil
			}, quiet)
			mid := stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
				time.Sleep(0)
				return events, fails(events, 1)
			}, quiet)
			c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
				return fails(events, 2)
			}, quiet)
			window := func() stage.SubscribeOption { return stage.MaxDemand(1 + rng.IntN(20)) }
			mid.SubscribeTo(p, window())
			c.SubscribeTo(mid, window())
			nap()
			require.ErrorIs(t, stage.Run(t.Context(), p, mid, c), errBoom)
			ledger(t, p, mid, c)
		})
	}
}

// B20: a source that waits for its store, and minds its context, when it is stopped. Pass: Stop returns when its context
// ends, names the callback, and what was fetched by then is accounted for.
func TestStopOfASourceThatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		calls := 0
		p := stage.NewProducer(func(ctx context.Context, demand int) ([]int, error) {
			if calls++; calls > 3 {
				<-ctx.Done() // a long poll
				return []int{1, 2}, nil
			}
			return make([]int, demand), nil
		}, stage.Name("poller"), quiet)
		c := newSink(time.Millisecond)
		c.SubscribeTo(p, stage.MaxDemand(5), stage.MinDemand(0))
		pipeline := stage.NewPipeline(p, c)
		run := start(t.Context(), pipeline)
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun := time.Now()
		var stopped *stage.StopError
		require.ErrorAs(t, pipeline.Stop(ctx), &stopped)
		require.Equal(t, time.Second, time.Since(begun))
		require.Len(t, stopped.Stuck, 1)
		require.Equal(t, "poller", stopped.Stuck[0].Stage)
		require.Error(t, run.wait(t))
		got := c.events()
		require.Equal(t, make([]int, 15), got[:15])
		if len(got) > 15 { // the source saw its context end, and the sink had not been aborted yet
			require.Equal(t, []int{1, 2}, got[15:])
		}
		closed(t, pipeline)
	})
}

// B26: a consumer that has eight calls in flight is aborted. Pass: they see their context end; results that come when the
// stage has ended come too late, and their events count as lost. Those that come at once, while it is ending, may still be
// taken: each is handled or lost, and its call is told which.
func TestCallsInFlightSeeTheAbort(t *testing.T) {
	for _, pause := range []time.Duration{time.Nanosecond, 0} {
		bubble(t, func(t *testing.T) {
			var late, seen count
			var calls sync.WaitGroup
			p := endless()
			c := stage.NewConsumer(func(ctx context.Context, events []int, from *stage.Subscription) error {
				for range events {
					calls.Go(func() {
						select {
						case <-ctx.Done():
							seen.Add(1)
						case <-time.After(time.Hour):
						}
						if pause > 0 {
							time.Sleep(pause) // which passes when all else is done
						}
						if err := from.Next(1); err != nil {
							assert.ErrorIs(t, err, stage.ErrEnded)
							assert.ErrorIs(t, from.Tell(func(context.Context) error { return nil }), stage.ErrEnded)
							late.Add(1)
						}
					})
				}
				return from.Hold(len(events))
			}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(8) }))
			c.SubscribeTo(p, stage.Manual())
			run := start(t.Context(), stage.NewPipeline(p, c))
			require.EqualValues(t, 8, c.Stats().Input.InHand)
			run.Abort(errBoom)
			require.ErrorIs(t, run.wait(t), errBoom)
			calls.Wait()
			require.EqualValues(t, 8, seen.Load())
			if pause > 0 {
				require.EqualValues(t, 8, late.Load())
			}
			in := c.Stats().Input
			require.EqualValues(t, late.Load(), in.Lost)
			require.EqualValues(t, 8, in.Lost+in.Handled)
			closed(t, p, c)
		})
	}
}

// B33: a source that is closed after 0, 1, 2 or 3 events, at once. Pass: what it had arrives, in order, before Run returns.
func TestAnEarlyCloseLosesNothing(t *testing.T) {
	for seed := range counted(t, "B33", 10_000, 100_000) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			n := int(seed % 4)
			ch := make(chan int, 4)
			q := stage.NewQueue[int](4)
			for i := range n {
				ch <- i
				require.NoError(t, q.Push(t.Context(), i))
			}
			closes := func() { close(ch); q.Close() }
			if seed%8 < 4 {
				closes()
			} else {
				go closes() // ends at once
			}
			for _, src := range []interface {
				stage.Stage
				stage.Source[int]
			}{stage.FromChannel(ch), q} {
				mid, c := relay(time.Duration(seed%3)*time.Millisecond), newSink(time.Millisecond)
				mid.SubscribeTo(src, stage.MaxDemand(1+int(seed%5)))
				c.SubscribeTo(mid)
				require.NoError(t, stage.Run(t.Context(), src, mid, c))
				require.Equal(t, upTo(n), append([]int{}, c.events()...))
				closed(t, src, mid, c)
			}
		})
	}
}

// B42: a source fails at every step of a script of 20, and is run again at once; its consumer looks for it every second.
// Pass: it goes on within that second, and nothing is missed.
func TestASourceThatFailsAtEveryStep(t *testing.T) {
	bubble(t, func(t *testing.T) {
		next, left := 0, 0 // owned by the stage goroutine, or the test while it does not run
		p := stage.NewProducer(func(context.Context, int) ([]int, error) {
			if left == 0 {
				return nil, fmt.Errorf("disconnected: %w", errBoom)
			}
			left--
			next++
			return []int{next - 1}, nil
		}, quiet)
		c := newSink(0)
		run := start(t.Context(), c)
		connect := func() {
			for {
				_, err := c.Subscribe(t.Context(), p, stage.Cancel(stage.CancelTemporary), stage.MaxDemand(1), stage.MinDemand(0))
				if !errors.Is(err, stage.ErrNoStage) {
					return
				}
				time.Sleep(time.Second)
			}
		}
		want := 0
		for step := range 20 {
			left = step
			want += step
			again := start(t.Context(), p)
			time.Sleep(time.Duration(step*50) * time.Millisecond) // any phase of the second
			go connect()                                          // ends when it has found p
			require.ErrorIs(t, again.wait(t), errBoom)
			synctest.Wait()
			require.Equal(t, upTo(want), append([]int{}, c.events()...), "step %d", step)
			go connect() // p is not there yet
			time.Sleep(500 * time.Millisecond)
			left = 1
			want++
			again = start(t.Context(), p)
			begun := time.Now()
			require.ErrorIs(t, again.wait(t), errBoom)
			require.LessOrEqual(t, time.Since(begun), time.Second)
			synctest.Wait()
			require.Equal(t, upTo(want), c.events(), "step %d", step)
		}
		abortAll(t, run)
		ledger(t, p, c)
	})
}
