package shardfile

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/disk"
	"github.com/stretchr/testify/require"
)

// given is a snapshot to build from.
type given struct {
	name   string
	values []Value
}

func object(key string, n int) Value {
	return Compress(key, fmt.Appendf(nil, `{"key":%q,"n":%d,"text":"the same words, the same words"}`, key, n))
}

// noise returns n bytes that do not compress.
func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// shard returns snapshots with keys in disorder, keys that come and go, keys twice, and one snapshot without records.
func shard(r *rand.Rand, snapshots, keys int) []given {
	var all []given
	for s := range snapshots {
		g := given{name: fmt.Sprintf("w%03d", s)}
		for range r.IntN(keys + 1) {
			g.values = append(g.values, object(fmt.Sprintf("k%04d", r.IntN(keys)), r.IntN(1000)))
		}
		all = append(all, g)
	}
	return append(all, given{name: "empty"})
}

func (g given) ingest(t testing.TB, b *Builder) {
	require.NoError(t, b.Ingest(g.name, int64(len(g.name)), "sum of "+g.name, g.values))
}

func build(t testing.TB, fsys FS, from *Reader, keep []string, all []given) []byte {
	t.Helper()
	b, err := Begin(fsys, "s", 1, from, keep)
	require.NoError(t, err)
	for _, g := range all {
		g.ingest(t, b)
	}
	p, err := b.Persist(context.Background())
	require.NoError(t, err)
	content := content(t, fsys, FileName("s"))
	require.EqualValues(t, len(content), p.Size)
	require.Equal(t, []string{FileName("s")}, list(t, fsys), "no temporary file stays")
	return content
}

func content(t testing.TB, fsys FS, name string) []byte {
	t.Helper()
	f, err := fsys.Open(name)
	require.NoError(t, err)
	defer f.Close()
	size, err := f.Size()
	require.NoError(t, err)
	b := make([]byte, size)
	if size > 0 {
		_, err = f.ReadAt(b, 0)
		require.NoError(t, err)
	}
	return b
}

func list(t testing.TB, fsys FS) []string {
	t.Helper()
	names, err := fsys.List()
	require.NoError(t, err)
	slices.Sort(names)
	return names
}

func names(all []given) []string {
	var n []string
	for _, g := range all {
		n = append(n, g.name)
	}
	slices.Sort(n)
	return n
}

func dir(t testing.TB) *Dir {
	d, err := CreateDir(t.TempDir() + "/out/put")
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

func TestFileIsTheSameWhateverTheOrderAndTheStart(t *testing.T) {
	seeds := uint64(8)
	if testing.Short() {
		seeds = 2
	}
	for seed := range seeds {
		r := rand.New(rand.NewPCG(seed, 0))
		all := shard(r, 1+r.IntN(12), 1+r.IntN(100))
		if seed == 0 {
			all = shard(r, 12, 250) // several sections, and a spill in a file
			for _, g := range all {
				for i := range g.values {
					g.values[i] = Compress(g.values[i].Key, noise(r, 300))
				}
			}
		}
		want := build(t, new(disk.Model), nil, nil, all)
		if seed == 0 {
			require.Greater(t, len(want), spillBuffer*3/2)
		}
		for range 3 {
			r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
			require.True(t, bytes.Equal(want, build(t, dir(t), nil, nil, all)), "order of arrival")

			first, second := all[:r.IntN(len(all)+1)], []given(nil)
			second = all[len(first):]
			fsys := new(disk.Model)
			build(t, fsys, nil, nil, first)
			from, err := Open(fsys, "s")
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, build(t, fsys, from, names(first), second)), "incremental")
		}
	}
}

