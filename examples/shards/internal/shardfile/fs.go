package shardfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-genstage/genstage/examples/shards/internal/disk"
)

// FS is the folder that shard files are in: [Dir], or a [disk.Model] in tests.
type FS = disk.FS

// File is an open file of an [FS].
type File = disk.File

const (
	extShard = ".shard"
	extTemp  = ".tmp"
	extSpill = ".spill"
	extTags  = ".tags"
)

// FileName returns the name of a shard's file.
func FileName(shard string) string { return shard + extShard }

// Shards returns the shards that have a file, in bytewise order.
func Shards(fsys FS) ([]string, error) {
	names, err := fsys.List()
	if err != nil {
		return nil, fmt.Errorf("list shard files: %w", err)
	}
	var shards []string
	for _, name := range names {
		if shard, ok := strings.CutSuffix(name, extShard); ok && shard != "" && shard[0] != '.' {
			shards = append(shards, shard)
		}
	}
	slices.Sort(shards)
	return shards, nil
}

// IsTemp reports whether name is that of a temporary file of a build.
func IsTemp(name string) bool {
	return strings.HasSuffix(name, extShard+extTemp) || strings.HasSuffix(name, extShard+extSpill) || strings.HasSuffix(name, extTags+extTemp)
}

// CleanTemps removes the temporary files of all shards. Only the owner of the folder may call it, see [AcquireLock], and only
// while nothing is being built.
func CleanTemps(fsys FS) error {
	names, err := fsys.List()
	if err != nil {
		return fmt.Errorf("list shard files: %w", err)
	}
	var errs []error
	for _, name := range names {
		if IsTemp(name) {
			errs = append(errs, fsys.Remove(name))
		}
	}
	return errors.Join(errs...)
}
