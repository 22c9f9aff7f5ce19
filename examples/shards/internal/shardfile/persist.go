package shardfile

import (
	"cmp"
	"container/heap"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strings"
)

// Persisted says what a build wrote.
type Persisted struct {
	Manifest *Manifest
	Size     int64 // of the file, in bytes
}

// Persist writes the shard's file and ends the builder, whatever it returns. On an error the file is as it was, save that
// after a failed sync of the folder it may be the new one; no temporary file stays, unless the folder refuses to remove it.
// An intake that is still open is an error. It blocks on reading and writing all records, and looks at ctx now and then. An
// old file that is found damaged is [ErrCorrupt]: build again from scratch.
func (b *Builder) Persist(ctx context.Context) (Persisted, error) {
	if b.closed {
		return Persisted{}, ErrClosed
	}
	p, err := b.persist(ctx)
	if err != nil {
		err = errors.Join(fmt.Errorf("persist shard %q: %w", b.shard, err), b.Abandon())
		return Persisted{}, err
	}
	return p, nil
}

func (b *Builder) persist(ctx context.Context) (Persisted, error) {
	if b.open > 0 {
		return Persisted{}, fmt.Errorf("%d snapshots are not done", b.open)
	}
	manifest := b.merged()
	temp, final := b.temp(), FileName(b.shard)
	f, err := b.fsys.Create(temp)
	if err != nil {
		return Persisted{}, &FileError{File: temp, Err: err}
	}
	size, err := b.write(ctx, f, manifest)
	if err == nil {
		err = f.Sync()
	}
	err = errors.Join(err, f.Close())
	if err == nil {
		err = b.end() // before the rename: what fails from here on must leave the old file
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = b.fsys.Rename(temp, final)
	}
	if err != nil {
		return Persisted{}, errors.Join(&FileError{File: temp, Err: err}, b.fsys.Remove(temp))
	}
	if err := b.fsys.SyncDir(); err != nil {
		return Persisted{}, &FileError{File: final, Err: fmt.Errorf("sync its folder: %w", err)}
	}
	return Persisted{Manifest: manifest, Size: size}, nil
}

// merged returns the manifest of the new file.
func (b *Builder) merged() *Manifest {
	m := &Manifest{Shard: b.shard, Schema: b.schema}
	if b.from != nil {
		for _, s := range b.from.manifest.Snapshots {
			if b.keep[s.Name] {
				m.Snapshots = append(m.Snapshots, s)
			}
		}
	}
	for _, in := range b.done {
		m.Snapshots = append(m.Snapshots, in.ingested)
	}
	slices.SortFunc(m.Snapshots, func(a, b Ingested) int { return strings.Compare(a.Name, b.Name) })
	return m
}

func (b *Builder) write(ctx context.Context, f File, m *Manifest) (int64, error) {
	w, err := newWriter(f)
	if err != nil {
		return 0, err
	}
	added := b.addedSource(m)
	kept := b.keptSource(m)
	for n := 0; ; n++ {
		if n%1024 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		if err := errors.Join(added.err, kept.err); err != nil {
			return 0, err
		}
		next := added
		if !added.ok || kept.ok && (kept.key < added.key || kept.key == added.key && kept.snap < added.snap) {
			next = kept
		}
		if !next.ok {
			break
		}
		e, data, err := next.read()
		if err != nil {
			return 0, err
		}
		if err := w.add(e, data); err != nil {
			return 0, err
		}
		next.advance()
	}
	err = w.finish(m)
	return w.off, err
}

// source yields records in the order of the file; key and snap are those of the next one, if ok.
type source struct {
	ok   bool
	key  string
	snap int // in the new manifest
	err  error

	read    func() (entry, []byte, error) // of the next one, at most once
	advance func()
}