func TestInterleavedIntakesAndDroppedOnes(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	all := shard(r, 8, 100)
	want := build(t, new(disk.Model), nil, nil, all)

	fsys := new(disk.Model)
	b, err := Begin(fsys, "s", 1, nil, nil)
	require.NoError(t, err)
	before := b.IndexBytes()
	lost, err := b.Begin(all[0].name) // a first attempt that fails half way
	require.NoError(t, err)
	require.NoError(t, lost.Add(all[0].values[:len(all[0].values)/2]...))
	require.NoError(t, lost.Add(object("only here", 1)))
	require.Greater(t, b.IndexBytes(), before)
	_, err = b.Begin(all[0].name)
	require.ErrorIs(t, err, ErrDuplicate)
	lost.Drop()
	lost.Drop()
	require.ErrorIs(t, lost.Add(object("x", 1)), ErrClosed)

	var intakes []*Intake
	for _, g := range all {
		in, err := b.Begin(g.name)
		require.NoError(t, err)
		intakes = append(intakes, in)
	}
	for i := 0; ; i += 7 {
		more := false
		for j, g := range all {
			if i < len(g.values) {
				more = true
				require.NoError(t, intakes[j].Add(g.values[i:min(i+7, len(g.values))]...))
			}
		}
		if !more {
			break
		}
	}
	for j, g := range all {
		require.NoError(t, intakes[j].Done(int64(len(g.name)), "sum of "+g.name))
		require.ErrorIs(t, intakes[j].Done(0, ""), ErrClosed)
	}
	_, err = b.Persist(t.Context())
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, content(t, fsys, FileName("s"))))
	_, err = b.Persist(t.Context())
	require.ErrorIs(t, err, ErrClosed)
	_, err = b.Begin("x")
	require.ErrorIs(t, err, ErrClosed)
	require.NoError(t, b.Abandon())
}

func TestKeepCarriesOverOnlyWhatIsNamed(t *testing.T) {
	all := shard(rand.New(rand.NewPCG(3, 3)), 6, 50)
	want := build(t, new(disk.Model), nil, nil, all[2:])
	fsys := new(disk.Model)
	build(t, fsys, nil, nil, all)
	from, err := Open(fsys, "s")
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, build(t, fsys, from, names(all[2:]), nil)))
}

func TestBuilderRefuses(t *testing.T) {
	fsys := new(disk.Model)
	for _, name := range []string{"", "../x", "/etc/x", "a\x00", ".lock"} {
		_, err := Begin(fsys, name, 1, nil, nil)
		require.Error(t, err, name)
	}
	_, err := Begin(fsys, "s", 1, nil, []string{"w"})
	require.ErrorContains(t, err, "no old file")
	build(t, fsys, nil, nil, []given{{name: "w"}})
	from, err := Open(fsys, "s")
	require.NoError(t, err)
	_, err = Begin(fsys, "s", 1, from, []string{"v"})
	require.ErrorContains(t, err, "not in the old file")

	b, err := Begin(fsys, "s", 1, from, []string{"w"})
	require.NoError(t, err)
	require.ErrorIs(t, b.Ingest("w", 0, "", nil), ErrDuplicate)
	_, err = b.Begin("../w")
	require.Error(t, err)
	require.ErrorContains(t, b.Ingest("x", 0, "", []Value{{Key: "not compressed"}}), "not a compressed value")
	_, err = b.Begin("x")
	require.NoError(t, err)
	_, err = b.Persist(t.Context())
	require.ErrorContains(t, err, "not done")
	require.Equal(t, []string{FileName("s")}, list(t, fsys))
}

func TestCancelledPersistLeavesTheOldFile(t *testing.T) {
	fsys := dir(t)
	old := build(t, fsys, nil, nil, shard(rand.New(rand.NewPCG(1, 1)), 3, 30))
	b, err := Begin(fsys, "s", 2, nil, nil)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = b.Persist(ctx)
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, old, content(t, fsys, FileName("s")))
	require.Equal(t, []string{FileName("s")}, list(t, fsys))
}

func TestLeftoversAreRemovedByTheNextBuild(t *testing.T) {
	fsys := new(disk.Model)
	for _, name := range []string{"s.shard.tmp", "s.shard.spill", "other.shard.tmp", "tmp.shard", "note.tmp"} {
		_, err := fsys.Create(name)
		require.NoError(t, err)
	}
	_, err := Begin(fsys, "s", 1, nil, nil)
	require.NoError(t, err)
	require.Equal(t, []string{"note.tmp", "other.shard.tmp", "tmp.shard"}, list(t, fsys))
	require.NoError(t, CleanTemps(fsys))
	require.Equal(t, []string{"note.tmp", "tmp.shard"}, list(t, fsys))
	shards, err := Shards(fsys)
	require.NoError(t, err)
	require.Equal(t, []string{"tmp"}, shards)
}
