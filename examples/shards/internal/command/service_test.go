package command

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/stretchr/testify/require"
)

// broken writes a snapshot of any content.
func broken(t *testing.T, root, shard, week, content string) {
	t.Helper()
	require.NoError(t, os.MkdirAll(filepath.Join(root, shard), 0o777))
	require.NoError(t, os.WriteFile(filepath.Join(root, shard, week+".ndjson"), []byte(content), 0o666))
}

func statusOf(t *testing.T, out string) (s Status, code int) {
	t.Helper()
	code, stdout, stderr := shards(t, "status", "-out", out, "-json")
	require.NoError(t, json.Unmarshal([]byte(stdout), &s), stderr)
	return s, code
}

func folders(t *testing.T) (root, out string) {
	dir := t.TempDir()
	return filepath.Join(dir, "store"), filepath.Join(dir, "shards")
}

func TestStatusOfAServiceWithAFailingShard(t *testing.T) {
	root, out := folders(t)
	put(t, root, 3, 2)
	broken(t, root, "s01", "w01", "{broken\n")
	code, _, stderr := shards(t, "status", "-out", out)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "shards status: ")

	cmd, said := program(t, "build", "-root", root, "-out", out, "-watch", "-poll", "10ms", "-latency", "0", "-retries", "0", "-log", "json")
	said(`"msg":"failed","shard":"s01","attempt":1,"snapshot":"w01"`)
	var s Status
	eventually(t, "the status tells it", func() bool {
		if _, err := os.Stat(filepath.Join(out, statusName)); err != nil {
			return false
		}
		s, code = statusOf(t, out)
		return len(s.Troubles) == 1 && s.Built == 2
	})
	require.Equal(t, exitFailed, code)
	require.True(t, s.Watching)
	require.False(t, s.Ended)
	require.Equal(t, cmd.Process.Pid, s.PID)
	tr := s.Troubles[0]
	require.Equal(t, "s01", tr.Shard)
	require.Equal(t, build.Failed, tr.State)
	require.Equal(t, 1, tr.Attempts)
	require.Contains(t, tr.Cause, `file "w01.ndjson", line 1`)
	require.Equal(t, time.Minute, tr.Next.Sub(tr.Last).Round(time.Millisecond))
	code, stdout, _ := shards(t, "status", "-out", out)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stdout, ": 2 shards built, 0 in progress") // how long ago depends on the machine: TestStatusSaysHowABuildIs has it
	require.Regexp(t, `(?m)^failed \(attempt 1, .* ago; next try .*\): shard "s01", snapshot "w01": `, stdout)

	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	said("finishing")
	require.Error(t, cmd.Wait())
	require.Equal(t, exitFailed, cmd.ProcessState.ExitCode(), "a shard has failed")
	s, _ = statusOf(t, out)
	require.True(t, s.Ended)

	broken(t, root, "s01", "w01", `{"key":"k"}`)
	code, _, _ = shards(t, "build", "-root", root, "-out", out, "-latency", "0")
	require.Zero(t, code)
	s, code = statusOf(t, out)
	require.Zero(t, code)
	require.Empty(t, s.Troubles)
	noTemps(t, out)
}

// A shard that failed and is built by the time of the signal is no failure.
func TestDrainedWithoutFailures(t *testing.T) {
	root, out := folders(t)
	put(t, root, 1, 1)
	broken(t, root, "s01", "w00", `{"k`)
	cmd, said := program(t, "build", "-root", root, "-out", out, "-watch", "-poll", "10ms", "-latency", "0", "-retries", "0")
	said(`msg="not ready" shard=s01 attempt=1 snapshot=w00`)
	said(`msg=failed shard=s01 attempt=3 snapshot=w00`)
	broken(t, root, "s01", "w00", `{"key":"k"}`)
	said(`msg=built shard=s01`)
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
	require.Zero(t, cmd.ProcessState.ExitCode())
}

func TestDrainHasALimit(t *testing.T) {
	root, out := folders(t)
	put(t, root, 1, 2)
	cmd, said := program(t, "build", "-root", root, "-out", out, "-latency", "1h", "-timeout", "0", "-drain", "50ms")
	said("2 in flight")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	said("finishing")
	said("not finished within 50ms")
	require.Error(t, cmd.Wait())
	require.Equal(t, exitAborted, cmd.ProcessState.ExitCode())
	noTemps(t, out)
}

// What is in progress at the signal is finished, what is not is not begun. All of it would take half a minute, so that a signal that comes late does no harm.
func TestDrainFinishesWhatIsInProgress(t *testing.T) {
	root, out := folders(t)
	put(t, root, 200, 2)
	cmd, said := program(t, "build", "-root", root, "-out", out, "-latency", "300ms", "-builders", "2", "-log", "text")
	said("msg=building")
	said("msg=building")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	require.NoError(t, cmd.Wait())
	require.FileExists(t, filepath.Join(out, "s00.shard"))
	require.FileExists(t, filepath.Join(out, "s01.shard"))
	shardNames, err := filepath.Glob(filepath.Join(out, "*.shard"))
	require.NoError(t, err)
	require.Less(t, len(shardNames), 200)
	noTemps(t, out)
	s, _ := statusOf(t, out)
	require.Equal(t, len(shardNames), s.Built)
	require.Zero(t, s.InProgress)
	require.Empty(t, s.Troubles)
}

