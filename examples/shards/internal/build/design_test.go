package build

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// checkLedger checks that every event of every stage is accounted for.
func checkLedger(t *testing.T, s stage.Stats) {
	t.Helper()
	for _, m := range s.Members {
		checkLedger(t, m)
	}
	in, out := s.Input, s.Output
	require.Equal(t, in.Received, in.Handled+in.Failed+in.HandedBack+in.Lost+in.Late+in.Queued+in.InHand, "input of %s: %+v", s.Stage, in)
	require.Equal(t, out.Emitted+out.TakenBack, out.Dispatched+out.Discarded+out.Dropped+out.Lost+out.Buffered+out.Held, "output of %s: %+v", s.Stage, out)
}

var (
	manual    = Options{}
	direct    = Options{Direct: true}
	automatic = Options{Automatic: true}
)

// With direct wiring every builder's first choice may be the same worker: then ten pieces wait for one, and 19 workers have
// nothing to do. How many do depends on the order in which the asks came, so the worst is looked for.
func TestDirectWiringCanBindTenSinglesToOneWorker(t *testing.T) {
	worst := func(o Options, runs int, until float64) (worst float64) {
		for range runs {
			simulate(t, o, many(10, 1), func(r Report, _ *invented) { worst = max(worst, units(r.Makespan)) })
			if worst >= until {
				break
			}
		}
		return worst
	}
	require.InDelta(t, 10, worst(direct, 1000, 10), 1e-6)
	require.InDelta(t, 1, worst(manual, 50, 2), 1e-6, "with the merging stage they never wait")
}

// The automatic mode is wrong at the third of these instants only: what arrives early is prefetch.
func TestAutomaticTakesTheNextShardTooEarly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, b := &inventedShard{name: "a", snapshots: 3}, &inventedShard{name: "b", snapshots: 1}
		w := &invented{meter: NewMeter(nil), shards: []*inventedShard{a, b}}
		o := automatic
		o.Builders, o.Snapshots = 1, 1
		build, err := New(w, w.meter, o)
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- build.Run(t.Context()) }()
		builderStats := func() stage.Stats { return build.Stats().Members[1] }

		time.Sleep(unit / 2) // a's first piece is in the worker, its second in slots, its third in the builder
		synctest.Wait()
		require.EqualValues(t, 2, builderStats().Input.Received, "the second shard has arrived: harmless")
		require.EqualValues(t, 1, builderStats().Input.Queued, "without downstream demand its callback does not run")
		require.Equal(t, 1, w.meter.Progress().InProgress)

		time.Sleep(2 * unit) // a's last piece is handed out and not back
		synctest.Wait()
		require.False(t, a.persisted)
		require.Equal(t, 2, w.meter.Progress().InProgress, "now the callback does run: two shards in progress in one builder")

		require.NoError(t, <-done)
		require.Equal(t, 2, w.meter.Report("").MaxShards)
	})
}

// The order of begin and persist in one builder: never the next before the one before has left.
func TestManualNeverAsksBeforePersistOrFailure(t *testing.T) {
	shards := many(12, 3)
	shards[4].fault, shards[7].fault = faults["error"], faults["panic"]
	o := manual
	o.Builders, o.Snapshots = 1, 4
	simulate(t, o, shards, func(r Report, w *invented) {
		require.Equal(t, 1, r.MaxShards)
		open := ""
		for _, e := range w.events {
			what, name, _ := strings.Cut(e, " ")
			switch what {
			case "begin":
				require.Empty(t, open, "began %s while %s was open", name, open)
				open = name
			case "persist", "abandon":
				require.Equal(t, open, name)
				open = ""
			}
		}
		require.Equal(t, 10, r.ShardsBuilt)
		require.Equal(t, 1, strings.Count(strings.Join(w.events, ";"), "list"), "one pass")
	})
}

// Half of the shards failing must not stop the other half, however they fail and whatever the design.
func TestThirtyShardsOfWhichHalfFail(t *testing.T) {
	for _, design := range Designs() {
		for name, fault := range faults {
			t.Run(design+"/"+name, func(t *testing.T) {
				shards := many(30, 8)
				for i := 0; i < 30; i += 2 {
					shards[i].fault = fault
				}
				simulate(t, Options{Design: design}, shards, func(r Report, w *invented) {
					require.Equal(t, 15, r.ShardsBuilt)
					require.Equal(t, 15, r.ShardsFailed)
					require.Len(t, r.Failures, 15)
					for _, f := range r.Failures {
						require.Contains(t, f.Error, fmt.Sprintf("shard %q, snapshot %q", f.Shard, "w000"))
					}
					if design == "manual" {
						require.LessOrEqual(t, r.MaxShards, 10)
						require.LessOrEqual(t, r.MaxSnapshots, 20)
					}
				})
			})
		}
	}
}

