package build

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/disk"
	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/storetest"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

var errPower = errors.New("the power is gone")

// crashAt makes all operations from number n on fail.
func crashAt(n int) func(disk.Op) error {
	return func(op disk.Op) error {
		if op.N >= n {
			return errPower
		}
		return nil
	}
}

// stored makes a store of n shards with k snapshots of a record or two each.
func stored(n, k int) *storetest.Store {
	st := &storetest.Store{}
	for i := range n {
		for j := range k {
			st.Put(fmt.Sprintf("s%04d", i), fmt.Sprintf("w%02d.ndjson", j), fmt.Sprintf(`{"key":"k%d","shard":%d,"week":%d}`+"\n", j%2, i, j))
		}
	}
	return st
}

// onDisk builds what is stale in the store, and returns the shards that were built.
func onDisk(t *testing.T, st *storetest.Store, d *disk.Model, o Options) (built []string) {
	t.Helper()
	meter := NewMeter(nil)
	files := &recorded{Files: Files{Store: st, Out: d, Want: shardfile.Wanted{Schema: 1}, Meter: meter}}
	b, err := New(files, meter, o)
	require.NoError(t, err)
	require.NoError(t, b.Run(t.Context()), "a shard that fails never ends the stages")
	checkLedger(t, b.Stats())
	return files.persisted
}

// shardFiles returns the content of all shard files, which must be whole, and what else there is.
func shardFiles(t *testing.T, d *disk.Model) (files map[string]string, others []string) {
	t.Helper()
	files = map[string]string{}
	names, err := d.List()
	require.NoError(t, err)
	for _, name := range names {
		shard, ok := strings.CutSuffix(name, ".shard")
		if !ok {
			others = append(others, name)
			continue
		}
		r, err := shardfile.Open(d, shard)
		require.NoError(t, err, "never a part of a shard")
		for _, err := range r.All() {
			require.NoError(t, err, "never a part of a shard")
		}
		require.NoError(t, r.Close())
		f, err := d.Open(name)
		require.NoError(t, err)
		content := make([]byte, r.Size())
		_, err = f.ReadAt(content, 0)
		require.NoError(t, err)
		files[shard] = string(content)
	}
	return files, others
}

// A crash at every operation of a whole build, several shards at once. Whatever is found after it, the next run finishes, and
// builds nothing again that the first had told to be built.
func TestACrashAtEveryOperationOfABuild(t *testing.T) {
	st := stored(5, 3)
	o := Options{Builders: 3, Snapshots: 4}
	reference := &disk.Model{}
	require.Len(t, onDisk(t, st, reference, o), 5)
	want, _ := shardFiles(t, reference)
	r := rand.New(rand.NewPCG(8, 8))
	crashes, step := 0, 1
	if testing.Short() {
		step = 5
	}
	for n := 1; n <= len(reference.Ops())+1; n += step {
		d := &disk.Model{Fail: crashAt(n)}
		built := onDisk(t, st, d, o)
		for _, found := range d.Crashes(r, testkit.Rounds(5, 40)) {
			crashes++
			require.NoError(t, shardfile.CleanTemps(found))
			before, others := shardFiles(t, found)
			require.Empty(t, others)
			for _, shard := range built {
				require.Equal(t, want[shard], before[shard], "what was told to be built is there")
			}
			again := onDisk(t, st, found, o)
			after, others := shardFiles(t, found)
			require.Equal(t, want, after)
			require.Empty(t, others)
			done := append(slices.Clone(again), built...)
			slices.Sort(done)
			require.Equal(t, len(done), len(slices.Compact(done)), "nothing is built twice")
			for shard, content := range before {
				require.Equal(t, want[shard], content)
				require.NotContains(t, again, shard)
			}
		}
	}
	testkit.Report(t, "T54", crashes)
	testkit.Report(t, "T63", crashes)
}

// Ten thousand stale shards, and crashes in the midst: those that are done and those that are still stale are all of them.
func TestNoStaleShardIsLostByACrash(t *testing.T) {
	all := 10_000
	if testing.Short() {
		all = 500
	}
	st := stored(all, 1)
	o := Options{}
	r := rand.New(rand.NewPCG(9, 9))
	rounds := testkit.Rounds(2, 20)
	for range rounds {
		d, done := &disk.Model{}, map[string]int{}
		for crashes := 0; len(done) < all; crashes++ {
			d.Fail = crashAt(len(d.Ops()) + 1 + r.IntN(6*all))
			for _, shard := range onDisk(t, st, d, o) {
				done[shard]++
			}
			found := d.Crashes(r, 3)
			d = found[8+r.IntN(3)]
			require.NoError(t, shardfile.CleanTemps(d))
			files, _ := shardFiles(t, d)
			for shard := range done {
				_, ok := files[shard] // Contains would look at all of them
				require.True(t, ok, "%s is done, and stays so", shard)
			}
			for shard := range files {
				if done[shard] == 0 { // renamed, and the crash came before it was told
					done[shard] = 1
				}
			}
			require.Less(t, crashes, 50)
		}
		require.Len(t, done, all)
		for shard, n := range done {
			require.Equal(t, 1, n, "%s was built %d times", shard, n)
		}
	}
	testkit.Report(t, "T53", rounds)
}

// recorded notes which shards were told to be persisted.
type recorded struct {
	Files
	mu        sync.Mutex
	persisted []string // guarded by mu
}

func (w *recorded) Begin(ctx context.Context, task *Task) (Owner, error) {
	owner, err := w.Files.Begin(ctx, task)
	if err != nil {
		return nil, err
	}
	return &recordedOwner{Owner: owner, work: w, shard: task.Shard}, nil
}

type recordedOwner struct {
	Owner
	work  *recorded
	shard string
}

func (o *recordedOwner) Persist(ctx context.Context) error {
	err := o.Owner.Persist(ctx)
	if err == nil {
		o.work.mu.Lock()
		defer o.work.mu.Unlock()
		o.work.persisted = append(o.work.persisted, o.shard)
	}
	return err
}
