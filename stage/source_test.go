package stage_test

import (
	"context"
	"errors"
	"iter"
	"math"
	"runtime"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestFromSliceCopiesNothingAndRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		events := upTo(100)
		p, s := stage.FromSlice(events), newGatherer[int]()
		s.SubscribeTo(p, stage.MaxDemand(30), stage.MinDemand(0))
		for range 3 {
			s.batches = nil
			f := startFlow(t, p, s)
			f.finish()
			require.Equal(t, events, s.events())
			require.Equal(t, []int{30, 30, 30, 10}, s.sizes())
			for _, b := range s.batches {
				require.Same(t, &events[b[0]], unsafe.SliceData(b))
				require.Equal(t, len(b), cap(b))
			}
		}
	})
}

func TestFromSliceOfNothingCompletes(t *testing.T) {
	for name, events := range map[string][]int{"nil": nil, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := stage.FromSlice(events), newGatherer[int]()
				s.SubscribeTo(p)
				f := startFlow(t, p, s)
				f.finish()
				require.Empty(t, s.batches)
			})
		})
	}
}

func TestFromSeqIsPulledAsFarAsAskedAndRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pulled := 0
		p := stage.FromSeq(func(yield func(int) bool) {
			for i := 0; i < 25 && yield(i); i++ {
				pulled++
			}
		})
		s := newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		for range 2 {
			pulled, s.batches = 0, nil
			f := startFlow(t, p, s)
			require.Zero(t, pulled)
			require.NoError(t, s.sub.Ask(10))
			f.rest()
			require.Equal(t, upTo(10), s.events())
			require.LessOrEqual(t, pulled, 10)
			require.NoError(t, s.sub.Ask(100))
			f.finish()
			require.Equal(t, upTo(25), s.events())
		}
	})
}

func TestFromSeqOfNothingCompletes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := stage.FromSeq(func(func(int) bool) {}), newGatherer[int]()
		s.SubscribeTo(p)
		f := startFlow(t, p, s)
		f.finish()
		require.Empty(t, s.batches)
	})
}

// naturals counts for ever; it notes how it ended.
func naturals(ended *string) iter.Seq[int] {
	return func(yield func(int) bool) {
		*ended = ""
		defer func() {
			if *ended == "" {
				*ended = "unwound"
			}
		}()
		for i := 0; ; i++ {
			if !yield(i) {
				*ended = "yield was false"
				return
			}
		}
	}
}

func TestFromSeqSeesAnEarlyEnd(t *testing.T) {
	boom := errors.New("boom")
	for name, end := range map[string]func(f *flow, s *gatherer[int]){
		"abort":          func(f *flow, _ *gatherer[int]) { f.Abort(nil) },
		"stop":           func(f *flow, _ *gatherer[int]) { f.Stop(context.Background()) },
		"consumer done":  func(_ *flow, s *gatherer[int]) { s.Tell(func(context.Context) error { return stage.ErrDone }) },
		"consumer fails": func(_ *flow, s *gatherer[int]) { s.Tell(func(context.Context) error { return boom }) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended string
				p, s := stage.FromSeq(naturals(&ended)), newGatherer[int]()
				s.SubscribeTo(p, stage.Manual())
				f := startFlow(t, p, s)
				require.NoError(t, s.sub.Ask(7))
				f.rest()
				require.Equal(t, upTo(7), s.events())
				end(f, s)
				f.end()
				require.Equal(t, "yield was false", ended)
			})
		})
	}
}

func TestFromSeqThatPanicsEndsItsStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		p := stage.FromSeq(func(yield func(int) bool) {
			for i := range 5 {
				yield(i)
			}
			panic(boom)
		})
		s := newGatherer[int]()
		s.SubscribeTo(p, stage.MaxDemand(5), stage.MinDemand(0))
		f := startFlow(t, p, s)
		err := f.end()
		require.ErrorIs(t, err, boom)
		var crash *stage.PanicError
		require.ErrorAs(t, err, &crash)
		require.Equal(t, "demand", crash.Callback)
		require.Equal(t, upTo(5), s.events())
	})
}

func TestFromSeqThatCallsGoexitEndsItsStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stage.FromSeq(func(yield func(int) bool) {
			yield(1)
			runtime.Goexit()
		})
		s := newGatherer[int]()
		s.SubscribeTo(p, stage.MaxDemand(1))
		f := startFlow(t, p, s)
		require.ErrorIs(t, f.end(), stage.ErrGoexit)
		require.Equal(t, []int{1}, s.events())
	})
}

