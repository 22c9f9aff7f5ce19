package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
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

// service is a build that watches, in fake time.
type service struct {
	*Build
	t     *testing.T
	store *storetest.Store
	disk  *disk.Model
}

// watching runs a build that watches while the function runs, and then drains it.
func watching(t *testing.T, st *storetest.Store, o Options, while func(s *service)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &service{t: t, store: st, disk: &disk.Model{}}
		meter := NewMeter(nil)
		o.Watch = true
		b, err := New(&Files{Store: st, Out: s.disk, Want: shardfile.Wanted{Schema: 1}, Meter: meter, Seed: o.Seed}, meter, o)
		require.NoError(t, err)
		s.Build = b
		done := make(chan error, 1)
		go func() { done <- b.Run(t.Context()) }()
		while(s)
		require.NoError(t, b.Stop(t.Context()))
		require.NoError(t, <-done)
		checkLedger(t, b.Stats())
		open, _ := st.Bodies()
		require.Zero(t, open)
	})
}

// sleep lets time pass and everything come to rest.
func (s *service) sleep(d time.Duration) {
	s.t.Helper()
	time.Sleep(d)
	synctest.Wait()
}

// trouble returns that of a shard; nil if it has none.
func (s *service) trouble(shard string) *Trouble {
	for _, tr := range s.Troubles() {
		if tr.Shard == shard {
			return &tr
		}
	}
	return nil
}

func (s *service) built(shard string) bool {
	s.t.Helper()
	names, err := s.disk.List()
	require.NoError(s.t, err)
	return slices.Contains(names, shardfile.FileName(shard))
}

const (
	goodLine = `{"key":"k","v":1}` + "\n"
	badLine  = `{"k":"no key"}` + "\n"
)

func TestAFailedShardIsTriedAgainAfterLongerAndLongerPauses(t *testing.T) {
	st := &storetest.Store{}
	st.Put("bad", "w1.ndjson", badLine)
	st.Put("good", "w1.ndjson", goodLine)
	watching(t, st, Options{Poll: time.Second}, func(s *service) {
		begun, tries := time.Now(), []time.Duration{}
		for range 8 * 60 * 60 {
			if s.sleep(time.Second); st.Opened("bad", "w1.ndjson") > len(tries) {
				tries = append(tries, time.Since(begun))
			}
		}
		require.True(t, s.built("good"))
		require.Equal(t, 1, st.Opened("good", "w1.ndjson"))
		want := []time.Duration{0, 1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60, 60}
		require.Len(t, tries, len(want))
		for i := 1; i < len(want); i++ {
			require.InDelta(t, (want[i] * time.Minute).Seconds(), (tries[i] - tries[i-1]).Seconds(), 21, "pause %d, and the pause between two polls", i)
		}
		tr := s.trouble("bad")
		require.Equal(t, Failed, tr.State)
		require.Equal(t, len(want), tr.Attempts)
		require.Equal(t, "w1", tr.Snapshot)
		require.Contains(t, tr.Cause, `file "w1.ndjson", line 1`)
		require.Equal(t, time.Hour, tr.Next.Sub(tr.Last))

		st.Put("bad", "w1.ndjson", goodLine+goodLine) // the same name
		s.sleep(21 * time.Second)
		require.True(t, s.built("bad"), "another listing is another chance at once")
		require.Nil(t, s.trouble("bad"))
	})
}

func TestTroublesGoWhenTheirCauseDoes(t *testing.T) {
	st := &storetest.Store{}
	st.Put("a", "w1.ndjson", badLine)
	st.Put("b", "w1.ndjson", goodLine)
	watching(t, st, Options{}, func(s *service) {
		s.sleep(time.Second)
		require.NotNil(t, s.trouble("a"))
		require.True(t, s.built("b"))
		st.Put("b", "w2.ndjson", badLine)
		s.sleep(21 * time.Second)
		require.NotNil(t, s.trouble("b"))
		st.Remove("b", "w2.ndjson")
		s.sleep(21 * time.Second)
		require.Nil(t, s.trouble("b"), "nothing is missing any more")
		st.Remove("a", "w1.ndjson")
		s.sleep(21 * time.Second)
		require.Nil(t, s.trouble("a"), "it is gone")
	})
}

// A poll compares no content again that was compared a short time ago, also of a shard that stays stale.
func TestAFailedShardCostsNoReadsAtEachPoll(t *testing.T) {
	st := stored(1, 3)
	watching(t, st, Options{}, func(s *service) {
		s.Work.(*Files).Recheck = 10 * time.Minute
		s.sleep(time.Second / 2)
		st.Put("s0000", "w99.ndjson", badLine)
		s.sleep(9 * time.Minute)
		require.Greater(t, st.Lists(), 20)
		require.Equal(t, Failed, s.trouble("s0000").State)
		require.LessOrEqual(t, st.Sums(), 2*3, "after it was built, and when it became stale")
	})
}

