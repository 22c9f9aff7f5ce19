package stage_test

import (
	"bytes"
	"context"
	"log/slog"
	"math"
	"math/rand/v2"
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

// Demand in figures: T12, T15 to T18, T20 and T25 of internal/catalogue.

// dispatchers are those of this package, each with the part of a source to subscribe to.
var dispatchers = []struct {
	name string
	make stage.DispatcherFactory[int]
	part func(stage.Source[int]) stage.Source[int]
}{
	{"Demand", stage.Demand[int], func(s stage.Source[int]) stage.Source[int] { return s }},
	{"Broadcast", stage.Broadcast[int], func(s stage.Source[int]) stage.Source[int] { return s }},
	{"PartitionBy", stage.PartitionBy(func(int) int { return 0 }, 0), func(s stage.Source[int]) stage.Source[int] { return stage.Partition(s, 0) }},
}

// T12, B29, R3.17: asks up to the largest number, of one consumer and of several, over a producer and over a
// producer-consumer. Pass: nobody is ever asked for less than 1, every event arrives, and once saturated demand is
// without end.
func TestDemandNeverOverflows(t *testing.T) {
	cells := 0
	for _, d := range dispatchers {
		for asks, list := range map[string][]int{
			"all at once":        {math.MaxInt64},
			"in two and one":     {math.MaxInt64 / 2, math.MaxInt64 / 2, 1},
			"ten times over":     slices.Repeat([]int{math.MaxInt64 - 1}, 10),
			"one after the most": {math.MaxInt64, 1, 1, 1},
		} {
			for _, through := range []bool{false, true} {
				for _, consumers := range []int{1, 3} {
					cells++
					synctest.Test(t, func(t *testing.T) {
						p := newSource()
						var src stage.Source[int] = p
						all := []stage.Stage{p}
						if through {
							mid := relay(0)
							mid.DispatchWith(d.make)
							mid.SubscribeTo(p)
							src, all = mid, append(all, mid)
						} else {
							p.DispatchWith(d.make)
						}
						var sinks []*gatherer[int]
						for range consumers {
							s := newGatherer[int]()
							s.SubscribeTo(d.part(src), stage.Manual())
							sinks, all = append(sinks, s), append(all, s)
						}
						f := startFlow(t, all...)
						sent := 0
						for _, n := range list {
							for _, s := range sinks {
								require.NoError(t, s.sub.Ask(n))
							}
							f.rest()
							p.push(t, sent, sent+1, sent+2)
							sent += 3
						}
						for _, demand := range p.demands {
							require.Positive(t, demand, "%s, %s", d.name, asks)
						}
						got := 0
						for _, s := range sinks {
							require.True(t, slices.IsSorted(s.events()))
							got += len(s.events())
						}
						if d.name == "Broadcast" {
							sent *= consumers
						}
						require.Equal(t, sent, got, "%s, %s", d.name, asks)
						for _, s := range sinks {
							require.LessOrEqual(t, s.Stats().Upstreams[0].Asked, int64(math.MaxInt64))
							require.Positive(t, s.Stats().Upstreams[0].Asked)
						}
						f.stop()
					})
				}
			}
		}
	}
	testkit.Report(t, "T12", cells)
}

// T15: a source that returns more than it was asked for, fewer, none or nil, as it likes. Pass: it is called at most once
// for each ask that reached it, and once at the beginning; nothing is lost.
func TestASourceIsNotAskedAgainForWhatItOwes(t *testing.T) {
	n := testkit.Rounds(2_000, 50_000)
	for seed := range uint64(n) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 15))
			calls, next, called := 0, 0, 0
			p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
				calls++
				called += demand
				var out []int
				switch random.IntN(5) {
				case 0:
					return nil, nil
				case 1:
					out = []int{}
				case 2:
					out = make([]int, random.IntN(demand))
				case 3:
					out = make([]int, demand)
				case 4:
					out = make([]int, demand+random.IntN(20))
				}
				for i := range out {
					out[i] = next
					next++
				}
				return out, nil
			})
			s := newGatherer[int]()
			s.SubscribeTo(p, stage.Manual())
			f := startFlow(t, p, s)
			asked := 0
			for asks := 1; asks <= 20; asks++ {
				ask := 1 + random.IntN(10)
				require.NoError(t, s.sub.Ask(ask))
				asked += ask
				f.rest()
				require.LessOrEqual(t, calls, asks+1)
				require.LessOrEqual(t, called, asked)
				require.True(t, slices.Equal(upTo(min(next, asked)), s.events()), "seed %d: %v, and not what there is for what was asked", seed, s.events())
			}
			time.Sleep(24 * time.Hour)
			f.rest()
			require.LessOrEqual(t, calls, 21, "no asking again")
			f.abort()
		})
	}
	testkit.Report(t, "T15", n)
}