// What an iterator does wrong when it is cut off is not lost, where nothing worse has happened.
func TestFromSeqThatPanicsWhenItIsCutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		p := stage.FromSeq(func(yield func(int) bool) {
			for yield(1) {
			}
			panic(boom)
		})
		s := newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.ErrorIs(t, f.Stop(t.Context()), boom)
		require.ErrorIs(t, f.end(), boom)
	})
}

// An ask without end does not keep the stage from hearing Stop and Abort. The pipeline is never at
// rest here, so the end comes from a callback.
func TestFromSeqWithoutEndHearsStopAndAbort(t *testing.T) {
	for name, end := range map[string]func(f *flow) error{
		"stop":  func(f *flow) error { return f.Stop(context.Background()) },
		"abort": func(f *flow) error { f.Abort(nil); return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var ended string
				enough := make(chan struct{})
				var got []int
				p := stage.FromSeq(naturals(&ended))
				c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
					if before := len(got); before < 50_000 && before+len(events) >= 50_000 {
						defer close(enough)
					}
					got = append(got, events...)
					return nil
				}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(math.MaxInt64) }))
				c.SubscribeTo(p, stage.Manual())
				f := &flow{Pipeline: stage.NewPipeline(p, c), t: t, ended: make(chan error, 1)}
				go func() { f.ended <- f.Run(t.Context()) }() // ends with the flow
				<-enough
				require.NoError(t, end(f))
				f.end()
				require.Equal(t, "yield was false", ended)
				require.Equal(t, upTo(len(got)), got)
			})
		})
	}
}

// poller counts its calls and answers with what the test put there.
type poller struct {
	mu      sync.Mutex
	at      []time.Duration // guarded by mu: when it was called
	demands []int           // guarded by mu
	finds   []int           // guarded by mu
	err     error           // guarded by mu
	began   time.Time
}

func (p *poller) poll(_ context.Context, demand int) ([]int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at = append(p.at, time.Since(p.began))
	p.demands = append(p.demands, demand)
	n := min(demand, len(p.finds))
	found := slices.Clone(p.finds[:n])
	p.finds = p.finds[n:]
	return found, p.err
}

func (p *poller) put(err error, events ...int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.finds, p.err = append(p.finds, events...), err
}

// times returns when it was called since the last time, and for how many.
func (p *poller) times() (at []time.Duration, demands []int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at, demands = p.at, p.demands
	p.at, p.demands = nil, nil
	return at, demands
}

func TestPollOnlyWhileThereIsDemand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		look := &poller{began: time.Now()}
		look.put(nil, 1, 2, 3)
		p, s := stage.Poll(look.poll), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		time.Sleep(24 * time.Hour)
		f.rest()
		at, _ := look.times()
		require.Empty(t, at, "no demand, no poll")
		require.NoError(t, p.Wake())
		f.rest()
		at, _ = look.times()
		require.Empty(t, at, "Wake is no demand")

		require.NoError(t, s.sub.Ask(3))
		f.rest()
		_, demands := look.times()
		require.Equal(t, []int{3}, demands)
		require.Equal(t, []int{1, 2, 3}, s.events())
		time.Sleep(24 * time.Hour)
		f.rest()
		at, _ = look.times()
		require.Empty(t, at, "the demand is used up")
		f.stop()
	})
}

func TestPollPausesWhenItFindsNothing(t *testing.T) {
	const ms = time.Millisecond
	synctest.Test(t, func(t *testing.T) {
		look := &poller{began: time.Now()}
		p, s := stage.Poll(look.poll, stage.PollEvery(100*ms, 500*ms)), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		require.NoError(t, s.sub.Ask(5))
		time.Sleep(2 * time.Second)
		f.rest()
		at, demands := look.times()
		require.Equal(t, []time.Duration{0, 100 * ms, 300 * ms, 700 * ms, 1200 * ms, 1700 * ms}, at, "it doubles, up to the longest")
		require.Equal(t, []int{5, 5, 5, 5, 5, 5}, demands, "all that is open")

		look.put(nil, 1, 2) // partial: it is called again at once, finds nothing, and begins anew with the first pause
		time.Sleep(500 * ms)
		f.rest()
		at, demands = look.times()
		require.Equal(t, []time.Duration{2200 * ms, 2200 * ms, 2300 * ms, 2500 * ms}, at)
		require.Equal(t, []int{5, 3, 3, 3}, demands)

		look.put(nil, 3)
		require.NoError(t, p.Wake())
		f.rest()
		at, demands = look.times()
		require.Equal(t, []time.Duration{2500 * ms, 2500 * ms}, at, "Wake looks now")
		require.Equal(t, []int{3, 2}, demands)
		require.Equal(t, []int{1, 2, 3}, s.events())

		look.put(stage.ErrDone, 4)
		time.Sleep(100 * ms)
		f.finish()
		require.Equal(t, []int{1, 2, 3, 4}, s.events())
	})
}

