package stage_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// What a restart does to the events and to the neighbours.

// modesThatGoOn are the cancel modes with which a consumer outlives a clean end of its producer.
var modesThatGoOn = []stage.CancelMode{stage.CancelTransient, stage.CancelTemporary}

// A finite source with two consumers, one of which crashes at a random point and is started again: the batch in hand
// is lost, everything else arrives exactly once.
func TestSupervisorLosesTheBatchInHand(t *testing.T) {
	for seed := range counted(t, "B25", 1000, 50_000) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			const n = 200
			source := stage.FromSlice(upTo(n), stage.Name("source"))
			var mu sync.Mutex
			var got, lost []int // guarded by mu
			crashAt := random.IntN(n)
			crashed := false // guarded by mu
			worker := func(name string, crashes bool, pause time.Duration) *stage.Consumer[int] {
				c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
					time.Sleep(pause)
					mu.Lock()
					defer mu.Unlock()
					if crashes && !crashed && slices.Max(events) >= crashAt {
						crashed, lost = true, events
						panic("crash")
					}
					got = append(got, events...)
					return nil
				}, stage.Name(name))
				max := 1 + random.IntN(30)
				c.SubscribeTo(source, stage.MaxDemand(max), stage.MinDemand(random.IntN(max)))
				return c
			}
			a := worker("a", true, time.Duration(random.IntN(3))*time.Millisecond)
			b := worker("b", false, time.Duration(random.IntN(3))*time.Millisecond)
			opts := []stage.SupervisorOption{stage.Strategy(random.IntN(2)), quiet} // one for all would begin anew
			if random.IntN(2) == 0 {
				opts = append(opts, stage.Backoff(time.Millisecond, 10*time.Millisecond))
			}
			sup := stage.NewSupervisor(opts...)
			sup.Add(source)
			sup.Add(b)
			sup.Add(a)
			run := start(t.Context(), sup)
			require.NoError(t, run.wait(t), "seed %d", seed)
			all := append(slices.Clone(got), lost...)
			slices.Sort(all)
			require.Equal(t, upTo(n), all, "seed %d", seed)
			ledger(t, sup)
			var handled, failed int64
			for _, m := range sup.Stats().Members {
				handled += m.Input.Handled + m.Earlier.Input.Handled
				failed += m.Input.Failed + m.Earlier.Input.Failed
			}
			require.EqualValues(t, len(got), handled, "seed %d", seed)
			require.EqualValues(t, len(lost), failed, "the books of earlier runs are not lost: seed %d", seed)
		})
	}
}

// Its only consumer is started again: the source waits for it (R2), through a long pause, with what came back.
func TestSupervisorSourceWaitsForItsConsumer(t *testing.T) {
	for _, where := range []string{"beside", "outside"} {
		bubble(t, func(t *testing.T) {
			source := stage.FromSlice(upTo(100), stage.Name("source"))
			var d diary
			failed := false
			var got []int
			sink := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
				if !failed {
					failed = true
					return errBoom
				}
				got = append(got, events...)
				return nil
			}, stage.Name("c"), d.onInit("c"))
			sink.SubscribeTo(source, stage.MaxDemand(10), stage.MinDemand(0))
			sup := stage.NewSupervisor(quiet, stage.Backoff(time.Hour, time.Hour))
			var all stage.Stage = sup
			if where == "beside" {
				sup.Add(source)
			} else {
				all = stage.NewPipeline(source, sup)
			}
			sup.Add(sink)
			run := start(t.Context(), all)
			require.True(t, source.Stats().Running, where)
			require.NoError(t, run.wait(t), where)
			require.Equal(t, upTo(100)[10:], got)
			require.Equal(t, "+c +c", d.take())
			ledger(t, all)
		})
	}
}

// When the consumer is given up, the source that waited for it is ended.
func TestSupervisorGivesUpAConsumerThatASourceWaitsFor(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := endless(stage.Name("source"))
		sink := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return errBoom }, stage.Name("c"))
		sink.SubscribeTo(source, stage.MaxDemand(10))
		inner := stage.NewSupervisor(quiet, stage.Name("inner"), stage.MaxRestarts(2, time.Second))
		inner.Add(sink)
		outer := stage.NewSupervisor(quiet, stage.OneForOne)
		outer.Add(source)
		outer.Add(inner, stage.Restart(stage.RestartTemporary))
		run := start(t.Context(), outer)
		require.NoError(t, run.wait(t), "inner is temporary, and source ends as nobody is left")
		require.ErrorIs(t, source.Stats().Err, stage.ErrShutdown)
		require.Equal(t, 2, inner.Stats().Restarts)
		require.ErrorIs(t, inner.Stats().Err, stage.ErrIntensity)
		ledger(t, outer)
	})
}

