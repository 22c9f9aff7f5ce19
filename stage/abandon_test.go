package stage_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Functions that do not return although their context has ended. They wait on a channel that the test closes.

// stuckAt returns what an error names as stuck: the stages and their functions.
func stuckAt(t testing.TB, err error) []string {
	t.Helper()
	require.ErrorIs(t, err, stage.ErrStuck)
	var stuck *stage.StuckError
	require.ErrorAs(t, err, &stuck)
	return namesOf(stuck.Stuck)
}

func namesOf(list []stage.Stuck) []string {
	var names []string
	for _, s := range list {
		names = append(names, fmt.Sprintf("%s/%s", s.Stage, s.Callback))
	}
	return names
}

// Every function of the user's, in a stage of each kind: Run returns when Grace is over, and no later; nothing
// else of that stage is called; the ledger adds up, before and after it returns; then the stage runs again.
func TestStuckInEveryCallback(t *testing.T) {
	endings := map[string]func() error{
		"returns": func() error { return nil },
		"fails":   func() error { return errBoom },
		"panics":  func() error { panic("late") },
		"exits":   func() error { runtime.Goexit(); return nil },
	}
	testkit.Report(t, "T23", len(places)*len(endings))
	for _, p := range places {
		for name, end := range endings {
			t.Run(fmt.Sprintf("%s/%s %v, %s", p.kind, p.name, p.observe, name), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					because := errors.New("because")
					release := make(chan struct{})
					v := newVictim(p, fault{does: func() error {
						<-release
						return end()
					}, check: func(t *testing.T, err error, _ *victim) {
						if !errors.Is(err, stage.ErrStuck) {
							t.Errorf("the caller got %v", err)
						}
					}})
					pipeline := stage.NewPipeline(v.stages()...)
					run := start(t.Context(), pipeline)
					go v.provoke(t) // ends with the run
					for v.armed.Load() == 0 {
						time.Sleep(time.Millisecond)
						synctest.Wait()
					}
					terminated := v.terminated.Load()
					time.Sleep(time.Minute)
					require.True(t, run.running(), "while its context has not ended, it is waited for")

					aborted := time.Now()
					run.Abort(because)
					err := run.wait(t)
					require.Equal(t, stage.DefaultGrace, time.Since(aborted))
					require.ErrorIs(t, err, because)
					require.Equal(t, []string{"victim/" + p.callback}, stuckAt(t, err))
					closed(t, pipeline)
					if p.name != "Observe" { // which runs apart
						require.Equal(t, terminated, v.terminated.Load(), "no other callback")
					}
					require.Equal(t, []string{"victim/" + p.callback}, namesOf(v.self.Stats().Stuck))
					require.Equal(t, []string{"victim/" + p.callback}, stuckAt(t, v.self.Stats().Err))
					require.False(t, v.self.Stats().Stuck[0].Since.IsZero())
					require.Equal(t, []string{"victim/" + p.callback}, stuckAt(t, v.self.Run(t.Context())))

					close(release)
					time.Sleep(time.Second) // the callback has more to do
					require.Empty(t, v.self.Stats().Stuck)
					for _, m := range pipeline.Stats().Members {
						require.Empty(t, m.Stuck)
					}
					require.Equal(t, terminated+p.apart(), v.terminated.Load())
					closed(t, pipeline)
					again := start(t.Context(), v.self)
					require.NotErrorIs(t, again.err, stage.ErrStuck)
					abortAll(t, again)
				})
			})
		}
	}
}

// apart is how often OnTerminate is called in spite of the function that is stuck.
func (p place) apart() int64 {
	if p.name == "Observe" {
		return 1
	}
	return 0
}

// What an abandoned callback returns goes nowhere, and neither do its asks; the batch in its hand is late, what
// was behind that goes back, what was held is lost.
func TestLateResults(t *testing.T) {
	counts := []int{0, 1, 7, 1000}
	for _, results := range counts {
		lateResults(t, results)
	}
	testkit.Report(t, "T24", len(counts))
}