// A shard that cannot be begun, or needs nothing, has no pieces to wait for.
func TestShardsWithoutPieces(t *testing.T) {
	for _, design := range Designs() {
		t.Run(design, func(t *testing.T) {
			simulate(t, Options{Design: design}, append(many(3, 0), &inventedShard{name: "last", snapshots: 2}), func(r Report, w *invented) {
				require.Equal(t, 4, r.ShardsBuilt)
			})
		})
	}
}

// An abort in the middle ends every design, and leaves no owner open.
func TestAbortEndsEveryDesign(t *testing.T) {
	for _, design := range Designs() {
		t.Run(design, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := &invented{meter: NewMeter(nil), shards: many(20, 30)}
				b, err := New(w, w.meter, Options{Design: design})
				require.NoError(t, err)
				time.AfterFunc(3*unit/2, func() { b.Abort(errTestAbort) })
				require.ErrorIs(t, b.Run(t.Context()), errTestAbort)
				count := func(what string) int { return strings.Count(strings.Join(w.events, "\n")+"\n", what+" ") }
				require.Equal(t, count("begin"), count("persist")+count("abandon"))
				require.Positive(t, count("abandon"))
				require.Zero(t, w.meter.now.shards)
			})
		})
	}
}

// Pieces that no aggregator ever gets are noticed, when some of their shard have come.
func TestAggregatorNoticesLostPieces(t *testing.T) {
	w := &invented{meter: NewMeter(nil), shards: many(1, 3)}
	b, err := newShared(w, w.meter, Options{Design: "aggregator"})
	require.NoError(t, err)
	task, err := w.Plan(t.Context(), "s000")
	require.NoError(t, err)
	pieces, err := b.compile(t.Context(), []*job{{task: task}}, nil)
	require.NoError(t, err)
	a := &aggregation{b: b, jobs: map[*job]struct{}{}}
	pieces[1].result = fakeResult(1)
	require.NoError(t, a.take(t.Context(), pieces[1]))
	require.Nil(t, pieces[1].result, "its batch may keep the piece alive")
	require.ErrorIs(t, a.complete(t.Context()), stage.ErrDone)
	r := w.meter.Report("")
	require.Equal(t, 1, r.ShardsFailed)
	require.Contains(t, r.Failures[0].Error, "2 of 3 pieces were lost")
}

func TestRetriesAreBoundedAndCanSucceed(t *testing.T) {
	o := manual
	o.Retries = 2
	shards := many(3, 2)
	shards[0].fault = func(try int) error {
		if try < 2 {
			return errors.New("reset")
		}
		return nil
	}
	shards[1].fault = faults["error"]
	simulate(t, o, shards, func(r Report, _ *invented) {
		require.Equal(t, 2, r.ShardsBuilt, "the third try succeeded")
		require.Equal(t, 3, shards[0].tries)
		require.Equal(t, 3, shards[1].tries, "no more than 1 + retries")
	})
}

// A failed shard's pieces that were not begun are answered without a body.
func TestPiecesOfAFailedShardAreNotBegun(t *testing.T) {
	o := manual
	o.Snapshots = 2
	bad := &inventedShard{name: "bad", snapshots: 100, fault: faults["error"]}
	simulate(t, o, []*inventedShard{bad}, func(r Report, w *invented) {
		require.Equal(t, 1, r.ShardsFailed)
		require.LessOrEqual(t, bad.bodies, 3, "those in flight when it failed, and none after")
		require.LessOrEqual(t, units(r.Makespan), 2.0)
	})
}

func TestMakespanIsNearItsBound(t *testing.T) {
	for name, shards := range map[string][]*inventedShard{
		"singles": many(300, 1),
		"mix":     append(many(30, 7), &inventedShard{name: "old", snapshots: 240}),
	} {
		t.Run(name, func(t *testing.T) {
			simulate(t, manual, shards, func(r Report, _ *invented) {
				t.Logf("makespan %.1f t, bound %.1f t, mean in flight %.2f", units(r.Makespan), units(r.LowerBound), r.MeanInFlight)
				require.LessOrEqual(t, r.Makespan, 1.05*r.LowerBound)
				if r.MeanInFlight > 0 {
					require.GreaterOrEqual(t, r.MeanInFlight, 19.5)
				}
			})
		})
	}
}
