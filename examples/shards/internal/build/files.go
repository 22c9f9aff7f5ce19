package build

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// Files is the real work: snapshots of a store, made into shard files.
type Files struct {
	Store  store.Store
	Out    shardfile.FS
	Want   shardfile.Wanted
	Limits store.Limits
	Meter  *Meter

	// Compress says who compresses values; ByWorker.
	Compress CompressBy
	// Seed is that of the pauses before a broken body is opened again.
	Seed uint64
	// Latency is added to the store's time for every snapshot, to model a distant one; 0 for none.
	Latency time.Duration
	// Recheck is how long the content of a shard's known snapshots is taken for unchanged after it was compared, as long as
	// names and sizes are the same; 0 compares it at every look. It is for watching, where a look costs a read of everything.
	Recheck time.Duration

	// ReadOnly makes Plan write nothing down. It is for looking at what is stale without owning the folder.
	ReadOnly bool

	mu       sync.Mutex
	compared map[string]time.Time // guarded by mu: when a shard's content was last compared
}

// detail is what Files keeps in a task.
type detail struct {
	decision shardfile.Decision
	newest   string // snapshot of the listing
	tags     *tags
}

// List returns the shards of the store by name.
func (f *Files) List(ctx context.Context) ([]string, error) { return f.Store.Shards(ctx) }

// Plan compares a shard's file with its listing. A file that is damaged, or of another format, is built
// again from scratch.
func (f *Files) Plan(ctx context.Context, shard string) (*Task, error) {
	listing, err := f.Store.Snapshots(ctx, shard)
	if err != nil {
		return nil, err
	}
	old, damage, err := f.manifest(shard)
	if err != nil {
		return nil, err
	}
	tags := f.tags(shard, listing)
	d, err := shardfile.Plan(ctx, listing, old, f.Want, func(ctx context.Context, s store.Snapshot) (string, error) {
		if s.Tag != "" {
			return tags.checksum(ctx, s)
		}
		if was, ok := old.Find(s.Name); ok && f.fresh(shard) {
			return was.Checksum, nil
		}
		return f.Store.Checksum(ctx, shard, s)
	})
	if err != nil {
		return nil, err
	}
	if !d.Stale {
		f.checked(shard)
		tags.keep()
		return nil, nil
	}
	if damage != nil {
		d.Reason = damage.Error()
	}
	if !d.Rebuild {
		f.checked(shard)
	}
	task := &Task{Shard: shard, Listing: fingerprint(listing), Reused: len(d.Keep), Reason: d.Reason, Detail: detail{d, newest(listing), tags}}
	for _, s := range d.Missing {
		task.Snapshots = append(task.Snapshots, s.Name)
		task.Sizes = append(task.Sizes, decodedSize(s))
	}
	return task, nil
}

// fingerprint returns a string that differs when anything does that the store tells of a shard.
func fingerprint(listing []store.Snapshot) string {
	sum := fnv.New128a()
	for _, s := range listing {
		fmt.Fprintf(sum, "%q %d %q %q\n", s.File(), s.Size, s.Checksum, s.Tag)
	}
	return string(sum.Sum(nil))
}

// newest returns the name of the last snapshot, "" if there is none.
func newest(listing []store.Snapshot) string {
	if len(listing) == 0 {
		return ""
	}
	return listing[len(listing)-1].Name
}

// zipped is how many times its size a compressed snapshot is taken to have decoded, until it is known.
const zipped = 5

// decodedSize is what a snapshot is taken to be in memory.
func decodedSize(s store.Snapshot) int64 {
	if strings.HasSuffix(s.Name, ".gz") {
		return max(1, zipped*s.Size)
	}
	return max(1, s.Size)
}

// manifest returns that of a shard's file; nil if there is no file, or one that is damaged or of another format.
func (f *Files) manifest(shard string) (m *shardfile.Manifest, damage, err error) {
	r, err := shardfile.Open(f.Out, shard)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil, nil
	case errors.Is(err, shardfile.ErrCorrupt), errors.Is(err, shardfile.ErrFormat):
		return nil, err, nil
	case err != nil:
		return nil, nil, err
	}
	return r.Manifest(), nil, r.Close()
}

