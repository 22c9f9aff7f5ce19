//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package command

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/internal/testargs"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

// killed is a store to be built, with an old state of the shards, and what a build that nothing disturbs makes of it.
type killed struct {
	t         *testing.T
	dir, root string
	old       map[string]string // content by file
	want      map[string]string
	takes     time.Duration // of an undisturbed build
}

// Some shards are built from scratch, some from an old file; some spill. Contents do not compress, so that there is something
// to write.
func newKilled(t *testing.T) *killed {
	k := &killed{t: t, dir: t.TempDir()}
	k.root = filepath.Join(k.dir, "store")
	r := rand.New(rand.NewPCG(11, 11))
	spills := map[int]bool{1: true, 5: !testing.Short()}
	for i := range 8 {
		for week := range 2 {
			var text strings.Builder
			lines := 1
			if spills[i] {
				lines = 20
			}
			for line := range lines {
				fmt.Fprintf(&text, `{"key":"k%d","x":"`, line)
				for range 1000 {
					fmt.Fprintf(&text, "%016x", r.Uint64())
				}
				text.WriteString("\"}\n")
			}
			broken(t, k.root, fmt.Sprintf("s%d", i), fmt.Sprintf("w%d", week), text.String())
		}
		broken(t, k.root, fmt.Sprintf("s%d", i), "w2", "")
		if i%3 == 0 {
			require.NoError(t, os.Remove(filepath.Join(k.root, fmt.Sprintf("s%d", i), "w1.ndjson")))
		}
	}
	out := filepath.Join(k.dir, "reference")
	require.NoError(t, k.command(out).Run())
	k.old = k.files(out)
	for i := 1; i < 8; i += 2 {
		delete(k.old, fmt.Sprintf("s%d.shard", i)) // built from scratch
	}
	put(t, k.root, 8, 2) // two small shards more for each
	for i := range 8 {
		broken(t, k.root, fmt.Sprintf("s%d", i), "w3", `{"key":"late"}`)
	}
	k.setUp(out)
	begun := time.Now()
	require.NoError(t, k.command(out).Run())
	k.takes = time.Since(begun)
	k.want = k.files(out)
	return k
}

func (k *killed) command(out string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "build", "-root", k.root, "-out", out, "-latency", "1ms", "-builders", "3", "-snapshots", "4")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	return cmd
}

// setUp makes the folder be in the old state.
func (k *killed) setUp(out string) {
	k.t.Helper()
	require.NoError(k.t, os.RemoveAll(out))
	require.NoError(k.t, os.MkdirAll(out, 0o777))
	for name, content := range k.old {
		require.NoError(k.t, os.WriteFile(filepath.Join(out, name), []byte(content), 0o666))
	}
}

// files returns the shard files, all of which must be whole.
func (k *killed) files(out string) map[string]string {
	k.t.Helper()
	dir, err := shardfile.OpenDir(out)
	require.NoError(k.t, err)
	defer dir.Close()
	all := map[string]string{}
	names, err := shardfile.Shards(dir)
	require.NoError(k.t, err)
	for _, shard := range names {
		r, err := shardfile.Open(dir, shard)
		require.NoError(k.t, err)
		for _, err := range r.All() {
			require.NoError(k.t, err)
		}
		require.NoError(k.t, r.Close())
		content, err := os.ReadFile(filepath.Join(out, shardfile.FileName(shard)))
		require.NoError(k.t, err)
		all[shardfile.FileName(shard)] = string(content)
	}
	return all
}

// The real process is killed at instants spread over a whole build. What it leaves is the old shards and the new ones, each
// whole, and the next run takes its lock over and finishes.
func TestKilledAtAnyPoint(t *testing.T) {
	k := newKilled(t)
	points := testkit.Rounds(60, 200)
	out := filepath.Join(k.dir, "out")
	midst, temps, span := 0, 0, k.takes
	for n := range points {
		k.setUp(out)
		cmd := k.command(out)
		begun := time.Now()
		require.NoError(t, cmd.Start())
		time.Sleep(span*time.Duration(n)/time.Duration(points) - time.Since(begun))
		_ = cmd.Process.Signal(syscall.SIGKILL)
		if err := cmd.Wait(); err != nil {
			require.Equal(t, syscall.SIGKILL, cmd.ProcessState.Sys().(syscall.WaitStatus).Signal(), "it ended by nothing else")
			midst++
		}
		for name, content := range k.files(out) {
			if k.old[name] != content {
				require.Equal(t, k.want[name], content, "%s is neither old nor new", name)
			}
		}
		for name := range k.old {
			require.FileExists(t, filepath.Join(out, name))
		}
		left, err := filepath.Glob(filepath.Join(out, "*.shard.*"))
		require.NoError(t, err)
		temps += min(1, len(left))

		again := k.command(out)
		text, err := again.CombinedOutput()
		require.NoError(t, err, "%s", text)
		require.Equal(t, k.want, k.files(out))
		noTemps(t, out)
	}
	t.Logf("%d of %d were killed in the midst, %d of them left temporary files", midst, points, temps)
	require.Positive(t, midst)
	testkit.Report(t, "T52", points)
}

