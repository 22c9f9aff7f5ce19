//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package shardfile

import (
	"errors"
	"io/fs"
	"os"
)

// lockFile makes the file, where there is no flock. A dead owner's file stays: it has to be removed by hand.
func lockFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666)
	if errors.Is(err, fs.ErrExist) {
		return nil, ErrLocked
	}
	return f, err
}

func unlockFile(f *os.File) error {
	return errors.Join(f.Close(), os.Remove(f.Name()))
}
