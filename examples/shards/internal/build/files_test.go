package build

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/go-genstage/genstage/examples/shards/internal/verify"
	"github.com/stretchr/testify/require"
)

// folder is a store and its shard files, on disk.
type folder struct {
	t         *testing.T
	root, out string
	latency   time.Duration
	schema    int
}

func newFolder(t *testing.T) *folder {
	dir := t.TempDir()
	f := &folder{t: t, root: filepath.Join(dir, "store"), out: filepath.Join(dir, "shards"), schema: 1}
	require.NoError(t, os.MkdirAll(f.root, 0o777))
	return f
}

// put writes a snapshot of one record.
func (f *folder) put(shard, name, content string) {
	f.t.Helper()
	dir := filepath.Join(f.root, shard)
	require.NoError(f.t, os.MkdirAll(dir, 0o777))
	require.NoError(f.t, os.WriteFile(filepath.Join(dir, name), []byte(content), 0o666))
}

// build runs one pass and returns its report and trace.
func (f *folder) build(o Options) (Report, []traceLine) {
	f.t.Helper()
	b, closeAll, trace := f.wire(o)
	defer closeAll()
	require.NoError(f.t, b.Run(f.t.Context()))
	checkLedger(f.t, b.Stats())
	var lines []traceLine
	dec := json.NewDecoder(trace)
	for dec.More() {
		var l traceLine
		require.NoError(f.t, dec.Decode(&l))
		lines = append(lines, l)
	}
	require.NoError(f.t, b.Meter.TraceErr())
	return b.Meter.Report("manual"), lines
}

func (f *folder) wire(o Options) (*Build, func(), *bytes.Buffer) {
	f.t.Helper()
	st, err := store.OpenDir(f.root)
	require.NoError(f.t, err)
	dir, err := shardfile.CreateDir(f.out)
	require.NoError(f.t, err)
	trace := &bytes.Buffer{}
	meter := NewMeter(trace)
	files := &Files{Store: st, Out: dir, Want: shardfile.Wanted{Schema: f.schema}, Limits: store.DefaultLimits(), Meter: meter, Latency: f.latency}
	b, err := New(files, meter, o)
	require.NoError(f.t, err)
	return b, func() { st.Close(); dir.Close() }, trace
}

// verify compares all shard files with the store.
func (f *folder) verify() []string {
	f.t.Helper()
	st, err := store.OpenDir(f.root)
	require.NoError(f.t, err)
	defer st.Close()
	dir, err := shardfile.OpenDir(f.out)
	require.NoError(f.t, err)
	defer dir.Close()
	res, err := verify.Verify(context.Background(), st, dir)
	require.NoError(f.t, err)
	return res.Differences
}