func TestDryRun(t *testing.T) {
	root, out := folders(t)
	put(t, root, 2, 2)
	code, stdout, _ := shards(t, "build", "-root", root, "-out", out, "-dry-run")
	require.Zero(t, code)
	require.Regexp(t, `(?m)^s00 +2 to fetch, 0 carried over: no shard file$`, stdout)
	require.Contains(t, stdout, "2 of 2 shards are stale\n")
	require.NoDirExists(t, out, "it changes nothing")

	code, _, _ = shards(t, "build", "-root", root, "-out", out, "-latency", "0", "-only", "s00")
	require.Zero(t, code)
	put(t, root, 2, 3)
	lock, err := shardfile.AcquireLock(out)
	require.NoError(t, err)
	defer lock.Release()
	code, stdout, stderr := shards(t, "build", "-root", root, "-out", out, "-dry-run", "-json", "-order", "small-first")
	require.Zero(t, code, "%s: a dry run needs no lock", stderr)
	var lines []staleLine
	require.NoError(t, json.Unmarshal([]byte(stdout), &lines))
	require.Equal(t, []staleLine{
		{Shard: "s00", Reason: `1 missing, the first is "w02"`, Missing: []string{"w02"}, CarriedOver: 2},
		{Shard: "s01", Reason: "no shard file", Missing: []string{"w00", "w01", "w02"}},
	}, lines)

	require.NoError(t, os.WriteFile(filepath.Join(root, "stray"), nil, 0o666))
	code, stdout, stderr = shards(t, "build", "-root", root, "-out", out, "-dry-run")
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, `shard "stray"`)
	require.Contains(t, stdout, "2 of 3 shards are stale", "the others are told")
	code, stdout, _ = shards(t, "build", "-root", root, "-out", out, "-dry-run", "-only", "s0[0-9]", "-json")
	require.Zero(t, code)
	require.Equal(t, 2, strings.Count(stdout, `"reason"`))
	_, stdout, _ = shards(t, "build", "-root", root, "-out", out, "-dry-run", "-only", "no*")
	require.Contains(t, stdout, "0 of 0 shards are stale", "nothing has such a name")
}

func TestBadServiceFlags(t *testing.T) {
	root, out := folders(t)
	put(t, root, 1, 1)
	for _, args := range [][]string{
		{"-only", "["},
		{"-order", "random"},
		{"-reserve-small", "10"},
		{"-reserve-small", "-1"},
		{"-small", "-1"},
		{"-drain", "-1s"},
		{"-log", "xml"},
		{"-min-rate", "-1"},
		{"-reserve-small", "1", "-automatic"},
	} {
		code, _, stderr := shards(t, append([]string{"build", "-root", root, "-out", out}, args...)...)
		require.Equal(t, exitUsage, code, "%v", args)
		require.Contains(t, stderr, "shards build: ", "%v", args)
	}
	for _, args := range [][]string{{"status"}, {"status", "-out", out, "more"}} {
		code, _, _ := shards(t, args...)
		require.Equal(t, exitUsage, code)
	}
}

// A file system that refuses the status hinders no build, and is told of.
func TestAStatusThatCannotBeWritten(t *testing.T) {
	root, out := folders(t)
	put(t, root, 1, 1)
	require.NoError(t, os.MkdirAll(filepath.Join(out, statusName), 0o777))
	code, _, stderr := shards(t, "build", "-root", root, "-out", out, "-latency", "0")
	require.Zero(t, code)
	require.Contains(t, stderr, "the status could not be written")
	require.FileExists(t, filepath.Join(out, "s00.shard"))
	code, _, stderr = shards(t, "status", "-out", out)
	require.Equal(t, exitFailed, code)
	require.Contains(t, stderr, "not a regular file")
	require.NoError(t, os.Remove(filepath.Join(out, statusName)))
	require.NoError(t, os.WriteFile(filepath.Join(out, statusName), []byte("{"), 0o666))
	code, _, _ = shards(t, "status", "-out", out)
	require.Equal(t, exitFailed, code)
}

func TestStatusSaysHowABuildIs(t *testing.T) {
	now := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		status Status
		want   string
	}{
		{Status{Updated: now.Add(-time.Second)}, ", running: "},
		{Status{Updated: now.Add(-time.Second), Watching: true}, ", watching: "},
		{Status{Updated: now.Add(-time.Hour), Watching: true}, "not heard of since 1h0m0s ago, perhaps killed"},
		{Status{Updated: now.Add(-time.Hour), Ended: true}, "ended 1h0m0s ago"},
		{Status{Updated: now.Add(time.Hour), Watching: true}, "not heard of since 0s ago, perhaps killed"}, // the clock was set back
		{Status{Troubles: []build.Trouble{{State: build.Failed, Attempts: 2, Last: now.Add(-3 * time.Second)}}}, "failed (attempt 2, 3s ago; "},
		{Status{Troubles: []build.Trouble{{State: build.NotReady}}}, "next try at the next poll"},
		{Status{Troubles: []build.Trouble{{State: build.Failed}}}, "no further try"},
		{Status{Troubles: []build.Trouble{{State: build.Failed, Next: now}}}, "next try is due"},
		{Status{Troubles: []build.Trouble{{State: build.Failed, Next: now.Add(time.Minute)}}}, "next try in 1m0s"},
	} {
		var text strings.Builder
		require.NoError(t, test.status.print(false, now, &text))
		require.Contains(t, text.String(), test.want, fmt.Sprintf("%+v", test.status))
	}
}
