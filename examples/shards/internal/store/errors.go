package store

import (
	"errors"
	"fmt"
	"strings"
)

// What can be wrong with a shard or a snapshot. An [*Error] wraps them; compare with errors.Is.
var (
	ErrName       = errors.New("unusable name")                       // see CheckName
	ErrUnexpected = errors.New("unexpected file")                     // neither shard nor snapshot
	ErrBoth       = errors.New("both NAME.ndjson and NAME.ndjson.gz") // two files for one snapshot
	ErrChanged    = errors.New("changed since it was listed")         // size or file differs

	ErrChecksum = errors.New("not the bytes that are listed") // their checksum differs
	ErrDamaged  = errors.New("damaged on the way")            // not the bytes that the place has a checksum of

	ErrTruncated   = errors.New("truncated")              // gzip ends early, or the last line is cut
	ErrNotGzip     = errors.New("not gzip")               // named .gz but has no gzip header
	ErrCorrupt     = errors.New("corrupt gzip")           // damaged, or followed by something else
	ErrNotJSON     = errors.New("not JSON")               // a line is no JSON text in UTF-8
	ErrNotObject   = errors.New("not a JSON object")      // a line is JSON, but no object
	ErrNoKey       = errors.New(`no field "key"`)         // an object has none
	ErrKeyType     = errors.New(`"key" is no string`)     // an object's is not a string
	ErrTwoKeys     = errors.New(`two fields "key"`)       // an object has several
	ErrKeyTooLong  = errors.New("key too long")           // more than Limits.Key
	ErrLineTooLong = errors.New("line too long")          // more than Limits.Line
	ErrTooLarge    = errors.New("decompressed too large") // more than Limits.Ratio or Limits.Decoded allow
)

// Error says which shard, file and line a failure belongs to.
type Error struct {
	Shard string // as listed
	File  string // name in the shard's folder; empty if the shard as a whole is meant
	Line  int64  // from 1; 0 if no line is meant
	Err   error  // the cause
}

// Error returns shard, file, line and cause on one line. Names are quoted, so that a hostile one cannot forge output.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "shard %q", e.Shard)
	if e.File != "" {
		fmt.Fprintf(&b, ", file %q", e.File)
	}
	if e.Line > 0 {
		fmt.Fprintf(&b, ", line %d", e.Line)
	}
	fmt.Fprintf(&b, ": %v", e.Err)
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
