package stage_test

import (
	"context"
	"flag"
	"iter"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Stop, Abort and crashes at random instants. A failing seed is printed; -stage.seed=N runs that
// one alone.

var (
	seedFlag  = flag.Int64("stage.seed", -1, "run random tests with this seed only")
	seedsFlag = flag.Int("stage.seeds", 0, "run random tests with so many seeds instead of their own number")
)

// seeds yields the seeds to run: 0 to n-1, fewer with -short, or the one that the flag says.
func seeds(t *testing.T, n int) iter.Seq[uint64] {
	t.Helper()
	return func(yield func(uint64) bool) {
		if *seedFlag >= 0 {
			yield(uint64(*seedFlag))
			return
		}
		if *seedsFlag > 0 {
			n = *seedsFlag
		} else if testing.Short() {
			n /= 10
		}
		for seed := range uint64(n) {
			if t.Failed() || !yield(seed) {
				return
			}
		}
	}
}

// counted yields the seeds of a test that the catalogue counts, ci or long of them, and reports how many were run.
func counted(t *testing.T, id string, ci, long int) iter.Seq[uint64] {
	t.Helper()
	return func(yield func(uint64) bool) {
		if *seedFlag >= 0 {
			yield(uint64(*seedFlag))
			return
		}
		n := testkit.Rounds(ci, long)
		for seed := range uint64(n) {
			if t.Failed() || !yield(seed) {
				return
			}
		}
		testkit.Report(t, id, n)
	}
}

// reportSeed names the seed when the test has failed; deferred, it also does when a require did.
func reportSeed(t *testing.T, seed uint64) {
	if t.Failed() {
		t.Logf("seed %d: run it again with -run '^%s$' -stage.seed=%d", seed, t.Name(), seed)
	}
}

// threeLayers is a pipeline of two sources, two producer-consumers and two sinks, all slow.
// begun counts the callbacks that have.
func threeLayers(rng *rand.Rand, begun *count) (p *stage.Pipeline, sources []*stage.Producer[int], sinks []*sink) {
	pause := func() time.Duration { return time.Duration(rng.IntN(50)) * time.Millisecond }
	limits := func() []stage.SubscribeOption {
		max := 1 + rng.IntN(20)
		return []stage.SubscribeOption{stage.MaxDemand(max), stage.MinDemand(rng.IntN(max))}
	}
	var stages []stage.Stage
	for i := range 2 {
		next, wait := i*1_000_000, pause()
		sources = append(sources, stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
			begun.Add(1)
			time.Sleep(wait)
			batch := make([]int, demand)
			for i := range batch {
				batch[i] = next
				next++
			}
			return batch, nil
		}))
		stages = append(stages, sources[i])
	}
	var middles []*stage.ProducerConsumer[int, int]
	for i := range 2 {
		wait := time.Millisecond + pause()
		middles = append(middles, stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
			begun.Add(1)
			time.Sleep(wait)
			return events, nil
		}))
		for _, s := range sources {
			middles[i].SubscribeTo(s, limits()...)
		}
		stages = append(stages, middles[i])
	}
	for i := range 2 {
		wait, s := time.Millisecond+pause(), &sink{}
		s.Consumer = stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
			begun.Add(1)
			time.Sleep(wait)
			s.mu.Lock()
			defer s.mu.Unlock()
			s.got = append(s.got, events...)
			return nil
		})
		sinks = append(sinks, s)
		for _, m := range middles {
			sinks[i].SubscribeTo(m, limits()...)
		}
		stages = append(stages, sinks[i])
	}
	return stage.NewPipeline(stages...), sources, sinks
}

// emitted adds up what the sources have emitted.
func emitted(sources []*stage.Producer[int]) (n int64) {
	for _, s := range sources {
		n += s.Stats().Output.Emitted
	}
	return n
}

// T32, B19: Stop at any instant loses nothing and doubles nothing, and is over within two seconds: what was asked for
// needs no more.
func TestStopAtRandomInstants(t *testing.T) {
	for seed := range counted(t, "T32", 1000, 50_000) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			rng := rand.New(rand.NewPCG(seed, 2))
			p, sources, sinks := threeLayers(rng, new(count))
			run := start(t.Context(), p)
			time.Sleep(time.Duration(rng.IntN(2_000_000)) * time.Microsecond)
			stopped := time.Now()
			require.NoError(t, p.Stop(t.Context()))
			require.LessOrEqual(t, time.Since(stopped), 2*time.Second)
			require.NoError(t, run.wait(t))
			got := append(sinks[0].events(), sinks[1].events()...)
			slices.Sort(got)
			require.Len(t, slices.Compact(slices.Clone(got)), len(got), "twice")
			require.EqualValues(t, emitted(sources), len(got))
			closed(t, p)
		})
	}
}

