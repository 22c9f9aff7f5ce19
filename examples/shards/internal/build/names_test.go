package build

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/storetest"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

// A store, unlike a folder, can list any names. Those that are none fail alone and say so; nothing is written beside the folder
// of shard files, nor over anything in it.
func TestNamesFromAHostileStore(t *testing.T) {
	bad := []string{
		"../x", "..", ".", "/abs", "/etc/passwd", `C:\x`, `..\x`, "a/b", "nul\x00byte", "line\nfeed", "\xff\xfe", ".hidden", ".lock", "",
		strings.Repeat("x", 300), strings.Repeat("../", 20) + "tmp/x",
	}
	fine := []string{"same", "-rf", "a b", "$(x)", "%2e%2e", "x.shard", "x.shard.tmp", strings.Repeat("y", 200)}
	if runtime.GOOS == "linux" { // elsewhere these may be devices, or the same file
		fine = append(fine, "CON", "aux.txt", "SAME", "caf\u00e9", "cafe\u0301")
	}
	st := &storetest.Store{}
	for _, name := range append(append([]string{}, bad...), fine...) {
		st.Put(name, "w1.ndjson", goodLine)
	}
	for _, name := range bad {
		st.Put("snapshots", name+".ndjson", goodLine)
	}
	top := t.TempDir()
	out := filepath.Join(top, "in", "shards")
	dir, err := shardfile.CreateDir(out)
	require.NoError(t, err)
	defer dir.Close()
	lock, err := shardfile.AcquireLock(out)
	require.NoError(t, err)
	defer lock.Release()
	require.NoError(t, os.Symlink(top, filepath.Join(out, "linked.shard")))
	st.Put("linked", "w1.ndjson", goodLine)

	meter := NewMeter(nil)
	b, err := New(&Files{Store: st, Out: dir, Want: shardfile.Wanted{Schema: 1}, Meter: meter}, meter, Options{})
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context()))
	r := meter.Report("")
	said := map[string]string{}
	for _, f := range r.Failures {
		said[f.Shard] = f.Error
	}
	require.Len(t, said, len(bad)+2)
	for _, name := range bad {
		require.NotEmpty(t, said[name], "%q", name)
		require.NotContains(t, said[name], "\n", "a hostile name cannot forge lines")
	}
	require.Contains(t, said["snapshots"], "unusable name")
	require.Contains(t, said["linked"], "not a regular file")
	require.Equal(t, len(fine), r.ShardsBuilt)

	var files []string
	require.NoError(t, filepath.WalkDir(top, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			files = append(files, path)
		}
		return err
	}))
	require.Len(t, files, len(fine)+1, "the shards and the lock")
	for _, name := range files {
		require.Equal(t, out, filepath.Dir(name))
	}
	testkit.Report(t, "T59", len(bad)+len(fine)+1)
}
