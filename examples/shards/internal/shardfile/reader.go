package shardfile

import (
	"bufio"
	"hash/crc32"
	"io"
	"iter"
	"sort"
)

// Reader is an open shard file. Its methods are safe for concurrent use, block on reading the file, and report damage as a
// [*FileError] that is [ErrCorrupt], never by a panic. It holds the manifest and the directory, in memory about one key per
// 16 KiB of index.
type Reader struct {
	name     string // of the file
	file     File
	size     int64
	manifest *Manifest
	sections []section
}

// Version is a record of one key.
type Version struct {
	Snapshot string
	Value    []byte // the JSON object; the caller's
}

// Record is a record of any key.
type Record struct {
	Key string
	Version
}

// Open returns a reader of a shard's file, having checked all but sections. A file that is not there is an fs.ErrNotExist,
// one to be built again from scratch is [ErrCorrupt] or [ErrFormat]. The caller closes the reader.
func Open(fsys FS, shard string) (*Reader, error) {
	name := FileName(shard)
	f, err := fsys.Open(name)
	if err != nil {
		return nil, &FileError{File: name, Err: err}
	}
	r := &Reader{name: name, file: f}
	if err := r.load(shard); err != nil {
		f.Close()
		return nil, r.fail(err)
	}
	return r, nil
}

func (r *Reader) load(shard string) (err error) {
	if r.size, err = r.file.Size(); err != nil {
		return err
	}
	if r.size < headerSize+footerSize {
		return corrupt("only %d bytes", r.size)
	}
	head, err := r.readAt(0, headerSize)
	if err != nil {
		return err
	}
	if err := checkHeader(head); err != nil {
		return err
	}
	tail, err := r.readAt(r.size-footerSize, footerSize)
	if err != nil {
		return err
	}
	foot, err := decodeFooter(tail, r.size)
	if err != nil {
		return err
	}
	directory, err := r.readAt(foot.dirOff, foot.dirLen)
	if err != nil {
		return err
	}
	if crc32.Checksum(directory, castagnoli) != foot.dirCRC {
		return corrupt("directory: checksum differs")
	}
	manifest, err := r.readAt(foot.dirOff+foot.dirLen, foot.manLen)
	if err != nil {
		return err
	}
	if crc32.Checksum(manifest, castagnoli) != foot.manCRC {
		return corrupt("manifest: checksum differs")
	}
	if r.sections, err = decodeDirectory(directory, foot.dirOff); err != nil {
		return err
	}
	if r.manifest, err = decodeManifest(manifest); err != nil {
		return err
	}
	if r.manifest.Shard != shard {
		return corrupt("manifest: this is the file of shard %q", r.manifest.Shard)
	}
	var records int64
	for _, s := range r.sections {
		records += s.records
	}
	if records != r.manifest.Records() {
		return corrupt("manifest: %d records, the directory has %d", r.manifest.Records(), records)
	}
	return nil
}

// Manifest returns what the file was built from. It must not be modified.
func (r *Reader) Manifest() *Manifest { return r.manifest }

// Size returns the file's length in bytes.
func (r *Reader) Size() int64 { return r.size }

// Close ends the use of the reader. A second call is an error.
func (r *Reader) Close() error { return r.file.Close() }

// Get yields the versions of key in order of snapshots, those of one snapshot in order of lines; of the snapshot at alone if
// that is not empty. It reads and decompresses these records and no others, each one as it is asked for. The first error
// is yielded and ends it. A key or snapshot that the file does not have yields nothing.
func (r *Reader) Get(key, at string) iter.Seq2[Version, error] {
	return func(yield func(Version, error) bool) {
		only := -1
		if at != "" {
			i, ok := r.manifest.search(at)
			if !ok {
				return
			}
			only = i
		}
		// The key's first record is in the last section that begins before it, or begins with it.
		first := sort.Search(len(r.sections), func(i int) bool { return r.sections[i].firstKey >= key })
		for _, s := range r.sections[max(first-1, 0):] {
			if s.firstKey > key {
				return
			}
			if more, err := r.getIn(s, key, only, yield); err != nil {
				yield(Version{}, r.fail(err))
				return
			} else if !more {
				return
			}
		}
	}
}

func (r *Reader) getIn(s section, key string, only int, yield func(Version, error) bool) (more bool, err error) {
	x, err := r.index(s)
	if err != nil {
		return false, err
	}
	for {
		off := s.off + x.sum
		e, ok, err := x.next(s, len(r.manifest.Snapshots))
		if err != nil || !ok {
			return err == nil, err
		}
		if e.key > key {
			return false, nil
		}
		if e.key < key || only >= 0 && e.snap != only {
			continue
		}
		data, err := r.readAt(off, e.stored)
		if err != nil {
			return false, err
		}
		value, err := expand(e, data)
		if err != nil {
			return false, err
		}
		if !yield(Version{Snapshot: r.manifest.Snapshots[e.snap].Name, Value: value}, nil) {
			return false, nil
		}
	}
}

