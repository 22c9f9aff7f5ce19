package bucket

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"

	"github.com/go-genstage/genstage/examples/shards/internal/command"
	"github.com/minio/minio-go/v7/pkg/s3utils"
)

// Remote gives the program roots that are s3://BUCKET/PREFIX. The zero Remote is ready.
type Remote struct {
	endpoint, region string // set by flags
}

var _ command.Remote = (*Remote)(nil)

// amazon is the endpoint if neither flag nor environment names one.
const amazon = "https://s3.amazonaws.com"

// Scheme returns "s3".
func (r *Remote) Scheme() string { return "s3" }

// AddFlags defines -endpoint and -region. Their defaults are what the AWS tools take from the environment.
func (r *Remote) AddFlags(fs *flag.FlagSet) {
	fs.StringVar(&r.endpoint, "endpoint", cmp.Or(os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"), amazon),
		"URL of the S3 server; http:// for one without TLS")
	fs.StringVar(&r.region, "region", cmp.Or(os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION")),
		"the bucket's region; empty: asked of Amazon, us-east-1 for other servers")
}

// Open returns the bucket that root names. It asks the server nothing.
func (r *Remote) Open(_ context.Context, root string, inFlight int) (command.Root, error) {
	name, prefix, err := parseRoot(root)
	if err != nil {
		return nil, err
	}
	b, err := Open(Options{Endpoint: r.endpoint, Region: r.region, Bucket: name, Prefix: prefix, InFlight: inFlight})
	if err != nil {
		return nil, err // not a Root that holds a nil *Bucket
	}
	return b, nil
}

// parseRoot splits s3://BUCKET/PREFIX. The prefix is taken as it stands, since a key may have any character: nothing is
// unescaped.
func parseRoot(root string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(root, "s3://")
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !ok || bucket == "" {
		return "", "", fmt.Errorf("root %q: want s3://BUCKET or s3://BUCKET/PREFIX", root)
	}
	if err := s3utils.CheckValidBucketName(bucket); err != nil {
		return "", "", fmt.Errorf("root %q: %w", root, err)
	}
	return bucket, strings.TrimSuffix(prefix, "/"), nil
}

// parseEndpoint checks that it is the URL of a server, and of nothing on it.
func parseEndpoint(endpoint string) (*url.URL, error) {
	u, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("endpoint: %w", err)
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return nil, fmt.Errorf("endpoint %q: want http://HOST:PORT or https://HOST:PORT", u.Redacted())
	}
	return u, nil
}