// T16: a million events at once, with demand 1. Pass: one is sent, the buffer is full, all others are discarded by the
// keep policy, in order, and one line is logged.
func TestAMillionEventsAtOnce(t *testing.T) {
	const n = 1_000_000
	for _, first := range []bool{false, true} {
		for _, size := range []int{0, 1, stage.DefaultBufferSize} {
			synctest.Test(t, func(t *testing.T) {
				var text bytes.Buffer
				discarded := make([]int, 0, n)
				opts := []stage.ProducerOption{stage.BufferSize(size), stage.Logger(slog.New(slog.NewTextHandler(&text, nil)))}
				want := upTo(n)[n-size:]
				if first {
					opts = append(opts, stage.KeepFirst())
					want = upTo(n)[1 : size+1]
				}
				p, s := newSource(opts...), newGatherer[int]()
				p.OnDiscard(func(_ context.Context, events []int) { discarded = append(discarded, events...) })
				s.SubscribeTo(p, stage.Manual())
				f := startFlow(t, p, s)
				require.NoError(t, s.sub.Ask(1))
				f.rest()
				p.push(t, upTo(n)...)
				require.Equal(t, []int{0}, s.events())
				require.Len(t, discarded, n-1-size)
				require.True(t, slices.IsSorted(discarded))
				require.EqualValues(t, n-1-size, p.Stats().Output.Discarded)
				require.Equal(t, 1, strings.Count(text.String(), "discarded="), "one line")
				require.NoError(t, s.sub.Ask(n))
				f.rest()
				require.True(t, slices.Equal(want, s.events()[1:]), "what was kept")
				f.stop()
			})
		}
	}
	testkit.Report(t, "T16", 6*n)
}

// T17: buffers of size 0 and 1 and without bound, either end kept, with calls that wait for what was emitted before them
// (TellAfter) in between. Pass: each call is made once, in order, and when everything emitted before it was sent or
// discarded; what is sent is in order.
func TestCallsBetweenBufferedEvents(t *testing.T) {
	n := testkit.Rounds(3_000, 100_000)
	for seed := range uint64(n) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 17))
			opts := []stage.ProducerOption{stage.BufferSize([]int{0, 1, stage.Unlimited}[seed%3]), quiet}
			if seed/3%2 == 0 {
				opts = append(opts, stage.KeepFirst())
			}
			p, s := newSource(opts...), newGatherer[int]()
			discarded := 0 // owned by the stage goroutine, as what follows
			p.OnDiscard(func(_ context.Context, events []int) { discarded += len(events) })
			s.SubscribeTo(p, stage.Manual())
			f := startFlow(t, p, s)
			emitted, calls := 0, 0
			var made []int
			for range 40 {
				switch random.IntN(3) {
				case 0:
					k := 1 + random.IntN(4)
					batch := upTo(emitted + k)[emitted:]
					emitted += k
					require.NoError(t, p.Tell(func(context.Context) ([]int, error) { return batch, nil }))
				case 1:
					number, before := calls, emitted
					calls++
					require.NoError(t, p.TellAfter(func(context.Context) ([]int, error) {
						made = append(made, number)
						if out := p.Stats().Output; out.Dispatched+int64(discarded) < int64(before) {
							t.Errorf("seed %d: call %d comes before an event: %d of %d", seed, number, out.Dispatched, before)
						}
						return nil, nil
					}))
				case 2:
					require.NoError(t, s.sub.Ask(1+random.IntN(4)))
				}
				if random.IntN(2) == 0 {
					f.rest()
				}
			}
			require.NoError(t, s.sub.Ask(1000))
			f.rest()
			require.Len(t, made, calls, "seed %d: each call, once", seed)
			require.True(t, slices.IsSorted(made), "seed %d: %v", seed, made)
			require.True(t, slices.IsSorted(s.events()), "seed %d: %v", seed, s.events())
			require.Equal(t, emitted, len(s.events())+discarded, "seed %d", seed)
			f.stop()
		})
	}
	testkit.Report(t, "T17", n)
}

