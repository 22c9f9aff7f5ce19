package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
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

// streaming says which designs can: all in which an owner can be called.
func streaming() (names []string) {
	for _, d := range Designs() {
		if d != "aggregator" {
			names = append(names, d)
		}
	}
	return names
}

// longStore has snapshots of some parts each, with keys that are in several parts.
func longStore() *storetest.Store {
	st := &storetest.Store{}
	for s := range 2 {
		for w := range 2 {
			var text strings.Builder
			for line := range 8 {
				fmt.Fprintf(&text, `{"key":"k%d","shard":%d,"week":%d,"line":%d,"text":%q}`+"\n", line%3, s, w, line, strings.Repeat("x", PartBytes/3))
			}
			st.Put(fmt.Sprintf("s%d", s), fmt.Sprintf("w%d.ndjson", w), text.String())
		}
	}
	return st
}

// noted is Files that counts the values which owners are given, compressed or not.
type noted struct {
	Files
	compressed, plain atomic.Int64
}

func (w *noted) Begin(ctx context.Context, task *Task) (Owner, error) {
	owner, err := w.Files.Begin(ctx, task)
	return notedOwner{owner, w}, err
}

type notedOwner struct {
	Owner
	w *noted
}

func (o notedOwner) note(r Result) {
	o.w.compressed.Add(int64(len(r.(*fetched).values)))
	o.w.plain.Add(int64(len(r.(*fetched).plain)))
}

func (o notedOwner) Take(i int, r Result) error {
	o.note(r)
	return o.Owner.Take(i, r)
}

func (o notedOwner) Ingest(i int, r Result) error {
	o.note(r)
	return o.Owner.Ingest(i, r)
}

// with is pass with the choice who compresses.
func with(t *testing.T, st *storetest.Store, by CompressBy, o Options) (p passed) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d, meter := &disk.Model{}, NewMeter(nil)
		work := &noted{Files: Files{Store: st, Out: d, Want: shardfile.Wanted{Schema: 1}, Meter: meter, Compress: by}}
		b, err := New(work, meter, o)
		require.NoError(t, err)
		require.NoError(t, b.Run(t.Context()))
		checkLedger(t, b.Stats())
		if by == ByOwner {
			require.Zero(t, work.compressed.Load(), "owners do it")
			require.Positive(t, work.plain.Load())
		} else {
			require.Zero(t, work.plain.Load(), "workers have done it")
			require.Positive(t, work.compressed.Load())
		}
		require.Zero(t, meter.transit, "all was ingested or discarded")
		p.Report = meter.Report("")
		p.files, _ = shardFiles(t, d)
	})
	return p
}

// What a piece weighs before it is read: all of it or a part, as far as the listing tells.
func TestWhatAPieceWeighs(t *testing.T) {
	for hold, want := range map[Hold][]int64{HoldBody: {1, 500, 1 << 40}, HoldStream: {1, 500, PartBytes}} {
		b := &shared{Options: Options{Hold: hold}}
		task := &Task{Sizes: []int64{1, 500, 1 << 40}}
		for i := range task.Sizes {
			require.Equal(t, want[i], b.weight(&piece{job: &job{task: task}, snapshot: i}), hold)
		}
		require.EqualValues(t, 1, b.weight(&piece{job: &job{task: &Task{}}}), "of unknown size")
	}
}

// A body that is held weighs what it turned out to be, from before its owner takes it.
func TestABodyWeighsWhatWasRead(t *testing.T) {
	for hold, want := range map[Hold][]string{HoldBody: {"weighs 1", "owner's"}, HoldStream: {"owner's"}} {
		synctest.Test(t, func(t *testing.T) {
			b, err := newShared(&invented{meter: NewMeter(nil), shards: many(1, 1)}, NewMeter(nil), Options{Hold: hold})
			require.NoError(t, err)
			task, err := b.Work.Plan(t.Context(), "s000")
			require.NoError(t, err)
			task.Sizes = []int64{5} // a guess, of one that is compressed
			var happened []string
			j := &job{task: task, call: func(ctx context.Context, fn func(context.Context) error) error {
				happened = append(happened, "owner's")
				return fn(ctx)
			}}
			weighs := func(n int64) error { happened = append(happened, fmt.Sprint("weighs ", n)); return nil }
			require.NoError(t, b.subTask(t.Context(), b.begin(t.Context(), j)[0], &connection{weighs: weighs}))
			require.Equal(t, want, happened, hold)
		})
	}
}

