package stage_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// A function of AddFunc that does not return holds nobody up for longer than Grace, and is named.
func TestSupervisorAddFuncHangs(t *testing.T) {
	const grace = 3 * time.Second
	short := func(t *testing.T) context.Context {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		t.Cleanup(cancel)
		return ctx
	}
	for _, first := range []bool{true, false} {
		for name, c := range map[string]struct {
			end   func(t *testing.T, sup *stage.Supervisor, cancel func()) error
			takes time.Duration
		}{
			"Abort": {func(_ *testing.T, sup *stage.Supervisor, _ func()) error { sup.Abort(errBoom); return nil }, grace},
			"the end of the context": {func(_ *testing.T, _ *stage.Supervisor, cancel func()) error {
				cancel()
				return nil
			}, grace},
			"Stop":               {func(_ *testing.T, sup *stage.Supervisor, _ func()) error { return sup.Stop(context.Background()) }, grace},
			"the deadline of it": {func(t *testing.T, sup *stage.Supervisor, _ func()) error { return sup.Stop(short(t)) }, grace},
		} {
			t.Run(map[bool]string{true: "at the first start, ", false: "at a restart, "}[first]+name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					release, calls, hangs := make(chan struct{}), 0, first
					member := newSink(0, stage.Name("member"))
					other := newSink(0, stage.Name("other"))
					sup := stage.NewSupervisor(quiet, stage.OneForOne, stage.Name("sup"), stage.Grace(grace))
					sup.Add(other)
					sup.AddFunc(func() stage.Stage {
						if calls++; hangs || calls == 2 {
							<-release
						}
						return member
					})
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					run := start(ctx, sup)
					if !first {
						fail(t, member.Consumer)
					}
					time.Sleep(time.Minute)
					require.True(t, run.running())
					begin := time.Now()
					err := c.end(t, sup, cancel)
					var stopped *stage.StopError
					if name == "the deadline of it" {
						require.ErrorAs(t, err, &stopped)
						require.Equal(t, []string{"sup/AddFunc"}, namesOf(stopped.Stuck))
					}
					if name == "Stop" {
						require.ErrorAs(t, err, &stopped)
						require.ErrorIs(t, err, stage.ErrStuck)
					}
					require.Equal(t, []string{"sup/AddFunc"}, stuckAt(t, run.wait(t)))
					require.Equal(t, c.takes, time.Since(begin))
					require.Equal(t, []string{"sup/AddFunc"}, namesOf(sup.Stats().Stuck))
					require.ErrorIs(t, sup.Run(t.Context()), stage.ErrStuck, "it has not returned")
					require.False(t, other.Stats().Running)
					closed(t, sup)
					close(release)
					synctest.Wait()
					require.Empty(t, sup.Stats().Stuck)
					require.Zero(t, member.Stats().Runs-calls+1, "what it made late is not run")
					hangs = false
					again := start(t.Context(), sup)
					require.True(t, again.running())
					abortAll(t, again)
				})
			})
		}
	}
}

// A log handler that does not return: likewise, and it is called no more.
func TestSupervisorLoggerHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		member := newSink(0)
		sup := stage.NewSupervisor(stage.Logger(slog.New(logHandler(func() { <-release }))), stage.Name("sup"))
		sup.Add(member)
		run := start(t.Context(), sup)
		fail(t, member.Consumer)
		time.Sleep(time.Minute)
		begin := time.Now()
		sup.Abort(errBoom)
		require.Equal(t, []string{"sup/Logger"}, stuckAt(t, run.wait(t)))
		require.Equal(t, stage.DefaultGrace, time.Since(begin))
		close(release)
	})
}

// T28: a ring through a factory: it calls a stage that waits for the supervisor.
func TestRingThroughAFactory(t *testing.T) {
	testkit.Report(t, "T28", 1)
	bubble(t, func(t *testing.T) {
		outside, member := newSink(0, stage.Name("outside")), newSink(0, stage.Name("member"))
		sup := stage.NewSupervisor(quiet, stage.Name("sup"))
		calls := 0
		answer := make(chan error, 1)
		sup.AddFunc(func() stage.Stage {
			if calls++; calls == 2 {
				answer <- outside.Do(context.Background(), func(context.Context) error { return nil })
			}
			return member
		})
		runs := runAlone(t.Context(), outside, sup)
		stopped := make(chan error, 1)
		require.NoError(t, outside.Tell(func(ctx context.Context) error {
			fail(t, member.Consumer)
			stopped <- sup.Stop(ctx)
			return nil
		}))
		begin := time.Now()
		require.ErrorIs(t, <-stopped, stage.ErrStuck)
		require.Equal(t, stage.DefaultGrace, time.Since(begin))
		require.NoError(t, <-answer, "the stage is free again")
		require.Equal(t, []string{"sup/AddFunc"}, stuckAt(t, runs[1].wait(t)))
		abortAll(t, runs[0])
	})
}

