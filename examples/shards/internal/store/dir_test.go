package store

import (
	"bytes"
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// folder makes a store of files, given as path and content; a path that ends in a slash is a folder.
func folder(t *testing.T, files map[string]string) (root string, d *Dir) {
	t.Helper()
	root = t.TempDir()
	for name, content := range files {
		full := filepath.Join(root, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o777))
		if strings.HasSuffix(name, "/") {
			require.NoError(t, os.MkdirAll(full, 0o777))
			continue
		}
		require.NoError(t, os.WriteFile(full, []byte(content), 0o666))
	}
	d, err := OpenDir(root)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return root, d
}

func TestListingIsOrderedByNameNotByFile(t *testing.T) {
	_, d := folder(t, map[string]string{
		"b/": "", "a/w.ndjson": "1", "a/w-2.ndjson.gz": "22", "a/W.ndjson": "", "a/.w.part": "x", ".DS_Store": "x", "B/": "",
	})
	shards, err := d.Shards(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"B", "a", "b"}, shards)
	snaps, err := d.Snapshots(t.Context(), "a")
	require.NoError(t, err)
	require.Equal(t, []Snapshot{{Name: "W"}, {Name: "w", Size: 1}, {Name: "w-2", Gzip: true, Size: 2}}, snaps,
		"as files w-2.ndjson.gz would stand before w.ndjson")
	snaps, err = d.Snapshots(t.Context(), "b")
	require.NoError(t, err)
	require.Empty(t, snaps)
}

func TestUnusableShardsNameTheFileAndLeaveOthersUsable(t *testing.T) {
	root, d := folder(t, map[string]string{
		"good/w.ndjson": "", "both/w.ndjson": "", "both/w.ndjson.gz": "", "stray/notes.txt": "", "stray/w.ndjson": "",
		"nested/w.ndjson/": "", "file": "", "control/a\nb.ndjson": "", "latin/\xe9.ndjson": "",
		"long/" + strings.Repeat("x", 230) + ".ndjson": "", "two/a.txt": "", "two/b.txt": "",
	})
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte(`{"key":"secret"}`), 0o666))
	require.NoError(t, os.Symlink(filepath.Dir(outside), filepath.Join(root, "linkdir")))
	require.NoError(t, os.Symlink("good", filepath.Join(root, "inside")))
	require.NoError(t, os.Mkdir(filepath.Join(root, "linked"), 0o777))
	require.NoError(t, os.Symlink(outside, filepath.Join(root, "linked", "w.ndjson")))

	tests := []struct {
		shard string
		is    error
		says  []string
	}{
		{"both", ErrBoth, []string{`"both"`, `"w.ndjson"`}},
		{"stray", ErrUnexpected, []string{`"stray"`, `"notes.txt"`}},
		{"two", ErrUnexpected, []string{`"a.txt"`, `"b.txt"`}},
		{"nested", ErrUnexpected, []string{`"w.ndjson"`, "a folder"}},
		{"file", ErrUnexpected, []string{`"file"`, "a file"}},
		{"control", ErrName, []string{`"a\nb.ndjson"`}},
		{"latin", ErrName, []string{`"\xe9.ndjson"`, "UTF-8"}},
		{"long", ErrName, []string{"230 bytes"}},
		{"linkdir", ErrUnexpected, []string{`"linkdir"`, "symbolic link"}},
		{"inside", ErrUnexpected, []string{"symbolic link"}},
		{"linked", ErrUnexpected, []string{`"linked"`, `"w.ndjson"`, "symbolic link"}},
		{"absent", fs.ErrNotExist, []string{`"absent"`}},
		{"../x", ErrName, []string{`"../x"`}},
		{"..", ErrName, []string{`".."`}},
		{".", ErrName, nil},
		{"", ErrName, nil},
		{"/etc", ErrName, []string{`"/etc"`}},
		{`a\b`, ErrName, nil},
		{"nul\x00", ErrName, []string{`"nul\x00"`}},
		{strings.Repeat("x", 300), ErrName, []string{"300 bytes"}},
	}
	for _, test := range tests {
		snaps, err := d.Snapshots(t.Context(), test.shard)
		require.ErrorIs(t, err, test.is, test.shard)
		require.Empty(t, snaps)
		_, named := errors.AsType[*Error](err)
		require.True(t, named, test.shard)
		for _, part := range test.says {
			require.ErrorContains(t, err, part)
		}
	}
	snaps, err := d.Snapshots(t.Context(), "good")
	require.NoError(t, err)
	require.Len(t, snaps, 1)

	for _, snap := range []Snapshot{{Name: "../linked/w"}, {Name: "/etc/passwd"}, {Name: "a\x00"}, {Name: strings.Repeat("x", 300)}, {}} {
		_, err := d.Open(t.Context(), "good", snap, 0)
		require.ErrorIs(t, err, ErrName, snap.Name)
	}
	_, err = d.Open(t.Context(), "linked", Snapshot{Name: "w", Size: 16}, 0)
	require.ErrorIs(t, err, ErrUnexpected)
	_, err = d.Open(t.Context(), "linkdir", Snapshot{Name: "w"}, 0)
	require.ErrorIs(t, err, ErrUnexpected)
	_, err = d.Open(t.Context(), "good", Snapshot{Name: "absent"}, 0)
	require.ErrorIs(t, err, fs.ErrNotExist)
}

