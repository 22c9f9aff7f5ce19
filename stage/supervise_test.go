package stage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// What a supervisor does with its members. Who is restarted by which rule is tested in strategy_test.go; here it is
// that stages are really stopped and started so.

// diary notes what happens to stages, in order: "+a" is OnInit of a, "-a" its OnTerminate.
type diary struct {
	mu    sync.Mutex
	lines []string // guarded by mu
}

func (d *diary) add(line string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.lines = append(d.lines, line)
}

// take returns what was noted since the last time, when everything is at rest.
func (d *diary) take() string {
	synctest.Wait()
	d.mu.Lock()
	defer d.mu.Unlock()
	line := strings.Join(d.lines, " ")
	d.lines = nil
	return line
}

// idler makes a consumer that only notes its beginning and end.
func (d *diary) idler(name string) *stage.Consumer[int] {
	return stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
		stage.Name(name), d.onInit(name), d.onTerminate(name))
}

func (d *diary) onInit(name string) stage.Option {
	return stage.OnInit(func(context.Context) error { d.add("+" + name); return nil })
}

func (d *diary) onTerminate(name string) stage.Option {
	return stage.OnTerminate(func(error) { d.add("-" + name) })
}

// fail has a stage fail, by an error of a function that it is told.
func fail(t testing.TB, s interface {
	Tell(func(context.Context) error) error
},
) {
	t.Helper()
	require.NoError(t, s.Tell(func(context.Context) error { return errBoom }))
	synctest.Wait()
}

// members adds idlers a, b, c ... to a supervisor.
func (d *diary) members(sup *stage.Supervisor, n int, opts ...stage.MemberOption) []*stage.Consumer[int] {
	all := make([]*stage.Consumer[int], n)
	for i := range all {
		all[i] = d.idler(string(rune('a' + i)))
		sup.Add(all[i], opts...)
	}
	return all
}

// T39: six children, each is killed in turn.
func TestSupervisorStopsAndStartsAsOTP(t *testing.T) {
	testkit.Report(t, "T39", 18)
	const names = "abcdef"
	list := func(sign string, of string, back bool) (all []string) {
		for _, c := range of {
			all = append(all, sign+string(c))
		}
		if back {
			slices.Reverse(all)
		}
		return all
	}
	for i := range 6 {
		dead := names[i : i+1]
		for strategy, want := range map[stage.Strategy][]string{
			stage.OneForOne:  list("+", dead, false),
			stage.RestForOne: append(list("-", names[i+1:], true), list("+", names[i:], false)...),
			stage.OneForAll:  append(list("-", strings.ReplaceAll(names, dead, ""), true), list("+", names, false)...),
		} {
			t.Run(fmt.Sprint(strategy, " ", dead), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					var d diary
					sup := stage.NewSupervisor(strategy, quiet)
					members := d.members(sup, 6)
					run := start(t.Context(), sup)
					require.Equal(t, "+a +b +c +d +e +f", d.take())
					fail(t, members[i])
					require.Equal(t, "-"+dead+" "+strings.Join(want, " "), d.take())
					require.Equal(t, len(want)-strings.Count(strings.Join(want, ""), "-"), sup.Stats().Restarts)
					require.ErrorIs(t, sup.Stats().Failure, errBoom)
					for _, m := range sup.Stats().Members {
						require.True(t, m.Running)
					}
					require.NoError(t, sup.Stop(t.Context()))
					require.NoError(t, run.wait(t))
					require.NotContains(t, d.take(), "+")
					closed(t, sup)
				})
			})
		}
	}
}

// T40, with stages and the bubble's clock.
func TestSupervisorOfStagesIntensityIsExact(t *testing.T) {
	testkit.Report(t, "T40", 2)
	for _, c := range []struct {
		every  time.Duration
		deadly bool
	}{{time.Second, true}, {2 * time.Second, false}} {
		bubble(t, func(t *testing.T) {
			var d diary
			sup := stage.NewSupervisor(stage.Name("sup"), quiet)
			members := d.members(sup, 3)
			run := start(t.Context(), sup)
			for range 3 {
				fail(t, members[1])
				require.True(t, run.running())
				time.Sleep(c.every)
			}
			d.take()
			fail(t, members[1])
			require.Equal(t, !c.deadly, run.running())
			if !c.deadly {
				abortAll(t, run)
				return
			}
			require.Equal(t, "-b -c -a", d.take(), "the others stop in reverse order")
			err := run.wait(t)
			require.ErrorIs(t, err, stage.ErrIntensity)
			require.ErrorIs(t, err, errBoom)
			var first *stage.Error
			require.ErrorAs(t, err, &first)
			require.Equal(t, "sup", first.Stage)
			require.Equal(t, err, sup.Stats().Err)
			require.Equal(t, 6, sup.Stats().Restarts, "b and c, three times")
			closed(t, sup)
		})
	}
}

