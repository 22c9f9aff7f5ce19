// Package bucket is the store of snapshots over S3: a prefix of a bucket in place of a folder.
//
// SHARD/NAME.ndjson below the prefix is a snapshot, so the listing of the prefix up to the next slash gives the shards, and that
// of a shard its snapshots, page by page. Objects whose name begins with a dot are not seen, and neither is an object of the
// name PREFIX/ or PREFIX/SHARD/, which consoles make in place of a folder.
//
// A listing has an ETag for each object: that is the snapshot's tag. Every request for an object names it (If-Match), so what
// is read is what was listed, also when a body broke and the rest is asked for as a range; else the error is
// [store.ErrChanged]. All requests go over one transport, which keeps as many connections as there are requests at once.
package bucket

import (
	"fmt"
	"net/http"
	"path"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Options say which bucket, and how to reach it. Credentials are those of the environment: AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN; without them requests are not signed.
type Options struct {
	Endpoint string // http://HOST:PORT or https://HOST:PORT
	Region   string // empty: asked of Amazon, us-east-1 for others
	Bucket   string
	Prefix   string // of all keys, without a slash at its end; empty for the whole bucket
	InFlight int    // bodies that are open at once
	PageSize int    // objects of one page of a listing; 0 for the server's own, which is 1000
}

// Bucket is a [store.Store] and a place to generate into. Its methods are safe for concurrent use and block on the server.
// The zero Bucket is not usable; see [Open].
type Bucket struct {
	core      *minio.Core     // set by Open, read-only after, as all
	transport *http.Transport //
	bucket    string          //
	prefix    string          // empty, or with a slash at its end
	pageSize  int             //
}

var _ store.Store = (*Bucket)(nil)

// Open returns the bucket. It asks the server nothing: a bucket that is not there is an error of the first listing.
func Open(o Options) (*Bucket, error) {
	u, err := parseEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	if o.Region == "" && !s3utils.IsAmazonEndpoint(*u) {
		o.Region = "us-east-1" // not asked for: few servers have another one, and not all answer
	}
	t := newTransport(o.InFlight)
	core, err := minio.NewCore(u.Host, &minio.Options{
		Creds:     credentials.NewEnvAWS(),
		Secure:    u.Scheme == "https",
		Transport: listener{t},
		Region:    o.Region,
		// The program has its own pauses, which mind Retry-After and say what they wait for.
		MaxRetries: 1,
	})
	if err != nil {
		return nil, fmt.Errorf("endpoint %s: %w", o.Endpoint, err)
	}
	b := &Bucket{core: core, transport: t, bucket: o.Bucket, pageSize: o.PageSize}
	if o.Prefix != "" {
		b.prefix = o.Prefix + "/"
	}
	return b, nil
}

// newTransport returns a transport for so many bodies at once. Each keeps its connection when it was read to its end, and so
// does the listing, which goes on beside them.
func newTransport(inFlight int) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConns = inFlight + 1
	t.MaxIdleConnsPerHost = inFlight + 1
	t.ResponseHeaderTimeout = time.Minute
	t.DisableCompression = true // else an object stored with Content-Encoding: gzip would come decompressed
	return t
}

// Close lets go of the connections. What is open stays readable.
func (b *Bucket) Close() error {
	b.transport.CloseIdleConnections()
	return nil
}

// String returns the root as a URL.
func (b *Bucket) String() string { return b.url("") }

// url names an object of the root in messages, or the root itself.
func (b *Bucket) url(name string) string { return "s3://" + path.Join(b.bucket, b.prefix, name) }