func lateResults(t *testing.T, results int) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		given := silent(stage.Name("source"))
		var late []error
		middle := stage.NewProducerConsumer(func(ctx context.Context, events []int, sub *stage.Subscription) ([]int, error) {
			if events[0] == 1 {
				return events, sub.Hold(2)
			}
			if err := sub.Hold(1); err != nil {
				return nil, err
			}
			<-release
			late = []error{ctx.Err(), sub.Ask(3), sub.Hold(1), sub.Release(1), sub.Cancel(nil), sub.Tell(func(context.Context) error { return nil })}
			return make([]int, results), nil
		}, stage.Name("middle"), stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(20) }))
		middle.SubscribeTo(given, stage.Manual())
		middle.OnCancel(func(context.Context, *stage.Subscription, stage.Cancellation) ([]int, error) { panic("not called") })
		down := newSink(0)
		down.SubscribeTo(middle)
		runs := runAlone(t.Context(), given, middle, down)
		give(t, given, 1, 2)
		give(t, given, 3, 4, 5)
		give(t, given, 6, 7)
		synctest.Wait()
		require.Equal(t, []int{1, 2}, down.events())
		middle.Abort(errBoom)
		err := runs[1].wait(t)
		require.Equal(t, []string{"middle/events"}, stuckAt(t, err))
		require.ErrorIs(t, err, errBoom)
		in := middle.Stats().Input
		require.Equal(t, [4]int64{0, 3, 2, 2}, [4]int64{in.Handled, in.Lost, in.Late, in.HandedBack}) // held: 2 and 1
		synctest.Wait()
		require.EqualValues(t, 2, given.Buffered(), "6 and 7 are back")
		require.Equal(t, err, runs[2].wait(t), "the neighbour is told")
		ledger(t, given, middle, down)
		before := middle.Stats()

		close(release)
		synctest.Wait()
		require.ErrorIs(t, late[0], context.Canceled)
		for i, want := range []error{stage.ErrEnded, stage.ErrInvalidHold, stage.ErrEnded, stage.ErrEnded, stage.ErrEnded} {
			require.ErrorIs(t, late[i+1], want, "call %d of the callback that came late", i)
		}
		after := middle.Stats()
		require.EqualValues(t, results, after.Output.LateResults)
		require.Empty(t, after.Stuck)
		after.Output.LateResults, before.Stuck = 0, nil
		require.Equal(t, stage.StateStuck, before.State.Kind)
		before.State, before.At = after.State, after.At
		require.Equal(t, before, after, "nothing else has changed")
		require.Equal(t, []int{1, 2}, down.events())
		abortAll(t, runs[0])
	})
}

// A Do whose function is abandoned is answered, and so are those behind it.
func TestDoIsAnsweredWhenItsFunctionIsStuck(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		c := newSink(0, stage.Grace(time.Second))
		run := start(t.Context(), c)
		first, second := make(chan error, 1), make(chan error, 1)
		go func() { first <- c.Do(context.Background(), func(context.Context) error { <-release; return nil }) }()
		synctest.Wait()
		go func() { second <- c.Do(context.Background(), func(context.Context) error { panic("not called") }) }()
		synctest.Wait()
		begin := time.Now()
		c.Abort(nil)
		require.ErrorIs(t, <-first, stage.ErrStuck)
		require.ErrorIs(t, <-second, stage.ErrEnded)
		require.Equal(t, time.Second, time.Since(begin))
		require.ErrorIs(t, run.wait(t), stage.ErrStuck)
		close(release)
	})
}