func TestATruncatedNewestSnapshotIsNotReadyForTwoPolls(t *testing.T) {
	half := strings.TrimSuffix(goodLine, "}\n")
	newest := func(content string) *storetest.Store {
		st := &storetest.Store{}
		st.Put("a", "w1.ndjson", goodLine)
		st.Put("a", "w2.ndjson", content)
		return st
	}
	t.Run("and then fails", func(t *testing.T) {
		st := newest(half)
		watching(t, st, Options{Poll: 10 * time.Second}, func(s *service) {
			for n := 1; n <= 2; n++ {
				s.sleep(5 * time.Second)
				require.Equal(t, NotReady, s.trouble("a").State)
				require.Equal(t, n, s.trouble("a").Attempts)
				require.Zero(t, s.Meter.Report("").ShardsFailed)
				s.sleep(5 * time.Second)
			}
			require.Equal(t, Failed, s.trouble("a").State)
			require.Equal(t, 1, s.Meter.Report("").ShardsFailed)
			require.Equal(t, time.Minute, s.trouble("a").Next.Sub(s.trouble("a").Last))
		})
	})
	t.Run("and is whole at the third look", func(t *testing.T) {
		st := newest(half)
		watching(t, st, Options{Poll: 10 * time.Second}, func(s *service) {
			s.sleep(12 * time.Second)
			require.Equal(t, 2, s.trouble("a").Attempts)
			st.Put("a", "w2.ndjson", goodLine)
			s.sleep(10 * time.Second)
			require.True(t, s.built("a"))
			require.Empty(t, s.Troubles())
			require.Zero(t, s.Meter.Report("").ShardsFailed)
		})
	})
	t.Run("and grows from poll to poll", func(t *testing.T) {
		st := newest(half)
		watching(t, st, Options{Poll: time.Second}, func(s *service) {
			for n := range 20 {
				s.sleep(time.Second / 2)
				require.Equal(t, NotReady, s.trouble("a").State)
				st.Put("a", "w2.ndjson", strings.Repeat(goodLine, n+1)+half)
				s.sleep(time.Second / 2)
			}
			st.Put("a", "w2.ndjson", goodLine)
			s.sleep(time.Second)
			require.True(t, s.built("a"))
		})
	})
	t.Run("an older one is not waited for", func(t *testing.T) {
		st := newest(goodLine)
		st.Put("a", "w1.ndjson", half)
		watching(t, st, Options{}, func(s *service) {
			s.sleep(time.Second / 2)
			require.Equal(t, Failed, s.trouble("a").State)
		})
	})
	t.Run("without watching it fails", func(t *testing.T) {
		st := newest(half)
		meter := NewMeter(nil)
		b, err := New(&Files{Store: st, Out: &disk.Model{}, Want: shardfile.Wanted{Schema: 1}, Meter: meter}, meter, Options{})
		require.NoError(t, err)
		require.NoError(t, b.Run(t.Context()))
		require.Equal(t, Failed, b.Troubles()[0].State)
		require.Zero(t, b.Troubles()[0].Next, "nobody tries again")
	})
}

func TestAFullDiskIsWaitedFor(t *testing.T) {
	st := stored(5, 2)
	watching(t, st, Options{}, func(s *service) {
		s.disk.SetCapacity(1)
		s.sleep(time.Second / 2)
		s.sleep(time.Second)
		require.Len(t, s.Troubles(), 5)
		for _, tr := range s.Troubles() {
			require.Contains(t, tr.Cause, "no space left")
		}
		files, others := shardFiles(t, s.disk)
		require.Empty(t, files)
		require.Empty(t, others, "no temporary file")
		s.disk.SetCapacity(0)
		s.sleep(90 * time.Second)
		require.Empty(t, s.Troubles())
		files, others = shardFiles(t, s.disk)
		require.Len(t, files, 5)
		require.Empty(t, others)
	})
	testkit.Report(t, "T56", 5)
}

// Nothing is looked at while all builders have something to do.
func TestNoPollWithoutDemand(t *testing.T) {
	st := stored(3, 1)
	st.Fault = func(storetest.Request) storetest.Fault { return storetest.Fault{Delay: time.Hour} }
	watching(t, st, Options{Builders: 2, Poll: time.Second}, func(s *service) {
		s.sleep(time.Minute)
		require.Equal(t, 1, st.Lists())
		s.sleep(58 * time.Minute)
		require.Equal(t, 1, st.Lists())
		s.sleep(2 * time.Minute)
		require.Greater(t, st.Lists(), 1, "two are built, and one asks for more than the third")
	})
}

