package simulate

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/stage"
)

// Shard is one that becomes stale, once.
type Shard struct {
	Name    string
	Arrives time.Duration // when it becomes stale, from the beginning
	Pieces  []Piece       // its missing snapshots
	Persist time.Duration // what persisting it takes

	// what became of it, from the beginning; 0 if it did not
	Opened, Ended time.Duration // its first body was opened; it was persisted
}

// Piece is one missing snapshot.
type Piece struct {
	Takes    time.Duration // the store's time for it
	Compress time.Duration // the time to compress it: of whoever does
	Bytes    int64         // decoded
}

// Model is [build.Work] that takes time, and holds bytes in name only.
type Model struct {
	shards []*Shard
	byName map[string]*Shard
	names  []string
	meter  *build.Meter
	begun  time.Time
	by     build.CompressBy

	mu sync.Mutex // guards Opened and Ended of shards
}

// newModel makes the work of shards, which are in order of arrival.
func newModel(shards []*Shard, by build.CompressBy) *Model {
	m := &Model{shards: shards, by: by, byName: map[string]*Shard{}, meter: build.NewMeter(nil), begun: time.Now()}
	for _, s := range shards {
		m.byName[s.Name] = s
		m.names = append(m.names, s.Name)
	}
	return m
}

// List returns all shards, in the order in which they become stale.
func (m *Model) List(context.Context) ([]string, error) { return m.names, nil }

// Plan waits until the shard has become stale.
func (m *Model) Plan(ctx context.Context, name string) (*build.Task, error) {
	s := m.byName[name]
	if err := sleep(ctx, s.Arrives-time.Since(m.begun)); err != nil {
		return nil, err
	}
	task := &build.Task{Shard: name, Detail: s}
	for i, p := range s.Pieces {
		task.Snapshots = append(task.Snapshots, fmt.Sprintf("w%03d", i))
		task.Sizes = append(task.Sizes, max(p.Bytes, 1))
	}
	return task, nil
}

// Begin opens a shard.
func (m *Model) Begin(_ context.Context, task *build.Task) (build.Owner, error) {
	return &owner{m: m, shard: task.Detail.(*Shard)}, nil
}

// Fetch takes its time. The bytes, or those of a part if there is somebody to hand parts to, are in transit from the beginning
// on, which is more than they are.
func (m *Model) Fetch(ctx context.Context, task *build.Task, i int, hand func(build.Result) error) (_ build.Result, err error) {
	s := task.Detail.(*Shard)
	p := s.Pieces[i]
	transit := p.Bytes
	if hand != nil {
		transit = min(transit, build.PartBytes)
	}
	closed := m.meter.Opened(task, i)
	m.mu.Lock()
	if s.Opened == 0 {
		s.Opened = time.Since(m.begun)
	}
	m.mu.Unlock()
	m.meter.Transit(transit)
	defer func() {
		closed(p.Takes, err)
		if err != nil {
			m.meter.Transit(-transit)
		}
	}()
	if err = sleep(ctx, p.Takes); err != nil {
		return nil, err
	}
	if m.by != build.ByOwner {
		if err = sleep(ctx, p.Compress); err != nil {
			return nil, err
		}
	}
	return fetched{p, transit}, nil
}

// Discard takes a result that nobody will ingest.
func (m *Model) Discard(r build.Result) { m.meter.Transit(-r.(fetched).transit) }

type owner struct {
	m     *Model
	shard *Shard
	bytes int64
}

// indexShare says which part of a snapshot stays in memory until its shard is persisted: its index.
const indexShare = 50

func (o *owner) Bytes() int64 { return o.bytes }

// fetched is what a fetch brings: no parts are handed over before it, they are only not counted.
type fetched struct {
	Piece
	transit int64
}

func (f fetched) Bytes() int64 { return f.Piece.Bytes }

func (o *owner) Take(int, build.Result) error { return nil }

func (o *owner) Drop(int) {}

// Ingest takes no time, unless the owner compresses.
func (o *owner) Ingest(_ int, r build.Result) error {
	f := r.(fetched)
	if o.m.by == build.ByOwner {
		time.Sleep(f.Compress)
	}
	o.m.meter.Transit(-f.transit)
	o.bytes += f.Bytes() / indexShare
	return nil
}

func (o *owner) Persist(ctx context.Context) error {
	if err := sleep(ctx, o.shard.Persist); err != nil {
		return err
	}
	o.m.mu.Lock()
	defer o.m.mu.Unlock()
	o.shard.Ended = time.Since(o.m.begun)
	return nil
}

func (o *owner) Abandon() error { return nil }

// sleep waits for d, if that is more than 0, or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Run is what came of a simulated build.
type Run struct {
	Report build.Report
	Stats  stage.Stats
	Shards []*Shard
}

// Build builds shards in fake time, all of them, and returns what came of it.
func Build(ctx context.Context, o build.Options, shards []*Shard) (Run, error) {
	return BuildCompressed(ctx, o, shards, build.ByWorker)
}

// BySemaphores names, in place of a design, what one would write by hand: see [build.BySemaphores].
const BySemaphores = "two semaphores, by hand"

// BuildCompressed is Build with the choice who compresses.
func BuildCompressed(ctx context.Context, o build.Options, shards []*Shard, by build.CompressBy) (Run, error) {
	m := newModel(shards, by)
	if o.Design == BySemaphores {
		o.Design = ""
		err := build.BySemaphores(ctx, m, m.meter, o)
		return Run{Report: m.meter.Report(BySemaphores), Shards: shards}, err
	}
	b, err := build.New(m, m.meter, o)
	if err != nil {
		return Run{}, err
	}
	if err := b.Run(ctx); err != nil {
		return Run{}, err
	}
	return Run{Report: m.meter.Report(b.Options.Design), Stats: b.Stats(), Shards: shards}, nil
}