// A callback that waits in Do for another stage is not stuck, if that one is: it is told, and returns.
func TestWhoWaitsForAStuckStageIsNotStuck(t *testing.T) {
	for range 20 {
		bubble(t, func(t *testing.T) {
			release := make(chan struct{})
			stuck, waits := newSink(0, stage.Name("stuck")), newSink(0, stage.Name("waits"))
			p := stage.NewPipeline(stuck, waits)
			run := start(t.Context(), p)
			var answer error
			require.NoError(t, waits.Tell(func(ctx context.Context) error {
				answer = stuck.Do(context.WithoutCancel(ctx), func(context.Context) error { <-release; return nil })
				time.Sleep(time.Second) // it has a while for that
				return nil
			}))
			synctest.Wait()
			p.Abort(nil)
			require.Equal(t, []string{"stuck/Do"}, stuckAt(t, run.wait(t)))
			require.ErrorIs(t, answer, stage.ErrStuck)
			close(release)
			closed(t, p)
		})
	}
}

// OnTerminate has its own Grace, from its beginning; in a run that ends by itself it has all the time, until
// its context ends.
func TestOnTerminateHasItsOwnGrace(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var takes atomic.Int64
		var ended atomic.Bool
		takes.Store(int64(4 * time.Second))
		c := newSink(4*time.Second, stage.OnTerminate(func(error) { time.Sleep(time.Duration(takes.Load())); ended.Store(true) }))
		p := endless()
		c.SubscribeTo(p)
		runs := runAlone(t.Context(), p, c)
		c.Abort(errBoom)
		err := runs[1].wait(t)
		require.ErrorIs(t, err, errBoom)
		require.NotErrorIs(t, err, stage.ErrStuck)
		require.True(t, ended.Load())

		takes.Store(int64(6 * time.Second))
		ended.Store(false)
		again := start(t.Context(), c)
		begin := time.Now()
		c.Abort(errBoom)
		err = again.wait(t)
		require.Contains(t, stuckAt(t, err)[0], "/OnTerminate")
		require.Equal(t, 9*time.Second, time.Since(begin)) // 4 in the callback
		time.Sleep(time.Minute)
		require.True(t, ended.Load())

		takes.Store(int64(20 * time.Minute))
		ended.Store(false)
		again = start(t.Context(), c)
		require.NoError(t, c.Tell(func(context.Context) error { return errBoom }))
		err = again.wait(t)
		require.ErrorIs(t, err, errBoom)
		require.NotErrorIs(t, err, stage.ErrStuck)
		require.True(t, ended.Load())

		again = start(t.Context(), c)
		require.NoError(t, c.Tell(func(context.Context) error { return errBoom }))
		time.Sleep(time.Minute)
		require.True(t, again.running())
		begin = time.Now()
		c.Abort(nil)
		err = again.wait(t)
		require.ErrorIs(t, err, errBoom, "it had failed before")
		require.Contains(t, stuckAt(t, err)[0], "/OnTerminate")
		require.Equal(t, stage.DefaultGrace, time.Since(begin))
		abortAll(t, runs[0])
		time.Sleep(time.Hour)
		ledger(t, p, c)
	})
}

// The deadline of Stop aborts: Stop says at once who has not returned, Run when Grace is over.
func TestStopNamesTheStuck(t *testing.T) {
	testkit.Report(t, "T23", 1)
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		source := stage.FromSlice(upTo(10))
		c := stage.ForEach(func(context.Context, int) error { <-release; return nil }, stage.Name("c"), stage.Grace(3*time.Second))
		c.SubscribeTo(source, stage.MaxDemand(1))
		other := newSink(time.Millisecond, stage.Name("other"))
		other.SubscribeTo(source, stage.MaxDemand(1))
		p := stage.NewPipeline(source, c, other)
		run := start(t.Context(), p)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		begin := time.Now()
		var stopped *stage.StopError
		require.ErrorAs(t, p.Stop(ctx), &stopped)
		require.Equal(t, 2*time.Second, time.Since(begin))
		require.Equal(t, []string{"c/events"}, namesOf(stopped.Stuck))
		require.Len(t, other.events(), 9, "all others have drained")
		err := run.wait(t)
		require.Equal(t, 5*time.Second, time.Since(begin))
		require.Equal(t, []string{"c/events"}, stuckAt(t, err))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		close(release)
		closed(t, p)
	})
}

