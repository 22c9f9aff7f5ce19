package command

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/stretchr/testify/require"
)

// asProgram makes the test binary be the program.
const asProgram = "SHARDS_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(Run(os.Args[1:], os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// shards calls the program in this process.
func shards(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(args, &out, &errs)
	return code, out.String(), errs.String()
}

func report(t *testing.T, stdout string) build.Report {
	t.Helper()
	var r build.Report
	require.NoError(t, json.Unmarshal([]byte(stdout), &r))
	return r
}

func TestDemo(t *testing.T) {
	if raceEnabled {
		t.Skip("go test ./... runs it without the race detector")
	}
	dir := t.TempDir()
	code, stdout, stderr := shards(t, "-json", "-dir", dir)
	require.Zero(t, code, stderr)
	first := report(t, stdout)
	require.Equal(t, 300, first.ShardsBuilt)
	require.Equal(t, 10, first.MaxShards)
	require.Equal(t, 20, first.MaxSnapshots)
	require.LessOrEqual(t, first.MaxStoreOpen, 20)
	require.Zero(t, first.ShardsFailed)

	verify := func() {
		code, stdout, stderr := shards(t, "verify", "-root", filepath.Join(dir, "store"), "-out", filepath.Join(dir, "shards"))
		require.Zero(t, code, stdout+stderr)
	}
	verify()

	code, stdout, stderr = shards(t, "-dir", dir, "-json")
	require.Zero(t, code, stderr)
	second := report(t, stdout)
	require.Equal(t, 225, second.ShardsBuilt, "70 % got a new week, 5 % were revived")
	require.Equal(t, 210+15*200, second.SnapshotsFetched, "only what is new")
	require.Equal(t, 10, second.MaxShards)
	require.Equal(t, 20, second.MaxSnapshots)
	verify()

	code, stdout, _ = shards(t, "build", "-root", filepath.Join(dir, "store"), "-out", filepath.Join(dir, "shards"), "-json")
	require.Zero(t, code)
	require.Zero(t, report(t, stdout).ShardsBuilt, "nothing is stale any more")
}

// The report has these names, whatever else it has.
func TestReportNames(t *testing.T) {
	var names map[string]any
	text, err := json.Marshal(build.Report{})
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, &names))
	for _, name := range strings.Split("design, shards_built, shards_failed, snapshots_fetched, snapshots_reused, max_shards, max_snapshots, "+
		"max_store_open, mean_in_flight_while_waiting, makespan_s, owner_busy_share, shards_overdraft_bytes, lower_bound_s, bytes_read, value_bytes_raw, value_bytes_stored, "+
		"peak_transit_bytes, peak_heap_bytes, peak_rss_bytes, goroutines_end", ", ") {
		require.Contains(t, names, name)
	}
}

// put writes a store of n shards with k snapshots of one record each.
func put(t *testing.T, root string, n, k int) {
	t.Helper()
	for i := range n {
		dir := filepath.Join(root, fmt.Sprintf("s%02d", i))
		require.NoError(t, os.MkdirAll(dir, 0o777))
		for j := range k {
			name := filepath.Join(dir, fmt.Sprintf("w%02d.ndjson", j))
			require.NoError(t, os.WriteFile(name, []byte(fmt.Sprintf(`{"key":"k","v":%d}`+"\n", j)), 0o666))
		}
	}
}

func TestHalfOfTheShardsFailing(t *testing.T) {
	dir := t.TempDir()
	root, out := filepath.Join(dir, "store"), filepath.Join(dir, "shards")
	put(t, root, 30, 3)
	for i := 0; i < 30; i += 2 {
		require.NoError(t, os.WriteFile(filepath.Join(root, fmt.Sprintf("s%02d", i), "w01.ndjson"), []byte("{\"key\":\"k\"}\n{broken\n"), 0o666))
	}
	code, stdout, stderr := shards(t, "build", "-root", root, "-out", out, "-json", "-retries", "1", "-latency", "0")
	require.Equal(t, exitFailed, code, stderr)
	r := report(t, stdout)
	require.Equal(t, 15, r.ShardsBuilt)
	require.Equal(t, 15, r.ShardsFailed)
	for _, f := range r.Failures {
		require.Contains(t, f.Error, "w01.ndjson")
		require.Contains(t, f.Error, "line 2")
	}
}