// A consumer outside, that outlives its producer, gets its subscription back; in a pipeline, and alone.
func TestSupervisorSubscriptionsOfOutsidersComeBack(t *testing.T) {
	cells := 0
	defer func() { testkit.Report(t, "T43", cells) }()
	for _, alone := range []bool{false, true} {
		for _, ending := range []string{"fails", "is restarted along"} {
			for _, mode := range modesThatGoOn {
				if mode == stage.CancelTransient && ending == "fails" {
					continue // it ends with it
				}
				cells++
				bubble(t, func(t *testing.T) {
					var d diary
					first := d.idler("first")
					source := endless(stage.Name("source"))
					sup := stage.NewSupervisor(quiet, stage.Backoff(4*time.Second, 4*time.Second))
					sup.Add(first)
					sup.Add(source)
					sink := newSink(time.Second, stage.Name("sink"))
					var ends told
					ends.onCancel(sink.Consumer)
					sink.SubscribeTo(source, stage.MaxDemand(1), stage.Cancel(mode))
					var runs []*started
					pipeline := stage.NewPipeline(sup, sink)
					if alone {
						runs = runAlone(t.Context(), sup, sink)
					} else {
						runs = []*started{start(t.Context(), pipeline)}
					}
					time.Sleep(3500 * time.Millisecond)
					if ending == "fails" {
						require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, errBoom }))
					} else {
						fail(t, first)
					}
					synctest.Wait()
					time.Sleep(700 * time.Millisecond) // it handles what it has, then it hears
					require.Len(t, ends.list(), 1)
					require.Equal(t, stage.Down, ends.list()[0].Kind)
					require.Len(t, sink.Stats().Upstreams, 1, "it waits")
					require.Zero(t, sink.Stats().Upstreams[0].Asked)
					before := len(sink.events())
					time.Sleep(10 * time.Second)
					require.Greater(t, len(sink.events()), before+5, "T43: it is subscribed again, and has asked")
					require.Len(t, sink.Stats().Upstreams, 1)
					if alone {
						abortAll(t, runs...)
						ledger(t, sup, sink)
						return
					}
					require.NoError(t, pipeline.Stop(t.Context()))
					require.NoError(t, runs[0].wait(t))
					ledger(t, pipeline)
				})
			}
		}
	}
}

// When the producer is not started again, whoever waited for that hears nothing of the subscription it never had, and
// completes (R3).
func TestSupervisorOutsiderOfAProducerThatIsGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := silent(stage.Name("source"))
		sup := stage.NewSupervisor(quiet, stage.Backoff(time.Second, time.Second), stage.MaxRestarts(1, time.Minute), stage.Name("sup"))
		sup.Add(source)
		outer := stage.NewSupervisor(quiet, stage.OneForOne)
		outer.Add(sup, stage.Restart(stage.RestartTemporary))
		sink := newSink(0, stage.Name("sink"))
		var ends told
		ends.onCancel(sink.Consumer)
		sink.SubscribeTo(source, stage.Cancel(stage.CancelTemporary))
		outer.Add(sink)
		run := start(t.Context(), outer)
		boom := func(context.Context) ([]int, error) { return nil, errBoom }
		require.NoError(t, source.Tell(boom))
		time.Sleep(2 * time.Second)
		require.Len(t, ends.list(), 1)
		require.EqualValues(t, 1000, sink.Stats().Upstreams[0].Asked)
		require.NoError(t, source.Tell(boom))
		require.NoError(t, run.wait(t))
		require.Len(t, ends.list(), 2)
		require.NoError(t, sink.Stats().Err, "complete")
		ledger(t, outer)
	})
}

// A consumer that runs alone gets a temporary subscription back when its producer, alone too, is run again.
func TestAloneSubscriptionComesBack(t *testing.T) {
	testkit.Report(t, "T43", 3)
	bubble(t, func(t *testing.T) {
		source := endless()
		sink := newSink(time.Second)
		sink.SubscribeTo(source, stage.Cancel(stage.CancelTemporary), stage.MaxDemand(1))
		runs := runAlone(t.Context(), source, sink)
		for range 3 {
			time.Sleep(5500 * time.Millisecond)
			runs[0].Abort(errBoom)
			require.ErrorIs(t, runs[0].wait(t), errBoom)
			time.Sleep(time.Minute)
			require.Len(t, sink.Stats().Upstreams, 1, "it waits")
			before := len(sink.events())
			runs[0] = start(t.Context(), source)
			time.Sleep(5500 * time.Millisecond)
			require.Greater(t, len(sink.events()), before+3)
		}
		runs[0].Abort(nil)
		_ = runs[0].wait(t)
		time.Sleep(time.Minute)
		require.NoError(t, sink.Stop(t.Context()), "what waits does not hold it up")
		require.NoError(t, runs[1].wait(t))
		ledger(t, source, sink)
	})
}

// A subscription that is made by hand takes the place of one that waits.
func TestSubscribeReplacesOneThatWaits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source := endless()
		sink := newSink(time.Second)
		sink.SubscribeTo(source, stage.Cancel(stage.CancelTemporary), stage.MaxDemand(1))
		runs := runAlone(t.Context(), source, sink)
		runs[0].Abort(nil)
		_ = runs[0].wait(t)
		time.Sleep(time.Minute)
		_, err := sink.Subscribe(t.Context(), source, stage.Cancel(stage.CancelTemporary))
		require.ErrorIs(t, err, stage.ErrNoStage)
		runs[0] = start(t.Context(), source)
		time.Sleep(time.Minute)
		require.Empty(t, sink.Stats().Upstreams)
		abortAll(t, runs...)
	})
}