// All yields every record, by key, then snapshot, then line, and checks every byte of the file on the way. The first error is
// yielded and ends it. It holds one record, and one section's index.
func (r *Reader) All() iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		counts := make([]Ingested, len(r.manifest.Snapshots))
		c := cursor{r: r}
		for {
			e, err := c.next()
			if err == io.EOF {
				break
			}
			var data, value []byte
			if err == nil {
				data, err = c.data()
			}
			if err == nil {
				value, err = expand(e, data)
			}
			if err != nil {
				yield(Record{}, r.fail(err))
				return
			}
			counts[e.snap].Records++
			counts[e.snap].BytesRaw += e.raw
			counts[e.snap].BytesStored += e.stored
			if !yield(Record{Key: e.key, Version: Version{Snapshot: r.manifest.Snapshots[e.snap].Name, Value: value}}, nil) {
				return
			}
		}
		for i, s := range r.manifest.Snapshots {
			if s.Records != counts[i].Records || s.BytesRaw != counts[i].BytesRaw || s.BytesStored != counts[i].BytesStored {
				yield(Record{}, r.fail(corrupt("manifest: snapshot %q has %d records of %d bytes, not %d of %d",
					s.Name, counts[i].Records, counts[i].BytesRaw, s.Records, s.BytesRaw)))
				return
			}
		}
	}
}

func expand(e entry, data []byte) ([]byte, error) {
	if crc32.Checksum(data, castagnoli) != e.crc {
		return nil, corrupt("record of key %q: checksum differs", e.key)
	}
	value, err := Expand(data, e.raw)
	if err != nil {
		return nil, corrupt("record of key %q: %w", e.key, err)
	}
	return value, nil
}

func (r *Reader) index(s section) (index, error) {
	b, err := r.readAt(s.off+s.recLen, s.idxLen)
	if err != nil {
		return index{}, err
	}
	if crc32.Checksum(b, castagnoli) != s.idxCRC {
		return index{}, corrupt("index of the section at byte %d: checksum differs", s.off)
	}
	return index{decoder: decoder{b: b}}, nil
}

// readAt returns n bytes at off, both known to lie in the file.
func (r *Reader) readAt(off, n int64) ([]byte, error) {
	b := make([]byte, n)
	if k, err := r.file.ReadAt(b, off); int64(k) < n {
		if err == io.EOF {
			err = corrupt("ends at byte %d of %d", off+int64(k), r.size)
		}
		return nil, err
	}
	return b, nil
}

func (r *Reader) fail(err error) error { return &FileError{File: r.name, Err: err} }

// cursor reads all records of a file in order, its bytes from front to back.
type cursor struct {
	r       *Reader
	section int // the next one
	cur     section
	index   index
	records *bufio.Reader

	started bool
	last    entry
	unread  int64 // bytes of last's record that were not read
	buf     []byte
}

// next returns the next entry, io.EOF after the last. The record before it is skipped if it was not read.
func (c *cursor) next() (entry, error) {
	if c.unread > 0 {
		if _, err := c.records.Discard(int(c.unread)); err != nil {
			return entry{}, c.readError(err)
		}
		c.unread = 0
	}
	for {
		e, ok, err := entry{}, false, error(nil)
		if c.section > 0 {
			e, ok, err = c.index.next(c.cur, len(c.r.manifest.Snapshots))
		}
		if err != nil {
			return entry{}, err
		}
		if ok {
			if c.started && (e.key < c.last.key || e.key == c.last.key && e.snap < c.last.snap) {
				return entry{}, corrupt("index: key %q is out of order", e.key)
			}
			c.started, c.last, c.unread = true, e, e.stored
			return e, nil
		}
		if c.section == len(c.r.sections) {
			return entry{}, io.EOF
		}
		c.cur = c.r.sections[c.section]
		c.section++
		if c.index, err = c.r.index(c.cur); err != nil {
			return entry{}, err
		}
		part := io.NewSectionReader(c.r.file, c.cur.off, c.cur.recLen)
		if c.records == nil {
			c.records = bufio.NewReaderSize(part, 64<<10)
		} else {
			c.records.Reset(part)
		}
	}
}

// data returns the stored bytes of the last entry, valid until the next call. It is called at most once an entry.
func (c *cursor) data() ([]byte, error) {
	if int64(cap(c.buf)) < c.unread {
		c.buf = make([]byte, c.unread)
	}
	c.buf = c.buf[:c.unread]
	if _, err := io.ReadFull(c.records, c.buf); err != nil {
		return nil, c.readError(err)
	}
	c.unread = 0
	if crc32.Checksum(c.buf, castagnoli) != c.last.crc {
		return nil, corrupt("record of key %q: checksum differs", c.last.key)
	}
	return c.buf, nil
}

func (c *cursor) readError(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return corrupt("ends before the last record of a section")
	}
	return err
}