func TestBadUsage(t *testing.T) {
	root := t.TempDir()
	for _, args := range [][]string{
		{"build"},
		{"build", "-root", root},
		{"fly"},
		{"-no-such-flag"},
		{"build", "-root", root, "-out", root, "extra"},
		{"-builders", "0"},
		{"-snapshots", "-1"},
		{"-retries", "-1"},
		{"-latency", "-1s"},
		{"-wiring", "round"},
		{"-design", "none"},
		{"-worker-max", "2", "-worker-min", "2"},
		{"build", "-root", root, "-out", root},
		{"build", "-root", root, "-out", filepath.Join(root, "not", "there", "yet")},
	} {
		code, _, stderr := shards(t, args...)
		require.Equal(t, exitUsage, code, "%v: %s", args, stderr)
		require.NotEmpty(t, stderr, "%v", args)
	}
	for _, text := range []string{ // the first of each is what the error must name
		"-builders 99999999999999999999", "-builders 20000", "-snapshots 0", "-k -1 -design tasks", "-k 5", "-consumers -1 -design sync",
		"-consumers 3", "-budget 1", "-budget -5", "-budget 9223372036854775807", "-budget 100 -design naive", "-connect -1s", "-retries -1",
		"-timeout -1s", "-poll 25h", "-poll 2000000h -watch", "-wiring direct -builders 1000 -snapshots 1000", "-min-rate -1", "-min-rate 0", "-poll -1s -watch", "-poll 0s", "-drain -1s", "-hold x", "-compress y",
		"-hold stream -design aggregator", "-queue 0", "-queue 7", "-worker-max 0", "-worker-min -1", "-worker-min 1 -worker-max 1",
		"-worker-max 5 -design sync", "-automatic -design pool", "-wiring direct -design naive", "-reserve-small 10",
		"-reserve-small 1 -design pool", "-small 0 -reserve-small 1", "-small -1", "-only [", "-order x", "-log x", "-schema -1",
		"-max-key -1", "-max-line 0", "-max-ratio -1", "-max-decoded 0", "-design x -queue 3",
	} {
		args := strings.Fields(text)
		code, _, stderr := shards(t, append([]string{"build", "-root", root, "-out", filepath.Join(root, "out")}, args...)...)
		require.Equal(t, exitUsage, code, "%s: %s", text, stderr)
		require.Contains(t, strings.SplitN(stderr, "\n", 2)[0], args[0][1:], text)
	}
	for _, text := range []string{"-shards 9223372036854775807", "-size huge", "-shards 0"} {
		code, _, stderr := shards(t, append([]string{"generate", "-root", filepath.Join(root, "new")}, strings.Fields(text)...)...)
		require.Equal(t, exitUsage, code, "%s: %s", text, stderr)
	}
	require.NoDirExists(t, filepath.Join(root, "new"))
	for _, flag := range []string{"-design pool", "-hold stream", "-compress owner", "-watch", "-budget 5", "-root x", "-queue 5"} {
		code, _, stderr := shards(t, append([]string{"-compare", "-dir", root}, strings.Fields(flag)...)...)
		require.Equal(t, exitUsage, code, "%s: %s", flag, stderr)
		require.Contains(t, stderr, strings.Fields(flag)[0])
	}
	code, _, stderr := shards(t, "build", "-root", filepath.Join(root, "nowhere"), "-out", filepath.Join(root, "out"))
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "nowhere")
}

