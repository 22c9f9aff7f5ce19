package shardfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/disk"
	"github.com/stretchr/testify/require"
)

func opened(t testing.TB, fsys FS) *Reader {
	t.Helper()
	r, err := Open(fsys, "s")
	require.NoError(t, err)
	t.Cleanup(func() { r.Close() })
	return r
}

func versions(t testing.TB, r *Reader, key, at string) (got []string) {
	t.Helper()
	for v, err := range r.Get(key, at) {
		require.NoError(t, err)
		got = append(got, v.Snapshot+":"+string(v.Value))
	}
	return got
}

func TestGetYieldsVersionsInOrder(t *testing.T) {
	fsys := new(disk.Model)
	r := rand.New(rand.NewPCG(2, 2))
	all := shard(r, 10, 600)
	all = append(all, given{name: "w0005"}) // a name that is a prefix's neighbour
	for i := range 2000 {                   // a key whose versions fill more than a section
		all[3].values = append(all[3].values, object("k0200", i))
	}
	want := make(map[string][]string)
	for _, g := range all { // shard gives them in order of name, but "empty"
		for _, v := range g.values {
			value, err := Expand(v.Data, int64(v.Raw))
			require.NoError(t, err)
			want[v.Key] = append(want[v.Key], g.name+":"+string(value))
		}
	}
	build(t, fsys, nil, nil, all)
	file := opened(t, fsys)
	require.Greater(t, len(file.sections), 2, "the test has several sections")
	for key, versionsOf := range want {
		require.Equal(t, versionsOf, versions(t, file, key, ""))
		at := all[3].name
		require.Equal(t, slices.DeleteFunc(slices.Clone(versionsOf), func(s string) bool { return !strings.HasPrefix(s, at+":") }),
			append([]string{}, versions(t, file, key, at)...))
	}
	for _, key := range []string{"", "a", "k0200x", "zzz", "k"} {
		require.Empty(t, versions(t, file, key, ""), key)
	}
	require.Empty(t, versions(t, file, "k0200", "no such snapshot"))
	for range file.Get("k0200", "") {
		break // a reader may stop
	}
	n := 0
	last := ""
	for rec, err := range file.All() {
		require.NoError(t, err)
		require.LessOrEqual(t, last, rec.Key)
		last = rec.Key
		n++
	}
	require.EqualValues(t, file.Manifest().Records(), n)
}

func TestValuesSurviveCompression(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 9))
	for n := range 100 {
		object := make([]byte, n*n)
		for i := range object {
			object[i] = byte(r.IntN(1 + n%7*40))
		}
		v := Compress("k", object)
		require.LessOrEqual(t, len(v.Data), len(object)+1)
		require.Equal(t, v, Compress("k", object), "a used writer gives the same bytes")
		got, err := Expand(v.Data, int64(len(object)))
		require.NoError(t, err)
		require.True(t, bytes.Equal(object, got))
		for _, raw := range []int64{int64(len(object)) + 1, int64(len(object)) - 1, -1, 1 << 60} {
			_, err = Expand(v.Data, raw)
			require.ErrorIs(t, err, ErrCorrupt)
		}
	}
	for _, data := range [][]byte{nil, {2, 0}, {flagFlate}, {flagFlate, 0xff, 0xff}} {
		_, err := Expand(data, 1)
		require.ErrorIs(t, err, ErrCorrupt)
	}
}

// check reads a file in every way and returns the first error.
func check(fsys FS, keys ...string) error {
	r, err := Open(fsys, "s")
	if err != nil {
		return err
	}
	defer r.Close()
	for _, err := range r.All() {
		if err != nil {
			return err
		}
	}
	for _, key := range keys {
		for _, err := range r.Get(key, "") {
			if err != nil {
				return err
			}
		}
	}
	return nil
}

func diskWith(content []byte) *disk.Model {
	d := new(disk.Model)
	d.Put(FileName("s"), content)
	return d
}

func TestEveryDamageIsFound(t *testing.T) {
	whole := build(t, new(disk.Model), nil, nil, shard(rand.New(rand.NewPCG(4, 4)), 4, 12))
	require.NoError(t, check(diskWith(whole)))
	named := func(err error, what string, at int) {
		t.Helper()
		require.Error(t, err, "%s at %d of %d", what, at, len(whole))
		require.True(t, errors.Is(err, ErrCorrupt), "%s at %d: %v", what, at, err)
		require.ErrorContains(t, err, `"s.shard"`)
	}
	step := 1
	if testing.Short() {
		step = 7
	}
	for i := 0; i < len(whole); i += step {
		for bit := range 8 {
			flipped := bytes.Clone(whole)
			flipped[i] ^= 1 << bit
			named(check(diskWith(flipped)), "bit flipped", i)
		}
		named(check(diskWith(whole[:i])), "cut", i)
		named(check(diskWith(slices.Delete(bytes.Clone(whole), i, i+1))), "byte lost", i)
	}
	named(check(diskWith(append(bytes.Clone(whole), 0))), "grown", len(whole))
	named(check(diskWith(append(bytes.Clone(whole), whole...))), "doubled", len(whole))
}

func TestDamageInAnOldFileStopsTheBuild(t *testing.T) {
	fsys := new(disk.Model)
	build(t, fsys, nil, nil, []given{{name: "a", values: []Value{object("k", 1)}}})
	damaged := content(t, fsys, FileName("s"))
	damaged[headerSize+5] ^= 1
	fsys.Put(FileName("s"), damaged)
	err := update(fsys, []given{{name: "b", values: []Value{object("k", 2)}}})
	require.ErrorIs(t, err, ErrCorrupt)
	require.Equal(t, []string{FileName("s")}, list(t, fsys))
}

func TestOpenTellsOtherFilesApart(t *testing.T) {
	_, err := Open(new(disk.Model), "s")
	require.ErrorIs(t, err, fs.ErrNotExist)
	fsys := new(disk.Model)
	whole := build(t, fsys, nil, nil, []given{{name: "a"}})
	fsys.Put(FileName("t"), whole)
	_, err = Open(fsys, "t")
	require.ErrorContains(t, err, `shard "s"`)
	other := bytes.Clone(whole)
	head := le.AppendUint32([]byte(magicHead), formatVersion+1)
	copy(other, le.AppendUint32(head, crcTable(head)))
	_, err = Open(diskWith(other), "s")
	require.ErrorIs(t, err, ErrFormat)
}

func FuzzReader(f *testing.F) {
	for seed := range uint64(3) {
		f.Add(build(f, new(disk.Model), nil, nil, shard(rand.New(rand.NewPCG(seed, 0)), 3, 8)), seed%2 == 0)
	}
	f.Fuzz(func(t *testing.T, content []byte, mend bool) {
		if mend {
			mendChecksums(content) // so that the fuzzer gets behind them
		}
		err := check(diskWith(content), "", "k0001", "k0007", "z")
		if err == nil {
			return
		}
		if _, ok := errors.AsType[*FileError](err); !ok {
			t.Fatalf("does not name the file: %v", err)
		}
		if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrFormat) {
			t.Fatal(fmt.Errorf("neither corrupt nor of another format: %w", err))
		}
	})
}