// A process that is stopped for longer than its time-outs goes on where it was.
func TestStoppedAndContinued(t *testing.T) {
	k := newKilled(t)
	out := filepath.Join(k.dir, "out")
	limit := max(2*time.Second, 2*k.takes) // of a try: more than all of them take together
	pause := limit
	if testargs.Long() {
		pause = 30 * time.Second
	}
	cmd, stdout := k.stopInTheMidst(out, "-timeout", limit.String(), "-min-rate", "1000000000", "-retries", "5", "-latency", "50ms", "-json")
	second := k.command(out)
	require.Error(t, second.Run())
	require.Equal(t, exitUsage, second.ProcessState.ExitCode(), "who is stopped is alive: the folder stays locked")
	time.Sleep(pause) // every try that was under way is older than its limit then
	require.NoError(t, cmd.Process.Signal(syscall.SIGCONT))
	require.NoError(t, cmd.Wait(), "%s", stdout)
	require.Equal(t, k.want, k.files(out))
	r := report(t, stdout.String())
	require.Equal(t, len(k.want), r.ShardsBuilt, "each once")
	noTemps(t, out)
	testkit.Report(t, "T62", 1)
}

// stopInTheMidst begins a build and stops it when it has begun to write, and before it has ended: if the machine lets it be faster than
// this process, it is begun again.
func (k *killed) stopInTheMidst(out string, args ...string) (cmd *exec.Cmd, stdout *strings.Builder) {
	k.t.Helper()
	for {
		k.setUp(out)
		cmd, stdout = k.command(out), &strings.Builder{}
		cmd.Args, cmd.Stdout = append(cmd.Args, args...), stdout
		require.NoError(k.t, cmd.Start())
		eventually(k.t, "it is under way", func() bool {
			left, _ := filepath.Glob(filepath.Join(out, "s0.shard.*"))
			files, _ := filepath.Glob(filepath.Join(out, "*.shard"))
			return len(left) > 0 || len(files) > len(k.old)
		})
		_ = cmd.Process.Signal(syscall.SIGSTOP)
		lock, err := shardfile.AcquireLock(out)
		if err != nil { // it has it, and so is not over
			return cmd, stdout
		}
		require.NoError(k.t, lock.Release())
		_ = cmd.Process.Signal(syscall.SIGCONT) // it may still be on its way out
		require.NoError(k.t, cmd.Wait(), "%s", stdout)
	}
}

// Staleness is never by time: files may be of the future or of long ago.
func TestTimesOfFilesMeanNothing(t *testing.T) {
	root, out := folders(t)
	put(t, root, 3, 2)
	args := []string{"build", "-root", root, "-out", out, "-latency", "0", "-json"}
	code, _, _ := shards(t, args...)
	require.Zero(t, code)
	for _, jump := range []time.Duration{time.Hour, -time.Hour, -20 * 365 * 24 * time.Hour} {
		for _, dir := range []string{root, out} {
			files, err := filepath.Glob(filepath.Join(dir, "*"))
			require.NoError(t, err)
			deeper, err := filepath.Glob(filepath.Join(dir, "*", "*"))
			require.NoError(t, err)
			for _, name := range append(files, deeper...) {
				require.NoError(t, os.Chtimes(name, time.Now().Add(jump), time.Now().Add(jump)))
			}
		}
		code, stdout, _ := shards(t, args...)
		require.Zero(t, code)
		require.Zero(t, report(t, stdout).ShardsBuilt)
	}
	testkit.Report(t, "T62", 3)
}

// Several processes that begin at once after the owner was killed: one takes the lock over, the others are told.
func TestADeadOwnersFolderIsTakenOverByOne(t *testing.T) {
	root, out := folders(t)
	put(t, root, 1, 1)
	begin := func() *exec.Cmd {
		cmd := exec.Command(os.Args[0], "build", "-root", root, "-out", out, "-latency", "1h", "-timeout", "0")
		cmd.Env = append(os.Environ(), asProgram+"=1")
		require.NoError(t, cmd.Start())
		t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
		return cmd
	}
	locked := func() bool {
		lock, err := shardfile.AcquireLock(out)
		if err == nil {
			_ = lock.Release()
		}
		return err != nil && !os.IsNotExist(err)
	}
	owner, said := program(t, "build", "-root", root, "-out", out, "-latency", "1h", "-timeout", "0")
	said("1 in flight")
	require.True(t, locked())
	require.NoError(t, owner.Process.Kill())
	_ = owner.Wait()

	type end struct{ at, code int }
	ends := make(chan end)
	var all []*exec.Cmd
	for i := range 6 {
		cmd := begin()
		all = append(all, cmd)
		go func() { // ends with the process; the test waits for all
			_ = cmd.Wait()
			ends <- end{i, cmd.ProcessState.ExitCode()}
		}()
	}
	won := map[int]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true}
	for range 5 {
		e := <-ends
		require.Equal(t, exitUsage, e.code)
		delete(won, e.at)
	}
	require.Len(t, won, 1)
	for i := range won {
		require.NoError(t, all[i].Process.Kill())
	}
	<-ends
	testkit.Report(t, "T61", 6)
}
