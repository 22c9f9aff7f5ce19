package disk

import (
	"bytes"
	"fmt"
	"io/fs"
	"sync"
	"syscall"
)

// Model is an [FS] in memory that knows what would survive a crash, see [Model.Crashes]. It is safe for concurrent use. The
// zero Model is an empty folder that never fails.
type Model struct {
	// Fail is asked before each operation; its error is that of the operation, which then does nothing, except that a write
	// takes half. It is called with a lock held. Set before use; nil for never.
	Fail func(Op) error

	mu       sync.Mutex
	capacity int64             // bytes of all files; 0: no limit
	now      map[string]*inode // names as the process sees them
	stable   map[string]*inode // names as of the last SyncDir
	changes  []change          // of names, since then
	ops      []Op
}

// Op is an operation that changes the folder or opens a file of it.
type Op struct {
	N    int    // from 1
	What string // "create", "open", "write", "sync", "rename", "remove" or "sync folder"
	File string // its name before the operation; empty for the folder
}

// String returns the operation as a phrase.
func (o Op) String() string { return fmt.Sprintf("%d: %s %s", o.N, o.What, o.File) }

// inode is a file's content, whatever its name.
type inode struct {
	content []byte
	synced  int // so many bytes survive a crash
}

// change is a creation, rename or removal of what is at from: in a creation to is from, in a removal it is empty.
type change struct {
	from, to string
	file     *inode
}

// apply makes the change to names.
func (c change) apply(names map[string]*inode) {
	if names[c.from] == c.file {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.file
	}
}

// SetCapacity bounds the bytes of all files together, from the next write on: a write beyond takes what fits and fails with
// ENOSPC. 0 is no limit.
func (m *Model) SetCapacity(bytes int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.capacity = bytes
}

// Ops returns the operations so far, failed ones too.
func (m *Model) Ops() []Op {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.ops
}

// Put makes a file with this content, as if it had always been there.
func (m *Model) Put(name string, content []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	file := &inode{content: bytes.Clone(content), synced: len(content)}
	m.names()[name] = file
	m.stable[name] = file
}

// names returns the names as the process sees them. The caller holds mu.
func (m *Model) names() map[string]*inode {
	if m.now == nil {
		m.now, m.stable = map[string]*inode{}, map[string]*inode{}
	}
	return m.now
}

// begin notes an operation. The caller holds mu.
func (m *Model) begin(what, file string) error {
	op := Op{N: len(m.ops) + 1, What: what, File: file}
	m.ops = append(m.ops, op)
	if m.Fail == nil {
		return nil
	}
	return m.Fail(op)
}

// Create implements [FS].
func (m *Model) Create(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("create", name); err != nil {
		return nil, err
	}
	if m.names()[name] != nil {
		return nil, fs.ErrExist
	}
	file := &inode{}
	m.now[name] = file
	m.changes = append(m.changes, change{from: name, to: name, file: file})
	return &modelFile{disk: m, name: name, file: file}, nil
}

// Open implements [FS].
func (m *Model) Open(name string) (File, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("open", name); err != nil {
		return nil, err
	}
	file := m.names()[name]
	if file == nil {
		return nil, fs.ErrNotExist
	}
	return &modelFile{disk: m, name: name, file: file}, nil
}

// Rename implements [FS].
func (m *Model) Rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("rename", from); err != nil {
		return err
	}
	return m.move(from, to)
}

// Remove implements [FS].
func (m *Model) Remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("remove", name); err != nil {
		return err
	}
	return m.move(name, "")
}

// move renames, or removes if to is empty. The caller holds mu.
func (m *Model) move(from, to string) error {
	file := m.names()[from]
	if file == nil {
		return fs.ErrNotExist
	}
	delete(m.now, from)
	if to != "" {
		m.now[to] = file
	}
	m.changes = append(m.changes, change{from: from, to: to, file: file})
	return nil
}

// List implements [FS].
func (m *Model) List() ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for name := range m.now {
		names = append(names, name)
	}
	return names, nil
}

// SyncDir implements [FS].
func (m *Model) SyncDir() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.begin("sync folder", ""); err != nil {
		return err
	}
	m.names()
	for _, c := range m.changes {
		c.apply(m.stable)
	}
	m.changes = nil
	return nil
}

// room returns how many of n more bytes fit. The caller holds mu.
func (m *Model) room(n int) int {
	if m.capacity == 0 {
		return n
	}
	left := m.capacity
	for _, file := range m.now {
		left -= int64(len(file.content))
	}
	return int(min(int64(n), max(left, 0)))
}

type modelFile struct {
	disk   *Model
	name   string // that it was opened with
	file   *inode // content and synced are guarded by the disk's mu
	closed bool   // guarded by the disk's mu
}

func (f *modelFile) Write(p []byte) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	n, err := len(p), f.disk.begin("write", f.name)
	switch {
	case f.closed:
		return 0, fs.ErrClosed
	case err != nil:
		n /= 2
	default:
		if n = f.disk.room(n); n < len(p) {
			err = syscall.ENOSPC
		}
	}
	f.file.content = append(f.file.content, p[:n]...)
	return n, err
}

func (f *modelFile) ReadAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return 0, fs.ErrClosed
	}
	return bytes.NewReader(f.file.content).ReadAt(p, off)
}

func (f *modelFile) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.disk.begin("sync", f.name); err != nil {
		return err
	}
	f.file.synced = len(f.file.content)
	return nil
}

func (f *modelFile) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return int64(len(f.file.content)), nil
}

func (f *modelFile) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if f.closed {
		return fs.ErrClosed
	}
	f.closed = true
	return nil
}
