package command

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

// onTmpfs is set in the process that may mount.
const onTmpfs = "SHARDS_ON_TMPFS"

// The real thing: a file system with room for half of the shards, which then is made larger. It needs a mount, which a process in name
// spaces of its own may make where the system allows that.
func TestAFullFileSystem(t *testing.T) {
	if os.Getenv(onTmpfs) == "" {
		cmd := exec.Command(os.Args[0], "-test.run=^TestAFullFileSystem$", "-test.v")
		cmd.Env = append(os.Environ(), onTmpfs+"=1", "CATALOGUE=")
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
			UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
			GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
		}
		out, err := cmd.CombinedOutput()
		if cmd.Process == nil || strings.Contains(string(out), "cannot mount") {
			t.Skipf("this system lets nobody mount: %v", err)
		}
		require.NoError(t, err, "%s", out)
		require.Contains(t, string(out), "--- PASS")
		testkit.Report(t, "T56", 1)
		return
	}
	root, out := folders(t)
	require.NoError(t, os.MkdirAll(out, 0o777))
	k := newKilled(t)
	room := 0
	for _, content := range k.want {
		room += len(content) / 2
	}
	if err := syscall.Mount("tmpfs", out, "tmpfs", 0, fmt.Sprintf("size=%d", room)); err != nil {
		t.Skip("cannot mount")
	}
	defer syscall.Unmount(out, 0)
	put(t, root, 3, 1)
	args := []string{"build", "-root", root, "-out", out, "-latency", "0", "-json"}
	code, _, stderr := shards(t, args...)
	require.Zero(t, code, stderr)
	args[2] = k.root
	code, stdout, stderr := shards(t, args...)
	require.Equal(t, exitFailed, code, stderr)
	r := report(t, stdout)
	require.Positive(t, r.ShardsFailed)
	for _, f := range r.Failures {
		require.Contains(t, f.Error, "no space left on device")
	}
	files := k.files(out)
	require.GreaterOrEqual(t, len(files), 3, "the old ones are whole")
	noTemps(t, out)
	require.NoError(t, syscall.Mount("tmpfs", out, "tmpfs", syscall.MS_REMOUNT, "size=64m"))
	code, _, stderr = shards(t, args...)
	require.Zero(t, code, stderr)
	for name, content := range k.want {
		is, err := os.ReadFile(filepath.Join(out, name))
		require.NoError(t, err)
		require.Equal(t, content, string(is))
	}
}
