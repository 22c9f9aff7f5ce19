package bucket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"io"

	"github.com/go-genstage/genstage/examples/shards/internal/generate"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/minio/minio-go/v7"
)

var _ generate.Place = (*Bucket)(nil)

// ReadFile implements [generate.Place].
func (b *Bucket) ReadFile(ctx context.Context, name string) (content []byte, err error) {
	err = b.retry(ctx, name, func(c *call) error {
		body, _, _, err := b.core.GetObject(c, b.bucket, b.prefix+name, minio.GetObjectOptions{})
		if err != nil {
			return err
		}
		defer body.Close()
		content, err = io.ReadAll(body)
		return err
	})
	return content, err
}

// WriteFile implements [generate.Place], with one request. It sends the CRC-64/NVME along, for servers that would not compute it.
// The content is signed as a whole, not in chunks: those have bytes even for an empty object, and a server that leaves them unread
// (versitygw does, when it makes a folder) takes them for the beginning of the next request.
func (b *Bucket) WriteFile(ctx context.Context, name string, content []byte) error {
	sum := store.NewChecksum()
	sum.Write(content)
	var options minio.PutObjectOptions
	options.UserMetadata = map[string]string{
		"x-amz-checksum-crc64nvme": base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum.Sum64())),
	}
	options.DisableContentSha256 = true // of chunks
	signed := sha256.Sum256(content)
	return b.retry(ctx, name, func(c *call) error {
		_, err := b.core.PutObject(c, b.bucket, b.prefix+name, bytes.NewReader(content), int64(len(content)), "", hex.EncodeToString(signed[:]), options)
		return err
	})
}

// Empty implements [generate.Place].
func (b *Bucket) Empty(ctx context.Context) (bool, error) {
	l, err := b.list(ctx, "")
	return len(l.folders)+len(l.objects) == 0 && !l.marked, err
}