// keptSource yields the records of the old file that are carried over, as they are stored.
func (b *Builder) keptSource(m *Manifest) *source {
	s := &source{advance: func() {}}
	if len(b.keep) == 0 {
		return s
	}
	place := make([]int, len(b.from.manifest.Snapshots)) // old index to new
	for i, snap := range b.from.manifest.Snapshots {
		place[i] = -1
		if b.keep[snap.Name] {
			place[i], _ = m.search(snap.Name)
		}
	}
	c := &cursor{r: b.from}
	var e entry
	s.advance = func() {
		for {
			var err error
			if e, err = c.next(); err != nil {
				if s.ok = false; err != io.EOF {
					s.err = b.from.fail(err)
				}
				return
			}
			if place[e.snap] >= 0 {
				s.ok, s.key, s.snap = true, e.key, place[e.snap]
				return
			}
		}
	}
	s.read = func() (entry, []byte, error) {
		data, err := c.data()
		if err != nil {
			return entry{}, nil, b.from.fail(err)
		}
		e.snap = s.snap
		return e, data, nil
	}
	s.advance()
	return s
}

// addedSource yields the records that were added. Each snapshot's are sorted by key, then line, and the snapshots merged.
func (b *Builder) addedSource(m *Manifest) *source {
	ids := make([]uint32, len(b.keys))
	for i := range ids {
		ids[i] = uint32(i)
	}
	slices.SortFunc(ids, func(x, y uint32) int { return strings.Compare(b.keys[x], b.keys[y]) })
	rank := make([]uint32, len(ids))
	for r, id := range ids {
		rank[id] = uint32(r)
	}
	var h runs
	for _, in := range b.done {
		slices.SortFunc(in.items, func(x, y item) int {
			return cmp.Or(cmp.Compare(rank[x.key], rank[y.key]), cmp.Compare(x.off, y.off))
		})
		if len(in.items) > 0 {
			snap, _ := m.search(in.ingested.Name)
			h = append(h, &run{snap: snap, rank: rank, items: in.items, view: view{s: &b.spill}})
		}
	}
	heap.Init(&h)
	s := new(source)
	set := func() {
		if s.ok = len(h) > 0; s.ok {
			s.key, s.snap = b.keys[h[0].items[0].key], h[0].snap
		}
	}
	s.advance = func() {
		if h[0].items = h[0].items[1:]; len(h[0].items) == 0 {
			heap.Pop(&h)
		} else {
			heap.Fix(&h, 0)
		}
		set()
	}
	s.read = func() (entry, []byte, error) {
		return h[0].read(s.key)
	}
	set()
	return s
}

// run is what is left of one snapshot.
type run struct {
	snap  int
	rank  []uint32 // of key ids
	items []item
	view  view
}

func (r *run) read(key string) (entry, []byte, error) {
	off := r.items[0].off
	head, err := r.view.at(off, spillHeader)
	if err != nil {
		return entry{}, nil, err
	}
	e := entry{key: key, snap: r.snap, raw: int64(le.Uint32(head)), stored: int64(le.Uint32(head[4:])), crc: le.Uint32(head[8:])}
	data, err := r.view.at(off+spillHeader, e.stored)
	if err == nil && crc32.Checksum(data, castagnoli) != e.crc {
		err = fmt.Errorf("file %q: what was written is not what is read", r.view.s.name) // not ErrCorrupt: the old file is fine
	}
	return e, data, err
}

// runs is a heap of runs by their first item.
type runs []*run

func (h runs) Len() int      { return len(h) }
func (h runs) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h runs) Less(i, j int) bool {
	a, b := h[i], h[j]
	return cmp.Or(cmp.Compare(a.rank[a.items[0].key], b.rank[b.items[0].key]), cmp.Compare(a.snap, b.snap)) < 0
}

// Push is called by nobody: runs only leave.
func (h *runs) Push(any) { panic("shardfile: a run is never added") }

func (h *runs) Pop() any {
	last := len(*h) - 1
	r := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return r
}
