package gateway

import (
	"context"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/backend"
	"github.com/versity/versitygw/s3err"
	"github.com/versity/versitygw/s3response"
)

// Tally is what the server saw of a bucket. Objects whose name begins with a dot do not count.
type Tally struct {
	Gets, Heads, Lists, Puts int // requests; a page of a listing is one
	Ranges                   int // of the gets
	Open, Most               int // objects being got, from the request on until the last byte was read: now, and at most
}

// Answers a test may want instead of the right one.
var (
	ErrForbidden error = s3err.GetAPIError(s3err.ErrAccessDenied) // 403
	ErrSlowDown  error = s3err.GetAPIError(s3err.ErrSlowDown)     // 503
)

// watch stands in the server, between its protocol and its files.
type watch struct {
	backend.Backend

	mu      sync.Mutex
	buckets map[string]*watched // guarded by mu
}

type watched struct {
	tally    Tally
	answer   func(op, key string) error // nil: none
	delay    time.Duration              // before each object
	hold     int                        // objects are held back until so many are open; 0: not
	released chan struct{}              // closed when they no longer are
}

// of returns what is known of a bucket. The caller holds mu. The names in a request lie in memory that the server uses again for
// the next one.
func (w *watch) of(bucket string) *watched {
	b := w.buckets[bucket]
	if b == nil {
		b = &watched{released: make(chan struct{})}
		w.buckets[strings.Clone(bucket)] = b
	}
	return b
}

// Take returns what the server saw of a bucket since the last Take.
func (g *Gateway) Take(bucket string) Tally {
	g.watch.mu.Lock()
	defer g.watch.mu.Unlock()
	b := g.watch.of(bucket)
	was := b.tally
	b.tally = Tally{Open: was.Open, Most: was.Open}
	return was
}

// Hold makes the server keep objects of a bucket back, as a slow one would, until so many are asked for at once. With 0 it lets
// all go.
func (g *Gateway) Hold(bucket string, n int) {
	g.watch.mu.Lock()
	defer g.watch.mu.Unlock()
	b := g.watch.of(bucket)
	close(b.released)
	b.hold, b.released = n, make(chan struct{})
}

// Delay makes the server wait before it sends an object of a bucket, as one that is far away does.
func (g *Gateway) Delay(bucket string, d time.Duration) {
	g.watch.mu.Lock()
	defer g.watch.mu.Unlock()
	g.watch.of(bucket).delay = d
}

// Answer has f asked first for every request of a bucket; op is get, head, list or put. What it returns is the answer, if not nil.
// It is called by several goroutines at once, and must not keep what it is given.
func (g *Gateway) Answer(bucket string, f func(op, key string) error) {
	g.watch.mu.Lock()
	defer g.watch.mu.Unlock()
	g.watch.of(bucket).answer = f
}

// request counts a request and returns another answer to it, if there is to be one.
func (w *watch) request(bucket, op, key string, count func(t *Tally)) error {
	w.mu.Lock()
	b := w.of(bucket)
	if !hidden(key) {
		count(&b.tally)
	}
	answer := b.answer
	w.mu.Unlock()
	if answer == nil {
		return nil
	}
	return answer(op, key)
}

func hidden(key string) bool { return strings.HasPrefix(key[strings.LastIndexByte(key, '/')+1:], ".") }

// GetObject is that of the backend, counted and held back.
func (w *watch) GetObject(ctx context.Context, in *s3.GetObjectInput) (*s3.GetObjectOutput, error) {
	if err := w.request(*in.Bucket, "get", *in.Key, func(t *Tally) {
		t.Gets++
		if in.Range != nil && *in.Range != "" {
			t.Ranges++
		}
	}); err != nil {
		return nil, err
	}
	out, err := w.Backend.GetObject(ctx, in)
	if err != nil || out.Body == nil || hidden(*in.Key) {
		return out, err
	}
	w.mu.Lock()
	b := w.of(*in.Bucket)
	b.tally.Open++
	b.tally.Most = max(b.tally.Most, b.tally.Open)
	delay := b.delay
	var wait chan struct{}
	if b.hold > b.tally.Open {
		wait = b.released
	} else if b.hold > 0 {
		close(b.released)
		b.hold, b.released = 0, make(chan struct{})
	}
	w.mu.Unlock()
	if wait != nil {
		<-wait
	}
	time.Sleep(delay)
	out.Body = &watchedBody{ReadCloser: out.Body, w: w, of: b, left: *out.ContentLength}
	return out, nil
}

// watchedBody is open until its last byte was read: closed it is after that byte was sent, when the client may have asked for the
// next object.
type watchedBody struct {
	io.ReadCloser
	w    *watch
	of   *watched
	left int64 // bytes
	once sync.Once
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left <= 0 {
		b.ended()
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.ended()
	return b.ReadCloser.Close()
}

func (b *watchedBody) ended() {
	b.once.Do(func() {
		b.w.mu.Lock()
		defer b.w.mu.Unlock()
		b.of.tally.Open--
	})
}

// HeadObject is that of the backend, counted.
func (w *watch) HeadObject(ctx context.Context, in *s3.HeadObjectInput) (*s3.HeadObjectOutput, error) {
	if err := w.request(*in.Bucket, "head", *in.Key, func(t *Tally) { t.Heads++ }); err != nil {
		return nil, err
	}
	return w.Backend.HeadObject(ctx, in)
}

// ListObjectsV2 is that of the backend, counted.
func (w *watch) ListObjectsV2(ctx context.Context, in *s3.ListObjectsV2Input) (s3response.ListObjectsV2Result, error) {
	if err := w.request(*in.Bucket, "list", *in.Prefix, func(t *Tally) { t.Lists++ }); err != nil {
		return s3response.ListObjectsV2Result{}, err
	}
	return w.Backend.ListObjectsV2(ctx, in)
}

// PutObject is that of the backend, counted.
func (w *watch) PutObject(ctx context.Context, in s3response.PutObjectInput) (s3response.PutObjectOutput, error) {
	if err := w.request(*in.Bucket, "put", *in.Key, func(t *Tally) { t.Puts++ }); err != nil {
		return s3response.PutObjectOutput{}, err
	}
	return w.Backend.PutObject(ctx, in)
}
