package shardfile

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"unsafe"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// Builder collects the records of one shard and writes its file. It is owned by one goroutine, and ends with
// [Builder.Persist] or [Builder.Abandon]; a further use is [ErrClosed].
//
// Memory: 16 bytes a record that was added, each key once, and fixed buffers. Records of an old file are not held.
type Builder struct {
	fsys   FS
	shard  string
	schema int
	from   *Reader         // nil if nothing is carried over
	keep   map[string]bool // snapshots of from that are carried over

	keys     []string // by id
	keyIDs   map[string]uint32
	keySize  int64 // estimated heap of keys, in bytes
	itemSize int64 // heap of all items, in bytes
	spill    spill
	taken    map[string]bool // snapshots that are in, kept or begun
	done     []*Intake
	open     int
	closed   bool
}

// Begin returns the builder of a shard. The snapshots named in keep are carried over from the old file, which the builder
// closes when it ends; from may be nil. Temporary files of an earlier build of this shard are removed; nothing is created
// yet. If it fails, from stays the caller's.
func Begin(fsys FS, shard string, schema int, from *Reader, keep []string) (*Builder, error) {
	if err := store.CheckName(shard); err != nil {
		return nil, fmt.Errorf("shard %q: %w", shard, err)
	}
	b := &Builder{
		fsys: fsys, shard: shard, schema: schema, from: from,
		keep: make(map[string]bool), taken: make(map[string]bool), keyIDs: make(map[string]uint32),
	}
	for _, name := range keep {
		if from == nil {
			return nil, fmt.Errorf("keep %q: no old file", name)
		}
		if _, ok := from.manifest.Find(name); !ok {
			return nil, fmt.Errorf("keep %q: not in the old file", name)
		}
		b.keep[name], b.taken[name] = true, true
	}
	b.spill = spill{fsys: fsys, name: FileName(shard) + extSpill}
	for _, name := range []string{b.spill.name, b.temp()} {
		if err := fsys.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, &FileError{File: name, Err: err}
		}
	}
	return b, nil
}

func (b *Builder) temp() string { return FileName(b.shard) + extTemp }

// Shard returns the shard's name.
func (b *Builder) Shard() string { return b.shard }

// IndexBytes returns an estimate of the heap that the builder holds, in bytes. It grows with [Intake.Add] and does not shrink
// before the end, except by [Intake.Drop].
func (b *Builder) IndexBytes() int64 {
	return spillBuffer + b.keySize + b.itemSize
}

// item is a record in the spill, which holds raw and stored length and CRC in front of the data.
type item struct {
	off int64
	key uint32 // id
}

const spillHeader = 12

// Intake takes the values of one snapshot. Several may be open at a time, and one that is dropped may be begun again. It is
// owned by the builder's goroutine.
type Intake struct {
	b        *Builder // nil after the end
	ingested Ingested // without size and checksum until Done
	items    []item
}

// push adds an item and keeps account of the heap.
func (in *Intake) push(it item) {
	before := cap(in.items)
	in.items = append(in.items, it)
	in.b.itemSize += int64(cap(in.items)-before) * int64(unsafe.Sizeof(it))
}

// Begin returns the intake of a snapshot, or [ErrDuplicate] if it is in the shard or has been begun.
func (b *Builder) Begin(snapshot string) (*Intake, error) {
	if b.closed {
		return nil, ErrClosed
	}
	if err := store.CheckName(snapshot); err != nil {
		return nil, fmt.Errorf("snapshot %q: %w", snapshot, err)
	}
	if b.taken[snapshot] {
		return nil, fmt.Errorf("snapshot %q: %w", snapshot, ErrDuplicate)
	}
	b.taken[snapshot] = true
	b.open++
	return &Intake{b: b, ingested: Ingested{Name: snapshot}}, nil
}

// Add takes the next values, in line order. It keeps their keys but not their data, and blocks only when the spill's buffer is
// full and goes to the file. After an error the builder can only be abandoned.
func (in *Intake) Add(values ...Value) error {
	b := in.b
	if b == nil || b.closed {
		return ErrClosed
	}
	for _, v := range values {
		if err := checkLengths(int64(v.Raw), int64(len(v.Data))); err != nil || max(v.Raw, len(v.Data)) > math.MaxInt32 {
			return fmt.Errorf("snapshot %q, key %q: not a compressed value", in.ingested.Name, v.Key)
		}
		head := le.AppendUint32(make([]byte, 0, spillHeader), uint32(v.Raw))
		head = le.AppendUint32(head, uint32(len(v.Data)))
		head = le.AppendUint32(head, v.CRC)
		off, err := b.spill.append(head, v.Data)
		if err != nil {
			return err
		}
		in.push(item{off: off, key: b.keyID(v.Key)})
		in.ingested.Records++
		in.ingested.BytesRaw += int64(v.Raw)
		in.ingested.BytesStored += int64(len(v.Data))
	}
	return nil
}

func (b *Builder) keyID(key string) uint32 {
	id, ok := b.keyIDs[key]
	if !ok {
		id = uint32(len(b.keys))
		b.keys = append(b.keys, key)
		b.keyIDs[key] = id
		b.keySize += int64(len(key)) + 64 // two headers, an id, and the map's share
	}
	return id
}

// Done makes the snapshot part of the shard. size and checksum are those of the stored bytes that were read, which
// [store.Stats] has.
func (in *Intake) Done(size int64, checksum string) error {
	b := in.b
	if b == nil || b.closed {
		return ErrClosed
	}
	in.ingested.Size, in.ingested.Checksum = size, checksum
	in.b = nil
	b.open--
	b.done = append(b.done, in)
	return nil
}

// Drop forgets the snapshot, which may then be begun again. What it wrote stays in the spill until the builder ends. After the
// end of the intake it does nothing.
func (in *Intake) Drop() {
	if b := in.b; b != nil {
		b.itemSize -= int64(cap(in.items)) * int64(unsafe.Sizeof(item{}))
		in.b, in.items = nil, nil
		b.open--
		delete(b.taken, in.ingested.Name)
	}
}

// Ingest takes a whole snapshot at once: [Builder.Begin], [Intake.Add], [Intake.Done].
func (b *Builder) Ingest(snapshot string, size int64, checksum string, values []Value) error {
	in, err := b.Begin(snapshot)
	if err != nil {
		return err
	}
	if err := in.Add(values...); err != nil {
		in.Drop()
		return err
	}
	return in.Done(size, checksum)
}

// Abandon ends the build, leaves the shard's file as it was, and removes the temporary files. After the end it does nothing.
func (b *Builder) Abandon() error {
	if b.closed {
		return nil
	}
	return b.end()
}

// end closes everything and lets go of all memory.
func (b *Builder) end() error {
	b.closed = true
	err := b.spill.drop()
	if b.from != nil {
		err = errors.Join(err, b.from.Close())
	}
	b.from, b.keep, b.taken, b.keys, b.keyIDs, b.done, b.keySize, b.itemSize = nil, nil, nil, nil, nil, nil, 0, 0
	return err
}
