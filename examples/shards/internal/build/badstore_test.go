package build

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/disk"
	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/go-genstage/genstage/examples/shards/internal/storetest"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

// passed is what came of one pass over a store.
type passed struct {
	Report
	store  *storetest.Store
	errors map[string]string // by shard
	took   time.Duration
	files  map[string]string // shard files
}

// pass builds what is stale in a store once, in fake time.
func pass(t *testing.T, st *storetest.Store, o Options) (p passed) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		p = passed{store: st, errors: map[string]string{}}
		d, meter, begun := &disk.Model{}, NewMeter(nil), time.Now()
		b, err := New(&Files{Store: st, Out: d, Want: shardfile.Wanted{Schema: 1}, Meter: meter, Seed: o.Seed}, meter, o)
		require.NoError(t, err)
		require.NoError(t, b.Run(t.Context()))
		checkLedger(t, b.Stats())
		p.took = time.Since(begun)
		require.Zero(t, meter.now, "no slot and no body is held")
		open, most := st.Bodies()
		require.Zero(t, open)
		require.LessOrEqual(t, most, b.Options.Snapshots)
		p.Report = meter.Report("")
		for _, f := range p.Failures {
			p.errors[f.Shard] = f.Error
		}
		var others []string
		p.files, others = shardFiles(t, d)
		require.Empty(t, others)
	})
	return p
}

// onFile has a fault for one file alone, and by the number of the request, from 1.
func onFile(shard, file string, fault func(r storetest.Request) storetest.Fault) func(storetest.Request) storetest.Fault {
	return func(r storetest.Request) storetest.Fault {
		if r.Shard == shard && r.File == file {
			return fault(r)
		}
		return storetest.Fault{}
	}
}

func status(code string) error { return errors.New(code) }

// What the store does to one snapshot of 20 shards, how often it is asked for that, what is said, and how long it takes
// at least and at most.
func TestAStoreThatAnswersBadly(t *testing.T) {
	always := func(f storetest.Fault) func(storetest.Request) storetest.Fault {
		return func(storetest.Request) storetest.Fault { return f }
	}
	until := func(n int, f storetest.Fault) func(storetest.Request) storetest.Fault {
		return func(r storetest.Request) storetest.Fault {
			if r.N < n {
				return f
			}
			return storetest.Fault{}
		}
	}
	busy := func(after time.Duration) storetest.Fault {
		return storetest.Fault{Err: &store.BusyError{After: after, Err: status("429 Too Many Requests")}}
	}
	const s = time.Second
	good := func() *storetest.Store {
		st := stored(20, 3)
		st.Put("s0007", "w01.ndjson", strings.Repeat(`{"key":"k","v":"0123456789"}`+"\n", 3)) // 84 bytes
		return st
	}
	clean := pass(t, good(), Options{})
	require.Equal(t, 20, clean.ShardsBuilt)
	for _, row := range []struct {
		name     string
		fault    func(storetest.Request) storetest.Fault
		requests int
		says     string // "": the shard is built
		from, to time.Duration
	}{
		{"500 always", always(storetest.Fault{Err: status("500")}), 3, "500", 150 * time.Millisecond, 300 * time.Millisecond},
		{"500 twice", until(3, storetest.Fault{Err: status("500")}), 3, "", 150 * time.Millisecond, 300 * time.Millisecond},
		{"503 three times", until(4, storetest.Fault{Err: status("503")}), 3, "503", 0, s},
		{"429 and Retry-After", until(2, busy(20*s)), 2, "", 20 * s, 21 * s},
		{"429 for ever", always(busy(20 * s)), 3, "429", 40 * s, 41 * s},
		{"429 for too long", always(busy(time.Hour)), 1, "429 Too Many Requests (again after 1h0m0s)", 0, s},
		{"404", always(storetest.Fault{Err: fs.ErrNotExist}), 1, "not exist", 0, s / 10},
		{"403", always(storetest.Fault{Err: fs.ErrPermission}), 1, "permission", 0, s / 10},
		{"changed", always(storetest.Fault{Err: store.ErrChanged}), 1, "changed", 0, s / 10},
		{"a loop of redirections", always(storetest.Fault{Err: errors.New("301: stopped after 10 redirects")}), 3, "301", 0, s},
		{"no answer", always(storetest.Fault{Delay: 24 * time.Hour}), 3, "no result after 1m0.", 180 * s, 181 * s},
		{"no answer once", until(2, storetest.Fault{Delay: 24 * time.Hour}), 2, "", 60 * s, 61 * s},
		{"reset in mid body", until(2, storetest.Fault{Cut: 30, Broken: syscall.ECONNRESET}), 2, "", 0, s},
		{"reset in mid body, and 500", func(r storetest.Request) storetest.Fault {
			return map[int]storetest.Fault{1: {Cut: 30, Broken: syscall.ECONNRESET}, 2: {Err: status("500")}, 3: {Cut: 5, Broken: syscall.ECONNRESET}}[r.N]
		}, 4, "", 0, 2 * s},
		{"reset in mid body, and 429", func(r storetest.Request) storetest.Fault {
			return map[int]storetest.Fault{1: {Cut: 30, Broken: syscall.ECONNRESET}, 2: busy(20 * s)}[r.N]
		}, 3, "", 20 * s, 21 * s},
		{"reset in mid body, and 429 for too long", func(r storetest.Request) storetest.Fault {
			return map[int]storetest.Fault{1: {Cut: 30, Broken: syscall.ECONNRESET}, 2: busy(time.Hour)}[r.N]
		}, 2, "again after 1h0m0s", 0, s},
		{"resets for ever", always(storetest.Fault{Cut: 1, Broken: syscall.ECONNRESET}), 3 * 6, "reset", 0, 60 * s},
		{"too few bytes, whole lines", until(2, storetest.Fault{Cut: 28, Broken: io.EOF}), 2, "", 0, s},
		{"a byte a second", always(storetest.Fault{Byte: s}), 3, "no result after", 180 * s, 181 * s},
		{"stalls before the end", always(storetest.Fault{Stalls: true, Stall: 75}), 3, "no result after", 180 * s, 181 * s},
		{"stalls once", until(2, storetest.Fault{Stalls: true, Stall: 75}), 2, "", 60 * s, 61 * s},
	} {
		t.Run(row.name, func(t *testing.T) {
			st := good()
			st.Fault = onFile("s0007", "w01.ndjson", row.fault)
			p := pass(t, st, Options{Retries: 2, Timeout: time.Minute, Seed: 4})
			require.Equal(t, row.requests, st.Opened("s0007", "w01.ndjson"))
			require.GreaterOrEqual(t, p.took, row.from)
			require.LessOrEqual(t, p.took, row.to)
			if row.says == "" {
				require.Equal(t, clean.files, p.files, "byte for byte")
				require.Empty(t, p.errors)
			} else {
				others := maps.Clone(clean.files)
				delete(others, "s0007")
				require.Equal(t, others, p.files, "the others are built")
				require.Contains(t, p.errors["s0007"], row.says)
				require.Contains(t, p.errors["s0007"], `shard "s0007", snapshot "w01": `)
			}
			testkit.Report(t, "T57", 1)
		})
	}
}