// A part that is one large value weighs what it is until the owner has taken it, and then a part again.
func TestALargePartWeighsWhatItIs(t *testing.T) {
	b := &shared{Options: Options{Hold: HoldStream}, Work: &invented{}, Meter: NewMeter(nil)}
	var weighed []int64
	conn := &connection{weighs: func(n int64) error { weighed = append(weighed, n); return nil }}
	j := &job{task: &Task{Sizes: []int64{1 << 30}, Snapshots: []string{"w"}}, owner: &inventedOwner{}}
	j.call = func(ctx context.Context, fn func(context.Context) error) error {
		weighed = append(weighed, -1) // the owner's turn
		return fn(ctx)
	}
	j.owner.(*inventedOwner).shard = &inventedShard{}
	hand := b.hand(t.Context(), &piece{job: j}, conn)
	require.NoError(t, hand(&fetched{raw: 5 * PartBytes}))
	require.Equal(t, []int64{5 * PartBytes, -1, PartBytes}, weighed)
	weighed = nil
	require.NoError(t, hand(&fetched{raw: PartBytes}))
	require.Equal(t, []int64{-1}, weighed, "what it weighs already")
}

// Whoever compresses, and whether bodies are held or streamed: the same bytes, by every design.
func TestTheSameFilesHeldOrStreamedWhoeverCompresses(t *testing.T) {
	want := with(t, longStore(), ByWorker, Options{})
	require.Equal(t, 2, want.ShardsBuilt)
	same := func(by CompressBy, o Options) {
		t.Helper()
		got := with(t, longStore(), by, o)
		require.Equal(t, want.files, got.files, "%+v", o)
		require.Equal(t, want.ValueBytesRaw, got.ValueBytesRaw)
		require.Equal(t, want.ValueBytesStored, got.ValueBytesStored)
		if o.Hold == HoldStream {
			require.LessOrEqual(t, got.PeakTransit, int64(4*PartBytes), "%+v: a part of each snapshot", o)
		}
	}
	designs := streaming()
	if testing.Short() {
		designs = []string{"manual", "pool", "children", "sync"}
	}
	for _, design := range designs {
		same(ByWorker, Options{Design: design, Hold: HoldStream})
		same(ByOwner, Options{Design: design, Hold: HoldStream})
	}
	same(ByOwner, Options{})
	same(ByOwner, Options{Design: "aggregator"})
	_, err := New(nil, nil, Options{Design: "aggregator", Hold: HoldStream})
	require.ErrorContains(t, err, "aggregator")
	_, err = New(nil, nil, Options{Hold: "some"})
	require.ErrorContains(t, err, `hold "some"`)
}

// A body that fails after some parts were taken is fetched anew, and no part is taken twice.
func TestAStreamThatFailsAfterSomeParts(t *testing.T) {
	want := with(t, longStore(), ByWorker, Options{})
	t.Run("once", func(t *testing.T) {
		st := longStore()
		st.Fault = onFile("s1", "w1.ndjson", func(r storetest.Request) storetest.Fault {
			if r.N <= 6 { // it is resumed five times, each time for less than a line
				return storetest.Fault{Cut: 2 * PartBytes, Broken: syscall.ECONNRESET, Err: map[bool]error{true: errors.New("500")}[r.N > 1]}
			}
			return storetest.Fault{}
		})
		got := with(t, st, ByWorker, Options{Hold: HoldStream, Retries: 2})
		require.Empty(t, got.Failures)
		require.Equal(t, want.files, got.files)
		require.Equal(t, want.ValueBytesRaw, got.ValueBytesRaw, "values that were dropped are not counted")
	})
	t.Run("always", func(t *testing.T) {
		st := longStore()
		st.Put("s1", "w1.ndjson", strings.Repeat(`{"key":"k","x":"`+strings.Repeat("y", PartBytes/3)+"\"}\n", 9)+"{oops\n")
		got := with(t, st, ByOwner, Options{Hold: HoldStream, Retries: 1})
		require.Len(t, got.Failures, 1)
		require.Contains(t, got.Failures[0].Error, "line 10")
		require.Equal(t, 1, got.ShardsBuilt)
	})
	t.Run("the disk is full", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d, meter := &disk.Model{}, NewMeter(nil)
			d.SetCapacity(1)
			st := &storetest.Store{}
			var text strings.Builder
			for range 40 {
				fmt.Fprintf(&text, `{"key":"k","x":"%s"}`+"\n", noise(PartBytes/4))
			}
			st.Put("s", "w.ndjson", text.String())
			b, err := New(&Files{Store: st, Out: d, Want: shardfile.Wanted{Schema: 1}, Meter: meter}, meter, Options{Hold: HoldStream})
			require.NoError(t, err)
			require.NoError(t, b.Run(t.Context()))
			require.Contains(t, meter.Report("").Failures[0].Error, "no space left")
			require.Equal(t, 1, st.Opened("s", "w.ndjson"), "asking the store again does not make room")
			require.Zero(t, meter.transit)
		})
	})
}

