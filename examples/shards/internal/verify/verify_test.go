package verify

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/generate"
	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/stretchr/testify/require"
)

// build brings all shard files up to date, one snapshot after the other, latest first.
func build(t *testing.T, st store.Store, out shardfile.FS) {
	t.Helper()
	ctx := t.Context()
	shards, err := st.Shards(ctx)
	require.NoError(t, err)
	for _, shard := range shards {
		listing, err := st.Snapshots(ctx, shard)
		require.NoError(t, err)
		var manifest *shardfile.Manifest
		old, err := shardfile.Open(out, shard)
		if err == nil {
			manifest = old.Manifest()
		} else {
			old = nil
		}
		plan, err := shardfile.Plan(ctx, listing, manifest, shardfile.Wanted{Schema: 1}, func(ctx context.Context, s store.Snapshot) (string, error) {
			return st.Checksum(ctx, shard, s)
		})
		require.NoError(t, err)
		if !plan.Stale {
			if old != nil {
				require.NoError(t, old.Close())
			}
			continue
		}
		b, err := shardfile.Begin(out, shard, 1, old, plan.Keep)
		require.NoError(t, err)
		for i := len(plan.Missing) - 1; i >= 0; i-- {
			ingest(t, st, b, shard, plan.Missing[i])
		}
		_, err = b.Persist(ctx)
		require.NoError(t, err)
	}
}

func ingest(t *testing.T, st store.Store, b *shardfile.Builder, shard string, snap store.Snapshot) {
	t.Helper()
	body, err := st.Open(t.Context(), shard, snap, 0)
	require.NoError(t, err)
	defer body.Close()
	dec := store.NewDecoder(body, shard, snap, store.Limits{})
	in, err := b.Begin(snap.Name)
	require.NoError(t, err)
	for {
		rec, err := dec.Next(t.Context())
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		require.NoError(t, in.Add(shardfile.Compress(rec.Key, rec.Value)))
	}
	require.NoError(t, in.Done(dec.Stats().Size, dec.Stats().Checksum))
}

func folder(t *testing.T, path string) *generate.Folder {
	t.Helper()
	f, err := generate.OpenFolder(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func setUp(t *testing.T) (root, outPath string, st *store.Dir, out *shardfile.Dir) {
	root, outPath = t.TempDir(), t.TempDir()
	_, err := generate.Generate(t.Context(), folder(t, root), 0, generate.Config{Seed: 2, Shards: 4}) // 44 small snapshots
	require.NoError(t, err)
	st, err = store.OpenDir(root)
	require.NoError(t, err)
	t.Cleanup(func() { st.Close() })
	out, err = shardfile.OpenDir(outPath)
	require.NoError(t, err)
	t.Cleanup(func() { out.Close() })
	return root, outPath, st, out
}

func contents(t *testing.T, path string) map[string]string {
	t.Helper()
	all := make(map[string]string)
	entries, err := os.ReadDir(path)
	require.NoError(t, err)
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(path, e.Name()))
		require.NoError(t, err)
		all[e.Name()] = string(content)
	}
	return all
}

func TestBuiltShardsVerifyAndStayIdentical(t *testing.T) {
	root, outPath, st, out := setUp(t)
	build(t, st, out)
	res, err := Verify(t.Context(), st, out)
	require.NoError(t, err)
	require.Empty(t, res.Differences)
	require.EqualValues(t, 4, res.Shards)
	require.Positive(t, res.Records)

	_, err = generate.Tick(t.Context(), folder(t, root), 0)
	require.NoError(t, err)
	res, err = Verify(t.Context(), st, out)
	require.NoError(t, err)
	require.NotEmpty(t, res.Differences, "a week is missing")

	build(t, st, out)
	res, err = Verify(t.Context(), st, out)
	require.NoError(t, err)
	require.Empty(t, res.Differences)

	scratchPath := t.TempDir()
	scratch, err := shardfile.OpenDir(scratchPath)
	require.NoError(t, err)
	defer scratch.Close()
	build(t, st, scratch)
	require.Equal(t, contents(t, scratchPath), contents(t, outPath), "incremental and from scratch")
}

func TestVerifyFindsDifferences(t *testing.T) {
	write := func(path, content string) {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o777))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o666))
	}
	line := func(key, value string) string { return `{"key":"` + key + `","v":"` + value + `"}` + "\n" }
	tests := []struct {
		name   string
		change func(root, out string)
		says   []string // each in some difference
		note   string
	}{
		{name: "nothing", change: func(_, _ string) {}},
		{name: "an object of the same length", change: func(root, _ string) { write(root+"/s/a.ndjson", line("k", "2")+line("l", "1")) }, says: []string{`the manifest has`, `key "k", snapshot "a"`}},
		{name: "a key more", change: func(root, _ string) { write(root+"/s/a.ndjson", line("k", "1")+line("l", "1")+line("m", "1")) }, says: []string{`key "m", snapshot "a": 1 records are not in the shard file`}},
		{name: "a key less", change: func(root, _ string) { write(root+"/s/a.ndjson", line("k", "1")) }, says: []string{`key "l", snapshot "a": is in the shard file but not`}},
		{name: "a snapshot more", change: func(root, _ string) { write(root+"/s/c.ndjson", "") }, says: []string{`snapshot "c" is not in the shard file`}},
		{name: "a snapshot less", change: func(root, _ string) { os.Remove(root + "/s/a.ndjson") }, note: `"a" is gone`},
		{name: "a shard more", change: func(root, _ string) { write(root+"/new/a.ndjson", "") }, says: []string{`shard "new": has no shard file`}},
		{name: "an empty folder", change: func(root, _ string) { os.Mkdir(root+"/new", 0o777) }},
		{name: "a shard less", change: func(root, _ string) { os.RemoveAll(root + "/s") }, note: `"s" is gone`},
		{name: "a bad snapshot", change: func(root, _ string) { write(root+"/s/b.ndjson", "{") }, says: []string{"no object with a key"}},
		{name: "a stray file", change: func(root, _ string) { write(root+"/s/x.txt", "{") }, says: []string{"cannot be listed"}},
		{name: "a damaged file", change: func(_, out string) { write(out+"/s.shard", "x") }, says: []string{`"s.shard"`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root, outPath := t.TempDir(), t.TempDir()
			write(root+"/s/a.ndjson", line("k", "1")+line("l", "1"))
			write(root+"/s/b.ndjson", line("k", "1")+"\n"+line("k", "0"))
			st, err := store.OpenDir(root)
			require.NoError(t, err)
			defer st.Close()
			out, err := shardfile.OpenDir(outPath)
			require.NoError(t, err)
			defer out.Close()
			build(t, st, out)
			test.change(root, outPath)
			res, err := Verify(t.Context(), st, out)
			require.NoError(t, err)
			if len(test.says) == 0 {
				require.Empty(t, res.Differences)
			}
			all := ""
			for _, d := range res.Differences {
				all += d + "\n"
			}
			for _, part := range test.says {
				require.Contains(t, all, part)
			}
			if test.note != "" {
				require.Len(t, res.Notes, 1)
				require.Contains(t, res.Notes[0], test.note)
			}
		})
	}
}

func TestVerifyIsCancelled(t *testing.T) {
	_, _, st, out := setUp(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Verify(ctx, st, out)
	require.ErrorIs(t, err, context.Canceled)
}
