package command

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/stretchr/testify/require"
)

func TestCompare(t *testing.T) {
	if raceEnabled || testing.Short() {
		t.Skip("go test ./... runs it without the race detector")
	}
	dir := t.TempDir()
	svg := filepath.Join(dir, "curves.svg")
	code, stdout, stderr := shards(t, "-compare", "-json", "-dir", dir, "-svg", svg, "-latency", "2ms")
	require.Zero(t, code, stderr)
	var reports []build.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &reports))
	list := comparisons(build.Options{})
	require.Len(t, reports, len(list))
	for i, r := range reports {
		require.Equal(t, list[i].name, r.Design)
		require.Equal(t, compareShards, r.ShardsBuilt, r.Design)
		require.Equal(t, reports[0].SnapshotsFetched, r.SnapshotsFetched, r.Design)
		require.Equal(t, reports[0].ValueBytesStored, r.ValueBytesStored, r.Design)
	}
	for _, r := range reports[:4] { // by hand, and three of manual
		require.Equal(t, 10, r.MaxShards, r.Design)
		require.Equal(t, 20, r.MaxSnapshots, r.Design)
		require.Positive(t, r.OwnerBusyShare, r.Design)
	}
	text, err := os.ReadFile(svg)
	require.NoError(t, err)
	for _, c := range list {
		require.Contains(t, string(text), ">"+c.name+"<")
	}

	code, _, stderr = shards(t, "-svg", svg, "-dir", dir)
	require.Equal(t, exitUsage, code)
	require.Contains(t, stderr, "-compare")
}

// The simulation needs a process of its own.
func TestSimulate(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-children"}, exitOK, "10     15.50           15.0            15.0"},
		{[]string{"-builders", "10", "-snapshots", "20", "-budget", "40"}, exitOK, "manual               10   20       40"},
		{[]string{"-compress"}, exitOK, "0.1 t             13.2 t"},
		{[]string{"-builders", "10", "-snapshots", "20", "-budget", "0", "-hold", "stream"}, exitOK, "manual, stream       10   20        -"},
		{[]string{"-table", "-children"}, exitUsage, "-children does not go with -table"},
		{[]string{"-compress", "-seed", "2"}, exitUsage, "-seed does not go with -compress"},
		{[]string{"-connect", "1s"}, exitUsage, "-connect goes with -table"},
		{[]string{"-table", "-connect", "2562047h"}, exitUsage, "want 0 to 24h"},
		{[]string{"-builders", "x"}, exitUsage, "no list of numbers"},
		{[]string{"-design", "naive", "-budget", "1"}, exitUsage, "takes no budget"},
	} {
		cmd := exec.Command(os.Args[0], append([]string{"simulate"}, c.args...)...)
		cmd.Env = append(os.Environ(), asProgram+"=1")
		out, _ := cmd.CombinedOutput()
		require.Equal(t, c.code, cmd.ProcessState.ExitCode(), string(out))
		require.Contains(t, strings.TrimSpace(string(out)), c.want)
	}
}
