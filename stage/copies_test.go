package stage_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// What a broadcast has dispatched is what each of its subscribers was sent, did not want, or will not get: however it
// ends, also in the middle of a dispatch.
func TestBroadcastCountsEachCopyOnce(t *testing.T) {
	for name, end := range map[string]func(p *stage.Producer[int]){
		"it completes":        nil,
		"it is aborted":       func(p *stage.Producer[int]) { p.Abort(nil) },
		"a selector exits":    func(*stage.Producer[int]) { runtime.Goexit() },
		"a selector panics":   func(*stage.Producer[int]) { panic("boom") },
		"a selector is stuck": func(p *stage.Producer[int]) { p.Abort(nil); time.Sleep(time.Hour) },
	} {
		for _, policy := range []stage.LagPolicy{stage.LagDropOldest, stage.LagDisconnect} {
			t.Run(fmt.Sprint(name, ", policy ", policy), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := stage.FromSlice(upTo(60), quiet)
					p.DispatchWith(stage.Broadcast)
					slow, plain, picky, behind := newSink(time.Second, patient), newSink(10*time.Millisecond), newSink(0), newSink(400*time.Millisecond, patient)
					temporary := stage.Cancel(stage.CancelTemporary)
					slow.SubscribeTo(p, stage.MaxDemand(1), stage.Lag(5, policy), temporary)
					plain.SubscribeTo(p, stage.MaxDemand(3), temporary)
					picky.SubscribeTo(stage.Where(p, func(n int) bool {
						if n == 33 && end != nil {
							end(p)
						}
						return n%2 == 1
					}), stage.MaxDemand(4), temporary)
					behind.SubscribeTo(p, stage.MaxDemand(2), stage.Lag(40, policy), temporary)
					all := []stage.Stage{p, slow, plain, picky, behind}
					_ = start(t.Context(), stage.NewPipeline(all...)).wait(t)
					out := p.Stats().Output
					sum := out.Departed
					for _, d := range p.Stats().Downstreams {
						sum += d.Sent + d.Filtered + d.Lagged
					}
					require.Equal(t, out.Copies, sum)
					require.Equal(t, out.Emitted+out.TakenBack, out.Dispatched+out.Lost)
					require.LessOrEqual(t, out.Copies, 4*out.Dispatched)
					if end != nil {
						require.GreaterOrEqual(t, out.Dispatched, int64(32))
					}
					time.Sleep(2 * time.Hour)
					ledger(t, all...)
				})
			})
		}
	}
}

// Goexit in a callback of a stage whose dispatcher keeps events: they are counted once while the stage ends.
func TestLedgerWhileAStageEndsByGoexit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent(quiet, stage.OnTerminate(func(error) { time.Sleep(time.Second) }))
		p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
		c := newSink(0)
		c.SubscribeTo(stage.Partition(p, 0), stage.MaxDemand(2))
		runs := runAlone(t.Context(), p, c)
		give(t, p, upTo(10)...)
		synctest.Wait()
		require.EqualValues(t, 5, p.Stats().Output.Buffered)
		require.NoError(t, p.Tell(func(context.Context) ([]int, error) { runtime.Goexit(); return nil, nil }))
		time.Sleep(time.Second / 2)
		require.True(t, runs[0].running())
		ledger(t, p, c)
		require.ErrorIs(t, runs[0].wait(t), stage.ErrGoexit)
		abortAll(t, runs...)
		closed(t, p, c)
	})
}
