package build

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// weighed notes what the shards in progress hold whenever one is begun.
type weighed struct {
	*invented
	mu   sync.Mutex
	held []int64 // guarded by mu
}

func (w *weighed) Begin(ctx context.Context, task *Task) (Owner, error) {
	w.meter.mu.Lock()
	held := w.meter.shardBytes
	w.meter.mu.Unlock()
	w.mu.Lock()
	w.held = append(w.held, held)
	w.mu.Unlock()
	return w.invented.Begin(ctx, task)
}

// Shards that have been begun grow beyond their half of the budget, by no more than what these are in the end; none is given
// to a builder until they are below it again. The overdraft is reported, and nothing is held up for ever.
func TestTheOverdraftOfShardsOnlyStopsNewOnes(t *testing.T) {
	const half, piece, each = 500, 10, 24 * 10
	const begun = half + 20*piece // between being given and being begun: what comes for the others in that instant
	for _, design := range []string{"manual", "manual-supervised", "budget", "pool", "pool-supervised"} {
		t.Run(design, func(t *testing.T) {
			run := func(budget int64) (Report, []int64) {
				var r Report
				var held []int64
				synctest.Test(t, func(t *testing.T) {
					w := &weighed{invented: &invented{meter: NewMeter(nil), shards: many(40, 24)}}
					for i, s := range w.shards {
						s.grows, s.snapshots = piece, 24-i%4 // else ten can end at once, and nothing be held when the next are begun
					}
					b, err := New(w, w.meter, Options{Design: design, Budget: budget})
					require.NoError(t, err)
					require.NoError(t, b.Run(t.Context()))
					checkLedger(t, b.Stats())
					r, held = w.meter.Report(""), w.held
				})
				require.Equal(t, 40, r.ShardsBuilt)
				return r, held
			}
			r, held := run(2 * half)
			require.Len(t, held, 40)
			require.LessOrEqual(t, slices.Max(held), int64(begun), "when a shard was begun")
			require.Equal(t, r.PeakShards-half, r.ShardsOverdraft)
			require.LessOrEqual(t, r.ShardsOverdraft, int64(9*each), "of the other nine, at most")
			t.Logf("held %d of a limit of %d at most, %d shards at once", r.PeakShards, half, r.MaxShards)

			if design == "budget" {
				return // it has one by default
			}
			free, held := run(0)
			require.Zero(t, free.ShardsOverdraft)
			require.Greater(t, slices.Max(held), int64(begun), "without a budget")
		})
	}
}
