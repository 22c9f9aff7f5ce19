package shardfile

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// LockName is the name of the lock's file in the folder. It holds the owner's process id and, where the system has flock,
// stays when the lock is given back: that it is there means nothing.
const LockName = ".lock"

// Lock is the ownership of a folder of shard files.
type Lock struct{ file *os.File }

// AcquireLock takes the ownership of the folder at path, which must exist. It does not wait: if a live process has it, or this
// one already, the error is [ErrLocked] and names the owner. A dead owner's lock is taken over (where there is no flock,
// not: then the error's file has to be removed by hand).
func AcquireLock(path string) (*Lock, error) {
	name := filepath.Join(path, LockName)
	f, err := lockFile(name)
	if errors.Is(err, ErrLocked) {
		owner, _ := os.ReadFile(name)
		return nil, fmt.Errorf("lock %s (owner %.20q): %w", name, strings.TrimSpace(string(owner)), err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(f, os.Getpid()) // only for the message
	}
	return &Lock{file: f}, nil
}

// Release gives the ownership back. A second call does nothing.
func (l *Lock) Release() error {
	if l.file == nil {
		return nil
	}
	f := l.file
	l.file = nil
	return unlockFile(f)
}