// What becomes stale while it is built is built again afterwards, once, and is never in two hands.
func TestStaleAgainWhileBeingBuilt(t *testing.T) {
	st := &storetest.Store{}
	st.Put("a", "w1.ndjson", goodLine)
	st.Fault = func(r storetest.Request) storetest.Fault {
		if r.File == "w1.ndjson" {
			return storetest.Fault{Delay: 10 * time.Minute}
		}
		return storetest.Fault{}
	}
	watching(t, st, Options{}, func(s *service) {
		s.sleep(time.Minute)
		st.Put("a", "w2.ndjson", goodLine)
		s.sleep(8 * time.Minute)
		require.Greater(t, st.Lists(), 10, "other builders ask")
		require.Zero(t, st.Opened("a", "w2.ndjson"), "it is in the hands of one")
		require.Equal(t, 1, s.Meter.Report("").MaxShards)
		s.sleep(2 * time.Minute)
		require.Equal(t, 2, s.Meter.Report("").ShardsBuilt)
		s.sleep(time.Hour)
		require.Equal(t, 2, s.Meter.Report("").ShardsBuilt)
		require.Equal(t, 1, st.Opened("a", "w1.ndjson"))
		require.Equal(t, 1, st.Opened("a", "w2.ndjson"))
	})
}

func TestOrderAndOnly(t *testing.T) {
	st := &storetest.Store{}
	for shard, weeks := range map[string][]int{"a": {3, 4, 5}, "b": {2, 3, 4, 5}, "c": {5}, "d1": {2}, "d2": {1, 2}} {
		for _, w := range weeks {
			st.Put(shard, fmt.Sprintf("w%d.ndjson", w), goodLine)
		}
	}
	for _, test := range []struct {
		options SourceOptions
		want    string
	}{
		{SourceOptions{}, "a b c d1 d2"},
		{SourceOptions{Order: OrderOldest}, "d2 b d1 a c"},
		{SourceOptions{Order: OrderSmallFirst}, "c d1 d2 a b"},
		{SourceOptions{Only: "d?"}, "d1 d2"},
		{SourceOptions{Only: "[ab]", Order: OrderOldest}, "b a"},
		{SourceOptions{Only: "none"}, ""},
	} {
		meter := NewMeter(nil)
		files := &recorded{Files: Files{Store: st, Out: &disk.Model{}, Want: shardfile.Wanted{Schema: 1}, Meter: meter}}
		tasks, of, err := Stale(t.Context(), files, test.options)
		require.NoError(t, err)
		var dry []string
		for _, task := range tasks {
			dry = append(dry, task.Shard)
			require.Equal(t, "no shard file", task.Reason)
		}
		b, err := New(files, meter, Options{Builders: 1, Source: test.options})
		require.NoError(t, err)
		require.NoError(t, b.Run(t.Context()))
		require.Equal(t, of, meter.Report("").ShardsListed)
		require.Equal(t, test.want, strings.Join(files.persisted, " "), "%+v", test.options)
		require.Equal(t, test.want, strings.Join(dry, " "), "a dry run says the same")
	}
	for _, bad := range []SourceOptions{{Order: "random"}, {Only: "["}, {ReserveSmall: 10}, {ReserveSmall: -1}, {Small: -1}} {
		_, err := New(nil, nil, Options{Source: bad})
		require.Error(t, err, "%+v", bad)
	}
	_, err := New(nil, nil, Options{Automatic: true, Source: SourceOptions{ReserveSmall: 1}})
	require.Error(t, err)
}

