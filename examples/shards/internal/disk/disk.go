// Package disk is a folder as the code that writes shard files sees it, [FS], and a model of one, [Model], that can be full,
// fail at any operation, and lose at a crash whatever was not synced.
package disk

import "io"

// FS is one flat folder. Names have no separators. A file that is not there is an fs.ErrNotExist.
type FS interface {
	Create(name string) (File, error) // new, to write and read; one that is there is an error
	Open(name string) (File, error)   // to read
	Rename(from, to string) error     // replaces to
	Remove(name string) error         //
	List() ([]string, error)          // all names, in any order
	SyncDir() error                   // makes creations, renames and removals last
}

// File is an open file of an [FS]. Write appends.
type File interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Sync() error          // makes what was written last
	Size() (int64, error) // bytes
}