// Four of four slots are stuck: they are named, and when they have returned the supervisor runs again.
func TestStuckChildren(t *testing.T) {
	for name, end := range map[string]func(t *testing.T, run *started) error{
		"Abort": func(t *testing.T, run *started) error { run.Abort(errBoom); return run.wait(t) },
		"failure": func(t *testing.T, run *started) error {
			require.NoError(t, run.Stage.(*stage.ConsumerSupervisor[int]).Tell(func(context.Context) error { return errBoom }))
			return run.wait(t)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				release := make(chan struct{})
				source := stage.FromSlice(upTo(10))
				var terminated count
				s := stage.NewConsumerSupervisor(func(ctx context.Context, event int) error {
					if event == 3 {
						<-ctx.Done()
						time.Sleep(time.Second)
						return nil
					}
					<-release
					panic("late")
				}, stage.Name("s"), terminated.onTerminate(), quiet)
				s.SubscribeTo(source, stage.MaxDemand(4))
				runs := runAlone(t.Context(), source, s)
				begin := time.Now()
				err := end(t, runs[1])
				require.Equal(t, stage.DefaultGrace, time.Since(begin))
				require.ErrorIs(t, err, errBoom)
				require.Equal(t, []string{"s/child", "s/child", "s/child"}, stuckAt(t, err))
				require.EqualValues(t, 1, terminated.Load(), "the children run apart")
				in := s.Stats().Input
				require.Equal(t, [2]int64{3, 1}, [2]int64{in.Late, in.Handled})
				require.Len(t, s.Stats().Stuck, 3)
				require.EqualValues(t, 1, s.Stats().Stuck[0].Child)
				require.ErrorIs(t, s.Run(t.Context()), stage.ErrStuck)
				close(release)
				synctest.Wait()
				require.Empty(t, s.Stats().Stuck)
				ledger(t, source, s)
				abortAll(t, start(t.Context(), s), runs[0])
			})
		})
	}
}

// The start phase of a child is a callback of the stage: no other is called when it is stuck.
func TestStuckStart(t *testing.T) {
	for name, result := range map[string]error{"starts": nil, "refuses": errBoom} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				release := make(chan struct{})
				source := stage.FromSlice(upTo(10))
				var terminated count
				s := stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
					if event == 1 {
						<-release
						return func(context.Context) error { panic("not called") }, result
					}
					return func(ctx context.Context) error { <-ctx.Done(); return nil }, nil
				}, stage.Name("s"), terminated.onTerminate())
				s.SubscribeTo(source, stage.MaxDemand(4))
				p := stage.NewPipeline(source, s)
				run := start(t.Context(), p)
				require.Equal(t, "start", s.Stats().Callback)
				p.Abort(errBoom)
				err := run.wait(t)
				require.Equal(t, []string{"s/start"}, stuckAt(t, err))
				require.Zero(t, terminated.Load())
				in := s.Stats().Input
				require.Equal(t, [3]int64{1, 1, 2}, [3]int64{in.Late, in.Handled, in.Lost}) // the source has ended
				closed(t, p)
				close(release)
				synctest.Wait()
				require.Empty(t, s.Stats().Stuck)

				release = make(chan struct{})
				single := start(t.Context(), s)
				answer := make(chan error, 1)
				go func() { _, err := s.StartChild(context.Background(), 1); answer <- err }()
				synctest.Wait()
				s.Abort(nil)
				require.ErrorIs(t, <-answer, stage.ErrStuck)
				require.ErrorIs(t, single.wait(t), stage.ErrStuck)
				close(release)
				ledger(t, s)
			})
		})
	}
}