// B12: the first ask is made each time, once.
func TestSupervisorAsksAgainEachTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		source, asks := asksOf(stage.Name("source"))
		sup := stage.NewSupervisor(stage.OneForOne, quiet, stage.MaxRestarts(2000, time.Second))
		sup.Add(source)
		sink := newSink(0, stage.Name("sink"))
		sink.SubscribeTo(source, stage.MaxDemand(7), stage.Cancel(stage.CancelTemporary))
		all := stage.NewPipeline(sup, sink)
		run := start(t.Context(), all)
		for i := range 1000 {
			require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, errBoom }))
			synctest.Wait()
			require.Len(t, asks(), i+2)
			require.Equal(t, 7, asks()[i+1])
		}
		require.True(t, run.running())
		abortAll(t, run)
		require.Equal(t, 1000, sup.Stats().Restarts)
		ledger(t, all)
	})
}

// T41: a thousand members fail together: their pauses spread them out.
func TestSupervisorSpreadsRestarts(t *testing.T) {
	testkit.Report(t, "T41", 1000)
	bubble(t, func(t *testing.T) {
		const n = 1000
		sup := stage.NewSupervisor(stage.OneForOne, quiet, stage.MaxRestarts(10*n, time.Second), stage.Backoff(10*time.Second, 10*time.Second))
		var mu sync.Mutex
		starts := map[time.Duration]int{} // guarded by mu: by second
		var began time.Time
		members := make([]*stage.Consumer[int], n)
		for i := range members {
			members[i] = stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
				stage.OnInit(func(context.Context) error {
					mu.Lock()
					defer mu.Unlock()
					if !began.IsZero() {
						starts[time.Since(began)/time.Second]++
					}
					return nil
				}))
			sup.Add(members[i])
		}
		run := start(t.Context(), sup)
		mu.Lock()
		began = time.Now()
		mu.Unlock()
		for _, m := range members {
			require.NoError(t, m.Tell(func(context.Context) error { return errBoom }))
		}
		time.Sleep(11 * time.Second)
		synctest.Wait()
		require.Equal(t, n, sup.Stats().Restarts)
		for second, count := range starts {
			require.GreaterOrEqual(t, second, 5*time.Second/time.Second)
			require.LessOrEqual(t, count, 300, "in second %d: a fifth of them is due", second)
		}
		abortAll(t, run)
	})
}

// Pipelines and supervisors are members like any other.
func TestSupervisorNests(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var d diary
		source := endless(stage.Name("s"), d.onInit("s"), d.onTerminate("s"))
		middle := relay(0, stage.Name("m"), d.onInit("m"), d.onTerminate("m"))
		middle.SubscribeTo(source, stage.MaxDemand(10))
		sink := newSink(time.Second, stage.Name("k"), d.onInit("k"), d.onTerminate("k"))
		sink.SubscribeTo(middle, stage.MaxDemand(1))
		inner := stage.NewSupervisor(quiet, stage.Name("inner"), stage.MaxRestarts(1, time.Minute))
		inner.Add(sink)
		outer := stage.NewSupervisor(quiet, stage.Name("outer"), stage.MaxRestarts(2, time.Minute))
		outer.Add(stage.NewPipeline(source, middle))
		outer.Add(inner)
		all := stage.NewPipeline(outer)
		run := start(t.Context(), all)
		require.Equal(t, "+s +m +k", d.take())
		boom := func(context.Context) error { return errBoom }
		for range 2 { // the second one is too many for inner, and outer starts it again
			require.NoError(t, sink.Tell(boom))
			time.Sleep(5 * time.Second)
			require.Equal(t, "-k +k", d.take())
			require.True(t, source.Stats().Running, "it has waited")
		}
		require.Equal(t, 2, inner.Stats().Runs)
		require.Equal(t, 1, outer.Stats().Restarts)
		before := len(sink.events())
		time.Sleep(5 * time.Second)
		require.Greater(t, len(sink.events()), before+2)
		require.NoError(t, source.Tell(func(context.Context) ([]int, error) { return nil, errBoom }))
		time.Sleep(5 * time.Second)
		line := d.take()
		require.Contains(t, line, "+s +m +k")
		require.True(t, run.running())
		require.Equal(t, 3, outer.Stats().Restarts, "the pipeline and inner")
		require.NoError(t, all.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		ledger(t, all)
	})
}

// A pipeline ends when a supervisor in it gives up, and with its failure.
func TestSupervisorEndsItsPipeline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup := stage.NewSupervisor(quiet, stage.Name("sup"), stage.MaxRestarts(0, time.Second))
		var d diary
		a := d.idler("a")
		sup.Add(a)
		beside := endless()
		run := start(t.Context(), stage.NewPipeline(sup, beside))
		fail(t, a)
		require.ErrorIs(t, run.wait(t), stage.ErrIntensity)
		require.ErrorIs(t, beside.Stats().Err, stage.ErrIntensity, "aborted with it")
	})
}
