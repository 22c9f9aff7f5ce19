package shardfile

import (
	"bufio"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLockHasOneOwner(t *testing.T) {
	path := t.TempDir()
	lock, err := AcquireLock(path)
	require.NoError(t, err)
	_, err = AcquireLock(path)
	require.ErrorIs(t, err, ErrLocked)
	require.ErrorContains(t, err, fmt.Sprint(os.Getpid()), "names the owner")
	require.NoError(t, lock.Release())
	require.NoError(t, lock.Release())
	again, err := AcquireLock(path)
	require.NoError(t, err, "given back")
	require.NoError(t, again.Release())
	_, err = AcquireLock(path + "/absent")
	require.ErrorIs(t, err, fs.ErrNotExist)
}

const lockPath = "SHARDFILE_TEST_LOCK"

func TestDeadOwnersLockIsTakenOverOnce(t *testing.T) {
	if path := os.Getenv(lockPath); path != "" { // the owner: holds the lock until it is killed
		_, err := AcquireLock(path)
		fmt.Println("lock:", err)
		_, _ = bufio.NewReader(os.Stdin).ReadByte()
		return
	}
	path := t.TempDir()
	owner := exec.Command(os.Args[0], "-test.run=^TestDeadOwnersLockIsTakenOverOnce$")
	owner.Env = append(os.Environ(), lockPath+"="+path)
	_, err := owner.StdinPipe() // stays open
	require.NoError(t, err)
	out, err := owner.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, owner.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	require.Equal(t, "lock: <nil>\n", line)
	_, err = AcquireLock(path)
	require.ErrorIs(t, err, ErrLocked)

	require.NoError(t, owner.Process.Kill())
	require.Error(t, owner.Wait())
	lock, err := AcquireLock(path)
	require.NoError(t, err)
	_, err = AcquireLock(path)
	require.ErrorIs(t, err, ErrLocked)
	require.NoError(t, lock.Release())
}