func TestOpenReadsStoredBytesFromAnOffset(t *testing.T) {
	_, d := folder(t, map[string]string{"a/w.ndjson": "0123456789"})
	snap := Snapshot{Name: "w", Size: 10}
	for offset, want := range map[int64]string{0: "0123456789", 7: "789", 10: ""} {
		body, err := d.Open(t.Context(), "a", snap, offset)
		require.NoError(t, err)
		got, err := io.ReadAll(body)
		require.NoError(t, err)
		require.Equal(t, want, string(got))
		require.NoError(t, body.Close())
	}
	for _, offset := range []int64{-1, 11} {
		_, err := d.Open(t.Context(), "a", snap, offset)
		require.ErrorContains(t, err, "offset")
	}
	_, err := d.Open(t.Context(), "a", Snapshot{Name: "w", Size: 9}, 0)
	require.ErrorIs(t, err, ErrChanged)
}

func TestReadingEndsWithItsContext(t *testing.T) {
	_, d := folder(t, map[string]string{"a/w.ndjson": "0123456789"})
	ctx, cancel := context.WithCancel(t.Context())
	body, err := d.Open(ctx, "a", Snapshot{Name: "w", Size: 10}, 0)
	require.NoError(t, err)
	defer body.Close()
	cancel()
	_, err = body.Read(make([]byte, 1))
	require.ErrorIs(t, err, context.Canceled)
	_, err = d.Open(ctx, "a", Snapshot{Name: "w", Size: 10}, 0)
	require.ErrorIs(t, err, context.Canceled)
	_, err = d.Shards(ctx)
	require.ErrorIs(t, err, context.Canceled)
	_, err = d.Snapshots(ctx, "a")
	require.ErrorIs(t, err, context.Canceled)
}

func TestChecksumIsOfStoredBytesAndTheOneOfS3(t *testing.T) {
	_, d := folder(t, map[string]string{"a/w.ndjson": "123456789"})
	sum, err := d.Checksum(t.Context(), "a", Snapshot{Name: "w", Size: 9})
	require.NoError(t, err)
	require.Equal(t, "crc64nvme:ae8b14860a799888", sum, "the check value of CRC-64/NVME")

	dec := NewDecoder(bytes.NewReader([]byte("{\"key\":\"a\"}\n")), "a", Snapshot{Name: "w", Size: 12}, Limits{})
	for err = nil; err == nil; {
		_, err = dec.Next(t.Context())
	}
	require.Equal(t, io.EOF, err)
	want := NewChecksum()
	io.WriteString(want, "{\"key\":\"a\"}\n")
	require.Equal(t, Stats{Size: 12, Checksum: Checksum(want.Sum64()), Decoded: 12, Records: 1}, dec.Stats())
}

func TestOpenDirFailsWithoutFolder(t *testing.T) {
	_, err := OpenDir(filepath.Join(t.TempDir(), "absent"))
	require.ErrorIs(t, err, fs.ErrNotExist)
}
