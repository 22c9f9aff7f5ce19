package generate

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path"
	"strings"
)

// Place is where a store is made. Names are slash paths, SHARD/FILE, or FILE for one beside the shards' folders. The methods
// are safe for concurrent use and block on the place. [Folder] is one.
type Place interface {
	// ReadFile returns a whole file; one that is not there is an fs.ErrNotExist.
	ReadFile(ctx context.Context, name string) ([]byte, error)
	// WriteFile makes a file, or replaces it. One who lists the place meanwhile never sees a part of it. It keeps nothing of
	// content.
	WriteFile(ctx context.Context, name string, content []byte) error
	// Empty reports whether there is nothing at all in the place.
	Empty(ctx context.Context) (bool, error)
	// String names the place in messages.
	String() string
}

// Folder is the [Place] of a folder of the operating system. The zero Folder is not usable.
type Folder struct {
	path string   // set once, read-only after
	root *os.Root // set once, read-only after
}

var _ Place = (*Folder)(nil)

// OpenFolder returns the folder at path, which must exist. The caller closes it.
func OpenFolder(path string) (*Folder, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	return &Folder{path: path, root: root}, nil
}

// CreateFolder is [OpenFolder], but makes the folder, and those above it, if they are missing.
func CreateFolder(path string) (*Folder, error) {
	if err := os.MkdirAll(path, 0o777); err != nil {
		return nil, err
	}
	return OpenFolder(path)
}

// Close ends the use of the folder.
func (f *Folder) Close() error { return f.root.Close() }

// String returns the folder's path.
func (f *Folder) String() string { return f.path }

// ReadFile implements [Place].
func (f *Folder) ReadFile(_ context.Context, name string) ([]byte, error) {
	return f.root.ReadFile(name)
}

// WriteFile implements [Place]: by a rename.
func (f *Folder) WriteFile(_ context.Context, name string, content []byte) error {
	dir, file := path.Split(name)
	if dir != "" {
		if err := f.root.Mkdir(path.Clean(dir), 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	temp := dir + ".part-" + strings.TrimPrefix(file, ".")
	if err := f.root.WriteFile(temp, content, 0o666); err != nil {
		return err
	}
	return f.root.Rename(temp, name)
}

// Empty implements [Place].
func (f *Folder) Empty(context.Context) (bool, error) {
	entries, err := fs.ReadDir(f.root.FS(), ".")
	return len(entries) == 0, err
}
