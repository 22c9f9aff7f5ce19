package build

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// t is what every invented sub-task takes, in fake time.
const unit = time.Second

// invented is Work that takes time and does nothing.
type invented struct {
	meter   *Meter
	persist time.Duration
	shards  []*inventedShard

	mu     sync.Mutex
	events []string // what the owners did, in order, if wanted
}

type inventedShard struct {
	name      string
	snapshots int
	arrives   time.Duration           // when the source finds it
	fault     func(try int) error     // of its snapshot 0; may panic or Goexit
	takes     func(int) time.Duration // of a snapshot; nil: unit
	grows     int64                   // by each snapshot that is ingested; 0: 1

	begun, opened, ended time.Duration // from the begin; opened: the first body
	tries, bodies        int
	persisted            bool
}

func (w *invented) find(name string) *inventedShard {
	for _, s := range w.shards {
		if s.name == name {
			return s
		}
	}
	panic("no shard " + name)
}

func (w *invented) now() time.Duration {
	w.meter.mu.Lock()
	defer w.meter.mu.Unlock()
	return time.Since(w.meter.begun)
}

func (w *invented) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf(format, args...))
}

func (w *invented) List(context.Context) ([]string, error) {
	w.note("list")
	var names []string
	for _, s := range w.shards {
		names = append(names, s.name)
	}
	return names, nil
}

func (w *invented) Plan(ctx context.Context, name string) (*Task, error) {
	s := w.find(name)
	if wait := s.arrives - w.now(); wait > 0 {
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if s.persisted {
		return nil, nil
	}
	task := &Task{Shard: name}
	for i := range s.snapshots {
		task.Snapshots = append(task.Snapshots, fmt.Sprintf("w%03d", i))
	}
	return task, nil
}

func (w *invented) Begin(_ context.Context, task *Task) (Owner, error) {
	s := w.find(task.Shard)
	w.note("begin %s", s.name)
	s.begun, s.opened = w.now(), -1
	return &inventedOwner{w: w, shard: s}, nil
}

func (w *invented) Fetch(ctx context.Context, task *Task, i int, _ func(Result) error) (Result, error) {
	s := w.find(task.Shard)
	closed := w.meter.Opened(task, i)
	err := errors.New("ended without a result")
	begun := time.Now()
	defer func() { closed(time.Since(begun), err) }()
	w.mu.Lock()
	s.bodies++
	if s.opened < 0 {
		s.opened = w.now()
	}
	try := s.tries
	if i == 0 {
		s.tries++
	}
	w.mu.Unlock()
	d := unit
	if s.takes != nil {
		d = s.takes(i)
	}
	select {
	case <-time.After(d):
	case <-ctx.Done():
		err = ctx.Err()
		return nil, err
	}
	if i == 0 && s.fault != nil {
		if err = s.fault(try); err != nil {
			return nil, err
		}
	}
	err = nil
	return fakeResult(i), nil
}

func (w *invented) Discard(Result) {}

type fakeResult int

func (fakeResult) Bytes() int64 { return 1 }

func (o *inventedOwner) Bytes() int64 { return int64(o.ingested) * max(1, o.shard.grows) }

type inventedOwner struct {
	w        *invented
	shard    *inventedShard
	ingested int
}

func (o *inventedOwner) Take(int, Result) error { return nil }

func (o *inventedOwner) Drop(int) {}

func (o *inventedOwner) Ingest(int, Result) error { o.ingested++; return nil }

func (o *inventedOwner) Persist(context.Context) error {
	if o.w.persist > 0 {
		time.Sleep(o.w.persist)
	}
	if o.ingested != o.shard.snapshots {
		return fmt.Errorf("persist with %d of %d snapshots", o.ingested, o.shard.snapshots)
	}
	o.shard.ended, o.shard.persisted = o.w.now(), true
	o.w.note("persist %s", o.shard.name)
	return nil
}

func (o *inventedOwner) Abandon() error {
	o.w.note("abandon %s", o.shard.name)
	return nil
}

// many makes n shards of k snapshots.
func many(n, k int) []*inventedShard {
	var shards []*inventedShard
	for i := range n {
		shards = append(shards, &inventedShard{name: fmt.Sprintf("s%03d", i), snapshots: k})
	}
	return shards
}

// simulate builds invented shards in fake time and checks what must hold whatever the design.
func simulate(t *testing.T, o Options, shards []*inventedShard, then func(r Report, w *invented)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &invented{meter: NewMeter(nil), shards: shards}
		b, err := New(w, w.meter, o)
		require.NoError(t, err)
		require.NoError(t, b.Run(t.Context()))
		checkLedger(t, b.Stats())
		r := w.meter.Report(b.Options.Design)
		require.Zero(t, w.meter.now, "nothing is in progress, in flight or open at the end")
		require.Zero(t, w.meter.waiting, "nothing waits at the end")
		then(r, w)
	})
}

// in returns a time in units.
func in(d time.Duration) float64 { return float64(d) / float64(unit) }

// seconds returns a report's time in units.
func units(s float64) float64 { return s / unit.Seconds() }

var faults = map[string]func(int) error{
	"error":     func(int) error { return errors.New("truncated") },
	"panic":     func(int) error { panic("boom") },
	"goexit":    func(int) error { runtime.Goexit(); return nil },
	"panic nil": func(int) error { panic(nil) }, //nolint:govet // on purpose
}
