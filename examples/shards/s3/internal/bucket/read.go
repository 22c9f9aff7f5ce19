package bucket

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/minio/minio-go/v7"
)

// object returns the name of a snapshot's object, below the root.
func object(shard string, snap store.Snapshot) string { return shard + "/" + snap.File() }

// options ask for the object that was listed and no other one, with its checksum, from offset on.
func options(snap store.Snapshot, offset int64) minio.GetObjectOptions {
	var o minio.GetObjectOptions
	o.Set("x-amz-checksum-mode", "ENABLED") // o.Checksum would have the client check it as well
	if snap.Tag != "" {
		_ = o.SetMatchETag(snap.Tag) // fails for an empty one only
	}
	if offset > 0 {
		_ = o.SetRange(offset, 0) // to the end; fails for a negative one only
	}
	return o
}

// checkNames returns an [*store.Error] if shard or snapshot have names that lead elsewhere.
func checkNames(shard string, snap store.Snapshot) error {
	if err := store.CheckName(shard); err != nil {
		return &store.Error{Shard: shard, Err: err}
	}
	if err := store.CheckName(snap.Name); err != nil {
		return &store.Error{Shard: shard, File: snap.File(), Err: err}
	}
	return nil
}

// Open implements [store.Store]: one request.
func (b *Bucket) Open(ctx context.Context, shard string, snap store.Snapshot, offset int64) (io.ReadCloser, error) {
	if err := checkNames(shard, snap); err != nil {
		return nil, err
	}
	fail := func(err error) (io.ReadCloser, error) {
		return nil, &store.Error{Shard: shard, File: snap.File(), Err: err}
	}
	if offset < 0 || offset > snap.Size {
		return fail(fmt.Errorf("offset %d of %d bytes", offset, snap.Size))
	}
	if offset == snap.Size && offset > 0 { // an empty range cannot be asked for
		if _, err := b.head(ctx, shard, snap); err != nil {
			return fail(err)
		}
		return io.NopCloser(http.NoBody), nil
	}
	c, name := newCall(ctx), object(shard, snap)
	resp, info, header, err := b.core.GetObject(c, b.bucket, b.prefix+name, options(snap, offset))
	if err != nil {
		return fail(b.fail(c, name, err))
	}
	if offset > 0 && header.Get("Content-Range") == "" {
		resp.Close()
		return fail(fmt.Errorf("%s: the server sent the whole object for a range of it", b.url(name)))
	}
	if info.Size != snap.Size-offset { // that of the answer
		resp.Close()
		return fail(fmt.Errorf("%s: %w: %d bytes, listed with %d", b.url(name), store.ErrChanged, offset+info.Size, snap.Size))
	}
	return &body{call: c, bucket: b, name: name, ReadCloser: resp, checksum: checksum(info)}, nil
}

// Checksum implements [store.Store]. It asks for the object's head, and reads the object only if that has no CRC-64/NVME:
// Amazon computes one for all objects that come without a checksum of another kind.
func (b *Bucket) Checksum(ctx context.Context, shard string, snap store.Snapshot) (string, error) {
	if err := checkNames(shard, snap); err != nil {
		return "", err
	}
	info, err := b.head(ctx, shard, snap)
	if err != nil {
		return "", &store.Error{Shard: shard, File: snap.File(), Err: err}
	}
	if sum := checksum(info); sum != "" {
		return sum, nil
	}
	body, err := store.OpenResuming(ctx, b, shard, snap, 0)
	if err != nil {
		return "", err
	}
	defer body.Close()
	sum := store.NewChecksum()
	if _, err := io.Copy(sum, body); err != nil {
		return "", &store.Error{Shard: shard, File: snap.File(), Err: err}
	}
	return store.Checksum(sum.Sum64()), nil
}

// head asks for the head of a snapshot's object.
func (b *Bucket) head(ctx context.Context, shard string, snap store.Snapshot) (info minio.ObjectInfo, err error) {
	name := object(shard, snap)
	err = b.retry(ctx, name, func(c *call) error {
		info, err = b.core.StatObject(c, b.bucket, b.prefix+name, options(snap, 0))
		return err
	})
	if err == nil && info.Size != snap.Size {
		err = fmt.Errorf("%s: %w: %d bytes, listed with %d", b.url(name), store.ErrChanged, info.Size, snap.Size)
	}
	return info, err
}

// checksum returns the checksum of the whole object in our form, "" if there is none.
func checksum(info minio.ObjectInfo) string {
	sum, err := base64.StdEncoding.DecodeString(info.ChecksumCRC64NVME)
	if err != nil || len(sum) != 8 {
		return ""
	}
	return store.Checksum(binary.BigEndian.Uint64(sum))
}

// body is an answer that is being read.
type body struct {
	io.ReadCloser
	call     *call
	bucket   *Bucket
	name     string
	checksum string
}

func (b *body) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF {
		err = b.bucket.fail(b.call, b.name, err)
	}
	return n, err
}

// Checksum returns that of the whole object, "" if the server does not know it.
func (b *body) Checksum() string { return b.checksum }
