package shardfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
)

// memDisk is an FS that remembers what would survive a crash. It fails every operation from number failAt on, or that one
// alone; the operations are counted from 1.
type memDisk struct {
	now    map[string]*memData // names as the process sees them
	stable map[string]*memData // names as of the last SyncDir

	ops    int
	failAt int  // 0: never
	dead   bool // all operations after failAt fail too: the power went
	trace  []string
}

type memData struct {
	content []byte
	synced  []byte // content as of the last Sync
}

var errDisk = errors.New("disk failed")

func newMemDisk() *memDisk {
	return &memDisk{now: map[string]*memData{}, stable: map[string]*memData{}}
}

func (d *memDisk) op(format string, args ...any) error {
	d.ops++
	d.trace = append(d.trace, fmt.Sprintf(format, args...))
	if d.failAt > 0 && (d.ops == d.failAt || d.dead && d.ops > d.failAt) {
		return errDisk
	}
	return nil
}

// crash returns the disks that may be found after a crash: of what was not synced nothing, half or all is there, for
// contents and for names.
func (d *memDisk) crash() []*memDisk {
	var found []*memDisk
	for _, names := range []map[string]*memData{d.stable, d.now} {
		for part := range 3 {
			disk := newMemDisk()
			for name, data := range names {
				content := bytes.Clone(data.content)
				if !bytes.Equal(data.synced, data.content) {
					content = bytes.Clone(data.content[:len(data.content)*part/2])
				}
				disk.now[name] = &memData{content: content, synced: content}
			}
			disk.stable = maps.Clone(disk.now)
			found = append(found, disk)
		}
	}
	return found
}

func (d *memDisk) Create(name string) (File, error) {
	if err := d.op("create %s", name); err != nil {
		return nil, err
	}
	if d.now[name] != nil {
		return nil, fs.ErrExist
	}
	d.now[name] = &memData{}
	return &memFile{disk: d, name: name, data: d.now[name]}, nil
}

func (d *memDisk) Open(name string) (File, error) {
	if err := d.op("open %s", name); err != nil {
		return nil, err
	}
	if d.now[name] == nil {
		return nil, fs.ErrNotExist
	}
	return &memFile{disk: d, name: name, data: d.now[name]}, nil
}

func (d *memDisk) Rename(from, to string) error {
	if err := d.op("rename %s %s", from, to); err != nil {
		return err
	}
	d.now[to] = d.now[from]
	delete(d.now, from)
	return nil
}

func (d *memDisk) Remove(name string) error {
	if err := d.op("remove %s", name); err != nil {
		return err
	}
	if d.now[name] == nil {
		return fs.ErrNotExist
	}
	delete(d.now, name)
	return nil
}

func (d *memDisk) List() ([]string, error) {
	var names []string
	for name := range d.now {
		names = append(names, name)
	}
	return names, nil
}

func (d *memDisk) SyncDir() error {
	if err := d.op("sync folder"); err != nil {
		return err
	}
	d.stable = maps.Clone(d.now)
	return nil
}

type memFile struct {
	disk   *memDisk
	name   string
	data   *memData
	closed bool
}

func (f *memFile) Write(p []byte) (int, error) {
	if err := f.disk.op("write %s", f.name); err != nil {
		n := len(p) / 2 // a full disk takes a part
		f.data.content = append(f.data.content, p[:n]...)
		return n, err
	}
	f.data.content = append(f.data.content, p...)
	return len(p), nil
}

func (f *memFile) ReadAt(p []byte, off int64) (int, error) {
	if f.closed {
		return 0, fs.ErrClosed
	}
	return bytes.NewReader(f.data.content).ReadAt(p, off)
}

func (f *memFile) Sync() error {
	if err := f.disk.op("sync %s", f.name); err != nil {
		return err
	}
	f.data.synced = bytes.Clone(f.data.content)
	return nil
}

func (f *memFile) Size() (int64, error) { return int64(len(f.data.content)), nil }

func (f *memFile) Close() error {
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}

var _ io.ReaderAt = (*memFile)(nil)