// T18: ten consumers with max demand 1, 10, 100 and 1000 of a source that answers what it is asked. Pass: each gets at
// least what it can have asked for at once, or a quarter of a fair share.
func TestSmallWindowsGetTheirShare(t *testing.T) {
	n := testkit.Rounds(20, 500)
	for seed := range uint64(n) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 18))
			const total = 100_000
			p := stage.FromSlice(upTo(total))
			all := []stage.Stage{p}
			windows := []int{1, 1, 1, 10, 10, 10, 100, 100, 1000, 1000}
			random.Shuffle(len(windows), func(i, j int) { windows[i], windows[j] = windows[j], windows[i] })
			var sinks []*sink
			for _, w := range windows {
				s := newSink(time.Duration(1+random.IntN(3)) * time.Millisecond)
				s.SubscribeTo(p, stage.MaxDemand(w))
				sinks, all = append(sinks, s), append(all, s)
			}
			require.NoError(t, stage.Run(t.Context(), all...))
			got := 0
			for i, s := range sinks {
				got += len(s.events())
				require.GreaterOrEqual(t, len(s.events()), min(windows[i], total/len(windows)/4), "seed %d: window %d", seed, windows[i])
			}
			require.Equal(t, total, got)
			closed(t, all...)
		})
	}
	testkit.Report(t, "T18", n)
}

// T20, R2.7: a thousand goroutines ask on one subscription, ten times each. Pass: the producer is asked for the sum,
// exactly, and the sum arrives.
func TestAThousandGoroutinesAsk(t *testing.T) {
	n := testkit.Rounds(20, 500)
	for seed := range uint64(n) {
		synctest.Test(t, func(t *testing.T) {
			const goroutines, each = 1000, 10
			p, s := newSource(), newGatherer[int]()
			s.SubscribeTo(p, stage.Manual())
			f := startFlow(t, p, s)
			var wg sync.WaitGroup
			asked := 0
			for i := range goroutines {
				amount := 1 + int(seed+uint64(i))%5
				asked += amount * each
				wg.Go(func() {
					for range each {
						if err := s.sub.Ask(amount); err != nil {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			f.rest()
			require.Equal(t, asked, sum(p.demands))
			p.push(t, make([]int, asked+1)...)
			require.Len(t, s.events(), asked)
			f.abort() // what nobody asks for cannot be drained
		})
	}
	testkit.Report(t, "T20", n*1000)
}

// T25: one slow consumer among nine fast ones. Pass: what the nine handle in five seconds is at least 90 % of what they
// handle without it.
func TestASlowConsumerSlowsNobodyDown(t *testing.T) {
	handled := func(t *testing.T, slow bool) (n int) {
		synctest.Test(t, func(t *testing.T) {
			p := endless()
			all := []stage.Stage{p}
			var sinks []*sink
			for range 9 {
				s := newSink(time.Millisecond)
				s.SubscribeTo(p, stage.MaxDemand(10))
				sinks, all = append(sinks, s), append(all, s)
			}
			if slow {
				s := stage.ForEach(func(ctx context.Context, _ int) error {
					select {
					case <-ctx.Done():
					case <-time.After(time.Hour):
					}
					return nil
				})
				s.SubscribeTo(p, stage.MaxDemand(10))
				all = append(all, s)
			}
			run := start(t.Context(), stage.NewPipeline(all...))
			time.Sleep(5 * time.Second)
			synctest.Wait()
			for _, s := range sinks {
				n += len(s.events())
			}
			abortAll(t, run)
			closed(t, all...)
		})
		return n
	}
	alone, beside := handled(t, false), handled(t, true)
	require.Positive(t, alone)
	require.GreaterOrEqual(t, 10*beside, 9*alone, "%d beside the slow one, %d without", beside, alone)
	testkit.Report(t, "T25", beside)
}
