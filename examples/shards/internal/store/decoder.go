package store

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

const (
	readBuffer = 64 << 10 // decoded bytes read ahead
	keepLine   = 1 << 20  // a line buffer that grew beyond this is not kept for the next line

	// So many decoded bytes are measured against the whole snapshot's stored ones, what is beyond also against those that
	// were read for it: the beginning of a sound snapshot may well be more repetitive than the rest.
	freeDecoded = 16 << 20
)

// Record is one line of a snapshot.
type Record struct {
	Key   string
	Value []byte // the JSON object as stored, without white space around it; valid until the next call of Next
	Line  int64  // from 1
}

// Stats is what a [Decoder] read so far; after io.EOF it describes the whole snapshot.
type Stats struct {
	Size     int64  // stored bytes
	Checksum string // of them, in the form of [Checksum]
	Decoded  int64  // bytes after decompression
	Records  int64
}

// Decoder reads the records of a snapshot, holding one line and a fixed buffer. It is used by one goroutine.
//
// A .gz may have several members, one after the other. What follows the last must be nothing, else the snapshot is
// [ErrCorrupt]. A .gz of no bytes is [ErrTruncated]; a plain file of none, or a .gz that decompresses to nothing, is a
// snapshot without records. Lines of nothing but white space are counted and skipped, a carriage return before the line's
// end is white space, the last line may lack its end. A line must be UTF-8, and "key" is matched exactly, not without case.
type Decoder struct {
	shard, file string
	gzip        bool
	size        int64  // as listed
	checksum    string // as listed; empty if it is not, or in another form
	limits      Limits

	src     *measure
	lines   *bufio.Reader // nil before the first Next
	long    []byte        // a line that is longer than the buffer of lines
	line    int64
	decoded int64
	records int64
	err     error // sticky
}

// NewDecoder returns a decoder of the stored bytes in body, which the caller closes. shard and snap name them in errors, snap
// also says how they are compressed, how many there should be and, if the listing has it, their checksum. Nothing is read yet.
func NewDecoder(body io.Reader, shard string, snap Snapshot, limits Limits) *Decoder {
	d := &Decoder{
		shard: shard, file: snap.File(), gzip: snap.Gzip, size: snap.Size, limits: limits.orDefault(),
		src: &measure{r: body, sum: NewChecksum()},
	}
	if strings.HasPrefix(snap.Checksum, checksumForm) {
		d.checksum = snap.Checksum
	}
	return d
}

// Stats returns what was read so far.
func (d *Decoder) Stats() Stats {
	return Stats{Size: d.src.n, Checksum: Checksum(d.src.sum.Sum64()), Decoded: d.decoded, Records: d.records}
}

// Next returns the next record, or io.EOF after the last one, once all stored bytes were read and are as many as listed.
// It blocks on the body; it looks at ctx once a call and once per 64 KiB of a long line. Any other error is an [*Error] and
// final: the same one is returned from then on.
func (d *Decoder) Next(ctx context.Context) (Record, error) {
	for d.err == nil {
		if err := ctx.Err(); err != nil {
			d.fail(0, err)
			break
		}
		text, ended, err := d.readLine(ctx)
		if err == io.EOF {
			d.err = io.EOF
			if d.src.n != d.size {
				d.fail(0, fmt.Errorf("%w: %d bytes read, listed with %d", ErrChanged, d.src.n, d.size))
			} else if is := Checksum(d.src.sum.Sum64()); d.checksum != "" && is != d.checksum {
				d.fail(0, fmt.Errorf("%w: %s, listed with %s", ErrChecksum, is, d.checksum))
			}
			break
		}
		if err != nil {
			d.fail(d.line+1, err)
			break
		}
		d.line++
		if text = bytes.Trim(text, " \t\r\n"); len(text) == 0 {
			continue
		}
		key, err := d.parse(text)
		if err != nil {
			if !ended && errors.Is(err, ErrNotJSON) {
				err = fmt.Errorf("%w: the last line has no end: %w", ErrTruncated, err)
			}
			d.fail(d.line, err)
			break
		}
		d.records++
		return Record{Key: key, Value: text, Line: d.line}, nil
	}
	return Record{}, d.err
}

