package shardfile

import (
	"bufio"
	"encoding/binary"
	"hash/crc32"
)

// writer writes a shard file from front to back. It keeps the directory and one section's index in memory.
type writer struct {
	out *bufio.Writer
	off int64

	section  section
	index    []byte // runs that are complete
	run      []byte // entries of the last run
	runKey   string
	runCount int64

	directory []byte
}

func newWriter(f File) (*writer, error) {
	w := &writer{out: bufio.NewWriterSize(f, 64<<10)}
	return w, w.write(encodeHeader())
}

// add writes the next record; the caller keeps the order.
func (w *writer) add(e entry, data []byte) error {
	if w.section.records > 0 && len(w.index)+len(w.run) >= indexSize {
		if err := w.closeSection(); err != nil {
			return err
		}
	}
	if w.section.records == 0 {
		w.section.firstKey, w.section.off = e.key, w.off
	}
	if w.runCount > 0 && w.runKey != e.key {
		w.closeRun()
	}
	w.runKey = e.key
	w.runCount++
	w.run = appendEntry(w.run, e.snap, e.raw, e.stored, e.crc)
	w.section.records++
	w.section.recLen += e.stored
	return w.write(data)
}

func (w *writer) closeRun() {
	w.index = binary.AppendUvarint(w.index, uint64(len(w.runKey)))
	w.index = append(w.index, w.runKey...)
	w.index = binary.AppendUvarint(w.index, uint64(w.runCount))
	w.index = append(w.index, w.run...)
	w.run, w.runCount = w.run[:0], 0
}

func (w *writer) closeSection() error {
	w.closeRun()
	w.section.idxLen = int64(len(w.index))
	w.section.idxCRC = crc32.Checksum(w.index, castagnoli)
	if err := w.write(w.index); err != nil {
		return err
	}
	w.directory = w.section.append(w.directory)
	w.section, w.index = section{}, w.index[:0]
	return nil
}

// finish writes what follows the sections and flushes; it does not sync.
func (w *writer) finish(m *Manifest) error {
	if w.section.records > 0 {
		if err := w.closeSection(); err != nil {
			return err
		}
	}
	manifest, err := m.encode()
	if err != nil {
		return err
	}
	foot := footer{
		dirOff: w.off, dirLen: int64(len(w.directory)), manLen: int64(len(manifest)),
		dirCRC: crc32.Checksum(w.directory, castagnoli), manCRC: crc32.Checksum(manifest, castagnoli),
	}
	for _, part := range [][]byte{w.directory, manifest, foot.encode()} {
		if err := w.write(part); err != nil {
			return err
		}
	}
	return w.out.Flush()
}

func (w *writer) write(b []byte) error {
	n, err := w.out.Write(b)
	w.off += int64(n)
	return err
}