func TestPollThatStopsInItsPause(t *testing.T) {
	for name, end := range map[string]func(f *flow){"stop": (*flow).stop, "abort": (*flow).abort} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				look := &poller{began: time.Now()}
				p, s := stage.Poll(look.poll), newGatherer[int]()
				s.SubscribeTo(p)
				f := startFlow(t, p, s)
				end(f)
				require.Zero(t, time.Since(look.began), "it does not wait for the pause")
				at, _ := look.times()
				require.Len(t, at, 1)
			})
		})
	}
}

func TestPollOptionElsewhereIsAFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, o := range []stage.ProducerOption{stage.PollEvery(0, 1), stage.PollEvery(2, 1), stage.PollEvery(-1, 1)} {
			look := &poller{}
			err := stage.Poll(look.poll, o).Run(t.Context())
			require.ErrorIs(t, err, stage.ErrInvalidOption)
			require.ErrorContains(t, err, "PollEvery")
		}
		err := newSource(stage.PollEvery(time.Second, time.Second)).Run(t.Context())
		require.ErrorIs(t, err, stage.ErrInvalidOption, "PollEvery on a producer that is no Poll")
	})
}

func TestWakeAsksForAllThatIsOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		look := &poller{}
		p, s := stage.NewProducer(look.poll, stage.Retry()), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		require.ErrorIs(t, p.Wake(), stage.ErrNotRunning)
		f := startFlow(t, p, s)
		require.NoError(t, s.sub.Ask(5))
		time.Sleep(time.Hour)
		f.rest()
		_, demands := look.times()
		require.Equal(t, []int{5}, demands, "it does not look by itself")

		look.put(nil, 1, 2)
		require.NoError(t, p.Wake())
		f.rest()
		look.put(nil, 3)
		require.NoError(t, p.Wake())
		f.rest()
		require.NoError(t, s.sub.Ask(2))
		f.rest()
		_, demands = look.times()
		require.Equal(t, []int{5, 3, 2}, demands, "an ask alone brings what is new, a wake all that is open")
		require.NoError(t, p.Wake())
		f.rest()
		_, demands = look.times()
		require.Equal(t, []int{4}, demands)
		f.stop()
		require.ErrorIs(t, p.Wake(), stage.ErrEnded)
	})
}

func TestWakesThatComeTogetherCountOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		calls := 0
		p := stage.NewProducer(func(context.Context, int) ([]int, error) {
			if calls++; calls == 1 {
				<-block
			}
			return nil, nil
		}, stage.Retry())
		s := newGatherer[int]()
		s.SubscribeTo(p)
		f := startFlow(t, p, s)
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() {
				if p.Wake() != nil {
					t.Error("Wake failed")
				}
			})
		}
		wg.Wait()
		close(block)
		f.rest()
		require.Equal(t, 2, calls)
		f.stop()
	})
}

func TestWakeWithoutRetryIsAnError(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSource()
		require.ErrorIs(t, p.Wake(), stage.ErrInvalidOption)
	})
}

func TestForEachStopsAtTheFirstError(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name            string
		err, run        error
		handled, failed int64
	}{
		{"error", boom, boom, 4, 4},
		{"ErrDone", stage.ErrDone, nil, 7, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var got []int
				p := stage.FromSlice(upTo(20))
				each := stage.ForEach(func(_ context.Context, e int) error {
					if e == 6 {
						return c.err
					}
					got = append(got, e)
					return nil
				})
				each.SubscribeTo(p, stage.MaxDemand(4), stage.MinDemand(0))
				f := startFlow(t, p, each)
				require.ErrorIs(t, f.end(), c.run)
				require.Equal(t, upTo(6), got)
				in := each.Stats().Input
				require.Equal(t, c.handled, in.Handled)
				require.Equal(t, c.failed, in.Failed)
			})
		})
	}
}
