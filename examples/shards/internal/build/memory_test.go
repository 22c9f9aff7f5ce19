package build

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/storetest"
	"github.com/stretchr/testify/require"
)

// watched is Files with weak pointers to the roots of all shards that were built, and a listing that grows.
type watched struct {
	Files

	mu     sync.Mutex
	listed int                               // guarded by mu: so many of the shards are listed
	roots  []weak.Pointer[shardfile.Builder] // guarded by mu
}

func (w *watched) list(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.listed = n
}

func (w *watched) List(ctx context.Context) ([]string, error) {
	all, err := w.Files.List(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	return all[:w.listed], err
}

func (w *watched) Begin(ctx context.Context, task *Task) (Owner, error) {
	owner, err := w.Files.Begin(ctx, task)
	if err == nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.roots = append(w.roots, weak.Make(owner.(*fileOwner).builder))
	}
	return owner, err
}

// live returns the bytes that are live, and how many goroutines there are.
func live() (heap uint64, goroutines int) {
	runtime.GC() // twice: pools give up what they have in the second
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc, runtime.NumGoroutine()
}

// After 300 shards the heap is what it was after 20, every root is collected while the build goes on, and as many goroutines
// run as then.
func TestNothingStaysOfAPersistedShard(t *testing.T) {
	text := strings.Repeat("x", 800)
	st := &storetest.Store{}
	for i := range 300 {
		for j := range 4 {
			var content strings.Builder
			for k := range 3 {
				fmt.Fprintf(&content, `{"key":"shard %d, key %d","week":%d,"text":%q}`+"\n", i, k, j, text)
			}
			st.Put(fmt.Sprintf("s%03d", i), fmt.Sprintf("w%d.ndjson", j), content.String())
		}
	}
	dir, err := shardfile.CreateDir(t.TempDir())
	require.NoError(t, err)
	defer dir.Close()
	synctest.Test(t, func(t *testing.T) {
		meter := NewMeter(nil)
		w := &watched{Files: Files{Store: st, Out: dir, Want: shardfile.Wanted{Schema: 1}, Meter: meter, Recheck: time.Hour}}
		b, err := New(w, meter, Options{Watch: true})
		require.NoError(t, err)
		done := make(chan error, 1)
		go func() { done <- b.Run(t.Context()) }()
		until := func(n int) (heap uint64, goroutines int) {
			w.list(n)
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Equal(t, n, meter.Report("").ShardsBuilt)
			return live()
		}
		heap20, goroutines20 := until(20)
		heap300, goroutines300 := until(300)
		t.Logf("%d bytes and %d goroutines after 20 shards, %d and %d after 300", heap20, goroutines20, heap300, goroutines300)
		require.InDelta(t, float64(heap20), float64(heap300), 0.05*float64(heap20)+1<<20)
		require.LessOrEqual(t, goroutines300, goroutines20) // fewer, if a test before had some that were about to end
		require.Len(t, w.roots, 300)
		for i, root := range w.roots {
			require.Nil(t, root.Value(), "the root of build %d", i)
		}
		require.NoError(t, b.Stop(t.Context()))
		require.NoError(t, <-done)
	})
}