// StopChild on a child that is abandoned while it waits.
func TestStopChildOfAStuckChild(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		s := stage.NewConsumerSupervisor(func(context.Context, int) error { <-release; return nil })
		run := start(t.Context(), s)
		id, err := s.StartChild(t.Context(), 1)
		require.NoError(t, err)
		synctest.Wait()
		answer := make(chan error, 1)
		go func() { answer <- s.StopChild(context.Background(), id) }()
		synctest.Wait()
		s.Abort(nil)
		require.ErrorIs(t, <-answer, stage.ErrStuck)
		require.ErrorIs(t, run.wait(t), stage.ErrStuck)
		close(release)
	})
}

// blockingReader gives what it is sent.
type blockingReader chan string

func (r blockingReader) Read(p []byte) (int, error) { return copy(p, <-r), nil }

// A Read that does not return is abandoned. What it reads later is for the next run.
func TestStuckReader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		text := make(blockingReader)
		var terminated count
		p := stage.Lines(text, stage.Name("lines"), terminated.onTerminate())
		var got []string
		c := stage.ForEach(func(_ context.Context, line string) error { got = append(got, line); return nil })
		c.SubscribeTo(p)
		pipeline := stage.NewPipeline(p, c)
		run := start(t.Context(), pipeline)
		text <- "one\ntwo\n"
		synctest.Wait()
		begin := time.Now()
		p.Abort(errBoom)
		err := run.wait(t)
		require.Equal(t, stage.DefaultGrace, time.Since(begin))
		require.Equal(t, []string{"lines/Read"}, stuckAt(t, err))
		require.EqualValues(t, 1, terminated.Load())
		require.ErrorIs(t, p.Run(t.Context()), stage.ErrStuck)
		text <- "three\n"
		synctest.Wait()
		require.Empty(t, p.Stats().Stuck)
		again := start(t.Context(), pipeline)
		text <- "four\n"
		synctest.Wait()
		require.Equal(t, []string{"one", "two", "three", "four"}, got)
		pipeline.Abort(nil)
		synctest.Wait()
		text <- "five"
		require.NotErrorIs(t, again.wait(t), stage.ErrStuck)
	})
}

// An iterator that is stuck is not touched by anyone else, and is released when it returns.
func TestStuckIterators(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		var released count
		seq := func(yield func(int, error) bool) {
			defer released.Add(1)
			for i := 0; yield(i, nil); i++ {
				if i == 5 {
					<-release
				}
			}
		}
		source := stage.FromSeq2(seq, stage.Name("source"))
		one := stage.FromSlice([]int{1, 2})
		expander := stage.NewExpander(func(context.Context, []int, *stage.Subscription) iter.Seq2[int, error] { return seq }, stage.Name("expander"))
		expander.SubscribeTo(one, stage.MaxDemand(1))
		a, b := newSink(0), newSink(0)
		a.SubscribeTo(source, stage.MaxDemand(1))
		b.SubscribeTo(expander, stage.MaxDemand(1))
		p := stage.NewPipeline(source, one, expander, a, b)
		run := start(t.Context(), p)
		p.Abort(nil)
		require.ElementsMatch(t, []string{"source/demand", "expander/events"}, stuckAt(t, run.wait(t)))
		require.EqualValues(t, 1, expander.Stats().Input.Late)
		require.Zero(t, released.Load())
		closed(t, p)
		close(release)
		synctest.Wait()
		require.EqualValues(t, 2, released.Load())
		require.Empty(t, source.Stats().Stuck)
		require.Empty(t, expander.Stats().Stuck)
	})
}

// A stage that is stuck elsewhere has an open iterator: it is released by the callback that comes late.
func TestIteratorOfAStuckStage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		var released count
		p := stage.FromSeq(func(yield func(int) bool) {
			defer released.Add(1)
			for i := 0; yield(i); i++ {
			}
		})
		c := newSink(0)
		c.SubscribeTo(p, stage.MaxDemand(3), stage.Manual())
		run := start(t.Context(), p)
		down := start(t.Context(), c)
		require.NoError(t, p.Tell(func(context.Context) ([]int, error) { <-release; return nil, nil }))
		synctest.Wait()
		p.Abort(nil)
		require.ErrorIs(t, run.wait(t), stage.ErrStuck)
		require.Zero(t, released.Load())
		close(release)
		synctest.Wait()
		require.ErrorIs(t, p.Stats().Err, stage.ErrStuck)
		require.Empty(t, p.Stats().Stuck)
		abortAll(t, down)
	})
}

