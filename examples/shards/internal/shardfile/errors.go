package shardfile

import (
	"errors"
	"fmt"
)

// Failures that a caller tells apart, with errors.Is.
var (
	// ErrCorrupt: a shard file is damaged. It has to be built again from scratch.
	ErrCorrupt = errors.New("corrupt")

	// ErrFormat: a shard file is of another version of this format. It has to be built again from scratch.
	ErrFormat = errors.New("other format version")

	// ErrLocked: another process, or another lock of this one, owns the folder.
	ErrLocked = errors.New("locked by another process")

	// ErrDuplicate: a snapshot was begun that is in the shard already.
	ErrDuplicate = errors.New("snapshot is in the shard already")

	// ErrClosed: a Builder or Intake was used after its end.
	ErrClosed = errors.New("used after its end")
)

// FileError says which file of the folder a failure belongs to.
type FileError struct {
	File string
	Err  error
}

// Error returns file and cause on one line.
func (e *FileError) Error() string { return fmt.Sprintf("file %q: %v", e.File, e.Err) }

// Unwrap returns the cause.
func (e *FileError) Unwrap() error { return e.Err }

func corrupt(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrCorrupt}, args...)...)
}