func TestSupervisorEndsWhenAllMembersHaveEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var d diary
		sup := stage.NewSupervisor(stage.OneForOne, quiet)
		a, b, c := d.idler("a"), d.idler("b"), d.idler("c")
		sup.Add(a)
		sup.Add(b, stage.Restart(stage.RestartTemporary))
		sup.Add(c, stage.Restart(stage.RestartPermanent))
		run := start(t.Context(), sup)
		fail(t, b)
		require.NoError(t, a.Stop(t.Context()))
		require.NoError(t, c.Stop(t.Context()))
		require.Equal(t, "+a +b +c -b -a -c +c", d.take())
		require.True(t, run.running())
		require.Equal(t, 1, sup.Stats().Restarts)
		require.NoError(t, sup.Stop(t.Context()))
		require.NoError(t, run.wait(t))

		sup = stage.NewSupervisor()
		source, sink := stage.FromSlice(upTo(10)), newSink(0)
		sink.SubscribeTo(source)
		sup.Add(source)
		sup.Add(sink)
		require.NoError(t, sup.Run(t.Context()))
		require.NoError(t, stage.NewSupervisor().Run(t.Context()), "none at all")
	})
}

// The first start is that of a pipeline: who fails in it ends the supervisor before any event.
func TestSupervisorFirstStart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var d diary
		bad := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
			stage.Name("bad"), stage.OnInit(func(context.Context) error { return errBoom }))
		sup := stage.NewSupervisor(quiet)
		d.members(sup, 2)
		sup.Add(bad)
		sup.Add(d.idler("z"))
		err := sup.Run(t.Context())
		require.Equal(t, &stage.Error{Stage: "bad", Err: errBoom}, err)
		require.NotContains(t, d.take(), "z")
		require.Zero(t, sup.Stats().Restarts)

		running := d.idler("r")
		sup = stage.NewSupervisor(quiet)
		d.members(sup, 2)
		sup.Add(running)
		run := start(t.Context(), running)
		require.ErrorIs(t, sup.Run(t.Context()), stage.ErrRunning)
		require.False(t, sup.Stats().Running)
		require.Equal(t, "+r", d.take(), "nothing has run")
		abortAll(t, run)
		run = start(t.Context(), sup)
		require.ErrorIs(t, sup.Run(t.Context()), stage.ErrRunning)
		require.Equal(t, "-r +a +b +r", d.take())
		abortAll(t, run)
	})
}

func TestSupervisorFaults(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for option, opts := range map[string][]stage.SupervisorOption{
			"MaxRestarts": {stage.MaxRestarts(-1, time.Second)},
			"Backoff":     {stage.Backoff(0, 0)},
			"Strategy":    {stage.Strategy(9)},
			"Name":        {stage.Name("")},
			"Logger":      {stage.Logger(nil)},
			"nil":         {nil},
		} {
			err := stage.NewSupervisor(opts...).Run(t.Context())
			require.ErrorIs(t, err, stage.ErrInvalidOption, option)
			require.ErrorContains(t, err, option)
		}
		var d diary
		a := d.idler("a")
		for what, add := range map[string]func(sup *stage.Supervisor){
			"nil stage":  func(sup *stage.Supervisor) { sup.Add(nil) },
			"nil func":   func(sup *stage.Supervisor) { sup.AddFunc(nil) },
			"typed nil":  func(sup *stage.Supervisor) { sup.Add((*stage.Supervisor)(nil)) },
			"twice":      func(sup *stage.Supervisor) { sup.Add(a); sup.Add(stage.NewPipeline(a)) },
			"itself":     func(sup *stage.Supervisor) { sup.Add(stage.NewPipeline(sup)) },
			"no mode":    func(sup *stage.Supervisor) { sup.Add(a, stage.Restart(9)) },
			"nil option": func(sup *stage.Supervisor) { sup.AddFunc(func() stage.Stage { return a }, nil) },
		} {
			sup := stage.NewSupervisor()
			add(sup)
			err := sup.Run(t.Context())
			require.Error(t, err, what)
			require.ErrorContains(t, err, "supervise_test.go:", what)
			require.Zero(t, sup.Stats().Restarts)
		}
		require.Empty(t, d.take())
		for _, get := range []func() stage.Stage{
			func() stage.Stage { return nil },
			func() stage.Stage { panic(errBoom) },
			func() stage.Stage { t.SkipNow(); return nil }, // Goexit, on another goroutine than the test's
		} {
			sup := stage.NewSupervisor()
			sup.AddFunc(get)
			require.Error(t, sup.Run(t.Context()))
		}
	})
}