// stuckHandler is a log handler that does not return.
type stuckHandler struct{ release chan struct{} }

func (stuckHandler) Enabled(context.Context, slog.Level) bool    { return true }
func (h stuckHandler) Handle(context.Context, slog.Record) error { <-h.release; return nil }
func (h stuckHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h stuckHandler) WithGroup(string) slog.Handler             { return h }

// A log handler that does not return is abandoned, too, and left alone.
func TestStuckLogger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		p := stage.FromSlice(upTo(10), stage.Name("p"), stage.Logger(slog.New(stuckHandler{release})), stage.BufferSize(0))
		c := newSink(0)
		c.SubscribeTo(p)
		p2 := stage.NewProducer(func(context.Context, int) ([]int, error) { return upTo(2000), nil },
			stage.Name("p2"), stage.BufferSize(1), stage.Logger(slog.New(stuckHandler{release})))
		c.SubscribeTo(p2, stage.MaxDemand(1))
		pipeline := stage.NewPipeline(p, p2, c)
		run := start(t.Context(), pipeline)
		begin := time.Now()
		pipeline.Abort(errBoom)
		err := run.wait(t)
		require.Equal(t, []string{"p2/Logger"}, stuckAt(t, err))
		require.Equal(t, stage.DefaultGrace, time.Since(begin))
		closed(t, pipeline)
		close(release)
		synctest.Wait()
		require.Empty(t, p2.Stats().Stuck)
	})
}

// A callback that returns in time is not stuck, whatever it returns; and no timer runs while nothing is aborted.
func TestInTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := endless()
		c := stage.NewConsumer(func(ctx context.Context, _ []int, _ *stage.Subscription) error {
			<-ctx.Done()
			time.Sleep(stage.DefaultGrace - 1)
			return errBoom
		})
		c.SubscribeTo(p)
		run := start(t.Context(), stage.NewPipeline(p, c))
		time.Sleep(time.Hour)
		run.Abort(nil)
		err := run.wait(t)
		require.ErrorIs(t, err, stage.ErrShutdown)
		require.NotErrorIs(t, err, stage.ErrStuck)
		require.EqualValues(t, 0, c.Stats().Input.Late)
		closed(t, p, c)
	})
}

func TestGraceOutOfRange(t *testing.T) {
	for _, d := range []time.Duration{0, -1} {
		err := newSink(0, stage.Grace(d)).Run(t.Context())
		require.ErrorIs(t, err, stage.ErrInvalidOption)
		require.ErrorContains(t, err, "Grace")
	}
}

// In real time: a callback that never looks at its context, and never parks.
func TestBusyCallback(t *testing.T) {
	testkit.Report(t, "T23", 1)
	var enough atomic.Bool
	defer enough.Store(true)
	source := stage.FromSlice(upTo(100))
	c := stage.ForEach(func(context.Context, int) error {
		for !enough.Load() { //nolint:staticcheck // busy on purpose
		}
		return nil
	}, stage.Name("c"), stage.Grace(10*time.Millisecond))
	c.SubscribeTo(source)
	p := stage.NewPipeline(source, c)
	done := make(chan error, 1)
	go func() { done <- p.Run(context.Background()) }()
	for c.Stats().Callback == "" {
		time.Sleep(time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	var stopped *stage.StopError
	require.ErrorAs(t, p.Stop(ctx), &stopped)
	require.Equal(t, []string{"c/events"}, namesOf(stopped.Stuck))
	require.Equal(t, []string{"c/events"}, stuckAt(t, <-done))
	closed(t, p)
	enough.Store(true)
	for len(c.Stats().Stuck) > 0 {
		time.Sleep(time.Millisecond)
	}
}
