//go:build linux || darwin

package stage_test

import (
	"context"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/go-genstage/genstage/internal/testargs"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// T41, in real time: a thousand members that fail again and again, with pauses, keep no core busy. It is the process's
// own time that is measured, not the clock.
func TestSupervisorBackoffIsNoBusyLoop(t *testing.T) {
	if !testargs.Long() {
		t.Skip("-args -long: ten seconds of real time")
	}
	const n, span = 1000, 10 * time.Second
	var starts atomic.Int64
	sup := stage.NewSupervisor(stage.OneForOne, quiet, stage.MaxRestarts(1<<30, time.Hour), stage.Backoff(5*time.Second, 5*time.Second))
	members := make([]*stage.Consumer[int], n)
	for i := range members {
		began := false
		members[i] = stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil },
			stage.OnInit(func(context.Context) error {
				starts.Add(1)
				if !began {
					began = true
					return nil // at the first start a failure would end all
				}
				return errBoom
			}))
		sup.Add(members[i])
	}
	run := make(chan error, 1)
	go func() { run <- sup.Run(context.Background()) }() // ends with Abort
	for starts.Load() < n {
		runtime.Gosched()
	}
	began := cpuTime(t)
	for _, s := range members {
		require.NoError(t, s.Tell(func(context.Context) error { return errBoom }))
	}
	timer := time.NewTimer(span)
	<-timer.C
	used := cpuTime(t) - began
	t.Logf("%d starts in %v: %v of CPU", starts.Load(), span, used)
	require.Greater(t, starts.Load(), int64(2*n), "they are started again, each two or three times")
	require.LessOrEqual(t, starts.Load(), int64(5*n), "no more often than the pauses say")
	require.Less(t, used, span/20)
	sup.Abort(nil)
	require.NoError(t, <-run)
	testkit.Report(t, "T41", n)
}

// cpuTime is what the process has used.
func cpuTime(t *testing.T) time.Duration {
	var u syscall.Rusage
	require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