// Ten large shards keep a small one waiting, unless a builder is reserved.
func TestABuilderReservedForSmallShards(t *testing.T) {
	waits := func(o SourceOptions, smallComes string) (wait float64, mostShards int) {
		small := &inventedShard{name: smallComes, snapshots: 1}
		simulate(t, Options{Source: o}, append(many(12, 240), small), func(r Report, w *invented) {
			wait, mostShards = in(small.ended), r.MaxShards
			require.Equal(t, 13, r.ShardsBuilt)
		})
		return wait, mostShards
	}
	late, n := waits(SourceOptions{}, "z")
	require.Greater(t, late, 100.0, "it waits until one of ten large ones is done")
	require.Equal(t, 10, n)
	early, n := waits(SourceOptions{ReserveSmall: 1}, "z")
	require.LessOrEqual(t, early, 3.0)
	require.Equal(t, 10, n, "nine large ones and the small one")
	early, _ = waits(SourceOptions{ReserveSmall: 1}, "a")
	require.LessOrEqual(t, early, 3.0)

	t.Run("all are small", func(t *testing.T) {
		simulate(t, Options{Source: SourceOptions{ReserveSmall: 1}}, many(300, 1), func(r Report, _ *invented) {
			require.InDelta(t, 30, units(r.Makespan), 1e-6, "the reserved one is one of the ten")
		})
	})
	t.Run("none is small", func(t *testing.T) {
		simulate(t, Options{Source: SourceOptions{ReserveSmall: 3}}, many(40, 24), func(r Report, _ *invented) {
			require.Equal(t, 7, r.MaxShards)
			require.Equal(t, 40, r.ShardsBuilt)
			require.InDelta(t, 48, units(r.Makespan), 3, "the slots are full all the same")
		})
		o := Options{Snapshots: 50, Source: SourceOptions{ReserveSmall: 3}}
		simulate(t, o, many(40, 5), func(r Report, _ *invented) {
			require.InDelta(t, 6, units(r.Makespan), 1e-6, "seven at a time, at once one after the other")
		})
	})
	t.Run("one comes while watching", func(t *testing.T) {
		st := stored(12, 6)
		var quick atomic.Bool
		st.Fault = func(storetest.Request) storetest.Fault {
			if quick.Load() {
				return storetest.Fault{}
			}
			return storetest.Fault{Delay: time.Hour}
		}
		o := Options{Snapshots: 1, Source: SourceOptions{ReserveSmall: 1}}
		watching(t, st, o, func(s *service) {
			s.sleep(time.Minute)
			require.Equal(t, 9, s.Meter.Progress().InProgress)
			st.Put("tiny", "w1.ndjson", goodLine)
			s.sleep(time.Minute)
			require.Equal(t, 10, s.Meter.Progress().InProgress)
			quick.Store(true)
		})
	})
}

func TestLogLinesCarryShardSnapshotAndAttempt(t *testing.T) {
	var log bytes.Buffer
	st := stored(1, 1)
	st.Put("bad", "w1.ndjson", badLine)
	st.Put("young", "w1.ndjson.gz", "")
	watching(t, st, Options{Retries: 1, Log: slog.New(slog.NewTextHandler(&log, nil))}, func(s *service) {
		s.sleep(2 * time.Minute)
	})
	for _, want := range []string{
		`level=INFO msg=building shard=s0000 attempt=1 missing=1 reason="no shard file"`,
		`level=INFO msg=built shard=s0000 attempt=1 snapshots=1 carried_over=0`,
		`level=WARN msg="trying again" shard=bad snapshot=w1 attempt=1 pause=`,
		`level=ERROR msg=failed shard=bad attempt=1 snapshot=w1 next_try=`,
		`level=ERROR msg=failed shard=bad attempt=2 snapshot=w1 next_try=`,
		`level=INFO msg="not ready" shard=young attempt=2 snapshot=w1 error=`,
		`level=ERROR msg=failed shard=young attempt=3 snapshot=w1 next_try=`,
	} {
		require.Contains(t, log.String(), want)
	}
}

// A root that cannot be listed is listed again; a shard that cannot be fails alone.
func TestListingsThatFail(t *testing.T) {
	st := stored(2, 1)
	lists := &badLists{Store: st, root: 3, shard: "s0001"}
	synctest.Test(t, func(t *testing.T) {
		meter := NewMeter(nil)
		b, err := New(&Files{Store: lists, Out: &disk.Model{}, Want: shardfile.Wanted{Schema: 1}, Meter: meter}, meter, Options{Watch: true})
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- b.Run(t.Context()) }()
		time.Sleep(time.Minute)
		require.Equal(t, 1, meter.Report("").ShardsBuilt)
		require.Equal(t, "s0001", b.Troubles()[0].Shard)
		require.ErrorContains(t, errors.New(b.Troubles()[0].Cause), "denied")
		require.NoError(t, b.Stop(t.Context()))
		require.NoError(t, <-done)
	})
}

// badLists fails the first listings of the root, and all of one shard.
type badLists struct {
	*storetest.Store
	root  int // owned by the source's goroutine
	shard string
}

func (s *badLists) Shards(ctx context.Context) ([]string, error) {
	if s.root--; s.root >= 0 {
		return nil, errors.New("503")
	}
	return s.Store.Shards(ctx)
}

func (s *badLists) Snapshots(ctx context.Context, shard string) ([]store.Snapshot, error) {
	if shard == s.shard {
		return nil, &store.Error{Shard: shard, Err: fmt.Errorf("denied: %w", fs.ErrPermission)}
	}
	return s.Store.Snapshots(ctx, shard)
}
