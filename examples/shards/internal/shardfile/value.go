package shardfile

import (
	"bytes"
	"compress/flate"
	"hash/crc32"
	"io"
	"sync"
)

// The first byte of a stored value says how the rest is to be read.
const (
	flagRaw   = 0 // as it is: compression did not make it smaller
	flagFlate = 1
)

// maxExpansion bounds what a byte of deflate can become: 258 bytes per two bits, so 1032.
const maxExpansion = 1032

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Value is one object of one key, compressed alone. It does not depend on any other value.
type Value struct {
	Key  string
	Raw  int    // length of the object, in bytes
	Data []byte // as stored: a flag byte and the object, compressed if that made it smaller
	CRC  uint32 // CRC-32C of Data
}

// Compress returns object as it is stored; it keeps no reference to it. It is safe for concurrent use, does not block, and
// gives equal values for equal objects.
func Compress(key string, object []byte) Value {
	c := compressors.Get().(*compressor)
	defer compressors.Put(c)
	c.out.Reset()
	c.out.WriteByte(flagFlate)
	c.flate.Reset(&c.out)
	_, _ = c.flate.Write(object) // into memory: cannot fail
	_ = c.flate.Close()
	if c.out.Len() > len(object) { // with its flag byte, raw is len(object)+1
		c.out.Reset()
		c.out.WriteByte(flagRaw)
		c.out.Write(object)
	}
	data := bytes.Clone(c.out.Bytes())
	if c.out.Cap() > 1<<20 { // one large value must not be paid for ever
		c.out = bytes.Buffer{}
	}
	return Value{Key: key, Raw: len(object), Data: data, CRC: crc32.Checksum(data, castagnoli)}
}

// Expand returns the object of a stored value that has raw bytes; anything else in data is [ErrCorrupt]. It is safe for
// concurrent use and needs no more memory than data can stand for.
func Expand(data []byte, raw int64) ([]byte, error) {
	if err := checkLengths(raw, int64(len(data))); err != nil {
		return nil, err
	}
	switch data[0] {
	case flagRaw:
		if int64(len(data)-1) != raw {
			return nil, corrupt("value of %d bytes is stored as %d", raw, len(data)-1)
		}
		return bytes.Clone(data[1:]), nil
	case flagFlate:
	default:
		return nil, corrupt("value has flag %d", data[0])
	}
	e := expanders.Get().(*expander)
	defer expanders.Put(e)
	e.in.Reset(data[1:])
	if err := e.flate.(flate.Resetter).Reset(&e.in, nil); err != nil {
		return nil, err
	}
	object := make([]byte, raw)
	if _, err := io.ReadFull(e.flate, object); err != nil {
		return nil, corrupt("value does not decompress: %v", err)
	}
	var more [1]byte
	if n, err := e.flate.Read(more[:]); n != 0 || err != io.EOF {
		return nil, corrupt("value is longer than its %d bytes", raw)
	}
	if e.in.Len() != 0 {
		return nil, corrupt("value is followed by %d bytes", e.in.Len())
	}
	return object, nil
}

func checkLengths(raw, stored int64) error {
	if stored < 1 || raw < 0 || raw > stored*maxExpansion {
		return corrupt("value of %d bytes is stored in %d", raw, stored)
	}
	return nil
}

type compressor struct {
	flate *flate.Writer
	out   bytes.Buffer
}

type expander struct {
	flate io.ReadCloser
	in    bytes.Reader
}

var compressors = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, level)
	if err != nil {
		panic(err) // only for a level that does not exist
	}
	return &compressor{flate: w}
}}

var expanders = sync.Pool{New: func() any {
	return &expander{flate: flate.NewReader(bytes.NewReader(nil))}
}}

// level is part of the format: another one gives other bytes, so files of both would differ.
const level = flate.DefaultCompression
