package generate

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/stretchr/testify/require"
)

// sum returns a hash over the names and bytes of all files, and their number.
func sum(t *testing.T, root string) (string, int) {
	t.Helper()
	h := sha256.New()
	n := 0
	require.NoError(t, fs.WalkDir(os.DirFS(root), ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(filepath.Join(root, path))
		fmt.Fprintf(h, "%s %d\n%s", path, len(content), content)
		n++
		return err
	}))
	return fmt.Sprintf("%x", h.Sum(nil)), n
}

// counts returns the number of snapshots of each shard, read through the store.
func counts(t *testing.T, root string) map[string]int {
	t.Helper()
	d, err := store.OpenDir(root)
	require.NoError(t, err)
	defer d.Close()
	shards, err := d.Shards(t.Context())
	require.NoError(t, err)
	n := make(map[string]int)
	for _, shard := range shards {
		snaps, err := d.Snapshots(t.Context(), shard)
		require.NoError(t, err)
		n[shard] = len(snaps)
	}
	return n
}

// folder is the place at a path; it is made if it is not there.
func folder(t *testing.T, path string) *Folder {
	t.Helper()
	f, err := CreateFolder(path)
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f
}

func TestSameSeedSameBytes(t *testing.T) {
	config := Config{Seed: 7, Shards: 8}
	a, b, c := t.TempDir(), filepath.Join(t.TempDir(), "made", "anew"), t.TempDir()
	first, err := Generate(t.Context(), folder(t, a), 0, config)
	require.NoError(t, err)
	second, err := Generate(t.Context(), folder(t, b), 0, config)
	require.NoError(t, err)
	require.Equal(t, first, second)
	sumA, n := sum(t, a)
	sumB, _ := sum(t, b)
	require.Equal(t, sumA, sumB)
	require.Equal(t, first.Snapshots+1, n, "and the marker")

	other, err := Generate(t.Context(), folder(t, c), 0, Config{Seed: 8, Shards: 8})
	require.NoError(t, err)
	require.NotEqual(t, first.Bytes, other.Bytes)

	for range 2 {
		_, err = Tick(t.Context(), folder(t, a), 0)
		require.NoError(t, err)
		_, err = Tick(t.Context(), folder(t, b), 0)
		require.NoError(t, err)
	}
	sumA, _ = sum(t, a)
	sumB, _ = sum(t, b)
	require.Equal(t, sumA, sumB)
}

func TestShardsAreOfEveryAge(t *testing.T) {
	config, err := Config{}.orDefault()
	require.NoError(t, err)
	var one, old int
	for i := range config.Shards {
		age := config.plan(i).age
		require.LessOrEqual(t, age, MaxAge)
		require.Positive(t, age)
		if age == 1 {
			one++
		}
		if age > 100 {
			old++
		}
	}
	require.Greater(t, one, config.Shards/4)
	require.Greater(t, old, config.Shards/20)
}

func TestTickAddsAWeekAndRevives(t *testing.T) {
	root := t.TempDir()
	_, err := Generate(t.Context(), folder(t, root), 0, Config{Shards: 20})
	require.NoError(t, err)
	before := counts(t, root)
	stats, err := Tick(t.Context(), folder(t, root), 0)
	require.NoError(t, err)
	require.Equal(t, 15, stats.Shards)
	require.Equal(t, 1, stats.Revived)
	var week, revived int
	for shard, n := range counts(t, root) {
		switch n - before[shard] {
		case 0:
		case 1:
			week++
		case Revival:
			revived++
		default:
			t.Fatalf("%s got %d snapshots", shard, n-before[shard])
		}
	}
	require.Equal(t, 14, week)
	require.Equal(t, 1, revived)
}

func TestInterruptedTickIsFinishedByTheNext(t *testing.T) {
	whole, broken := t.TempDir(), t.TempDir()
	for _, root := range []string{whole, broken} {
		_, err := Generate(t.Context(), folder(t, root), 0, Config{Shards: 10})
		require.NoError(t, err)
	}
	_, err := Tick(t.Context(), folder(t, whole), 0)
	require.NoError(t, err)

	marked, err := os.ReadFile(filepath.Join(broken, marker))
	require.NoError(t, err)
	_, err = Tick(t.Context(), folder(t, broken), 0)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(broken, marker), marked, 0o666)) // it did not come to its end
	entries, err := filepath.Glob(filepath.Join(broken, "*", "2026-01-19.ndjson*"))
	require.NoError(t, err)
	require.NoError(t, os.Remove(entries[0]))
	_, err = Tick(t.Context(), folder(t, broken), 0)
	require.NoError(t, err)
	want, _ := sum(t, whole)
	got, _ := sum(t, broken)
	require.Equal(t, want, got)
}

func TestGenerateLeavesOtherFoldersAlone(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(root, "mine"), nil, 0o666))
	_, err := Generate(t.Context(), folder(t, root), 0, Config{Shards: 1})
	require.ErrorContains(t, err, "not empty")
	_, err = Tick(t.Context(), folder(t, root), 0)
	require.ErrorContains(t, err, "not generated")
	exists, err := Exists(t.Context(), folder(t, root))
	require.NoError(t, err)
	require.False(t, exists)
	_, err = OpenFolder(filepath.Join(root, "absent"))
	require.ErrorIs(t, err, fs.ErrNotExist)

	for _, config := range []Config{{Size: "tiny"}, {Shards: -1}, {Shards: 1 << 30}} {
		_, err = Generate(t.Context(), folder(t, t.TempDir()), 0, config)
		require.Error(t, err)
	}
}

func TestGenerateAgain(t *testing.T) {
	root := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := Generate(ctx, folder(t, root), 0, Config{Shards: 3})
	require.ErrorIs(t, err, context.Canceled)
	exists, err := Exists(t.Context(), folder(t, root))
	require.NoError(t, err)
	require.False(t, exists, "unfinished")
	_, err = Tick(t.Context(), folder(t, root), 0)
	require.ErrorContains(t, err, "not to the end")

	stats, err := Generate(t.Context(), folder(t, root), 0, Config{Shards: 3})
	require.NoError(t, err)
	require.False(t, stats.Existing)
	exists, err = Exists(t.Context(), folder(t, root))
	require.NoError(t, err)
	require.True(t, exists)
	stats, err = Generate(t.Context(), folder(t, root), 0, Config{Shards: 3})
	require.NoError(t, err)
	require.True(t, stats.Existing)
	_, err = Generate(t.Context(), folder(t, root), 0, Config{Shards: 4})
	require.ErrorContains(t, err, "3 shards")
}

func TestObjectsChangeSlowly(t *testing.T) {
	p := Config{Seed: 1, Shards: 1, Size: "small"}.plan(0)
	p.records, p.words = 200, 60
	now := strings.Split(string(p.lines(nil, 800)), "\n")
	next := strings.Split(string(p.lines(nil, 801)), "\n")
	text := func(line string) string { _, after, _ := strings.Cut(line, `"text":`); return after }
	texts := make(map[string]bool)
	for _, line := range now {
		texts[text(line)] = true
	}
	same := 0
	for _, line := range next {
		if texts[text(line)] {
			same++
		}
	}
	require.Greater(t, same, len(next)*3/4, "most texts stay for a week")
	require.Less(t, same, len(next), "not all")
}
