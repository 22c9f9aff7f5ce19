// Package store reads snapshots from the place where an outside system puts them.
//
// # Shape
//
// A root holds one folder per shard, and a folder one file per snapshot: NAME.ndjson or NAME.ndjson.gz, each line a JSON
// object with a string field "key". Snapshots are ordered bytewise by NAME.
//
// [Store] is the small interface that the rest of the program knows; [Dir] is the one over a folder. [Decoder] turns the
// stored bytes of a snapshot into records, one line at a time, and measures what it read.
//
// # What is refused
//
// A name that begins with a dot is not seen at all: file systems, copy tools and editors leave such files, and one that is
// still being written is named so. Everything else that is not a shard or a snapshot (a file beside the folders, a link, a
// folder in a shard, another extension, both forms of one name, a name that [CheckName] refuses) is an error of that shard,
// told by [Store.Snapshots]; the other shards stay usable.
package store

import (
	"context"
	"io"
)

// Snapshot is one snapshot as the listing knows it. The zero value names none.
type Snapshot struct {
	Name     string // the file's name without its extension; gives the order
	Gzip     bool   // stored as NAME.ndjson.gz, else as NAME.ndjson
	Size     int64  // stored bytes
	Checksum string // of the stored bytes, in the form of [Checksum]; empty if the listing does not give it for free

	// Tag is the place's own name for the stored bytes (S3's ETag): as long as a snapshot has the same one, it has the same bytes.
	// The same bytes may come with another one. Empty if the place has none.
	Tag string
}

// File returns the name of the snapshot's file in the shard's folder.
func (s Snapshot) File() string {
	if s.Gzip {
		return s.Name + extPlain + extGzip
	}
	return s.Name + extPlain
}

// Store is a place that holds snapshots. All methods are safe for concurrent use, block on the place they read, and return
// early with ctx's error. What a shard or file does wrong comes back as an [*Error]; one that is not there is also an
// fs.ErrNotExist.
type Store interface {
	// Shards returns the names under the root in bytewise order, also those that are no usable shard: [Store.Snapshots]
	// tells what is wrong with one.
	Shards(ctx context.Context) ([]string, error)

	// Snapshots returns the snapshots of a shard in order. It opens none of them. Every unusable file of the folder is told,
	// joined into one error.
	Snapshots(ctx context.Context, shard string) ([]Snapshot, error)

	// Checksum returns the checksum of a snapshot's stored bytes, in the form of [Checksum]. It may cost a read of them
	// all, where the place does not keep it (a folder doesn't; S3 does, with CRC64NVME, and answers from the object's
	// head).
	Checksum(ctx context.Context, shard string, snap Snapshot) (string, error)

	// Open returns the stored bytes of a snapshot from offset on, not decompressed. Reading returns ctx's error once ctx is
	// done; the caller closes. A snapshot that is no longer the listed one is an error that is [ErrChanged]. A body may also
	// be a [Summed].
	Open(ctx context.Context, shard string, snap Snapshot, offset int64) (io.ReadCloser, error)
}

// Summed is a body from a place that knows what its bytes should be.
type Summed interface {
	// Checksum returns that of the whole snapshot, from its first byte on, in the form of [Checksum]; empty if the place does
	// not know.
	Checksum() string
}
