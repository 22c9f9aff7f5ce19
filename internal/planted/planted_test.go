package planted_test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/internal/planted"
	"github.com/go-genstage/genstage/internal/testargs"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

func root(t *testing.T) string {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	require.NoError(t, err)
	return strings.TrimSpace(string(out))
}

// Each bug still fits the code it is planted in: all at once, in the long run each by itself as well.
func TestEachBugCompiles(t *testing.T) {
	build := func(t *testing.T, bugs ...planted.Bug) {
		dir, root := t.TempDir(), root(t)
		overlay, err := planted.Plant(root, dir, bugs...)
		require.NoError(t, err)
		cmd := exec.Command("go", "build", "-overlay", overlay, "./stage")
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
	}
	build(t, planted.Bugs...)
	testkit.Report(t, "T7", len(planted.Bugs))
	if !testargs.Long() {
		return
	}
	for _, b := range planted.Bugs {
		t.Run(b.Name, func(t *testing.T) { build(t, b) })
	}
}

// It is go run ./internal/sim/cmd/sim -planted.
func TestHunt(t *testing.T) {
	if !testargs.Long() {
		t.Skip("-args -long: it builds the simulator for each bug")
	}
	var out strings.Builder
	n := len(planted.Bugs)
	h := planted.Hunt{Root: root(t), Seeds: 2000, Out: &out}
	found, err := h.Run(t.Context())
	require.NoError(t, err)
	require.Equal(t, n, found, "%s", out.String())
	require.True(t, strings.HasSuffix(out.String(), fmt.Sprintf("planted: %d of %[1]d found\n", n)), "%s", out.String())
	testkit.Report(t, "T7", n)
}

func TestNamesAreTold(t *testing.T) {
	names := map[string]bool{}
	for _, b := range planted.Bugs {
		require.NotEmpty(t, b.What)
		require.NotEmpty(t, b.Edits)
		require.False(t, names[b.Name], "%q is there twice", b.Name)
		names[b.Name] = true
		for _, e := range b.Edits {
			require.NotEqual(t, e.Old, e.New)
		}
	}
}

func TestTextThatIsNotThere(t *testing.T) {
	bug := planted.Bug{Name: "nothing", Edits: []planted.Edit{{File: "go.mod", Old: "no such text", New: "x"}}}
	_, err := planted.Plant(root(t), t.TempDir(), bug)
	require.ErrorContains(t, err, `planted bug "nothing": go.mod: the text to change occurs 0 times`)
	bug.Edits[0].File = filepath.Join("no", "such", "file")
	_, err = planted.Plant(root(t), t.TempDir(), bug)
	require.Error(t, err)
}
