package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
)

// Dir is the [Store] over a folder. It goes through an [os.Root], so that nothing outside the folder is read whatever is
// in it, and it follows no symbolic link below the root. The zero Dir is not usable; see [OpenDir].
type Dir struct {
	root *os.Root // set by OpenDir, read-only after
}

var _ Store = (*Dir)(nil)

// OpenDir returns the store over the folder at path, which must exist (and may itself be a link). The caller closes it.
func OpenDir(path string) (*Dir, error) {
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return &Dir{root: root}, nil
}

// Close ends the use of the store. Bodies that are open stay readable.
func (d *Dir) Close() error { return d.root.Close() }

// Shards implements [Store]: one reading of the root's entries.
func (d *Dir) Shards(ctx context.Context) ([]string, error) {
	names, err := d.list(ctx, ".")
	if err != nil {
		return nil, fmt.Errorf("list the store: %w", err)
	}
	return names, nil
}

// Snapshots implements [Store]: one reading of the folder's entries, and a stat of each.
func (d *Dir) Snapshots(ctx context.Context, shard string) ([]Snapshot, error) {
	if err := d.checkShard(shard); err != nil {
		return nil, err
	}
	files, err := d.list(ctx, shard)
	if err != nil {
		return nil, &Error{Shard: shard, Err: err}
	}
	var snaps []Snapshot
	var bad []error
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return nil, &Error{Shard: shard, Err: err}
		}
		snap, err := ParseFile(file)
		if err == nil {
			var info fs.FileInfo
			if info, err = d.lstatRegular(shard, file); err == nil {
				snap.Size = info.Size()
				snaps = append(snaps, snap)
				continue
			}
			if errors.Is(err, fs.ErrNotExist) { // gone since the folder was read
				continue
			}
		}
		bad = append(bad, &Error{Shard: shard, File: file, Err: err})
	}
	return SortSnapshots(shard, snaps, bad)
}

// Checksum implements [Store]. It reads the whole file, once, at the speed of the disk.
func (d *Dir) Checksum(ctx context.Context, shard string, snap Snapshot) (string, error) {
	body, err := d.Open(ctx, shard, snap, 0)
	if err != nil {
		return "", err
	}
	defer body.Close()
	sum := NewChecksum()
	if _, err := io.CopyBuffer(sum, body, make([]byte, 128<<10)); err != nil {
		return "", &Error{Shard: shard, File: snap.File(), Err: err}
	}
	return Checksum(sum.Sum64()), nil
}

// Open implements [Store].
func (d *Dir) Open(ctx context.Context, shard string, snap Snapshot, offset int64) (io.ReadCloser, error) {
	fail := func(err error) (io.ReadCloser, error) {
		return nil, &Error{Shard: shard, File: snap.File(), Err: err}
	}
	if err := ctx.Err(); err != nil {
		return fail(err)
	}
	if err := d.checkShard(shard); err != nil {
		return nil, err
	}
	if err := CheckName(snap.Name); err != nil {
		return fail(err)
	}
	if offset < 0 || offset > snap.Size {
		return fail(fmt.Errorf("offset %d of %d bytes", offset, snap.Size))
	}
	seen, err := d.lstatRegular(shard, snap.File())
	if err != nil {
		return fail(err)
	}
	file, err := d.root.Open(path.Join(shard, snap.File()))
	if err != nil {
		return fail(plain(err))
	}
	opened, err := file.Stat()
	switch {
	case err != nil:
	case !os.SameFile(seen, opened): // a link was put in its place meanwhile
		err = ErrChanged
	case opened.Size() != snap.Size:
		err = fmt.Errorf("%w: %d bytes, listed with %d", ErrChanged, opened.Size(), snap.Size)
	default:
		_, err = file.Seek(offset, io.SeekStart)
	}
	if err != nil {
		file.Close()
		return fail(plain(err))
	}
	return &body{ctx: ctx, file: file}, nil
}

// list returns the names in a folder below the root, sorted, without those that begin with a dot.
func (d *Dir) list(ctx context.Context, folder string) ([]string, error) {
	dir, err := d.root.Open(folder)
	if err != nil {
		return nil, plain(err)
	}
	defer dir.Close()
	var names []string
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		part, err := dir.Readdirnames(1024)
		for _, name := range part {
			if name[0] != '.' {
				names = append(names, name)
			}
		}
		if err == io.EOF {
			slices.Sort(names)
			return names, nil
		}
		if err != nil {
			return nil, plain(err)
		}
	}
}

func (d *Dir) checkShard(shard string) error {
	if err := CheckName(shard); err != nil {
		return &Error{Shard: shard, Err: err}
	}
	info, err := d.root.Lstat(shard)
	if err != nil {
		return &Error{Shard: shard, Err: plain(err)}
	}
	if !info.IsDir() {
		return &Error{Shard: shard, Err: fmt.Errorf("%w: %s where a shard's folder should be", ErrUnexpected, kind(info))}
	}
	return nil
}

func (d *Dir) lstatRegular(shard, file string) (fs.FileInfo, error) {
	info, err := d.root.Lstat(path.Join(shard, file))
	if err != nil {
		return nil, plain(err)
	}
	if !info.Mode().IsRegular() { // checked before opening: opening a pipe would wait for a writer
		return nil, fmt.Errorf("%w: %s where a snapshot should be", ErrUnexpected, kind(info))
	}
	return info, nil
}

func kind(info fs.FileInfo) string {
	switch mode := info.Mode(); {
	case mode.IsRegular():
		return "a file"
	case mode.IsDir():
		return "a folder"
	case mode&fs.ModeSymlink != 0:
		return "a symbolic link"
	}
	return "a special file"
}

// plain drops operation and path from a file error: shard and file are named around it.
func plain(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// body is an open snapshot. It keeps ctx, as a response's body keeps its request's, since Read takes none.
type body struct {
	ctx  context.Context
	file *os.File
}

func (b *body) Read(p []byte) (int, error) {
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	return b.file.Read(p)
}

func (b *body) Close() error { return b.file.Close() }