// What cannot be removed in the place of a temporary file is told, and hinders no shard but its own.
func TestATemporaryFileThatStays(t *testing.T) {
	root, out := folders(t)
	put(t, root, 3, 2)
	require.NoError(t, os.MkdirAll(filepath.Join(out, "s01.shard.tmp", "full"), 0o777))
	code, stdout, stderr := shards(t, "build", "-root", root, "-out", out, "-latency", "0", "-json")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "s01.shard.tmp")
	r := report(t, stdout)
	require.Equal(t, 2, r.ShardsBuilt)
	require.Len(t, r.Failures, 1)
	require.Contains(t, r.Failures[0].Error, "s01.shard.tmp")
}

// Limits and times of any size do no harm.
func TestHugeNumbers(t *testing.T) {
	const most, ever = "9223372036854775807", "2562047h47m16.854775807s"
	root, out := folders(t)
	put(t, root, 3, 2)
	code, stdout, stderr := shards(t, "build", "-root", root, "-out", out, "-latency", "0", "-json", "-timeout", ever, "-min-rate", "1",
		"-max-line", most, "-max-key", most, "-max-ratio", most, "-max-decoded", most, "-schema", most, "-worker-max", most, "-drain", ever)
	require.Zero(t, code, stderr+stdout)
	require.Equal(t, 3, report(t, stdout).ShardsBuilt)
}

// program starts the program as a process of its own. said waits for a line of its standard error that has the text.
func program(t *testing.T, args ...string) (cmd *exec.Cmd, said func(text string)) {
	t.Helper()
	cmd = exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(stderr)
	return cmd, func(text string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		require.Fail(t, "the program ended without saying "+text)
	}
}

// eventually waits for a process of its own. There is no limit but that of all tests, as that process may be given as little time as the machine likes.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for t.Log("until", what); !ok(); {
		time.Sleep(5 * time.Millisecond)
	}
}

func TestWatchBuildsWhatBecomesStaleAndDrains(t *testing.T) {
	dir := t.TempDir()
	root, out := filepath.Join(dir, "store"), filepath.Join(dir, "shards")
	put(t, root, 3, 2)
	cmd, said := program(t, "build", "-root", root, "-out", out, "-watch", "-poll", "10ms", "-latency", "1ms")
	built := func(shard string) func() bool {
		return func() bool { _, err := os.Stat(filepath.Join(out, shard+".shard")); return err == nil }
	}
	eventually(t, "the first three are built", func() bool { return built("s00")() && built("s01")() && built("s02")() })

	second := exec.Command(os.Args[0], "build", "-root", root, "-out", out)
	second.Env = cmd.Env
	require.Error(t, second.Run())
	require.Equal(t, exitUsage, second.ProcessState.ExitCode(), "the folder is locked")

	put(t, dir, 4, 2)
	require.NoError(t, os.Rename(filepath.Join(dir, "s03"), filepath.Join(root, "s03"))) // at once: what is there halfway may be built, too
	eventually(t, "the new one is built", built("s03"))
	require.NoError(t, cmd.Process.Signal(os.Interrupt))
	said("finishing")
	require.NoError(t, cmd.Wait())
	require.Zero(t, cmd.ProcessState.ExitCode())
	noTemps(t, out)
	code, stdout, _ := shards(t, "verify", "-root", root, "-out", out)
	require.Zero(t, code, stdout)
}

func TestSecondSignalAborts(t *testing.T) {
	dir := t.TempDir()
	root, out := filepath.Join(dir, "store"), filepath.Join(dir, "shards")
	put(t, root, 1, 3)
	cmd, said := program(t, "build", "-root", root, "-out", out, "-latency", "1h", "-timeout", "0")
	said("1 in progress; 0 snapshots fetched, 3 in flight")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	said("finishing")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	said("aborted")
	require.Error(t, cmd.Wait())
	require.Equal(t, exitAborted, cmd.ProcessState.ExitCode())
	noTemps(t, out)
	require.NoFileExists(t, filepath.Join(out, "s00.shard"))
}

func noTemps(t *testing.T, out string) {
	t.Helper()
	entries, err := os.ReadDir(out)
	require.NoError(t, err)
	for _, e := range entries {
		require.True(t, strings.HasSuffix(e.Name(), ".shard") || e.Name() == ".lock" || e.Name() == statusName, "%s is left", e.Name())
	}
}