func (d *Decoder) fail(line int64, err error) {
	d.err = &Error{Shard: d.shard, File: d.file, Line: line, Err: err}
}

// readLine returns the next line with its end, whether it had one, and io.EOF only if nothing is left.
func (d *Decoder) readLine(ctx context.Context) (line []byte, ended bool, err error) {
	if d.lines == nil {
		if err := d.start(); err != nil {
			return nil, false, err
		}
	}
	if cap(d.long) > keepLine {
		d.long = nil
	}
	d.long = d.long[:0]
	for {
		part, err := d.lines.ReadSlice('\n')
		d.decoded += int64(len(part))
		if tooLarge := d.checkDecoded(); tooLarge != nil {
			return nil, false, tooLarge
		}
		line, ended := part, err == nil
		if len(d.long) > 0 || err == bufio.ErrBufferFull {
			d.long = append(d.long, part...)
			line = d.long
		}
		if n := len(line); n-1 > d.limits.Line || n > d.limits.Line && !ended {
			return nil, false, fmt.Errorf("%w: more than %d bytes", ErrLineTooLong, d.limits.Line)
		}
		switch {
		case ended:
			return line, true, nil
		case err == bufio.ErrBufferFull:
			if err := ctx.Err(); err != nil {
				return nil, false, err
			}
		case err == io.EOF && len(line) > 0:
			return line, false, nil
		case err == io.EOF:
			return nil, false, io.EOF
		default:
			return nil, false, d.readError(err)
		}
	}
}

// start reads the gzip header, if there is to be one.
func (d *Decoder) start() error {
	if !d.gzip {
		d.lines = bufio.NewReaderSize(d.src, readBuffer)
		return nil
	}
	zip, err := gzip.NewReader(bufio.NewReaderSize(d.src, readBuffer))
	switch {
	case err == io.EOF:
		return fmt.Errorf("%w: no bytes, not even a gzip header", ErrTruncated)
	case err == gzip.ErrHeader:
		return ErrNotGzip
	case err != nil:
		return d.readError(err)
	}
	d.lines = bufio.NewReaderSize(zip, readBuffer)
	return nil
}

// readError says what a failed read means: the body's own failure, or that of the gzip around it.
func (d *Decoder) readError(err error) error {
	corrupt, isCorrupt := errors.AsType[flate.CorruptInputError](err)
	switch {
	case d.src.err != nil:
		return d.src.err
	case err == io.ErrUnexpectedEOF:
		return fmt.Errorf("%w: the gzip data ends early", ErrTruncated)
	case err == gzip.ErrHeader:
		return fmt.Errorf("%w: something else follows it", ErrCorrupt)
	case err == gzip.ErrChecksum:
		return fmt.Errorf("%w: checksum differs", ErrCorrupt)
	case isCorrupt:
		return fmt.Errorf("%w: at stored byte %d", ErrCorrupt, int64(corrupt))
	}
	return err
}

func (d *Decoder) checkDecoded() error {
	if d.decoded > d.limits.Decoded {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, d.limits.Decoded)
	}
	if !d.gzip || d.decoded == 0 {
		return nil
	}
	stored := d.size
	if d.decoded > freeDecoded {
		stored = min(stored, d.src.n) // a bomb goes off at its beginning, not when all of it has been decompressed
	}
	if (d.decoded-1)/d.limits.Ratio >= stored { // decoded > ratio × stored, without overflow
		return fmt.Errorf("%w: %d bytes so far, more than %d times the %d stored ones", ErrTooLarge, d.decoded, d.limits.Ratio, stored)
	}
	return nil
}

func (d *Decoder) parse(text []byte) (string, error) {
	if !utf8.Valid(text) {
		return "", fmt.Errorf("%w: not UTF-8", ErrNotJSON)
	}
	if !json.Valid(text) {
		var v json.RawMessage // once more, for the reason
		return "", fmt.Errorf("%w: %w", ErrNotJSON, json.Unmarshal(text, &v))
	}
	if text[0] != '{' {
		return "", ErrNotObject
	}
	key, err := findKey(text)
	if err == nil && len(key) > d.limits.Key {
		err = fmt.Errorf("%w: %d bytes, at most %d", ErrKeyTooLong, len(key), d.limits.Key)
	}
	return key, err
}
