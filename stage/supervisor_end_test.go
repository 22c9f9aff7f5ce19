package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// The end of a producer, by cancel mode. Children of one that is gone live on, and ask nothing.
func TestSupervisorProducerEnds(t *testing.T) {
	type ends struct{ permanent, transient, temporary bool } // whether the supervisor ends
	for _, c := range []struct {
		name string
		end  func(p *asks, sub *stage.Subscription) error
		want ends
	}{
		{"cancelled", func(_ *asks, sub *stage.Subscription) error { return sub.Cancel(errBoom) }, ends{true, true, false}},
		{"cancelled cleanly", func(_ *asks, sub *stage.Subscription) error { return sub.Cancel(stage.ErrShutdown) }, ends{true, false, false}},
		{"shut down", func(p *asks, _ *stage.Subscription) error { p.Abort(nil); return nil }, ends{true, false, false}},
		{"failed", func(p *asks, _ *stage.Subscription) error { p.Abort(errBoom); return nil }, ends{true, true, false}},
		{"completed", func(p *asks, _ *stage.Subscription) error {
			return p.Tell(func(context.Context) ([]int, error) { return nil, stage.ErrDone })
		}, ends{}},
	} {
		for mode, ends := range []bool{c.want.permanent, c.want.transient, c.want.temporary} {
			t.Run(fmt.Sprintf("%s, mode %d", c.name, mode), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					crew, source, told := newCrew(), askedOnly(), &told{}
					s := stage.NewConsumerSupervisor(crew.child, stage.Restart(stage.RestartTransient))
					s.OnCancel(func(_ context.Context, _ *stage.Subscription, end stage.Cancellation) error {
						told.add(end)
						return nil
					})
					var sub *stage.Subscription
					up, run := start(t.Context(), source), start(t.Context(), s)
					sub, err := s.Subscribe(t.Context(), source, stage.MaxDemand(4), stage.MinDemand(1), stage.Cancel(stage.CancelMode(mode)))
					require.NoError(t, err)
					source.emit(t, 1, 2, 3)
					source.take()
					require.NoError(t, c.end(source, sub))
					synctest.Wait()
					require.Len(t, told.list(), 1)
					require.Equal(t, !ends, run.running())
					if ends {
						require.Error(t, run.wait(t))
						require.Empty(t, crew.running(), "Run has waited for them")
						require.EqualValues(t, 3, s.Stats().Input.Lost)
					} else {
						require.Equal(t, []int{1, 2, 3}, crew.running())
						require.EqualValues(t, 3, s.Stats().Input.InHand)
						crew.end(t, 1, nil)
						crew.end(t, 2, errBoom)
						require.Equal(t, []int{2, 3}, crew.running(), "restarts go on")
						crew.end(t, 2, nil)
						require.Empty(t, source.take(), "their ends ask nothing")
						balanced(t, s)
						crew.end(t, 3, nil)
						completes := c.name == "completed" && mode == int(stage.CancelPermanent)
						require.Equal(t, !completes, run.running(), "it completes when they have ended")
						require.EqualValues(t, 3, s.Stats().Input.Handled)
					}
					abortAll(t, up, run)
					closed(t, source, s)
				})
			})
		}
	}
}

// A pipeline completes from its source to the last child, OnComplete once.
func TestSupervisorCompletes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var completed count
		sources := []*stage.Producer[int]{stage.FromSlice(upTo(50)), stage.FromSlice(upTo(70))}
		done := 0 // owned by the stage goroutine
		var s *stage.ConsumerSupervisor[int]
		s = stage.NewConsumerSupervisor(func(ctx context.Context, event int) error {
			time.Sleep(time.Duration(event) * time.Second)
			return s.Do(ctx, func(context.Context) error { done++; return nil })
		})
		s.OnComplete(func(context.Context) error {
			completed.Add(1)
			require.Equal(t, 120, done)
			return stage.ErrDone
		})
		s.SubscribeTo(sources[0], stage.MaxDemand(7), stage.MinDemand(3))
		s.SubscribeTo(sources[1])
		require.NoError(t, stage.Run(t.Context(), sources[0], sources[1], s))
		require.EqualValues(t, 1, completed.Load())
		closed(t, sources[0], sources[1], s)
	})
}

// Stop lets children finish, and starts no more; restarts go on meanwhile.
func TestSupervisorStop(t *testing.T) {
	bubble(t, func(t *testing.T) {
		crew, source := newCrew(), counting(0)
		s := stage.NewConsumerSupervisor(crew.child, stage.Restart(stage.RestartTransient))
		s.SubscribeTo(source, stage.MaxDemand(3))
		run := start(t.Context(), stage.NewPipeline(source, s))
		stopped := make(chan error, 1)
		go func() { stopped <- run.Stop(t.Context()) }()
		require.Equal(t, []int{1, 2, 3}, crew.running())
		crew.end(t, 1, nil)
		crew.end(t, 2, errBoom)
		require.Equal(t, []int{2, 3}, crew.running())
		crew.end(t, 2, nil)
		require.True(t, run.running())
		crew.end(t, 3, nil)
		require.NoError(t, <-stopped)
		require.NoError(t, run.wait(t))
		require.EqualValues(t, 3, s.Stats().Input.Handled)
		closed(t, source, s)
	})
}

