//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package shardfile

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lockFile takes the kernel's lock on f. The kernel drops it with the last descriptor, so a dead owner holds none.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o666)
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() { // who reads the owner in a pipe would wait for a writer
		return nil, errors.Join(err, f.Close(), fmt.Errorf("%s is no regular file", path))
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, ErrLocked
		}
		return nil, err
	}
	return f, nil
}

func unlockFile(f *os.File) error { return f.Close() }
