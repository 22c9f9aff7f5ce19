package store

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"math/rand/v2"
	"time"
)

// Permanent reports whether asking for the same snapshot again cannot help: it is gone, forbidden, changed since it was listed,
// or has a name or form that is refused.
func Permanent(err error) bool {
	for _, p := range []error{fs.ErrNotExist, fs.ErrPermission, ErrChanged, ErrName, ErrUnexpected, ErrBoth} {
		if errors.Is(err, p) {
			return true
		}
	}
	return false
}

// BusyError is how a [Store] says that it wants to be left alone for a while, as HTTP does with 429 or 503 and Retry-After.
type BusyError struct {
	After time.Duration // from now
	Err   error         // what it said
}

// Error returns what the store said, and for how long it wants to be left alone.
func (e *BusyError) Error() string { return fmt.Sprintf("%v (again after %v)", e.Err, e.After) }

// Unwrap returns what the store said.
func (e *BusyError) Unwrap() error { return e.Err }

// RetryAfter returns how long the store asked to be left alone: 0 if err is no [*BusyError].
func RetryAfter(err error) time.Duration {
	if busy, ok := errors.AsType[*BusyError](err); ok {
		return max(busy.After, 0)
	}
	return 0
}

// LongestWait is how long a slot waits for a store that asks to be left alone. If it asks for longer, that ends the try, and
// there is no other.
const LongestWait = time.Minute

// Pause returns how long to wait after failure n, from 0, of something with this name: 100 ms doubling to 5 s, less up to a
// half by the seed and the name, so that many which fail together don't come back together.
func Pause(seed uint64, name string, n int) time.Duration {
	h := fnv.New64a()
	io.WriteString(h, name) // never fails
	d := min(100*time.Millisecond<<min(n, 10), 5*time.Second)
	return d - time.Duration(rand.New(rand.NewPCG(seed, h.Sum64()+uint64(n))).Int64N(int64(d/2)))
}

// resumes is how often a body may break.
const resumes = 5

// OpenResuming is s.Open from the first byte on, but when the body breaks in the middle, or ends before the listed size, it is
// opened again from there: up to five times, each after a [Pause] and what the store asked for. What does not open at all, and
// what is [Permanent] or asks for more than [LongestWait], is not tried again. Reading blocks while it waits, and ends with ctx.
// The body is a [Summed].
func OpenResuming(ctx context.Context, s Store, shard string, snap Snapshot, seed uint64) (io.ReadCloser, error) {
	body, err := s.Open(ctx, shard, snap, 0)
	if err != nil {
		return nil, err
	}
	r := &resuming{ctx: ctx, store: s, shard: shard, snap: snap, seed: seed, body: body}
	if summed, ok := body.(Summed); ok {
		r.checksum = summed.Checksum()
	}
	return r, nil
}

// resuming keeps ctx, as the body does that it wraps, since Read takes none.
type resuming struct {
	ctx   context.Context
	store Store
	shard string
	snap  Snapshot
	seed  uint64

	checksum string        // of the whole snapshot; empty if the store does not know it
	body     io.ReadCloser // nil after it broke and could not be opened again
	read     int64
	breaks   int
	err      error // that ended it
}

func (r *resuming) Read(p []byte) (int, error) {
	for r.err == nil {
		n, err := r.body.Read(p)
		r.read += int64(n)
		if err == io.EOF && r.read < r.snap.Size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			err = r.resume(err)
		}
		r.err = err
		if n > 0 {
			return n, nil
		}
	}
	return 0, r.err
}

// resume opens the body again. It returns the error that ends it, which names shard and file.
func (r *resuming) resume(err error) error {
	for {
		if r.body != nil {
			r.body.Close() // it is broken already
			r.body = nil
		}
		if r.breaks == resumes || r.ctx.Err() != nil || Permanent(err) || RetryAfter(err) > LongestWait {
			if _, named := errors.AsType[*Error](err); named {
				return err
			}
			return &Error{Shard: r.shard, File: r.snap.File(), Err: fmt.Errorf("after %d bytes: %w", r.read, err)}
		}
		timer := time.NewTimer(Pause(r.seed, r.shard+"/"+r.snap.Name, r.breaks) + RetryAfter(err))
		select {
		case <-timer.C:
		case <-r.ctx.Done():
			timer.Stop()
			err = r.ctx.Err()
			continue
		}
		r.breaks++
		if r.body, err = r.store.Open(r.ctx, r.shard, r.snap, r.read); err == nil {
			return nil
		}
		r.body = nil // not an interface that holds nil
	}
}

// Checksum implements [Summed].
func (r *resuming) Checksum() string { return r.checksum }

func (r *resuming) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}
