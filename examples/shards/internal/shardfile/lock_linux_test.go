package shardfile

import (
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// A pipe in the place of the lock is refused: who is locked out reads the owner from it, and would wait for ever.
func TestALockThatIsAPipe(t *testing.T) {
	path := t.TempDir()
	require.NoError(t, syscall.Mkfifo(filepath.Join(path, LockName), 0o666))
	for range 2 {
		_, err := AcquireLock(path)
		require.ErrorContains(t, err, "no regular file")
	}
}