// The same in a supervisor within something else, which is ended while the factory hangs: as that starts, and as it is started again.
func TestSupervisorAddFuncHangsWithin(t *testing.T) {
	const grace = 3 * time.Second
	supervised := func(s stage.Stage) stage.Stage {
		sup := stage.NewSupervisor(quiet, stage.OneForOne)
		sup.Add(s)
		return sup
	}
	piped := func(s stage.Stage) stage.Stage { return stage.NewPipeline(s) }
	for name, around := range map[string]func(stage.Stage) stage.Stage{
		"a pipeline":                 piped,
		"a supervisor":               supervised,
		"a pipeline in a pipeline":   func(s stage.Stage) stage.Stage { return piped(piped(s)) },
		"a pipeline in a supervisor": func(s stage.Stage) stage.Stage { return supervised(piped(s)) },
	} {
		for end, do := range map[string]func(stage.Stage){
			"Abort": func(s stage.Stage) { s.Abort(errBoom) },
			"Stop":  func(s stage.Stage) { _ = s.Stop(context.Background()) },
		} {
			for hangs := 1; hangs <= 2; hangs++ {
				if hangs == 2 && !strings.HasSuffix(name, "supervisor") {
					continue // nobody starts it again
				}
				t.Run(fmt.Sprint(name, ", ", end, ", start ", hangs), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						release, made := make(chan struct{}), []*sink{}
						sup := stage.NewSupervisor(quiet, stage.MaxRestarts(0, time.Second), stage.Name("sup"), stage.Grace(grace))
						sup.AddFunc(func() stage.Stage {
							if made = append(made, newSink(0)); len(made) == hangs {
								<-release
							}
							return made[len(made)-1]
						})
						all := around(sup)
						run := start(t.Context(), all)
						if hangs == 2 {
							fail(t, made[0].Consumer)
						}
						time.Sleep(time.Minute)
						require.True(t, run.running())
						begin := time.Now()
						do(all)
						require.Equal(t, []string{"sup/AddFunc"}, stuckAt(t, run.wait(t)))
						require.Equal(t, grace, time.Since(begin))
						close(release)
						synctest.Wait()
						require.Zero(t, made[hangs-1].Stats().Runs, "what it made late is not run")
					})
				})
			}
		}
	}
}

// A factory that waits for the end of what it is to begin in, or runs it, is told so.
func TestSupervisorAddFuncOfItsOwnPipeline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var all *stage.Pipeline
		sup := stage.NewSupervisor(quiet)
		sup.AddFunc(func() stage.Stage {
			require.ErrorIs(t, all.Stop(context.Background()), stage.ErrSelfCall)
			require.ErrorIs(t, all.Run(context.Background()), stage.ErrSelfCall)
			return newSink(0)
		})
		all = stage.NewPipeline(sup)
		run := start(t.Context(), all)
		require.True(t, run.running())
		abortAll(t, run)
	})
}

// What ends a supervisor while a factory is at work, in the first start: what it makes is not begun, and no other is called (V10).
func TestSupervisorEndsBetweenTwoFactories(t *testing.T) {
	for end, do := range map[string]func(stage.Stage) error{
		"Abort": func(s stage.Stage) error { s.Abort(nil); return nil },
		"Stop":  func(s stage.Stage) error { return s.Stop(context.Background()) },
	} {
		t.Run(end, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				source, sink := silent(), newSink(0)
				sink.SubscribeTo(source)
				sup := stage.NewSupervisor(quiet)
				sup.AddFunc(func() stage.Stage { time.Sleep(time.Second); return sink })
				sup.AddFunc(func() stage.Stage { require.Fail(t, "the second is called"); return nil })
				sup.Add(source)
				all := stage.NewPipeline(sup)
				run := start(t.Context(), all)
				require.NoError(t, do(all))
				require.Equal(t, end == "Stop", run.wait(t) == nil)
				require.Zero(t, source.Stats().Runs)
				closed(t, all)
			})
		})
	}
}