// T33: Abort at any instant leaves nothing unaccounted for: what did not arrive is counted lost. No callback begins after
// it has returned.
func TestAbortAtRandomInstants(t *testing.T) {
	for seed := range counted(t, "T33", 1000, 50_000) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			rng := rand.New(rand.NewPCG(seed, 3))
			begun := new(count)
			p, sources, sinks := threeLayers(rng, begun)
			run := start(t.Context(), p)
			time.Sleep(time.Duration(rng.IntN(2_000_000)) * time.Microsecond)
			p.Abort(stage.ErrKilled)
			before := begun.Load()
			require.ErrorIs(t, run.wait(t), stage.ErrKilled)
			require.Equal(t, before, begun.Load())
			closed(t, p)
			arrived := int64(len(sinks[0].events()) + len(sinks[1].events()))
			var lost int64
			for _, m := range p.Stats().Members {
				lost += m.Output.Lost + m.Input.Lost + m.Input.Failed
				if m.Kind == "producer-consumer" { // a batch whose callback had returned was not emitted any more
					lost += m.Input.Handled - m.Output.Emitted
				}
			}
			require.Equal(t, emitted(sources), arrived+lost)
		})
	}
}

// A consumer that crashes loses the batch in hand, and no more: what it had not begun reaches the
// other one, in order but for what was handed back, and the finite source completes.
func TestCrashAtRandomInstants(t *testing.T) {
	for seed := range counted(t, "B25", 1000, 50_000) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			rng := rand.New(rand.NewPCG(seed, 4))
			total := 1 + rng.IntN(300)
			source := stage.FromSlice(upTo(total), quiet)
			crashAt := 1 + rng.IntN(20)
			f := faults[rng.IntN(len(faults))]
			f.name = "" // any of them; ErrDone finishes its batch
			var failed, taken []int
			batches := 0
			crashing := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
				time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
				if batches++; batches >= crashAt {
					failed = events
					return f.does()
				}
				taken = append(taken, events...)
				return nil
			})
			survivor := newSink(time.Duration(rng.IntN(10)) * time.Millisecond)
			for _, c := range []*stage.Consumer[int]{crashing, survivor.Consumer} {
				max := 1 + rng.IntN(50)
				c.SubscribeTo(source, stage.MaxDemand(max), stage.MinDemand(rng.IntN(max)))
			}
			runs := runAlone(t.Context(), survivor, crashing, source)
			require.NoError(t, runs[2].wait(t), "the source completes")
			require.NoError(t, runs[0].wait(t), "and so does the survivor")
			_ = runs[1].wait(t)
			closed(t, source, survivor, crashing)

			in := crashing.Stats().Input
			if failed != nil {
				require.EqualValues(t, len(failed), in.Failed+in.Handled-int64(len(taken)), "only the batch in hand")
			}
			require.Zero(t, in.Lost)
			all := append(append(survivor.events(), taken...), failed...)
			slices.Sort(all)
			require.Equal(t, upTo(total), all, "each event once")
			require.Zero(t, source.Stats().Output.Lost)
		})
	}
}

// The same inside a pipeline, where a producer-consumer with temporary subscribers crashes: its
// source goes on with the other one.
func TestSparedCrashAtRandomInstants(t *testing.T) {
	for seed := range seeds(t, 300) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			rng := rand.New(rand.NewPCG(seed, 5))
			total := 1 + rng.IntN(300)
			source := stage.FromSlice(upTo(total))
			crashAt, batches := 1+rng.IntN(10), 0
			crashing := stage.NewProducerConsumer(func(_ context.Context, e []int, _ *stage.Subscription) ([]int, error) {
				time.Sleep(time.Duration(rng.IntN(10)) * time.Millisecond)
				if batches++; batches >= crashAt {
					return nil, errBoom
				}
				return e, nil
			}, quiet)
			other := relay(time.Duration(1+rng.IntN(10)) * time.Millisecond)
			c := newSink(time.Duration(rng.IntN(10)) * time.Millisecond)
			crashing.SubscribeTo(source, stage.MaxDemand(1+rng.IntN(50)))
			other.SubscribeTo(source, stage.MaxDemand(1+rng.IntN(50)))
			c.SubscribeTo(crashing, stage.MaxDemand(1+rng.IntN(20)), stage.Cancel(stage.CancelTemporary))
			c.SubscribeTo(other, stage.MaxDemand(1+rng.IntN(20)))
			p := stage.NewPipeline(source, crashing, other, c)
			require.NoError(t, start(t.Context(), p).wait(t))
			closed(t, p)
			st := crashing.Stats()
			lost := st.Output.Lost + c.Stats().Input.Lost // c may complete first: then R2 ends the crashing one
			require.EqualValues(t, total, int64(len(c.events()))+st.Input.Failed+lost)
		})
	}
}
