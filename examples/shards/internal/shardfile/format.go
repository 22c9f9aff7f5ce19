package shardfile

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

const (
	formatVersion = 1
	magicHead     = "GSSHARD\n"
	magicTail     = "\nGSHARD."
	headerSize    = 16
	footerSize    = 48
	indexSize     = 16 << 10 // a section is closed when its index is this long
)

var le = binary.LittleEndian

// header: magic, version, CRC of both.
func encodeHeader() []byte {
	b := append(make([]byte, 0, headerSize), magicHead...)
	b = le.AppendUint32(b, formatVersion)
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func checkHeader(b []byte) error {
	if !bytes.HasPrefix(b, []byte(magicHead)) {
		return corrupt("no shard file: it does not begin like one")
	}
	if crc32.Checksum(b[:12], castagnoli) != le.Uint32(b[12:]) {
		return corrupt("header: checksum differs")
	}
	if le.Uint32(b[8:]) != formatVersion {
		return ErrFormat
	}
	return nil
}

// footer is the last part of a file and says where the others are; the manifest follows the directory.
type footer struct {
	dirOff, dirLen, manLen int64
	dirCRC, manCRC         uint32
}

func (f footer) encode() []byte {
	b := make([]byte, 0, footerSize)
	b = le.AppendUint64(b, uint64(f.dirOff))
	b = le.AppendUint64(b, uint64(f.dirLen))
	b = le.AppendUint64(b, uint64(f.manLen))
	b = le.AppendUint32(b, f.dirCRC)
	b = le.AppendUint32(b, f.manCRC)
	b = le.AppendUint32(b, formatVersion)
	b = le.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, magicTail...)
}

func decodeFooter(b []byte, size int64) (footer, error) {
	if string(b[40:]) != magicTail {
		return footer{}, corrupt("footer: the file does not end like a shard file, it was cut or grew")
	}
	if crc32.Checksum(b[:36], castagnoli) != le.Uint32(b[36:]) || le.Uint32(b[32:]) != formatVersion {
		return footer{}, corrupt("footer: checksum differs")
	}
	f := footer{
		dirOff: int64(le.Uint64(b)), dirLen: int64(le.Uint64(b[8:])), manLen: int64(le.Uint64(b[16:])),
		dirCRC: le.Uint32(b[24:]), manCRC: le.Uint32(b[28:]),
	}
	rest := size - footerSize
	for _, n := range []int64{f.dirOff, f.dirLen, f.manLen} { // one by one, so that no sum overflows
		if n < 0 || n > rest {
			return footer{}, corrupt("footer: the parts do not fit the file")
		}
		rest -= n
	}
	if rest != 0 || f.dirOff < headerSize {
		return footer{}, corrupt("footer: the parts do not fill the file")
	}
	return f, nil
}

// section is an entry of the directory. Its records begin at off, its index follows them.
type section struct {
	firstKey            string
	off, recLen, idxLen int64
	records             int64
	idxCRC              uint32
}

func (s section) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(s.firstKey)))
	b = append(b, s.firstKey...)
	b = binary.AppendUvarint(b, uint64(s.recLen))
	b = binary.AppendUvarint(b, uint64(s.idxLen))
	b = binary.AppendUvarint(b, uint64(s.records))
	return le.AppendUint32(b, s.idxCRC)
}

// decodeDirectory returns the sections, which must fill the file from the header to end.
func decodeDirectory(b []byte, end int64) ([]section, error) {
	var all []section
	off := int64(headerSize)
	for d := (decoder{b: b}); len(d.b) > 0; {
		s := section{firstKey: string(d.bytes()), off: off, recLen: d.int(), idxLen: d.int(), records: d.int(), idxCRC: d.uint32()}
		room := end - off
		if d.bad || s.records == 0 || s.recLen > room || s.idxLen > room-s.recLen {
			return nil, corrupt("directory: section %d does not fit", len(all))
		}
		if n := len(all); n > 0 && s.firstKey < all[n-1].firstKey {
			return nil, corrupt("directory: section %d is out of order", n)
		}
		off += s.recLen + s.idxLen
		all = append(all, s)
	}
	if off != end {
		return nil, corrupt("directory: %d bytes belong to no section", end-off)
	}
	return all, nil
}

// entry is one record in an index.
type entry struct {
	key         string
	snap        int // index into the manifest's snapshots
	raw, stored int64
	crc         uint32
}

// An index is a sequence of runs: a key, the number of its records, then for each snapshot, lengths and CRC.
func appendEntry(b []byte, snap int, raw, stored int64, crc uint32) []byte {
	b = binary.AppendUvarint(b, uint64(snap))
	b = binary.AppendUvarint(b, uint64(raw))
	b = binary.AppendUvarint(b, uint64(stored))
	return le.AppendUint32(b, crc)
}

// index reads a section's index.
type index struct {
	decoder
	left int64 // records of the run
	key  string
	sum  int64 // stored bytes of the entries so far
	n    int64 // entries so far
}

// next returns the next entry; ok is false at the end, where the index must match its section.
func (x *index) next(s section, snaps int) (e entry, ok bool, err error) {
	if x.left == 0 {
		if len(x.b) == 0 {
			if x.sum != s.recLen || x.n != s.records {
				return entry{}, false, corrupt("index: does not list the section's records")
			}
			return entry{}, false, nil
		}
		key := string(x.bytes())
		if x.n == 0 && key != s.firstKey || x.n > 0 && key <= x.key {
			return entry{}, false, corrupt("index: key %q is out of order", key)
		}
		x.key = key
		if x.left = x.int(); x.left == 0 {
			x.bad = true
		}
	}
	e = entry{key: x.key, snap: int(x.int()), raw: x.int(), stored: x.int(), crc: x.uint32()}
	x.left--
	x.n++
	if x.bad || e.snap < 0 || e.snap >= snaps || e.stored > s.recLen-x.sum {
		return entry{}, false, corrupt("index: bad entry of key %q", x.key)
	}
	x.sum += e.stored
	return e, true, checkLengths(e.raw, e.stored)
}

// decoder takes numbers off the front of b; once something is missing, bad is set and all is zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) int() int64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 || int64(v) < 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return int64(v)
}

func (d *decoder) uint32() uint32 {
	if len(d.b) < 4 {
		d.bad, d.b = true, nil
		return 0
	}
	v := le.Uint32(d.b)
	d.b = d.b[4:]
	return v
}

func (d *decoder) bytes() []byte {
	n := d.int()
	if n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n]
	d.b = d.b[n:]
	return v
}
