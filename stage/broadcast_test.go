package stage_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// What Where rejects uses up no demand: with a buffer of size 0 the second half would else be discarded.
func TestBroadcastDispatchesOnWhileSelectorsReject(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent(stage.BufferSize(0))
		p.DispatchWith(stage.Broadcast)
		c := newSink(0)
		c.SubscribeTo(stage.Where(p, func(n int) bool { return n >= 90 }), stage.MaxDemand(10))
		runs := runAlone(t.Context(), p, c)
		require.NoError(t, p.Do(t.Context(), func(context.Context) ([]int, error) { return upTo(100), nil }))
		require.NoError(t, c.Do(t.Context(), func(context.Context) error { return nil }))
		require.Equal(t, upTo(100)[90:], c.events())
		require.Zero(t, p.Stats().Output.Discarded)
		ledger(t, p, c)
		abortAll(t, runs...)
	})
}

func TestBroadcastLateJoinerAndLeaver(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, asks := asksOf()
		p.DispatchWith(stage.Broadcast)
		a, subA := manualSink(t, p)
		b, subB := manualSink(t, p)
		runs := runAlone(t.Context(), p, a)
		require.NoError(t, subA().Ask(5))
		synctest.Wait()
		give(t, p, 0, 1)
		require.Equal(t, []int{5}, asks())
		runs = append(runs, start(t.Context(), b))
		give(t, p, 2) // b has not asked: it waits
		require.EqualValues(t, 1, p.Buffered())
		require.NoError(t, subB().Ask(2))
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2}, a.events(), "everybody gets what was waiting")
		require.Equal(t, []int{2}, b.events(), "from its first ask on")
		require.Equal(t, []int{5}, asks(), "what was asked for is not asked for again")
		give(t, p, 3, 4, 5, 6)
		synctest.Wait()
		require.Equal(t, []int{2, 3}, b.events())
		require.Equal(t, []int{0, 1, 2, 3}, a.events())
		require.NoError(t, subB().Cancel(stage.ErrShutdown))
		synctest.Wait()
		require.Equal(t, []int{0, 1, 2, 3, 4}, a.events(), "the one that left holds nobody up")
		require.EqualValues(t, 2, p.Buffered())
		ledger(t, p, a, b)
		abortAll(t, runs...)
		ledger(t, p, a, b)
	})
}

func TestLagDropOldest(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		p.DispatchWith(stage.Broadcast)
		quick := newSink(0)
		quick.SubscribeTo(p)
		slow, sub := manualSink(t, p, stage.Lag(3, stage.LagDropOldest))
		runs := runAlone(t.Context(), p, quick, slow)
		require.NoError(t, sub().Ask(2))
		synctest.Wait()
		give(t, p, upTo(10)...)
		synctest.Wait()
		require.Equal(t, upTo(10), quick.events(), "nobody waits for it")
		require.Equal(t, upTo(2), slow.events())
		require.NoError(t, sub().Ask(2))
		synctest.Wait()
		require.Equal(t, []int{0, 1, 7, 8}, slow.events(), "the last three were kept")
		give(t, p, 10)
		ledger(t, p, quick, slow)
		for _, s := range p.Stats().Downstreams {
			if s.Lag > 0 {
				require.EqualValues(t, 5, s.Lagged)
			}
		}
		require.NoError(t, sub().Cancel(nil)) // 9 and 10 wait for it
		synctest.Wait()
		ledger(t, p, quick)
		abortAll(t, runs...)
		ledger(t, p, quick, slow)
	})
}

func TestLagDisconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		p.DispatchWith(stage.Broadcast)
		quick := newSink(0)
		quick.SubscribeTo(p)
		slow, sub := manualSink(t, p, stage.Lag(3, stage.LagDisconnect))
		runs := runAlone(t.Context(), p, quick, slow)
		require.NoError(t, sub().Ask(2))
		synctest.Wait()
		give(t, p, upTo(5)...)
		require.True(t, runs[2].running(), "three wait")
		give(t, p, 5)
		require.ErrorIs(t, runs[2].wait(t), stage.ErrLagging)
		synctest.Wait() // the quick one may be behind it
		require.Equal(t, upTo(2), slow.events())
		require.Equal(t, upTo(6), quick.events())
		ledger(t, p, quick, slow)
		abortAll(t, runs...)
		ledger(t, p, quick, slow)
	})
}

// A producer that is done waits for subscribers that lag: what is kept for them is theirs.
func TestCompletionWaitsForThoseThatLag(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(100))
		p.DispatchWith(stage.Broadcast)
		quick, slow := newSink(0), newSink(time.Second)
		quick.SubscribeTo(p)
		slow.SubscribeTo(p, stage.Lag(1000, stage.LagDropOldest), stage.MaxDemand(10))
		require.NoError(t, start(t.Context(), stage.NewPipeline(p, quick, slow)).wait(t))
		require.Equal(t, upTo(100), quick.events())
		require.Equal(t, upTo(100), slow.events())
		closed(t, p, quick, slow)
	})
}
