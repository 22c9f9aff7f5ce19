package bucket

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/minio/minio-go/v7"
)

// listing is what stands below a prefix, up to the next slash.
type listing struct {
	folders []string           // names, without the slash
	objects []minio.ObjectInfo // Key is the name
	marked  bool               // there is something: an object of the prefix's own name, or a hidden one
}

// list returns what is below folder, "" for the root, page by page. Names that begin with a dot are left out.
func (b *Bucket) list(ctx context.Context, folder string) (listing, error) {
	prefix := b.prefix
	if folder != "" {
		prefix += folder + "/"
	}
	var l listing
	owner := false
	err := b.retry(ctx, folder, func(c *call) error {
		l = listing{}
		pages := minio.ListObjectsOptions{Prefix: prefix, MaxKeys: b.pageSize, FetchOwner: &owner}
		for object := range b.core.ListObjectsIter(c, b.bucket, pages) {
			if object.Err != nil {
				return object.Err
			}
			name, isFolder := strings.CutSuffix(strings.TrimPrefix(object.Key, prefix), "/")
			switch {
			case object.Key == prefix, strings.HasPrefix(name, "."):
				l.marked = true
			case isFolder:
				l.folders = append(l.folders, name)
			default:
				object.Key = name
				l.objects = append(l.objects, object)
			}
		}
		return c.Err() // with which the client ends a listing as if it were complete
	})
	return l, err
}

// Shards implements [store.Store]: one listing. A name that an object has as well as a folder is taken for the folder's.
func (b *Bucket) Shards(ctx context.Context) ([]string, error) {
	l, err := b.list(ctx, "")
	if err != nil {
		return nil, fmt.Errorf("list the store: %w", err)
	}
	names := l.folders
	for _, o := range l.objects {
		names = append(names, o.Key)
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Snapshots implements [store.Store]: one listing.
func (b *Bucket) Snapshots(ctx context.Context, shard string) ([]store.Snapshot, error) {
	if err := store.CheckName(shard); err != nil {
		return nil, &store.Error{Shard: shard, Err: err}
	}
	l, err := b.list(ctx, shard)
	if err != nil {
		return nil, &store.Error{Shard: shard, Err: err}
	}
	if len(l.folders)+len(l.objects) == 0 && !l.marked {
		return nil, &store.Error{Shard: shard, Err: b.absent(ctx, shard)}
	}
	var snaps []store.Snapshot
	var bad []error
	for _, name := range l.folders {
		bad = append(bad, &store.Error{Shard: shard, File: name, Err: fmt.Errorf("%w: a folder where a snapshot should be", store.ErrUnexpected)})
	}
	for _, o := range l.objects {
		snap, err := store.ParseFile(o.Key)
		if err != nil {
			bad = append(bad, &store.Error{Shard: shard, File: o.Key, Err: err})
			continue
		}
		snap.Size, snap.Tag = o.Size, o.ETag
		snaps = append(snaps, snap)
	}
	return store.SortSnapshots(shard, snaps, bad)
}

// absent says why nothing is below a shard's name: there is no such shard, or it is an object.
func (b *Bucket) absent(ctx context.Context, shard string) error {
	err := b.retry(ctx, shard, func(c *call) error {
		_, err := b.core.StatObject(c, b.bucket, b.prefix+shard, minio.StatObjectOptions{})
		return err
	})
	if err == nil {
		return fmt.Errorf("%w: an object where a shard's folder should be", store.ErrUnexpected)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s/: %w", b.url(shard), fs.ErrNotExist)
	}
	return err
}
