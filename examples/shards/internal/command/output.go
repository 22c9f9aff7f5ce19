package command

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
)

// output is where a build writes to: the folder of the shard files, which it has locked, and the file of the trace.
type output struct {
	dir      *shardfile.Dir
	lock     *shardfile.Lock
	file     *os.File // of the trace; nil if none is asked for
	buffered *bufio.Writer
}

// openOutput makes the folder if it is not there, and takes away what a build that was killed has left in it. An empty trace is none.
func openOutput(folder, trace string, stderr io.Writer) (*output, error) {
	dir, err := shardfile.CreateDir(folder)
	if err != nil {
		return nil, err
	}
	lock, err := shardfile.AcquireLock(folder)
	if err != nil {
		dir.Close()
		return nil, err
	}
	o := &output{dir: dir, lock: lock}
	if err := shardfile.CleanTemps(dir); err != nil { // of a shard that is to be built, it is told again
		fmt.Fprintf(stderr, "shards: a temporary file stays: %v\n", err)
	}
	if trace == "" {
		return o, nil
	}
	if o.file, err = os.Create(trace); err != nil {
		o.close()
		return nil, err
	}
	o.buffered = bufio.NewWriter(o.file)
	return o, nil
}

// trace returns what the trace goes to, nil if none is asked for.
func (o *output) trace() io.Writer {
	if o.buffered == nil {
		return nil
	}
	return o.buffered
}

// flushTrace writes the rest of the trace, and returns what went wrong with any of it.
func (o *output) flushTrace(meter *build.Meter) error {
	if o.buffered == nil {
		return nil
	}
	return errors.Join(meter.TraceErr(), o.buffered.Flush())
}

func (o *output) close() {
	if o.file != nil {
		o.file.Close()
	}
	o.lock.Release()
	o.dir.Close()
}

// inside reports whether out, which need not exist, is root or lies in it.
func inside(root, out string) bool {
	top, err := os.Stat(root)
	if err != nil {
		return false
	}
	if out, err = filepath.Abs(out); err != nil {
		return false
	}
	for real, err := filepath.EvalSymlinks(out); ; real, err = filepath.EvalSymlinks(out) {
		if err == nil { // it is there; where it leads to counts
			out = real
		}
		if dir, err := os.Stat(out); err == nil && os.SameFile(dir, top) {
			return true
		}
		if filepath.Dir(out) == out {
			return false
		}
		out = filepath.Dir(out)
	}
}