// A failure takes consumers down with it: that is one restart for the intensity, and they start in order, whoever's
// end is heard of first.
func TestSupervisorCountsByCause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var d diary
		sup := stage.NewSupervisor(stage.OneForOne, quiet, stage.MaxRestarts(1, time.Minute))
		source := silent(stage.Name("s"), d.onInit("s"), d.onTerminate("s"))
		sup.Add(source)
		for i := range 20 {
			c := d.idler(string(rune('A' + i)))
			c.SubscribeTo(source)
			sup.Add(c)
		}
		run := start(t.Context(), sup)
		first := d.take()
		require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, errBoom }))
		again := d.take()
		require.True(t, run.running())
		require.Equal(t, 21, sup.Stats().Restarts)
		require.Equal(t, len(first), strings.Count(again, "+")*3-1)
		require.True(t, strings.HasPrefix(again[strings.Index(again, "+"):], "+s"), "first the stage that failed: %s", again)
		for _, m := range sup.Stats().Members[1:] {
			require.Equal(t, int64(1000), m.Upstreams[0].Asked, "its subscription is back")
		}
		abortAll(t, run)
		closed(t, sup)
	})
}

// A consumer of a stage that is never started again falls again and again: that counts.
func TestSupervisorDoesNotRestartForEver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := silent(stage.Name("s"))
		sup := stage.NewSupervisor(stage.OneForOne, quiet)
		sup.Add(source, stage.Restart(stage.RestartTemporary))
		c := newSink(0)
		c.SubscribeTo(source)
		sup.Add(c)
		run := start(t.Context(), sup)
		require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, errBoom }))
		require.ErrorIs(t, run.wait(t), stage.ErrIntensity)
		require.Equal(t, 3, sup.Stats().Restarts, "the failure of its source counts, as that is not started again for it")
	})
}

// T42: a crash inside a restart, in OnInit: it is one more failure, and is tried again.
func TestSupervisorOnInitFailsAtARestart(t *testing.T) {
	testkit.Report(t, "T42", 6)
	for _, strategy := range []stage.Strategy{stage.RestForOne, stage.OneForOne, stage.OneForAll} {
		for _, how := range []func(){nil, func() { panic(errBoom) }} {
			bubble(t, func(t *testing.T) {
				var d diary
				fails := 0
				sup := stage.NewSupervisor(strategy, quiet, stage.Name("sup"))
				a, c := d.idler("a"), d.idler("c")
				b := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
					stage.OnInit(func(context.Context) error {
						d.add("+b")
						if fails--; fails < 0 {
							return nil
						}
						if how != nil {
							how()
						}
						return errBoom
					}), d.onTerminate("b"))
				for _, s := range []stage.Stage{a, b, c} {
					sup.Add(s)
				}
				run := start(t.Context(), sup)
				d.take()
				fails = 2
				fail(t, b)
				want := map[stage.Strategy]string{
					stage.RestForOne: "-b -c +b +b +b +c",
					stage.OneForOne:  "-b +b +b +b",
					stage.OneForAll:  "-b -c -a +a +b -a +a +b -a +a +b +c",
				}[strategy]
				require.Equal(t, want, d.take(), "%v", strategy)
				require.True(t, run.running())
				time.Sleep(6 * time.Second)
				fails = 9
				fail(t, b)
				require.ErrorIs(t, run.wait(t), stage.ErrIntensity)
				require.Equal(t, 6, fails, "three restarts")
				closed(t, sup)
			})
		}
	}
}

