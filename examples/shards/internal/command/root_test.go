package command

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/generate"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/stretchr/testify/require"
)

// elsewhere is a remote that keeps far://NAME in a folder of that name.
type elsewhere struct {
	top       string
	away      bool // its flag
	snapshots []int
	open      int
}

func (e *elsewhere) Scheme() string { return "far" }

func (e *elsewhere) AddFlags(fs *flag.FlagSet) {
	fs.BoolVar(&e.away, "away", false, "answer nothing")
}

type elsewhereRoot struct {
	*store.Dir
	*generate.Folder
	e *elsewhere
}

func (e *elsewhere) Open(_ context.Context, root string, snapshots int) (Root, error) {
	if e.away {
		return nil, errors.New("nobody there")
	}
	path := filepath.Join(e.top, strings.TrimPrefix(root, "far://"))
	place, err := generate.CreateFolder(path)
	if err != nil {
		return nil, err
	}
	dir, err := store.OpenDir(path)
	if err != nil {
		return nil, err
	}
	e.snapshots = append(e.snapshots, snapshots)
	e.open++
	return &elsewhereRoot{Dir: dir, Folder: place, e: e}, nil
}

func (r *elsewhereRoot) Close() error {
	r.e.open--
	return errors.Join(r.Dir.Close(), r.Folder.Close())
}

func TestRootsThatAreNoFolders(t *testing.T) {
	e := &elsewhere{top: t.TempDir()}
	out := t.TempDir()
	run := func(args ...string) (int, string, string) {
		var o, errs bytes.Buffer
		code := Run(args, &o, &errs, e)
		return code, o.String(), errs.String()
	}
	code, stdout, stderr := run("generate", "-root", "far://store", "-shards", "4", "-seed", "2") // 44 small snapshots
	require.Zero(t, code, stderr)
	require.Contains(t, stdout, "for 4 shards")
	code, _, stderr = run("generate", "-root", "far://store", "-tick")
	require.Zero(t, code, stderr)
	code, stdout, stderr = run("build", "-root", "far://store", "-out", out, "-snapshots", "7", "-json")
	require.Zero(t, code, stderr)
	require.Equal(t, 4, report(t, stdout).ShardsBuilt)
	code, stdout, stderr = run("verify", "-root", "far://store", "-out", out)
	require.Zero(t, code, stdout+stderr)
	require.Equal(t, []int{remoteWriters, remoteWriters, 7, 1}, e.snapshots)
	require.Zero(t, e.open, "all were closed")

	code, stdout, stderr = run("verify", "-root", filepath.Join(e.top, "store"), "-out", out)
	require.Zero(t, code, "a folder is still a folder: %s", stdout+stderr)
	require.Len(t, e.snapshots, 4)

	for _, command := range []string{"generate", "build", "verify"} {
		args := []string{command, "-away", "-root", "far://store"}
		if command != "generate" {
			args = append(args, "-out", out)
		}
		code, _, stderr = run(args...)
		require.Equal(t, exitFailed, code)
		require.Contains(t, stderr, "nobody there")
	}
	code, _, stderr = run("-dir", t.TempDir(), "-root", "far://demo", "-away")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "nobody there")
}

func TestRootsOfUnknownSchemes(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, args := range [][]string{
		{"generate", "-root", "far://store"},
		{"build", "-root", "far://store", "-out", "out"},
		{"verify", "-root", "far://store", "-out", "out"},
		{"-root", "far://store"},
	} {
		code, _, stderr := call(args...)
		require.NotZero(t, code, "%v", args)
		require.Contains(t, stderr, "far://")
	}
	entries, err := os.ReadDir(".")
	require.NoError(t, err)
	require.Empty(t, entries, "nothing was made")
}
