package generate

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"runtime"
	"slices"
	"sync"
)

// Stats says what was written.
type Stats struct {
	Config         // of the root
	Existing  bool // nothing was written: the root was made from this Config before
	Shards    int  // that got snapshots
	Revived   int  // of these, those that got many old ones
	Snapshots int
	Bytes     int64 // stored
	LastWeek  string
}

// job is what one shard gets: the weeks in [from, to).
type job struct {
	plan     shardPlan
	from, to int
}

// Generate makes the store at root, which must be empty, or hold an unfinished one of the same Config. A finished one is left as
// it is. So many files are written at once, 0 means one for each core. It blocks until all is written, or ctx is done; then
// it may be called again.
func Generate(ctx context.Context, root Place, writers int, config Config) (Stats, error) {
	config, err := config.orDefault()
	if err != nil {
		return Stats{}, err
	}
	was, err := readState(ctx, root)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if empty, err := root.Empty(ctx); err != nil || !empty {
			return Stats{}, cmp.Or(err, fmt.Errorf("%s is not empty and was not generated", root))
		}
	case err != nil:
		return Stats{}, err
	case was.Config != config:
		return Stats{}, fmt.Errorf("%s was generated with seed %d, %d shards, size %s", root, was.Seed, was.Config.Shards, was.Size)
	case was.Complete:
		return Stats{Config: config, Existing: true, LastWeek: snapshotName(was.Week)}, nil
	}
	now := state{Config: config, Week: lastWeek}
	if err := writeState(ctx, root, now); err != nil {
		return Stats{}, err
	}
	var jobs []job
	for i := range config.Shards {
		p := config.plan(i)
		jobs = append(jobs, job{plan: p, from: lastWeek + 1 - p.age, to: lastWeek + 1})
	}
	stats, err := write(ctx, root, writers, jobs)
	if err != nil {
		return stats, err
	}
	now.Complete = true
	stats.Config, stats.LastWeek = config, snapshotName(lastWeek)
	return stats, writeState(ctx, root, now)
}

// Tick lets a week pass in a store that [Generate] made: 70 % of the shards get the new week's snapshot, and 5 %, the
// youngest among the others and none twice, get the 200 weeks before their first one (a user revives an old campaign). A tick that
// was interrupted is finished by the next. It blocks until all is written, or ctx is done. Writers is as for [Generate].
func Tick(ctx context.Context, root Place, writers int) (Stats, error) {
	now, err := readState(ctx, root)
	if err != nil || !now.Complete {
		return Stats{}, fmt.Errorf("%s was not generated, or not to the end: %w", root, cmp.Or(err, fs.ErrNotExist))
	}
	jobs, revived := tickJobs(now)
	stats, err := write(ctx, root, writers, jobs)
	if err != nil {
		return stats, err
	}
	now.Week++
	now.Revived = append(now.Revived, revived...)
	stats.Config, stats.Revived, stats.LastWeek = now.Config, len(revived), snapshotName(now.Week)
	return stats, writeState(ctx, root, now)
}

// Revival is how many snapshots a revived shard gets by a [Tick].
const Revival = 200

// tickJobs returns what a tick writes, and the shards that it revives. It looks at no folder, so a tick that was interrupted
// does the same again.
func tickJobs(now state) (jobs []job, revived []int) {
	order := make([]int, now.Config.Shards) // shuffled
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Compare(mix(now.Seed, uint64(a), uint64(now.Week), 12), mix(now.Seed, uint64(b), uint64(now.Week), 12))
	})
	share := func(part float64) int { return int(math.Round(part * float64(len(order)))) }
	for _, i := range order[:share(0.7)] {
		jobs = append(jobs, job{plan: now.plan(i), from: now.Week + 1, to: now.Week + 2})
	}
	for _, i := range order[share(0.7):] {
		if !slices.Contains(now.Revived, i) {
			revived = append(revived, i)
		}
	}
	slices.SortStableFunc(revived, func(a, b int) int { return cmp.Compare(now.plan(a).age, now.plan(b).age) })
	revived = revived[:min(len(revived), share(0.05))]
	for _, i := range revived {
		p := now.plan(i)
		first := lastWeek + 1 - p.age
		jobs = append(jobs, job{plan: p, from: first - Revival, to: first})
	}
	return jobs, revived
}

// write does the jobs. It returns when every goroutine that it started has ended.
func write(ctx context.Context, root Place, writers int, jobs []job) (Stats, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var (
		mu    sync.Mutex
		stats Stats // guarded by mu
		next  int   // guarded by mu
		wg    sync.WaitGroup
	)
	take := func() (job, bool) {
		mu.Lock()
		defer mu.Unlock()
		if next == len(jobs) || ctx.Err() != nil {
			return job{}, false
		}
		next++
		return jobs[next-1], true
	}
	for range cmp.Or(writers, runtime.GOMAXPROCS(0)) {
		wg.Go(func() { // ends when no job is left or ctx is done; waited for below
			zip := gzip.NewWriter(io.Discard)
			for j, ok := take(); ok; j, ok = take() {
				n, err := j.write(ctx, root, zip)
				if err != nil {
					cancel(err)
				}
				mu.Lock()
				stats.Shards++
				stats.Snapshots += j.to - j.from
				stats.Bytes += n
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return stats, context.Cause(ctx)
}

func (j job) write(ctx context.Context, root Place, zip *gzip.Writer) (int64, error) {
	var bytes64 int64
	var buf bytes.Buffer
	for week := j.from; week < j.to && ctx.Err() == nil; week++ {
		buf.Reset()
		if err := j.plan.snapshot(&buf, zip, week); err != nil {
			return bytes64, err
		}
		if err := root.WriteFile(ctx, path.Join(j.plan.name, j.plan.snapshotFile(week)), buf.Bytes()); err != nil {
			return bytes64, err
		}
		bytes64 += int64(buf.Len())
	}
	return bytes64, nil
}
