package disk

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"slices"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func write(t *testing.T, m *Model, name, text string) File {
	t.Helper()
	f, err := m.Create(name)
	require.NoError(t, err)
	_, err = f.Write([]byte(text))
	require.NoError(t, err)
	return f
}

// found returns the contents that a file has in the folders found after a crash, each once; "-" where it is not there.
func found(t *testing.T, m *Model, name string) []string {
	t.Helper()
	var all []string
	for _, disk := range m.Crashes(rand.New(rand.NewPCG(1, 1)), 100) {
		f, err := disk.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			all = append(all, "-")
			continue
		}
		require.NoError(t, err)
		size, err := f.Size()
		require.NoError(t, err)
		content := make([]byte, size)
		if size > 0 {
			_, err = f.ReadAt(content, 0)
			require.NoError(t, err)
		}
		all = append(all, string(content))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

func TestWhatSurvivesACrash(t *testing.T) {
	m := &Model{}
	f := write(t, m, "a", "abcd")
	require.Subset(t, found(t, m, "a"), []string{"-", "", "ab", "abcd", "\x00\x00\x00\x00"}, "neither name nor content is certain")
	require.NoError(t, m.SyncDir())
	require.NotContains(t, found(t, m, "a"), "-", "the name is")
	require.Contains(t, found(t, m, "a"), "")
	require.NoError(t, f.Sync())
	require.Equal(t, []string{"abcd"}, found(t, m, "a"), "both are")
	_, err := f.Write([]byte("ef"))
	require.NoError(t, err)
	require.Equal(t, []string{"abcd", "abcd\x00\x00", "abcde", "abcdef"}, found(t, m, "a"), "what was synced stays")
	require.NoError(t, f.Sync())

	g := write(t, m, "b", "new")
	require.NoError(t, g.Sync())
	require.NoError(t, m.SyncDir())
	require.NoError(t, m.Rename("b", "a"))
	require.Equal(t, []string{"abcdef", "new"}, found(t, m, "a"), "a rename is there or not")
	require.Equal(t, []string{"-", "new"}, found(t, m, "b"))
	require.NoError(t, m.SyncDir())
	require.Equal(t, []string{"new"}, found(t, m, "a"))

	require.NoError(t, m.Remove("a"))
	require.Equal(t, []string{"-", "new"}, found(t, m, "a"))
	require.NoError(t, m.SyncDir())
	require.Equal(t, []string{"-"}, found(t, m, "a"))
	require.ErrorIs(t, m.Remove("a"), fs.ErrNotExist)
}

func TestChangesOfSeveralNamesAreLostOneByOne(t *testing.T) {
	m := &Model{}
	write(t, m, "a", "")
	write(t, m, "b", "")
	lists := map[string]bool{}
	for _, disk := range m.Crashes(rand.New(rand.NewPCG(2, 2)), 50) {
		names, err := disk.List()
		require.NoError(t, err)
		slices.Sort(names)
		lists[string([]byte{byte('0' + len(names))})+first(names)] = true
	}
	require.Equal(t, map[string]bool{"0": true, "1a": true, "1b": true, "2a": true}, lists)
}

func first(names []string) string {
	if len(names) == 0 {
		return ""
	}
	return names[0]
}

func TestAFullAndAFailingDisk(t *testing.T) {
	m := &Model{}
	m.SetCapacity(6)
	f := write(t, m, "a", "abcd")
	n, err := f.Write([]byte("efgh"))
	require.ErrorIs(t, err, syscall.ENOSPC)
	require.Equal(t, 2, n, "what fits is taken")
	require.NoError(t, m.Remove("a"))
	g := write(t, m, "b", "abcdef")

	broken := errors.New("broken")
	m.Fail = func(op Op) error {
		if op.What == "sync" || op.What == "rename" {
			return broken
		}
		return nil
	}
	require.ErrorIs(t, g.Sync(), broken)
	require.ErrorIs(t, m.Rename("b", "c"), broken)
	_, err = m.Open("b")
	require.NoError(t, err, "it did nothing")
	require.Equal(t, "7: sync b", m.Ops()[6].String())
	require.NoError(t, g.Close())
	require.ErrorIs(t, g.Close(), fs.ErrClosed)
	_, err = g.ReadAt(nil, 0)
	require.ErrorIs(t, err, fs.ErrClosed)
}