func (f *Files) fresh(shard string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	at, ok := f.compared[shard]
	return ok && time.Since(at) < f.Recheck
}

func (f *Files) checked(shard string) {
	if f.Recheck == 0 || f.fresh(shard) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.compared == nil {
		f.compared = map[string]time.Time{}
	}
	f.compared[shard] = time.Now()
}

// Begin opens the shard's builder, on the old file if something of it is kept.
func (f *Files) Begin(_ context.Context, task *Task) (Owner, error) {
	d := task.Detail.(detail).decision
	var old *shardfile.Reader
	if len(d.Keep) > 0 {
		var err error
		if old, err = shardfile.Open(f.Out, task.Shard); err != nil {
			return nil, err
		}
	}
	b, err := shardfile.Begin(f.Out, task.Shard, f.Want.Schema, old, d.Keep)
	if err != nil {
		if old != nil {
			err = errors.Join(err, old.Close())
		}
		return nil, err
	}
	return &fileOwner{files: f, task: task, builder: b, parts: map[int]*part{}}, nil
}

// Fetch reads, decodes and, unless the owner does, compresses a snapshot. If the newest one of its shard is truncated, or not
// the size any more that it was listed with, it may still be being written: see [MayNotBeReady].
func (f *Files) Fetch(ctx context.Context, task *Task, i int, hand func(Result) error) (_ Result, err error) {
	detail := task.Detail.(detail)
	snap := detail.decision.Missing[i]
	closed := f.Meter.Opened(task, i)
	body := &timedBody{meter: f.Meter}
	result := &fetched{}
	err = errors.New("panicked")
	defer func() {
		closed(body.service, err)
		if err != nil {
			f.Meter.Transit(-result.raw)
		}
	}()
	if err = f.decode(ctx, task.Shard, snap, body, result, hand); err != nil {
		if snap.Name == detail.newest && (errors.Is(err, store.ErrTruncated) || errors.Is(err, store.ErrChanged)) {
			err = MayNotBeReady(err)
		}
		return nil, err
	}
	return result, nil
}

// decode reads a snapshot into result, which has its last part in the end if there is somebody to hand the others to.
func (f *Files) decode(ctx context.Context, shard string, snap store.Snapshot, body *timedBody, result *fetched, hand func(Result) error) (err error) {
	if err := f.open(ctx, shard, snap, body); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, body.Close()) }()
	dec := store.NewDecoder(body, shard, snap, f.Limits)
	for {
		rec, err := dec.Next(ctx)
		if err == io.EOF {
			break
		}
		if err != nil {
			return err
		}
		if hand != nil && result.raw > 0 && result.raw+int64(len(rec.Value)) > PartBytes {
			full := *result
			*result = fetched{} // it is in other hands
			if err := hand(&full); err != nil {
				return err
			}
		}
		result.add(rec, f.Compress)
		f.Meter.Transit(int64(len(rec.Value)))
	}
	result.stats = dec.Stats()
	if s, ok := body.ReadCloser.(store.Summed); ok && s.Checksum() != "" && s.Checksum() != result.stats.Checksum {
		return &store.Error{Shard: shard, File: snap.File(), Err: fmt.Errorf("%w: %s, the store has %s", store.ErrDamaged, result.stats.Checksum, s.Checksum())}
	}
	return nil
}

// open opens a body, after the latency.
func (f *Files) open(ctx context.Context, shard string, snap store.Snapshot, body *timedBody) (err error) {
	begun := time.Now()
	if f.Latency > 0 {
		select {
		case <-time.After(f.Latency):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	body.ReadCloser, err = store.OpenResuming(ctx, f.Store, shard, snap, f.Seed)
	body.service += time.Since(begun)
	return err
}

// timedBody counts the store's bytes and its own time.
type timedBody struct {
	io.ReadCloser
	meter   *Meter
	service time.Duration
}

func (b *timedBody) Read(p []byte) (int, error) {
	begun := time.Now()
	n, err := b.ReadCloser.Read(p)
	b.service += time.Since(begun)
	b.meter.Read(int64(n))
	return n, err
}

var _ Work = (*Files)(nil)