// A resumed body is asked for from where it broke, and no byte is read twice.
func TestABrokenBodyIsResumedWhereItBroke(t *testing.T) {
	st := stored(1, 1)
	var offsets []int64
	st.Fault = func(r storetest.Request) storetest.Fault {
		offsets = append(offsets, r.Offset)
		return storetest.Fault{Cut: 10, Broken: syscall.ECONNRESET}
	}
	p := pass(t, st, Options{})
	require.Equal(t, []int64{0, 10, 20, 30}, offsets, "32 bytes")
	require.EqualValues(t, 32, p.BytesRead)
	require.Equal(t, 1, p.ShardsBuilt)
}

// A snapshot that changes between the two halves of a resumed body is never a mixture.
func TestASnapshotThatChangesInMidBody(t *testing.T) {
	st := stored(1, 1)
	st.Fault = func(r storetest.Request) storetest.Fault {
		if r.N == 1 {
			return storetest.Fault{Cut: 10, Broken: syscall.ECONNRESET}
		}
		return storetest.Fault{Err: fmt.Errorf("412: %w", store.ErrChanged)}
	}
	p := pass(t, st, Options{Retries: 2})
	require.Contains(t, p.errors["s0000"], "412")
	require.Equal(t, 2, st.Opened("s0000", "w00.ndjson"))
}

// One slow snapshot in a slot costs the 199 others next to nothing.
func TestASlowSnapshotHoldsNobodyUp(t *testing.T) {
	make200 := func(slow func(storetest.Request) storetest.Fault) passed {
		st := stored(1, 199)
		st.Put("slow", "w00.ndjson", goodLine)
		st.Fault = func(r storetest.Request) storetest.Fault {
			if r.Shard == "slow" {
				return slow(r)
			}
			return storetest.Fault{Delay: 10 * time.Second}
		}
		return pass(t, st, Options{Timeout: time.Minute})
	}
	clean := make200(func(storetest.Request) storetest.Fault { return storetest.Fault{Delay: 10 * time.Second} })
	require.Equal(t, 2, clean.ShardsBuilt)
	for name, f := range map[string]storetest.Fault{
		"a byte a second": {Byte: 5 * time.Second}, "stalls at once": {Stalls: true}, "stalls at the last byte": {Stalls: true, Stall: int64(len(goodLine) - 1)},
	} {
		t.Run(name, func(t *testing.T) {
			p := make200(func(storetest.Request) storetest.Fault { return f })
			require.Equal(t, clean.files["s0000"], p.files["s0000"])
			require.LessOrEqual(t, p.took, clean.took*3/2)
			require.Contains(t, p.errors["slow"], "no result after 1m0")
			testkit.Report(t, "T58", 1)
		})
	}
}

// A large snapshot has the time that its size takes at the least rate.
func TestTheTimeOfATryGrowsWithTheSize(t *testing.T) {
	st := stored(1, 1)
	st.Fault = func(storetest.Request) storetest.Fault { return storetest.Fault{Byte: 10 * time.Second} } // 32 bytes, and the end: 330 s
	require.Equal(t, 1, pass(t, st, Options{Timeout: time.Second, MinRate: 1 << 40}).ShardsFailed)
	require.Equal(t, 1, pass(t, st, Options{Timeout: 297 * time.Second, MinRate: 1}).ShardsFailed, "297 and 32 s")
	require.Equal(t, 1, pass(t, st, Options{Timeout: 299 * time.Second, MinRate: 1}).ShardsBuilt)
}

// Many that fail together do not come back together, and by another seed at other times.
func TestPausesAreJittered(t *testing.T) {
	times := func(seed uint64) (all []time.Duration) {
		seen := map[time.Duration]bool{}
		for i := range 100 {
			for n := range 8 {
				d := store.Pause(seed, fmt.Sprintf("s/w%d", i), n)
				whole := min(100*time.Millisecond<<n, 5*time.Second)
				require.LessOrEqual(t, d, whole)
				require.Greater(t, d, whole/2)
				require.False(t, seen[d])
				seen[d] = true
				all = append(all, d)
			}
		}
		return all
	}
	require.Equal(t, times(1), times(1))
	require.NotEqual(t, times(1), times(2))
	require.LessOrEqual(t, store.Pause(1, "a", 1000), 5*time.Second, "no overflow")
}