func (f *folder) leftovers() []string {
	entries, err := os.ReadDir(f.out)
	require.NoError(f.t, err)
	var names []string
	for _, e := range entries {
		if shardfile.IsTemp(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// A file of another version of the format is built again from scratch, as a damaged one is.
func TestAFileOfAnotherFormatIsBuiltAgain(t *testing.T) {
	f := newFolder(t)
	f.put("a", "w.ndjson", `{"key":"k"}`)
	f.build(Options{})
	name := filepath.Join(f.out, shardfile.FileName("a"))
	want, err := os.ReadFile(name)
	require.NoError(t, err)
	other := bytes.Clone(want)
	other[8]++ // its version, which has a checksum
	binary.LittleEndian.PutUint32(other[12:], crc32.Checksum(other[:12], crc32.MakeTable(crc32.Castagnoli)))
	require.NoError(t, os.WriteFile(name, other, 0o666))
	dir, err := shardfile.OpenDir(f.out)
	require.NoError(t, err)
	defer dir.Close()
	_, err = shardfile.Open(dir, "a")
	require.ErrorIs(t, err, shardfile.ErrFormat)

	r, _ := f.build(Options{})
	require.Empty(t, r.Failures)
	require.Equal(t, 1, r.SnapshotsFetched)
	got, err := os.ReadFile(name)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

func TestBuildsIncrementally(t *testing.T) {
	f := newFolder(t)
	f.put("a", "2026-01-05.ndjson", `{"key":"k1","v":1}`+"\n"+`{"key":"k2","v":2}`+"\n")
	f.put("a", "2026-01-12.ndjson", `{"key":"k1","v":3}`+"\n")
	f.put("b", "2026-01-05.ndjson", "") // empty: ingested, without records
	r, _ := f.build(Options{})
	require.Equal(t, 2, r.ShardsBuilt)
	require.Equal(t, 3, r.SnapshotsFetched)
	require.Empty(t, f.verify())

	r, _ = f.build(Options{})
	require.Zero(t, r.ShardsBuilt, "nothing is stale")
	require.Zero(t, r.SnapshotsFetched)

	f.put("a", "2026-01-19.ndjson", `{"key":"k3","v":4}`)
	r, _ = f.build(Options{})
	require.Equal(t, 1, r.ShardsBuilt)
	require.Equal(t, 1, r.SnapshotsFetched, "only the new week")
	require.Equal(t, 2, r.SnapshotsReused)
	require.Empty(t, f.verify())
	incremental, err := os.ReadFile(filepath.Join(f.out, "a.shard"))
	require.NoError(t, err)

	f.schema = 2
	r, _ = f.build(Options{})
	require.Equal(t, 2, r.ShardsBuilt, "another schema rebuilds everything")
	require.Equal(t, 4, r.SnapshotsFetched)
	f.schema = 1
	f.build(Options{})
	scratch, err := os.ReadFile(filepath.Join(f.out, "a.shard"))
	require.NoError(t, err)
	require.Equal(t, scratch, incremental, "an incremental file is byte-identical to one from scratch")

	f.put("a", "2026-01-12.ndjson", `{"key":"k1","v":9}`+"\n") // the same size
	r, _ = f.build(Options{})
	require.Equal(t, 3, r.SnapshotsFetched, "changed content under a known name rebuilds from scratch")
	require.Empty(t, f.verify())
}

func TestBadSnapshotsFailTheirShardOnly(t *testing.T) {
	f := newFolder(t)
	good := `{"key":"k","v":1}` + "\n"
	f.put("old", "w1.ndjson", good)
	f.build(Options{})
	before, err := os.ReadFile(filepath.Join(f.out, "old.shard"))
	require.NoError(t, err)

	f.put("old", "w2.ndjson", good+"not json\n")
	f.put("nokey", "w1.ndjson", good+`{"v":1}`+"\n")
	f.put("notgzip", "w1.ndjson.gz", good)
	f.put("truncated", "w1.ndjson", good+`{"key":"k","v":`)
	f.put("both", "w1.ndjson", good)
	f.put("both", "w1.ndjson.gz", good)
	for _, name := range []string{"g1", "g2", "g3", "g4", "g5"} {
		f.put(name, "w1.ndjson", good)
	}
	r, _ := f.build(Options{Retries: 1})
	require.Equal(t, 5, r.ShardsBuilt)
	require.Equal(t, 5, r.ShardsFailed)
	said := map[string]string{}
	for _, failure := range r.Failures {
		said[failure.Shard] = failure.Error
	}
	for shard, want := range map[string][]string{
		"old": {"w2.ndjson", "line 2"}, "nokey": {"w1.ndjson", "line 2", "key"}, "notgzip": {"w1.ndjson.gz", "gzip"},
		"truncated": {"w1.ndjson", "line 2"}, "both": {"w1"},
	} {
		for _, text := range append(want, shard) {
			require.Contains(t, said[shard], text)
		}
	}
	after, err := os.ReadFile(filepath.Join(f.out, "old.shard"))
	require.NoError(t, err)
	require.Equal(t, before, after, "the old file stays")
	require.Empty(t, f.leftovers())
}

// The report's maxima and bound, recomputed from the trace by other means.
func TestTraceSaysWhatTheReportSays(t *testing.T) {
	f := newFolder(t)
	for _, shard := range []string{"a", "b", "c", "d"} {
		for _, week := range []string{"1", "2", "3", "4", "5", "6"} {
			f.put(shard, week+".ndjson", strings.Repeat(`{"key":"k`+week+`","v":1}`+"\n", 50))
		}
	}
	f.latency = time.Millisecond
	o := Options{Builders: 3, Snapshots: 5}
	r, lines := f.build(o)

	now, top := map[string]int{}, map[string]int{}
	sum, longest, bound := map[string]float64{}, map[string]float64{}, []float64{0, 0, 0}
	last, ingested := 0.0, 0
	for _, l := range lines {
		require.GreaterOrEqual(t, l.T, last, "in order of time")
		last = l.T
		switch l.Event {
		case "shard_taken":
			now["shards"]++
		case "shard_complete":
			// the shard has all its snapshots
		case "shard_persisted":
			now["shards"]--
			own := max(sum[l.Shard]/5, longest[l.Shard]) + l.Persist
			bound[0] += sum[l.Shard] / 5
			bound[1] += own / 3
			bound[2] = max(bound[2], own)
		case "slot_taken":
			now["slots"]++
		case "slot_freed":
			now["slots"]--
		case "body_opened":
			now["open"]++
		case "body_closed":
			now["open"]--
			sum[l.Shard] += l.Service
			longest[l.Shard] = max(longest[l.Shard], l.Service)
		case "ingested":
			ingested++
		default:
			t.Fatalf("unknown event %q", l.Event)
		}
		for k, n := range now {
			top[k] = max(top[k], n)
		}
	}
	require.Equal(t, r.MaxShards, top["shards"])
	require.Equal(t, r.MaxSnapshots, top["slots"])
	require.Equal(t, r.MaxStoreOpen, top["open"])
	require.Equal(t, r.SnapshotsFetched, ingested)
	require.InDelta(t, r.LowerBound, max(bound[0], bound[1], bound[2]), 1e-6, "but for rounding")
	require.LessOrEqual(t, r.MaxShards, 3)
	require.LessOrEqual(t, r.MaxSnapshots, 5)
}

var errTestAbort = errors.New("abort")

func TestAbortLeavesNothingHalfWritten(t *testing.T) {
	f := newFolder(t)
	random := rand.New(rand.NewPCG(1, 1))
	for _, week := range []string{"1", "2", "3", "4"} {
		var text strings.Builder
		if week == "1" { // more than a builder holds
			for range 20 {
				text.WriteString(`{"key":"k","v":"`)
				for range 2000 {
					fmt.Fprintf(&text, "%016x", random.Uint64())
				}
				text.WriteString("\"}\n")
			}
		}
		text.WriteString(`{"key":"l","v":1}`)
		f.put("a", week+".ndjson", text.String())
	}
	b, closeAll, trace := f.wire(Options{Snapshots: 1, Builders: 1})
	defer closeAll()
	abort := func() {
		require.NotEmpty(t, f.leftovers(), "the first one is in a temporary file")
		b.Abort(errTestAbort)
	}
	b.Work.(*Files).Store = abortOnSecond{Store: b.Work.(*Files).Store, abort: abort, n: new(int)}
	require.ErrorIs(t, b.Run(t.Context()), errTestAbort)
	require.Empty(t, f.leftovers())
	require.NoFileExists(t, filepath.Join(f.out, "a.shard"))
	require.Contains(t, trace.String(), `"ingested"`, "it was under way")
	checkLedger(t, b.Stats())

	f.latency = 0
	r, _ := f.build(Options{})
	require.Equal(t, 1, r.ShardsBuilt)
	require.Empty(t, f.verify())
}

// abortOnSecond aborts the build when the second body is opened.
type abortOnSecond struct {
	store.Store
	abort func()
	n     *int
}

func (s abortOnSecond) Open(ctx context.Context, shard string, snap store.Snapshot, offset int64) (io.ReadCloser, error) {
	if *s.n++; *s.n == 2 {
		s.abort()
	}
	return s.Store.Open(ctx, shard, snap, offset)
}