// When Stop's context ends, it names the children that run.
func TestSupervisorStopNamesTheStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		source := stage.FromSlice(upTo(30))
		s := stage.NewConsumerSupervisor(func(_ context.Context, event int) error {
			if event%2 == 0 {
				return nil
			}
			<-release // deaf
			return errBoom
		}, stage.Name("crew"))
		s.SubscribeTo(source)
		run := start(t.Context(), stage.NewPipeline(source, s))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := run.Stop(ctx)
		var left *stage.StopError
		require.ErrorAs(t, err, &left)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Len(t, left.Stuck, 15)
		for i, stuck := range left.Stuck {
			require.Equal(t, stage.Stuck{Stage: "crew", Callback: "child", Child: stage.ChildID(2*i + 2)}, stuck)
		}
		require.Equal(t, []stage.Leftover{{Stage: "crew", InHand: 15}}, left.Left)
		require.Contains(t, err.Error(), `"crew" was in child 2;`)
		require.Contains(t, err.Error(), "and 5 more")

		require.True(t, run.running(), "Run waits for them")
		require.ErrorIs(t, s.Do(t.Context(), func(context.Context) error { return nil }), stage.ErrEnded)
		require.NoError(t, s.Tell(func(context.Context) error { panic("not called") }))
		_, err = s.Subscribe(t.Context(), source)
		require.ErrorIs(t, err, stage.ErrEnded)
		require.EqualValues(t, 15, s.Counts().Active)
		require.Len(t, s.Children(), 15)
		close(release)
		require.Error(t, run.wait(t))
		in := s.Stats().Input
		require.Equal(t, [2]int64{15, 15}, [2]int64{in.Handled, in.Lost})
		closed(t, source, s)
	})
}

// Abort, and the end of Run's context, end those of the children; Run waits for them.
func TestSupervisorAbort(t *testing.T) {
	for name, end := range map[string]func(s stage.Stage, cancel context.CancelCauseFunc){
		"Abort":   func(s stage.Stage, _ context.CancelCauseFunc) { s.Abort(errBoom) },
		"context": func(_ stage.Stage, cancel context.CancelCauseFunc) { cancel(errBoom) },
	} {
		bubble(t, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			var begun, after atomic.Int64
			var over atomic.Bool
			log := quiet
			source := stage.FromSlice(upTo(100))
			var s *stage.ConsumerSupervisor[int]
			var terminated count
			s = stage.NewConsumerSupervisor(func(ctx context.Context, event int) error {
				if begun.Add(1); over.Load() {
					after.Add(1)
				}
				<-ctx.Done()
				if !errors.Is(context.Cause(ctx), errBoom) {
					return errors.New("another cause")
				}
				// In its own time; calls home are answered, not waited for.
				time.Sleep(time.Duration(1+event) * time.Second)
				if err := s.Do(context.Background(), func(context.Context) error { panic("not called") }); !errors.Is(err, stage.ErrEnded) {
					return fmt.Errorf("Do: %w", err)
				}
				switch event % 4 {
				case 0:
					return nil // in spite of it
				case 1:
					panic("while it ends")
				case 2:
					return errors.New("some error")
				default:
					return ctx.Err()
				}
			}, stage.Restart(stage.RestartTransient), log, terminated.onTerminate(), patient)
			s.OnDeadLetter(func(context.Context, int, int, error) { panic("not called") })
			s.SubscribeTo(source, stage.MaxDemand(40))
			run := start(ctx, stage.NewPipeline(source, s))
			begin := time.Now()
			end(run, cancel)
			over.Store(true)
			require.Zero(t, terminated.Load())
			require.ErrorIs(t, run.wait(t), errBoom, name)
			require.Equal(t, 40*time.Second, time.Since(begin), "the longest child")
			require.EqualValues(t, 1, terminated.Load())
			require.EqualValues(t, 40, begun.Load())
			require.Zero(t, after.Load())
			in := s.Stats().Input
			require.Equal(t, [3]int64{10, 10, 20}, [3]int64{in.Handled, in.Failed, in.Lost}, name)
			closed(t, source, s)
		})
	}
}

// An abort in the middle of a delivery: what was not begun goes back.
func TestSupervisorAbortWhileStarting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(10), stage.KeepRunning())
		var s *stage.ConsumerSupervisor[int]
		s = stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
			if event == 3 {
				s.Abort(errBoom)
			}
			return func(context.Context) error { return nil }, nil
		})
		s.SubscribeTo(source)
		up := start(t.Context(), source)
		require.ErrorIs(t, s.Run(t.Context()), errBoom)
		in := s.Stats().Input
		require.EqualValues(t, 10, in.Received)
		require.EqualValues(t, 6, in.HandedBack)
		require.EqualValues(t, 4, in.Handled+in.Lost)
		abortAll(t, up)
		closed(t, source, s)
	})
}