// noise returns n characters of which little repeats.
func noise(n int) string {
	var b strings.Builder
	for i := uint64(1); b.Len() < n; i++ {
		fmt.Fprintf(&b, "%x", i*0x9e3779b97f4a7c15)
	}
	return b.String()[:n]
}

// slowOwner takes a minute for each part.
type slowOwner struct{ Owner }

func (o slowOwner) Take(i int, r Result) error {
	time.Sleep(time.Minute)
	return o.Owner.Take(i, r)
}

type slowOwners struct{ Files }

func (w *slowOwners) Begin(ctx context.Context, task *Task) (Owner, error) {
	owner, err := w.Files.Begin(ctx, task)
	return slowOwner{owner}, err
}

// What the owner takes to take parts is not the store's time: no try fails for it.
func TestAnOwnerThatIsSlowIsNoTimeout(t *testing.T) {
	for _, design := range []string{"manual", "pool", "sync"} {
		synctest.Test(t, func(t *testing.T) {
			d, meter := &disk.Model{}, NewMeter(nil)
			st := longStore()
			b, err := New(&slowOwners{Files{Store: st, Out: d, Want: shardfile.Wanted{Schema: 1}, Meter: meter}}, meter,
				Options{Design: design, Hold: HoldStream, Timeout: time.Second, MinRate: 1 << 40})
			require.NoError(t, err)
			require.NoError(t, b.Run(t.Context()))
			r := meter.Report("")
			require.Empty(t, r.Failures)
			require.Equal(t, 1, st.Opened("s0", "w0.ndjson"), "no second try")
			if design == "sync" {
				require.InDelta(t, 1, r.OwnerBusyShare, 1e-9)
			}
		})
	}
	st := longStore()
	st.Fault = onFile("s0", "w0.ndjson", func(storetest.Request) storetest.Fault { return storetest.Fault{Stalls: true, Stall: 2 * PartBytes} })
	p := pass(t, st, Options{Hold: HoldStream, Timeout: time.Second, MinRate: 1 << 40, Retries: 1})
	require.Contains(t, p.errors["s0"], "no result after 1", "the store's own time still counts")
	require.Equal(t, 1, p.ShardsBuilt)
}

// hugeStore has one shard of snapshots of any size, made as they are read: the same sixteen keys over and over. All that is
// live is measured now and then.
type hugeStore struct {
	store.Store
	snapshots int
	size      int64
	line      string
	live      uint64
	together  *sync.WaitGroup // each body waits for the others before its end; nil: it does not
}

func (s *hugeStore) Shards(context.Context) ([]string, error) { return []string{"s"}, nil }

func (s *hugeStore) Snapshots(context.Context, string) (all []store.Snapshot, err error) {
	for i := range s.snapshots {
		all = append(all, store.Snapshot{Name: fmt.Sprintf("w%d", i), Size: s.size})
	}
	return all, nil
}

