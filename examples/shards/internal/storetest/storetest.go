// Package storetest is a store in memory that does what bad stores do. It is imported from _test files only.
package storetest

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// Store is a [store.Store] over files in memory. It is safe for concurrent use. The zero Store is empty and has no faults.
type Store struct {
	// Fault says what becomes of a request; nil: nothing bad ever. It is called on the goroutine that opens, several at a
	// time. Set before use.
	Fault func(Request) Fault
	// Checksums makes listings have them, as those of S3 can. Set before use.
	Checksums bool

	mu     sync.Mutex
	shards map[string]map[string][]byte // content by shard and file
	opened map[[2]string]int            // requests by shard and file
	open   int
	most   int
	lists  int
	sums   int
}

var _ store.Store = (*Store)(nil)

// Request is one call of Open.
type Request struct {
	Shard, File string
	Offset      int64
	N           int // of this file, from 1
}

// Fault is what is wrong with an answer. The zero Fault is nothing.
type Fault struct {
	Err    error         // in place of a body, after Delay
	Delay  time.Duration // before the body, or the error
	Cut    int64         // the body breaks with Broken after so many bytes; only if Broken is set
	Broken error         //
	Byte   time.Duration // a byte at a time, and this long for each
	Stall  int64         // nothing comes any more after so many bytes, until the context ends; only if Stalls
	Stalls bool          //
}

// Put makes or replaces a file.
func (s *Store) Put(shard, file, content string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.shards == nil {
		s.shards, s.opened = map[string]map[string][]byte{}, map[[2]string]int{}
	}
	if s.shards[shard] == nil {
		s.shards[shard] = map[string][]byte{}
	}
	s.shards[shard][file] = []byte(content)
}

// Remove removes a file, and with the last one its shard.
func (s *Store) Remove(shard, file string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if delete(s.shards[shard], file); len(s.shards[shard]) == 0 {
		delete(s.shards, shard)
	}
}

// Opened returns how often a file was asked for.
func (s *Store) Opened(shard, file string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.opened[[2]string{shard, file}]
}

// Bodies returns how many bodies are open, and how many were at most.
func (s *Store) Bodies() (open, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open, s.most
}

// Lists returns how often the root was listed.
func (s *Store) Lists() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists
}

// Sums returns how often a checksum was asked for.
func (s *Store) Sums() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sums
}

// Shards implements [store.Store].
func (s *Store) Shards(context.Context) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists++
	return slices.Sorted(maps.Keys(s.shards)), nil
}

// Snapshots implements [store.Store].
func (s *Store) Snapshots(_ context.Context, shard string) ([]store.Snapshot, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	files, ok := s.shards[shard]
	if !ok {
		return nil, &store.Error{Shard: shard, Err: fs.ErrNotExist}
	}
	var snaps []store.Snapshot
	for file, content := range files {
		name, gz := strings.CutSuffix(file, ".gz")
		snap := store.Snapshot{Name: strings.TrimSuffix(name, ".ndjson"), Gzip: gz, Size: int64(len(content))}
		if s.Checksums {
			snap.Checksum = sum(content)
		}
		snaps = append(snaps, snap)
	}
	slices.SortFunc(snaps, func(a, b store.Snapshot) int { return strings.Compare(a.Name, b.Name) })
	return snaps, nil
}

func sum(content []byte) string {
	h := store.NewChecksum()
	h.Write(content)
	return store.Checksum(h.Sum64())
}

// Checksum implements [store.Store].
func (s *Store) Checksum(_ context.Context, shard string, snap store.Snapshot) (string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sums++
	content, ok := s.shards[shard][snap.File()]
	if !ok {
		return "", &store.Error{Shard: shard, File: snap.File(), Err: fs.ErrNotExist}
	}
	return sum(content), nil
}

// Open implements [store.Store].
func (s *Store) Open(ctx context.Context, shard string, snap store.Snapshot, offset int64) (io.ReadCloser, error) {
	s.mu.Lock()
	key := [2]string{shard, snap.File()}
	content, ok := s.shards[shard][snap.File()]
	if ok {
		s.opened[key]++
	}
	request := Request{Shard: shard, File: snap.File(), Offset: offset, N: s.opened[key]}
	s.mu.Unlock()

	var fault Fault
	if s.Fault != nil {
		fault = s.Fault(request)
	}
	err := wait(ctx, fault.Delay)
	switch {
	case err != nil:
	case fault.Err != nil:
		err = fault.Err
	case !ok:
		err = fs.ErrNotExist
	case int64(len(content)) != snap.Size:
		err = fmt.Errorf("%w: %d bytes, listed with %d", store.ErrChanged, len(content), snap.Size)
	}
	if err != nil {
		return nil, &store.Error{Shard: shard, File: snap.File(), Err: err}
	}
	s.mu.Lock()
	s.open++
	s.most = max(s.most, s.open)
	s.mu.Unlock()
	return &body{s: s, ctx: ctx, content: content[offset:], fault: fault}, nil
}

// body is an open snapshot, used by one goroutine.
type body struct {
	s       *Store
	ctx     context.Context
	content []byte
	read    int64
	fault   Fault
	closed  bool
}

func (b *body) Read(p []byte) (int, error) {
	f := b.fault
	if f.Byte > 0 && len(p) > 1 {
		p = p[:1]
	}
	if err := wait(b.ctx, f.Byte); err != nil {
		return 0, err
	}
	for _, end := range []struct {
		ends  bool
		after int64
	}{{f.Broken != nil, f.Cut}, {f.Stalls, f.Stall}} {
		if end.ends && int64(len(p)) > end.after-b.read {
			p = p[:max(end.after-b.read, 0)]
		}
	}
	n := copy(p, b.content)
	b.content, b.read = b.content[n:], b.read+int64(n)
	switch {
	case n > 0:
		return n, nil
	case f.Stalls && b.read == f.Stall:
		<-b.ctx.Done()
		return 0, b.ctx.Err()
	case f.Broken != nil && b.read == f.Cut:
		return 0, f.Broken
	}
	return 0, io.EOF
}

func (b *body) Close() error {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if !b.closed {
		b.closed = true
		b.s.open--
	}
	return nil
}

// wait returns ctx's error if that ends before d has passed.
func wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil || d <= 0 {
		return err
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