// A panic of OnTerminate, also of a stage that the supervisor stops, is logged, and restarted as any failure.
func TestSupervisorOnTerminatePanics(t *testing.T) {
	testkit.Report(t, "T42", 1)
	bubble(t, func(t *testing.T) {
		var d diary
		var log strings.Builder
		sup := stage.NewSupervisor(stage.OneForAll, stage.Name("sup"), logInto(&log))
		b := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
			stage.Name("b"), d.onInit("b"), stage.OnTerminate(func(error) { d.add("-b"); panic("late") }))
		a := d.idler("a")
		sup.Add(a)
		sup.Add(b)
		run := start(t.Context(), sup)
		fail(t, a)
		require.Equal(t, "+a +b -a -b +a +b", d.take())
		require.Contains(t, log.String(), "late")
		require.ErrorContains(t, b.Stop(t.Context()), "late")
		synctest.Wait()
		require.Equal(t, "-b -a +a +b", d.take())
		require.True(t, run.running())
		abortAll(t, run)
	})
}

// B39: every panic is visible.
func TestSupervisorEveryPanicIsLogged(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log strings.Builder
		sup := stage.NewSupervisor(stage.Name("sup"), logInto(&log), stage.MaxRestarts(100, time.Second))
		var d diary
		a := d.idler("a")
		sup.Add(a)
		run := start(t.Context(), sup)
		for i := range 7 {
			require.NoError(t, a.Tell(func(context.Context) error { panic(fmt.Sprint("number ", i)) }))
			synctest.Wait()
			var panicked *stage.PanicError
			require.ErrorAs(t, sup.Stats().Failure, &panicked)
			require.Equal(t, fmt.Sprint("number ", i), panicked.Value)
		}
		for i := range 7 {
			require.Equal(t, 1, strings.Count(log.String(), fmt.Sprint("number ", i)))
		}
		require.Equal(t, 7, strings.Count(log.String(), "level=ERROR"))
		fail(t, a)
		require.Equal(t, 1, strings.Count(log.String(), "level=WARN"))
		abortAll(t, run)
	})
}

// A supervisor that a callback of a member waits for, and its methods between runs.
func TestSupervisorMisuse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var d diary
		sup := stage.NewSupervisor(quiet, stage.Name("sup"))
		require.ErrorIs(t, sup.Stop(t.Context()), stage.ErrNotRunning)
		sup.Abort(nil)
		a := d.idler("a")
		sup.Add(a)
		var made int
		sup.AddFunc(func() stage.Stage {
			made++
			d.add(fmt.Sprint(errors.Is(sup.Stop(t.Context()), stage.ErrSelfCall), errors.Is(sup.Run(t.Context()), stage.ErrSelfCall)))
			return d.idler(fmt.Sprint("f", made))
		})
		run := start(t.Context(), sup)
		require.Equal(t, "true true +a +f1", d.take())
		require.NoError(t, a.Do(t.Context(), func(ctx context.Context) error {
			if !errors.Is(sup.Stop(ctx), stage.ErrSelfCall) || !errors.Is(sup.Run(ctx), stage.ErrSelfCall) {
				return errBoom
			}
			return nil
		}))
		require.Equal(t, []string{"a", "f1"}, names(sup.Stats().Members))
		fail(t, a)
		require.Equal(t, "-a -f1 true true +a +f2", d.take())
		sup.Abort(stage.ErrKilled)
		require.ErrorIs(t, run.wait(t), stage.ErrKilled)
		require.NoError(t, sup.Stop(t.Context()))
		require.Equal(t, 1, sup.Stats().Runs)
	})
}

func names(all []stage.Stats) (list []string) {
	for _, s := range all {
		list = append(list, s.Stage)
	}
	return list
}

// logInto has a supervisor report into b. The goroutines of one report at a time.
func logInto(b *strings.Builder) stage.CommonOption {
	return stage.Logger(slog.New(slog.NewTextHandler(b, nil)))
}