func (s *hugeStore) Open(_ context.Context, _ string, _ store.Snapshot, _ int64) (io.ReadCloser, error) {
	return &hugeBody{s: s, left: s.size}, nil
}

type hugeBody struct {
	s      *hugeStore
	left   int64
	n      int64
	waited bool
}

func (b *hugeBody) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, io.EOF
	}
	if b.s.snapshots == 1 && b.n%max(1, b.s.size/8) < int64(len(p)) { // alone, and now and then
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		b.s.live = max(b.s.live, m.HeapAlloc)
	}
	if b.s.together != nil && b.left <= PartBytes && !b.waited {
		b.waited = true
		b.s.together.Done()
		b.s.together.Wait()
	}
	at := int(b.n % int64(len(b.s.line)))
	n := copy(p[:min(int64(len(p)), b.left)], b.s.line[at:])
	b.n += int64(n)
	b.left -= int64(n)
	return n, nil
}

func (b *hugeBody) Close() error { return nil }

// oneMiB is sixteen lines, each as long as a part.
var oneMiB = sync.OnceValue(func() string {
	var lines strings.Builder
	for k := range 16 {
		head := fmt.Sprintf(`{"key":"k%02d","text":"`, k)
		lines.WriteString(head + strings.Repeat("x", PartBytes-len(head)-3) + "\"}\n")
	}
	return lines.String()
})

func newHuge(snapshots, mib int) *hugeStore {
	return &hugeStore{snapshots: snapshots, size: int64(mib) << 20, line: oneMiB()}
}

// What is in transit does not grow with the bodies when they are streamed, and neither does the heap; when they are held it
// does, and exceeds a budget unless that is kept.
func TestMemoryDoesNotGrowWithStreamedBodies(t *testing.T) {
	large := testkit.Rounds(32, 1024)
	build := func(s *hugeStore, o Options) Report {
		dir, err := shardfile.OpenDir(t.TempDir())
		require.NoError(t, err)
		defer dir.Close()
		meter := NewMeter(nil)
		b, err := New(&Files{Store: s, Out: dir, Want: shardfile.Wanted{Schema: 1}, Meter: meter}, meter, o)
		require.NoError(t, err)
		require.NoError(t, b.Run(t.Context()))
		r := meter.Report("")
		require.Equal(t, s.snapshots, r.SnapshotsFetched, "%v", r.Failures)
		return r
	}
	stream := Options{Hold: HoldStream}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // each processor keeps a compressor, which is larger than all the rest
	one := newHuge(1, 1)
	build(one, stream) // what is made once
	one.live = 0
	small := build(one, stream)
	huge := newHuge(1, large)
	big := build(huge, stream)
	t.Logf("streamed, bodies of %d MiB and of 1 MiB: %d and %d bytes in transit, %d and %d live, %d of the process", large, big.PeakTransit, small.PeakTransit, huge.live, one.live, big.PeakRSS)
	require.LessOrEqual(t, float64(big.PeakTransit), 1.2*float64(small.PeakTransit))
	besides := func(s *hugeStore, r Report) float64 { return float64(int64(s.live) - r.PeakShards) }
	require.LessOrEqual(t, besides(huge, big), 1.2*besides(one, small), "live, besides the index of the shard")

	bodies := 10
	if testing.Short() {
		bodies = 5 // half of the budget is one
	}
	budget := int64(bodies) << 20 * 2 / 5
	parts := build(newHuge(bodies, 1), Options{Hold: HoldStream, Budget: budget})
	require.LessOrEqual(t, parts.PeakTransit, int64(bodies*PartBytes), "a part of each")
	held := build(newHuge(bodies, 1), Options{Hold: HoldBody, Budget: budget})
	require.LessOrEqual(t, held.PeakTransit, budget/2)
	together := newHuge(bodies, 1)
	together.together = new(sync.WaitGroup)
	together.together.Add(bodies)
	naive := build(together, Options{Design: "naive"})
	t.Logf("%d of 1 MiB with a budget of %d: streamed %d, held %d bytes in transit; naive %d", bodies, budget, parts.PeakTransit, held.PeakTransit, naive.PeakTransit)
	require.Greater(t, naive.PeakTransit, budget)
	testkit.Report(t, "T51", large)
}
