package bucket

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/minio/minio-go/v7"
)

// call is one request, and the context that the client is given for it.
type call struct {
	context.Context
	after time.Duration // that the server asked to be left alone; written by listener before the client returns
}

type callKey struct{}

func newCall(ctx context.Context) *call {
	c := new(call)
	c.Context = context.WithValue(ctx, callKey{}, c)
	return c
}

// listener notes Retry-After in the call, since the client drops it.
type listener struct{ next http.RoundTripper }

func (l listener) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := l.next.RoundTrip(req)
	if c, ok := req.Context().Value(callKey{}).(*call); ok && err == nil {
		c.after = retryAfter(resp)
	}
	return resp, err
}

// retryAfter returns what an answer says, in either of the two forms of the header; 0 if it says nothing.
func retryAfter(resp *http.Response) time.Duration {
	text := resp.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(min(max(seconds, 0), 1<<30)) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return max(time.Until(at), 0)
	}
	return 0
}

// answerError is an answer that is no success.
type answerError struct {
	url    string
	answer minio.ErrorResponse
	means  error // nil if the status says all
}

func (e *answerError) Error() string {
	return fmt.Sprintf("%s: %d %s: %s", e.url, e.answer.StatusCode, e.answer.Code, cmp.Or(e.answer.Message, "no message"))
}

func (e *answerError) Unwrap() error { return e.means }

// fail says what an error of the client means, and of which object it is.
func (b *Bucket) fail(c *call, name string, err error) error {
	switch {
	case err == nil:
		return nil
	case c.Err() != nil:
		return c.Err()
	}
	answer, ok := errors.AsType[minio.ErrorResponse](err)
	if !ok {
		return fmt.Errorf("%s: %w", b.url(name), err)
	}
	e := &answerError{url: b.url(name), answer: answer}
	switch answer.StatusCode {
	case http.StatusNotFound:
		e.means = fs.ErrNotExist
	case http.StatusUnauthorized, http.StatusForbidden:
		e.means = fs.ErrPermission
	case http.StatusPreconditionFailed:
		e.means = store.ErrChanged
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if c.after > 0 {
			return &store.BusyError{After: c.after, Err: e}
		}
	}
	return e
}

// tries is how often a listing, a head and a write are tried. Bodies are not tried again here: who reads them does that.
const tries = 4

// longestWait is how long a server may ask to be left alone before a request fails.
const longestWait = time.Minute

// retry makes a request until it succeeds, cannot, or was tried often enough, with pauses in between.
func (b *Bucket) retry(ctx context.Context, name string, request func(c *call) error) error {
	for n := 0; ; n++ {
		c := newCall(ctx)
		err := b.fail(c, name, request(c))
		if err == nil || n == tries-1 || ctx.Err() != nil || !passing(err) || store.RetryAfter(err) > longestWait {
			return err
		}
		select {
		case <-time.After(store.RetryAfter(err) + store.Pause(0, b.url(name), n)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// passing reports whether a failure may pass: no answer, or one that says so.
func passing(err error) bool {
	e, answered := errors.AsType[*answerError](err)
	if !answered {
		return true
	}
	status := e.answer.StatusCode
	return status >= 500 || status == http.StatusTooManyRequests || status == http.StatusRequestTimeout
}
