package store

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// MaxName is the longest name of a shard or snapshot, in bytes. A file system's usual 255 less room for the extensions that
// snapshots, shard files and their temporary files add.
const MaxName = 200

const (
	extPlain = ".ndjson"
	extGzip  = ".gz"
)

// CheckName returns nil if name can be that of a shard or of a snapshot, else an error that is [ErrName]: empty, longer
// than [MaxName], beginning with a dot (so also "." and ".."), with a path separator, control character or NUL, or not
// UTF-8. It looks at the name alone.
func CheckName(name string) error {
	switch {
	case name == "":
		return fmt.Errorf("%w: empty", ErrName)
	case len(name) > MaxName:
		return fmt.Errorf("%w: %d bytes, at most %d", ErrName, len(name), MaxName)
	case name[0] == '.':
		return fmt.Errorf("%w: begins with a dot", ErrName)
	case strings.ContainsAny(name, `/\`):
		return fmt.Errorf("%w: contains a path separator", ErrName)
	case !utf8.ValidString(name):
		return fmt.Errorf("%w: not UTF-8", ErrName)
	case strings.ContainsFunc(name, unicode.IsControl):
		return fmt.Errorf("%w: contains a control character", ErrName)
	}
	return nil
}

// ParseFile splits a file's name into the snapshot's name and form. Others are [ErrUnexpected] or [ErrName].
func ParseFile(file string) (Snapshot, error) {
	name, gz := strings.CutSuffix(file, extPlain+extGzip)
	if !gz {
		var plain bool
		if name, plain = strings.CutSuffix(file, extPlain); !plain {
			return Snapshot{}, fmt.Errorf("%w: want NAME.ndjson or NAME.ndjson.gz", ErrUnexpected)
		}
	}
	if err := CheckName(name); err != nil {
		return Snapshot{}, err
	}
	return Snapshot{Name: name, Gzip: gz}, nil
}

// SortSnapshots is how [Store.Snapshots] ends, whatever the place: it puts a shard's snapshots in order and finds those that
// have both forms. It returns an error that joins these and what was bad already, if there is anything.
func SortSnapshots(shard string, snaps []Snapshot, bad []error) ([]Snapshot, error) {
	slices.SortFunc(snaps, func(a, b Snapshot) int { return strings.Compare(a.Name, b.Name) })
	for i := 1; i < len(snaps); i++ {
		if snaps[i].Name == snaps[i-1].Name {
			bad = append(bad, &Error{Shard: shard, File: snaps[i].Name + extPlain, Err: ErrBoth})
		}
	}
	if len(bad) > 0 {
		return nil, errors.Join(bad...)
	}
	return snaps, nil
}
