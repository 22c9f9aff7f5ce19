package shardfile

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/internal/planted"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

const (
	persistFile = "examples/shards/internal/shardfile/persist.go"

	syncsFile = "\tif err == nil {\n\t\terr = f.Sync()\n\t}\n"
	renames   = "\tif err == nil {\n\t\terr = b.fsys.Rename(temp, final)\n\t}\n"
	syncsDir  = "\tif err := b.fsys.SyncDir(); err != nil {\n\t\treturn Persisted{}, &FileError{File: final, Err: fmt.Errorf(\"sync its folder: %w\", err)}\n\t}\n"
)

// mutants are what someone might take for the same.
var mutants = []planted.Bug{
	{Name: "no file sync", Edits: []planted.Edit{{File: persistFile, Old: syncsFile, New: ""}}},
	{Name: "no folder sync", Edits: []planted.Edit{{File: persistFile, Old: syncsDir, New: ""}}},
	{Name: "file sync after the rename", Edits: []planted.Edit{
		{File: persistFile, Old: syncsFile, New: ""},
		{File: persistFile, Old: "\terr = errors.Join(err, f.Close())\n", New: "\tdefer f.Close()\n"},
		{File: persistFile, Old: renames, New: renames + syncsFile},
	}},
	{Name: "folder sync before the rename", Edits: []planted.Edit{
		{File: persistFile, Old: syncsDir, New: ""},
		{File: persistFile, Old: renames, New: "\tif err == nil {\n\t\terr = b.fsys.SyncDir()\n\t}\n" + renames},
	}},
	{Name: "no temporary file", Edits: []planted.Edit{
		{File: persistFile, Old: "temp, final := b.temp(), FileName(b.shard)\n", New: "temp, final := FileName(b.shard), FileName(b.shard)\n_ = b.fsys.Remove(final)\n"},
		{File: persistFile, Old: renames, New: ""},
	}},
}

// Taking out a sync, or doing the three in another order, turns the crash test red; with nothing changed it is green.
func TestTheCrashTestSeesEverySync(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the package once for each mutant")
	}
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	require.NoError(t, err)
	for _, bug := range append([]planted.Bug{{Name: "nothing changed"}}, mutants...) {
		t.Run(bug.Name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			overlay, err := planted.Plant(strings.TrimSpace(string(root)), dir, bug)
			require.NoError(t, err)
			program := filepath.Join(dir, "crash.test")
			out, err := exec.Command("go", "test", "-c", "-overlay", overlay, "-o", program, ".").CombinedOutput()
			require.NoError(t, err, "%s", out)
			cmd := exec.Command(program, "-test.run=^TestCrashAtEveryOperationLeavesOldOrNew$")
			cmd.Env = append(cmd.Environ(), "CATALOGUE=") // its rounds are not counted
			out, err = cmd.CombinedOutput()
			if len(bug.Edits) == 0 {
				require.NoError(t, err, "%s", out)
				return
			}
			require.Error(t, err, "the crash test does not see it")
			require.Contains(t, string(out), "neither old nor new, or a finished build lost")
		})
	}
	testkit.Report(t, "T54", len(mutants))
}
