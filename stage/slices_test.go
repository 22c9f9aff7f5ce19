package stage_test

import (
	"context"
	"math/rand/v2"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"
	"weak"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// What is shared, and what is let go: T29 and T30 of internal/catalogue, R3.3 and R3.13.

// T30: consumers keep what they receive, and append to it, with each dispatcher, behind a producer and behind a
// producer-consumer that returns what it was given. Pass: nobody sees what another has appended; what was kept stays as it was.
func TestKeptSlicesStayAsTheyWere(t *testing.T) {
	cells := 0
	for _, d := range dispatchers {
		for _, through := range []bool{false, true} {
			cells++
			bubble(t, func(t *testing.T) {
				rng := rand.New(rand.NewPCG(uint64(cells), 30))
				p := stage.FromSlice(upTo(5000))
				var src stage.Source[int] = p
				all := []stage.Stage{p}
				if through {
					mid := relay(0)
					mid.DispatchWith(d.make)
					mid.SubscribeTo(p, stage.MaxDemand(70))
					src, all = mid, append(all, mid)
				} else {
					p.DispatchWith(d.make)
				}
				type kept struct{ events, copied []int }
				var keeps [3][]kept // each owned by its stage, read at the end
				for i := range keeps {
					c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
						if cap(events) != len(events) {
							t.Errorf("%d events with room for %d", len(events), cap(events))
						}
						keeps[i] = append(keeps[i], kept{events, slices.Clone(events)})
						_ = append(events, -1, -1, -1)
						return nil
					})
					c.SubscribeTo(d.part(src), stage.MaxDemand(1+rng.IntN(100)))
					all = append(all, c)
				}
				require.NoError(t, stage.Run(t.Context(), all...))
				for _, list := range keeps {
					for _, k := range list {
						require.Equal(t, k.copied, k.events, d.name)
					}
				}
				closed(t, all...)
			})
		}
	}
	testkit.Report(t, "T30", cells)
}

// T29: a goroutine that a callback has started panics: no library can stop that, and the process dies with exit code 2.
// The test runs itself as another process for it. The same panic in a callback, or told to the stage, is kept.
func TestAPanicOfAGoroutineOfTheUsers(t *testing.T) {
	const wish = "GENSTAGE_TEST_PANICS"
	panics := func() { panic("a bare goroutine") }
	if os.Getenv(wish) != "" {
		c := stage.ForEach(func(context.Context, int) error {
			go panics() // ends the process
			time.Sleep(time.Hour)
			return nil
		})
		p := stage.FromSlice([]int{1})
		c.SubscribeTo(p)
		_ = stage.Run(context.Background(), p, c)
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	cmd := exec.Command(self, "-test.run=^TestAPanicOfAGoroutineOfTheUsers$")
	cmd.Env = append(os.Environ(), wish+"=1", "CATALOGUE=")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 2, exit.ExitCode(), "%s", out)
	require.Contains(t, string(out), "a bare goroutine")

	bubble(t, func(t *testing.T) {
		c := newSink(0)
		run := start(t.Context(), c)
		go func() { _ = c.Tell(func(context.Context) error { panics(); return nil }) }() // ends at once
		require.ErrorAs(t, run.wait(t), new(*stage.PanicError))
	})
	testkit.Report(t, "T29", 2)
}

// R3.3, B31: a consumer asks for one event in each callback, over a broadcast with an identity between. Pass: callbacks
// do not nest, and the stack is as deep at the end as at the beginning.
func TestAsksFromCallbacksDoNotNest(t *testing.T) {
	n := testkit.Rounds(1_000_000, 1_000_000)
	bubble(t, func(t *testing.T) {
		p, mid := stage.FromSlice(make([]int, n)), relay(0)
		p.DispatchWith(stage.Broadcast)
		mid.SubscribeTo(p)
		got, inside, deepest := 0, 0, 0
		depths := make([]uintptr, 200)
		c := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
			inside++
			defer func() { inside-- }()
			got += len(events)
			if got%1000 == 1 {
				deepest = max(deepest, runtime.Callers(0, depths))
			}
			if inside > 1 {
				t.Error("a callback in a callback")
			}
			return from.Ask(1)
		}, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(1) }))
		c.SubscribeTo(mid, stage.Manual())
		require.NoError(t, stage.Run(t.Context(), p, mid, c))
		require.Equal(t, n, got)
		require.Less(t, deepest, 30)
		closed(t, p, mid, c)
	})
	testkit.Report(t, "R3.3", n)
}

// R3.13: consumers that have cancelled are not kept alive by the producer that goes on. Pass: all are collected.
func TestACancelledConsumerIsLetGo(t *testing.T) {
	n := testkit.Rounds(1_000, 10_000)
	p := endless(quiet)
	ctx, cancel := context.WithCancel(t.Context())
	over := make(chan struct{})
	go func() { // ends with ctx
		defer close(over)
		_ = p.Run(ctx)
	}()
	var states []weak.Pointer[[64]int]
	for range n {
		func() {
			state := new([64]int)
			c := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
				state[0] += len(events)
				return from.Cancel(nil)
			})
			c.SubscribeTo(p, stage.MaxDemand(1))
			require.NoError(t, c.Run(t.Context()))
			states = append(states, weak.Make(state))
		}()
	}
	for range 2 { // the last messages are in the producer's hands until it takes others
		require.NoError(t, p.Do(t.Context(), func(context.Context) ([]int, error) { return nil, nil }))
	}
	alive := n
	for range 5 {
		runtime.GC()
		alive = 0
		for _, s := range states {
			if s.Value() != nil {
				alive++
			}
		}
	}
	require.Zero(t, alive, "of %d", n)
	cancel()
	<-over
	testkit.Report(t, "R3.13", n)
}