// After the end of one run another begins, with its own children.
func TestSupervisorRunsAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := stage.FromSlice(upTo(20))
		var ran count
		s := stage.NewConsumerSupervisor(func(context.Context, int) error { ran.Add(1); return nil })
		s.SubscribeTo(source, stage.MaxDemand(3))
		for i := range 3 {
			require.NoError(t, stage.Run(t.Context(), source, s))
			require.EqualValues(t, 20*(i+1), ran.Load())
			require.Equal(t, stage.ChildCounts{Started: 20, Ended: 20}, s.Counts())
			require.Equal(t, i+1, s.Stats().Runs)
			closed(t, source, s)
		}
	})
}

func TestSupervisorChangesItsLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		crew, source := newCrew(), counting(0)
		s := stage.NewConsumerSupervisor(crew.child)
		up, run := start(t.Context(), source), start(t.Context(), s)
		sub, err := s.Subscribe(t.Context(), source, stage.MaxDemand(2))
		require.NoError(t, err)
		require.NoError(t, sub.SetDemand(5, 0))
		require.Len(t, crew.running(), 5)
		require.NoError(t, sub.SetDemand(3, 2))
		for i, want := range []int{4, 3, 2, 3} {
			crew.end(t, crew.running()[0], nil)
			require.Len(t, crew.running(), want, "end %d", i)
		}
		balanced(t, source, s)

		renewed, err := s.Resubscribe(t.Context(), sub, stage.ErrShutdown, source, stage.MaxDemand(1))
		require.NoError(t, err)
		require.NotNil(t, renewed)
		synctest.Wait()
		require.False(t, run.running(), "the old one was permanent")
		require.Empty(t, crew.running())
		abortAll(t, up, run)
		closed(t, source, s)
	})
}

// Everything at once, under the race detector: random work, failures, panics, stopped children,
// children by hand, readers, and an end at a random moment.
func TestSupervisorStorm(t *testing.T) {
	for seed := range uint64(30) {
		bubble(t, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 1))
			var mu sync.Mutex
			roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) }
			var running, most atomic.Int64
			work := func(ctx context.Context, _ int) error {
				for n := running.Add(1); ; {
					if old := most.Load(); n <= old || most.CompareAndSwap(old, n) {
						break
					}
				}
				defer running.Add(-1)
				select {
				case <-time.After(time.Duration(roll(1000)) * time.Millisecond):
				case <-ctx.Done():
				}
				switch roll(20) {
				case 0:
					return errBoom
				case 1:
					panic(errBoom)
				case 2:
					return ctx.Err()
				case 3:
					return stage.ErrShutdown
				}
				return nil
			}
			opts := []stage.ConsumerSupervisorOption{quiet, stage.Restart(stage.RestartMode(seed % 2))}
			if seed%2 == 1 {
				opts = append(opts, stage.MaxAttempts(1+roll(3)))
			}
			if seed%3 == 0 {
				opts = append(opts, stage.Backoff(time.Millisecond, time.Second))
			}
			s := stage.NewConsumerSupervisor(work, opts...)
			if seed%4 == 0 {
				s = stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
					switch roll(10) {
					case 0:
						return nil, errBoom
					case 1:
						return nil, nil
					}
					return func(ctx context.Context) error { return work(ctx, event) }, nil
				}, opts...)
			}
			sources := []stage.Stage{stage.FromSlice(upTo(300)), stage.FromSlice(upTo(200)), stage.FromSlice(upTo(100))}
			for i, source := range sources {
				limit := 1 + roll(10)
				s.SubscribeTo(source.(*stage.Producer[int]), stage.MaxDemand(limit), stage.MinDemand(roll(limit)), stage.Cancel(stage.CancelMode(i)))
			}
			p := stage.NewPipeline(append(sources, s)...)
			run := start(t.Context(), p)
			gone := make(chan struct{})
			go func() { // ends with the run
				defer close(gone)
				for run.Stats().Running || s.Stats().Running {
					for _, c := range s.Children() {
						if roll(50) == 0 {
							_ = s.StopChild(t.Context(), c.ID)
						}
					}
					time.Sleep(time.Duration(1+roll(500)) * time.Millisecond)
				}
			}()
			time.Sleep(time.Duration(roll(60_000)) * time.Millisecond)
			switch seed % 5 {
			case 0:
				p.Abort(stage.ErrKilled)
			case 1:
				require.NoError(t, p.Stop(t.Context()))
			case 2:
				sources[2].Abort(errBoom)
			}
			_ = run.wait(t)
			<-gone
			require.LessOrEqual(t, most.Load(), int64(30))
			require.Zero(t, running.Load())
			balanced(t, s)
			closed(t, append(sources, s)...)
			if seed%5 == 1 || seed%5 > 2 {
				in := s.Stats().Input // once the permanent source is complete, the others' events may go back
				require.Zero(t, in.Lost, "seed %d: %+v", seed, in)
			}
		})
	}
}
