package stage_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// notes is a producer's function for Do and Tell that writes down that it ran, and emits events.
func notes(log *[]string, note string, events ...int) func(context.Context) ([]int, error) {
	return func(context.Context) ([]int, error) {
		*log = append(*log, note)
		return events, nil
	}
}

func TestDoAfterWaitsForWhatIsBuffered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		p, s := newSource(), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		p.push(t, 1, 2)
		after := make(chan error, 1)
		go func() { after <- p.DoAfter(t.Context(), notes(&log, "after 2", 4)) }()
		synctest.Wait()
		p.push(t, 3)
		require.NoError(t, p.TellAfter(notes(&log, "after 3", 5)))
		require.NoError(t, p.Do(t.Context(), notes(&log, "at once")))
		require.NoError(t, p.Tell(notes(&log, "at once, too")))
		f.rest()
		require.Equal(t, []string{"at once", "at once, too"}, log)

		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.Len(t, log, 2)
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.Equal(t, "after 2", log[2], "2 is dispatched; no demand is left, and none is needed")
		require.NoError(t, <-after)
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.Equal(t, []string{"at once", "at once, too", "after 2", "after 3"}, log)
		require.NoError(t, s.sub.Ask(2))
		f.rest()
		require.Equal(t, []int{1, 2, 3, 4, 5}, s.events(), "what they emit goes behind what waits")
		f.stop()
	})
}

func TestDoAfterIsAtOnceWhenNothingWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		p, s := newSource(), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		require.NoError(t, p.DoAfter(t.Context(), notes(&log, "first", 1)))
		require.Equal(t, []string{"first"}, log)
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.NoError(t, p.DoAfter(t.Context(), notes(&log, "second")))
		f.stop()
	})
}

func TestDoAfterOnAProducerConsumerWaitsForWhatIsQueued(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		p, pc, s := newSource(), newMapper(same), newGatherer[int]()
		pc.SubscribeTo(p)
		s.SubscribeTo(pc, stage.Manual())
		f := startFlow(t, p, pc, s)
		p.push(t, 1, 2)
		require.NoError(t, pc.TellAfter(notes(&log, "behind 2", 20)))
		require.NoError(t, pc.Do(t.Context(), notes(&log, "at once", 10)))
		p.push(t, 3)
		f.rest()
		require.Equal(t, []string{"at once"}, log)
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.Equal(t, []int{10}, s.events(), "what Do emits does not wait for what is queued")
		require.Len(t, log, 1)
		require.NoError(t, s.sub.Ask(1))
		f.rest()
		require.Equal(t, []int{10, 1}, s.events())
		require.Len(t, log, 1, "2 is in the buffer")
		require.NoError(t, s.sub.Ask(10))
		f.rest()
		require.Equal(t, []string{"at once", "behind 2"}, log)
		require.Equal(t, []int{10, 1, 2, 20, 3}, s.events())
		f.stop()
	})
}

// A DoAfter whose events were discarded comes, too.
func TestDoAfterComesWhenEventsAreDiscarded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		p, s := newSource(stage.BufferSize(2), stage.Logger(discardLogs())), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		p.push(t, 1, 2)
		require.NoError(t, p.TellAfter(notes(&log, "behind 2")))
		p.push(t, 3)
		require.Empty(t, log)
		p.push(t, 4)
		require.Equal(t, []string{"behind 2"}, log)
		require.NoError(t, s.sub.Ask(2))
		f.rest()
		require.Equal(t, []int{3, 4}, s.events())
		f.stop()
	})
}

func TestEventsBesideErrDoneAreDelivered(t *testing.T) {
	for name, call := range map[string]func(p *source, fn func(context.Context) ([]int, error)) error{
		"Do":   func(p *source, fn func(context.Context) ([]int, error)) error { return p.Do(context.Background(), fn) },
		"Tell": func(p *source, fn func(context.Context) ([]int, error)) error { return p.Tell(fn) },
		"DoAfter": func(p *source, fn func(context.Context) ([]int, error)) error {
			return p.DoAfter(context.Background(), fn)
		},
		"TellAfter": func(p *source, fn func(context.Context) ([]int, error)) error { return p.TellAfter(fn) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := newSource(), newGatherer[int]()
				s.SubscribeTo(p, stage.MaxDemand(2))
				f := startFlow(t, p, s)
				require.NoError(t, call(p, func(context.Context) ([]int, error) { return upTo(9), stage.ErrDone }))
				f.finish()
				require.Equal(t, upTo(9), s.events())
			})
		})
	}
}

func TestErrorOfACallEndsTheStageAndIsReturned(t *testing.T) {
	boom := errors.New("boom")
	for name, fail := range map[string]func(context.Context) ([]int, error){
		"error": func(context.Context) ([]int, error) { return upTo(3), boom },
		"panic": func(context.Context) ([]int, error) { panic(boom) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := newSource(), newGatherer[int]()
				s.SubscribeTo(p)
				f := startFlow(t, p, s)
				require.ErrorIs(t, p.Do(t.Context(), fail), boom)
				require.ErrorIs(t, f.end(), boom)
				require.Empty(t, s.batches)
				require.Zero(t, p.Stats().Output.Emitted, "events beside an error are not emitted")
			})
		})
	}
}

func TestDoWhoseContextEndsFirstNeverRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		var ran atomic.Int64
		p := newSource()
		f := startFlow(t, p)
		require.NoError(t, p.Tell(func(context.Context) ([]int, error) { <-block; return nil, nil }))
		why := errors.New("why")
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, why)
		defer cancel()
		count := func(context.Context) ([]int, error) { ran.Add(1); return nil, nil }
		require.ErrorIs(t, p.Do(ctx, count), why)
		require.ErrorIs(t, p.Do(ctx, count), why, "at once")
		close(block)
		f.rest()
		require.Zero(t, ran.Load())
		f.stop()
	})
}

func TestDoThatHasBegunIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newSource()
		f := startFlow(t, p)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		require.NoError(t, p.Do(ctx, func(context.Context) ([]int, error) { time.Sleep(time.Minute); return nil, nil }))
		require.Equal(t, time.Minute, time.Since(began))
		f.stop()
	})
}

func TestCallsWhoseRunEndsFirstNeverRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		block := make(chan struct{})
		var ran atomic.Int64
		count := func(context.Context) ([]int, error) { ran.Add(1); return nil, nil }
		p, s := newSource(), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		p.push(t, 1) // nobody asks: DoAfter stands behind it
		answers := make(chan error, 3)
		go func() { answers <- p.DoAfter(t.Context(), count) }()
		synctest.Wait()
		require.NoError(t, p.TellAfter(count))
		require.NoError(t, p.Tell(func(context.Context) ([]int, error) { <-block; return nil, nil }))
		for range 2 {
			go func() { answers <- p.Do(t.Context(), count) }()
		}
		require.NoError(t, p.Tell(count))
		synctest.Wait()
		require.EqualValues(t, 2, p.Stats().WaitingTells)
		f.Abort(stage.ErrKilled)
		close(block)
		require.ErrorIs(t, f.end(), stage.ErrKilled)
		for range 3 {
			require.ErrorIs(t, <-answers, stage.ErrEnded)
		}
		require.Zero(t, ran.Load())
		require.Zero(t, p.Stats().WaitingTells)
		require.ErrorIs(t, p.Do(t.Context(), count), stage.ErrEnded)
		require.ErrorIs(t, p.Tell(count), stage.ErrEnded)
	})
}

func TestCallsAreServedWhileDraining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		p, s := newSource(), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		p.push(t, 1)
		stopped := make(chan error, 1)
		go func() { stopped <- f.Stop(t.Context()) }()
		synctest.Wait()
		require.NoError(t, p.Do(t.Context(), notes(&log, "Do", 2)))
		require.NoError(t, p.TellAfter(notes(&log, "TellAfter", 3)))
		require.NoError(t, s.Do(t.Context(), func(context.Context) error { log = append(log, "consumer"); return nil }))
		synctest.Wait()
		require.NoError(t, s.sub.Ask(10))
		require.NoError(t, <-stopped)
		f.finish()
		require.Equal(t, []int{1, 2, 3}, s.events())
		require.Equal(t, []string{"Do", "consumer", "TellAfter"}, log)
	})
}

func TestSubscriptionCallsRunInThatRunOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newSource(), newGatherer[int]()
		s.SubscribeTo(p)
		f := startFlow(t, p, s)
		ran := 0
		count := func(context.Context) error { ran++; return nil }
		require.NoError(t, s.sub.Do(t.Context(), count))
		require.NoError(t, s.sub.Tell(count))
		f.rest()
		require.Equal(t, 2, ran)
		old := s.sub
		f.stop()

		f = startFlow(t, p, s)
		require.NotSame(t, old, s.sub)
		require.ErrorIs(t, old.Do(t.Context(), count), stage.ErrEnded)
		require.ErrorIs(t, old.Tell(count), stage.ErrEnded)
		require.ErrorIs(t, old.Cancel(nil), stage.ErrEnded)
		f.rest()
		require.Equal(t, 2, ran)
		require.NoError(t, s.sub.Do(t.Context(), count))
		f.stop()
	})
}

func TestSubscriptionCallThatEndsTheStage(t *testing.T) {
	boom := errors.New("boom")
	for _, c := range []struct {
		name                 string
		returns, do, running error
	}{
		{"ErrDone", stage.ErrDone, nil, nil},
		{"error", boom, boom, boom},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, s := newSource(), newGatherer[int]()
				s.SubscribeTo(p)
				f := startFlow(t, p, s)
				require.ErrorIs(t, s.sub.Do(t.Context(), func(context.Context) error { return c.returns }), c.do)
				require.ErrorIs(t, f.end(), c.running)
			})
		})
	}
}

func TestTellsKeepTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, s := newSource(), newGatherer[int]()
		s.SubscribeTo(p)
		f := startFlow(t, p, s)
		for i := range 1000 {
			require.NoError(t, p.Tell(func(context.Context) ([]int, error) { return []int{i}, nil }))
		}
		f.rest()
		require.Equal(t, upTo(1000), s.events())
		f.stop()
	})
}
