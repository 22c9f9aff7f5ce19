package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/go-genstage/genstage/examples/shards/internal/storetest"
	"github.com/stretchr/testify/require"
)

// taggedStore has tags, as S3 has. It is used by one goroutine at a time.
type taggedStore struct {
	*storetest.Store
	version map[string]int // of each snapshot's tag, by name
	asked   int            // for checksums
	damaged bool           // bodies do not have the checksum that they say
}

func (s *taggedStore) Snapshots(ctx context.Context, shard string) ([]store.Snapshot, error) {
	snaps, err := s.Store.Snapshots(ctx, shard)
	for i := range snaps {
		snaps[i].Tag = fmt.Sprintf("%s-%d", snaps[i].Name, s.version[snaps[i].Name])
	}
	return snaps, err
}

func (s *taggedStore) Checksum(ctx context.Context, shard string, snap store.Snapshot) (string, error) {
	s.asked++
	return s.Store.Checksum(ctx, shard, snap)
}

func (s *taggedStore) Open(ctx context.Context, shard string, snap store.Snapshot, offset int64) (io.ReadCloser, error) {
	body, err := s.Store.Open(ctx, shard, snap, offset)
	if err != nil || !s.damaged {
		return body, err
	}
	return summed{body}, nil
}

type summed struct{ io.ReadCloser }

func (summed) Checksum() string { return "crc64nvme:0123456789abcdef" }

func TestTagsSaveChecksums(t *testing.T) {
	st := &taggedStore{Store: &storetest.Store{}, version: map[string]int{}}
	st.Put("s", "a.ndjson", `{"key":"k","v":1}`)
	st.Put("s", "b.ndjson", `{"key":"k","v":2}`)
	path := t.TempDir()
	out, err := shardfile.OpenDir(path)
	require.NoError(t, err)
	defer out.Close()
	build := func(fetched, asked int) {
		t.Helper()
		st.asked = 0
		meter := NewMeter(nil)
		b, err := New(&Files{Store: st, Out: out, Want: shardfile.Wanted{Schema: 1}, Meter: meter}, meter, Options{})
		require.NoError(t, err)
		require.NoError(t, b.Run(t.Context()))
		r := meter.Report("")
		require.Empty(t, r.Failures)
		require.Equal(t, fetched, r.SnapshotsFetched)
		require.Equal(t, asked, st.asked)
	}
	shard := func() string {
		content, err := os.ReadFile(filepath.Join(path, "s.shard"))
		require.NoError(t, err)
		return string(content)
	}
	build(2, 0)
	first := shard()
	build(0, 0) // what was read is known by its tag

	st.version["a"]++ // the same bytes, put there again
	build(0, 1)
	build(0, 0)
	require.Equal(t, first, shard(), "tags are no part of the file")

	for name, damage := range map[string]string{"gone": "", "torn": `{"a":{"tag":`, "of another form": "[]"} {
		tags := filepath.Join(path, "s.tags")
		require.NoError(t, os.Remove(tags))
		if damage != "" {
			require.NoError(t, os.WriteFile(tags, []byte(damage), 0o666))
		}
		build(0, 2)
		build(0, 0)
		require.Equal(t, first, shard(), name)
	}

	require.NoError(t, os.Remove(filepath.Join(path, "s.tags")))
	task, err := (&Files{Store: st, Out: out, Want: shardfile.Wanted{Schema: 1}, Meter: NewMeter(nil), ReadOnly: true}).Plan(t.Context(), "s")
	require.NoError(t, err)
	require.Nil(t, task)
	require.NoFileExists(t, filepath.Join(path, "s.tags"), "who only looks writes nothing")
	build(0, 2)

	st.Put("s", "a.ndjson", `{"key":"k","v":3}`) // the same size
	st.version["a"]++
	build(2, 1)
	require.NotEqual(t, first, shard())
	st.Put("s", "c.ndjson", `{"key":"k","v":4}`)
	build(1, 0)
	incremental := shard()
	require.NoError(t, os.Remove(filepath.Join(path, "s.shard")))
	build(3, 0)
	require.Equal(t, incremental, shard())
}

// Tags that cannot be written are no failure of the shard.
func TestTagsThatCannotBeWritten(t *testing.T) {
	st := &taggedStore{Store: &storetest.Store{}}
	st.Put("s", "a.ndjson", `{"key":"k"}`)
	path := t.TempDir()
	require.NoError(t, os.Mkdir(filepath.Join(path, "s.tags"), 0o777)) // a folder is in the way
	out, err := shardfile.OpenDir(path)
	require.NoError(t, err)
	defer out.Close()
	meter := NewMeter(nil)
	b, err := New(&Files{Store: st, Out: out, Want: shardfile.Wanted{Schema: 1}, Meter: meter}, meter, Options{})
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context()))
	require.Equal(t, 1, meter.Report("").ShardsBuilt)
	names, err := out.List()
	require.NoError(t, err)
	require.ElementsMatch(t, []string{"s.shard", "s.tags"}, names, "no temporary file is left")
}

// A body that is not what its store says it should be is not built into a shard.
func TestBodiesThatAreDamagedOnTheWay(t *testing.T) {
	st := &taggedStore{Store: &storetest.Store{}, damaged: true}
	st.Put("s", "a.ndjson", `{"key":"k"}`)
	out, err := shardfile.OpenDir(t.TempDir())
	require.NoError(t, err)
	defer out.Close()
	meter := NewMeter(nil)
	b, err := New(&Files{Store: st, Out: out, Want: shardfile.Wanted{Schema: 1}, Meter: meter}, meter, Options{Retries: 1})
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context()))
	r := meter.Report("")
	require.Len(t, r.Failures, 1)
	require.True(t, strings.Contains(r.Failures[0].Error, "damaged on the way"), r.Failures[0].Error)
	require.Equal(t, 2, st.Opened("s", "a.ndjson"), "it was tried again")
}
