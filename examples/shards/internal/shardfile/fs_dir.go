package shardfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// Dir is the [FS] of a folder of the operating system, through an [os.Root]: no name leads out of it. It is safe for
// concurrent use on different names. The zero Dir is not usable.
type Dir struct {
	root *os.Root // set by OpenDir, read-only after
}

var _ FS = (*Dir)(nil)

// OpenDir returns the folder at path, which must exist. The caller closes it.
func OpenDir(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open shard folder: %w", err)
	}
	return &Dir{root: root}, nil
}

// CreateDir is [OpenDir], but makes the folder, and those above it, if they are missing. What it made lasts: else a crash could
// take the folder away with all that was synced in it.
func CreateDir(path string) (*Dir, error) {
	if err := makeDir(filepath.Clean(path)); err != nil {
		return nil, fmt.Errorf("make shard folder: %w", err)
	}
	return OpenDir(path)
}

// makeDir makes the missing folders from the top down, and syncs the folder that each was made in.
func makeDir(path string) error {
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil
	}
	above := filepath.Dir(path)
	if above != path {
		if err := makeDir(above); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := OpenDir(above)
	if err != nil {
		return err
	}
	return errors.Join(dir.SyncDir(), dir.Close())
}

// Close ends the use of the folder. Open files stay open.
func (d *Dir) Close() error { return d.root.Close() }

// Create implements [FS].
func (d *Dir) Create(name string) (File, error) {
	return osFile(d.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o666))
}

// Open implements [FS].
func (d *Dir) Open(name string) (File, error) {
	info, err := d.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() { // opening a pipe would wait for a writer
		return nil, fmt.Errorf("open %s: not a regular file", name)
	}
	return osFile(d.root.Open(name))
}

// Rename implements [FS].
func (d *Dir) Rename(from, to string) error { return d.root.Rename(from, to) }

// Remove implements [FS].
func (d *Dir) Remove(name string) error { return d.root.Remove(name) }

// List implements [FS].
func (d *Dir) List() ([]string, error) {
	dir, err := d.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	return dir.Readdirnames(-1)
}

// SyncDir implements [FS]. On Windows, where folders cannot be synced, it does nothing.
func (d *Dir) SyncDir() error {
	if runtime.GOOS == "windows" {
		return nil
	}
	dir, err := d.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

type fileOf struct{ *os.File }

func (f fileOf) Size() (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

func osFile(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, err // not a File that holds a nil *os.File
	}
	return fileOf{f}, nil
}
