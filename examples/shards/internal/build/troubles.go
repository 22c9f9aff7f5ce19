package build

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// Trouble is a shard that could not be built, and when it is tried again.
type Trouble struct {
	Shard    string    `json:"shard"`
	State    State     `json:"state"`
	Snapshot string    `json:"snapshot,omitempty"` // the one that failed; empty if the shard as a whole did
	Cause    string    `json:"cause"`
	Attempts int       `json:"attempts"`          // builds that failed, one after the other
	Last     time.Time `json:"last"`              // when the last one did
	Next     time.Time `json:"next_try,omitzero"` // zero: at the next poll, or never if nothing is watched
	listing  string    // that failed; another one means another chance
	pause    time.Duration
}

// State says what is the matter with a shard.
type State string

const (
	// Failed: it could not be built.
	Failed State = "failed"
	// NotReady: its newest snapshot is truncated, as one is that is still being written.
	NotReady State = "not ready"
)

// While watching, a shard that failed is tried again after a minute, then after two, and so on up to an hour; one whose newest
// snapshot is truncated at the next poll, and so many times before it counts as failed.
const (
	firstPause    = time.Minute
	longestPause  = time.Hour
	notReadyPolls = 2
)

// SnapshotError says which snapshot failed a shard.
type SnapshotError struct {
	Shard, Snapshot string
	Err             error
}

// Error returns shard, snapshot and cause. Names are quoted.
func (e *SnapshotError) Error() string {
	return fmt.Sprintf("shard %q, snapshot %q: %v", e.Shard, e.Snapshot, e.Err)
}

// Unwrap returns the cause.
func (e *SnapshotError) Unwrap() error { return e.Err }

// notReady marks the failure of a snapshot that may not be complete yet.
type notReady struct{ error }

func (e notReady) Unwrap() error { return e.error }

// MayNotBeReady marks err as that of a snapshot which may not be complete yet: another look, at the next poll, may find it whole.
func MayNotBeReady(err error) error { return notReady{err} }

// troubles keeps account of shards that could not be built. It is safe for concurrent use; the zero value is empty.
type troubles struct {
	mu    sync.Mutex
	all   map[string]*Trouble // guarded by mu
	watch bool                // set before use
}

// note takes what became of a build, and returns a copy of the shard's trouble: nil if it has none.
func (t *troubles) note(task *Task, err error) *Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		delete(t.all, task.Shard)
		return nil
	}
	tr := t.all[task.Shard]
	if tr == nil || tr.listing != task.Listing {
		tr = &Trouble{Shard: task.Shard, State: NotReady, listing: task.Listing, pause: firstPause / 2}
		if t.all == nil {
			t.all = map[string]*Trouble{}
		}
		t.all[task.Shard] = tr
	}
	tr.Attempts++
	tr.Last, tr.Next, tr.Cause, tr.Snapshot = time.Now(), time.Time{}, err.Error(), ""
	if bad, ok := errors.AsType[*SnapshotError](err); ok {
		tr.Snapshot = bad.Snapshot
	}
	_, early := errors.AsType[notReady](err)
	if !t.watch || !early || tr.State == Failed || tr.Attempts > notReadyPolls {
		tr.State = Failed
		if t.watch {
			tr.pause = min(2*tr.pause, longestPause)
			tr.Next = tr.Last.Add(tr.pause)
		}
	}
	now := *tr
	return &now
}

// due reports whether a stale shard may be tried (again): it has not failed as it is, or its pause is over.
func (t *troubles) due(task *Task) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := t.all[task.Shard]
	return tr == nil || tr.listing != task.Listing || !time.Now().Before(tr.Next)
}

// attempt returns the number of the shard's next build: 1 if the last one was good, or is not known.
func (t *troubles) attempt(shard string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if tr := t.all[shard]; tr != nil {
		return tr.Attempts + 1
	}
	return 1
}

// clear forgets the trouble of a shard that is not stale any more.
func (t *troubles) clear(shard string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.all, shard)
}

// keep forgets the troubles of shards that are not among names, which are sorted.
func (t *troubles) keep(names []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	maps.DeleteFunc(t.all, func(shard string, _ *Trouble) bool {
		_, found := slices.BinarySearch(names, shard)
		return !found
	})
}

// list returns copies of all, by shard.
func (t *troubles) list() []Trouble {
	t.mu.Lock()
	defer t.mu.Unlock()
	all := make([]Trouble, 0, len(t.all))
	for _, tr := range t.all {
		all = append(all, *tr)
	}
	slices.SortFunc(all, func(a, b Trouble) int { return strings.Compare(a.Shard, b.Shard) })
	return all
}

// Troubles returns the shards that could not be built, by name, as they stand now. Safe for concurrent use.
func (b *Build) Troubles() []Trouble { return b.troubles.list() }

// left is called when a shard has left the hands of its owner, built or failed, whatever the design: once for each build. It
// counts, logs, and tells the source, which may then give the shard again. Safe for concurrent use.
func (b *shared) left(task *Task, err error) {
	attempt := b.troubles.attempt(task.Shard)
	switch tr := b.troubles.note(task, err); {
	case tr == nil:
		b.Meter.shardLeft(task, nil)
		b.log().Info("built", "shard", task.Shard, "attempt", attempt, "snapshots", len(task.Snapshots), "carried_over", task.Reused)
	case tr.State == NotReady:
		b.Meter.shardDropped(task)
		b.logTrouble(tr)
	default:
		b.Meter.shardLeft(task, err)
		b.logTrouble(tr)
	}
	b.source.left(task.Shard)
}

// unusable is called by the source for a shard that it could not even look at.
func (b *shared) unusable(task *Task, err error) {
	tr := b.troubles.note(task, err)
	b.Meter.shardFailed(task, err)
	b.logTrouble(tr)
}

func (b *shared) logTrouble(tr *Trouble) {
	level, args := slog.LevelError, []any{"shard", tr.Shard, "attempt", tr.Attempts}
	if tr.State == NotReady {
		level = slog.LevelInfo
	}
	if tr.Snapshot != "" {
		args = append(args, "snapshot", tr.Snapshot)
	}
	if !tr.Next.IsZero() {
		args = append(args, "next_try", tr.Next)
	}
	b.log().Log(context.Background(), level, string(tr.State), append(args, "error", tr.Cause)...)
}

// log returns the logger of the options, or one that writes nothing.
func (b *shared) log() *slog.Logger {
	if b.Options.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return b.Options.Log
}

// Stale returns what a build with these options would build now, in that order, of how many shards, and the error of each
// that it could not even look at, joined. It builds nothing. It blocks on listing and comparing everything.
func Stale(ctx context.Context, work Work, o SourceOptions) (tasks []*Task, of int, err error) {
	names, err := work.List(ctx)
	if err != nil {
		return nil, 0, err
	}
	var errs []error
	for _, name := range names {
		if !o.wants(name) {
			continue
		}
		of++
		task, err := work.Plan(ctx, name)
		switch {
		case ctx.Err() != nil:
			return nil, of, context.Cause(ctx)
		case err != nil:
			errs = append(errs, err)
		case task != nil:
			tasks = append(tasks, task)
		}
	}
	o.sort(tasks)
	return tasks, of, errors.Join(errs...)
}
