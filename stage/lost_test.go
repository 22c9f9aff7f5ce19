package stage_test

import (
	"context"
	"iter"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// The table "What can be lost, and when" of docs/guide.md, row by row.

// losses has a test for each row, by the text of its first column.
var losses = map[string]func(t *testing.T){
	"an events callback returns an error, panics or calls Goexit": func(t *testing.T) {
		in, _ := loseFrom(t, func(context.Context, []int, *stage.Subscription) error { return errBoom })
		require.Equal(t, stage.InputStats{Received: 10, Failed: 5, HandedBack: 5}, in)
	},
	"... or is abandoned, as it does not return": func(t *testing.T) {
		in, _ := loseFrom(t, func(context.Context, []int, *stage.Subscription) error { time.Sleep(time.Hour); return nil })
		require.Equal(t, stage.InputStats{Received: 10, Late: 5, HandedBack: 5}, in)
	},
	"a consumer ends while it holds events: failure, Abort, cancel mode": func(t *testing.T) {
		in, _ := loseFrom(t, func(ctx context.Context, events []int, sub *stage.Subscription) error {
			if events[0] == 0 {
				return sub.Hold(3)
			}
			<-ctx.Done()
			return ctx.Err()
		})
		require.Equal(t, stage.InputStats{Received: 15, Handled: 2, Lost: 3, Failed: 5, HandedBack: 5}, in)
	},
	"... of a broadcast, or when the producer has ended too": func(t *testing.T) {
		p, c := stage.FromSlice(upTo(20)), newSink(time.Minute, patient)
		p.DispatchWith(stage.Broadcast)
		c.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(5))
		runs := runAlone(t.Context(), p, c)
		c.Abort(nil)
		_ = runs[1].wait(t)
		synctest.Wait()       // the source has heard of it
		in := c.Stats().Input // the five that it had just asked for have come in time to be handed back, or its mailbox has refused them
		require.Contains(t, []int64{5, 10}, in.HandedBack)
		require.Equal(t, stage.InputStats{Received: 5 + in.HandedBack, Handled: 5, HandedBack: in.HandedBack}, in)
		require.EqualValues(t, 10, p.Stats().Output.Lost, "all of them")

		d := newSink(time.Minute, patient)
		d.SubscribeTo(p, stage.MaxDemand(4))
		runs[1] = start(t.Context(), d)
		p.Abort(nil)
		_ = runs[0].wait(t)
		d.Abort(nil)
		_ = runs[1].wait(t)
		require.EqualValues(t, 2, d.Stats().Input.Lost)
		ledger(t, p, c, d)
	},
	"the child of a consumer supervisor fails for good": func(t *testing.T) {
		in := loseChildren(t, func(_ context.Context, n int) error { return map[bool]error{true: errBoom}[n == 3] })
		require.Equal(t, stage.InputStats{Received: 10, Handled: 9, Failed: 1}, in)
	},
	"... is stopped by `StopChild`, and returns an error": func(t *testing.T) {
		s := stage.NewConsumerSupervisor(func(ctx context.Context, _ int) error { <-ctx.Done(); return ctx.Err() }, quiet)
		s.OnDeadLetter(func(context.Context, int, int, error) { t.Error("a letter") })
		p := stage.FromSlice(upTo(1))
		s.SubscribeTo(p)
		runs := runAlone(t.Context(), p, s)
		require.NoError(t, s.StopChild(t.Context(), 1))
		require.Equal(t, stage.InputStats{Received: 1, Failed: 1}, s.Stats().Input)
		abortAll(t, runs...)
	},
	"... is abandoned, as it does not return": func(t *testing.T) {
		in := loseChildren(t, func(ctx context.Context, n int) error {
			if n == 3 {
				time.Sleep(time.Hour)
			}
			return nil
		})
		require.Equal(t, stage.InputStats{Received: 10, Handled: 9, Late: 1}, in)
		time.Sleep(2 * time.Hour) // it has returned
	},
	"... is interrupted by the end of the run": func(t *testing.T) {
		in := loseChildren(t, func(ctx context.Context, n int) error {
			if n < 8 {
				return nil
			}
			<-ctx.Done()
			return ctx.Err()
		})
		require.Equal(t, stage.InputStats{Received: 10, Handled: 8, Lost: 2}, in)
	},
	"the end of the run cuts the sequence of a `NewExpander` short": func(t *testing.T) {
		p, e, c := stage.FromSlice(upTo(20)), stage.NewExpander(repeat), newSink(time.Minute, patient)
		e.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(5))
		c.SubscribeTo(e, stage.MaxDemand(2))
		runs := runAlone(t.Context(), p, e, c)
		time.Sleep(time.Second)
		e.Abort(nil)
		_ = runs[1].wait(t)
		require.Equal(t, stage.InputStats{Received: 10, Lost: 5, HandedBack: 5}, e.Stats().Input)
		abortAll(t, runs[0], runs[2])
		closed(t, p, e, c)
	},
	"a callback returns events beside an error other than `ErrDone`": func(t *testing.T) {
		p, c := stage.NewProducer(func(context.Context, int) ([]int, error) { return upTo(3), errBoom }), newSink(0)
		c.SubscribeTo(p)
		require.ErrorIs(t, stage.Run(t.Context(), p, c), errBoom)
		require.Zero(t, p.Stats().Output)
		require.Empty(t, c.events())
	},
	"a producer or producer-consumer fails, is aborted, or loses its last subscriber for good ([rule R2](protocol.md))": func(t *testing.T) {
		p, q := silent(stage.Accumulating()), stage.NewQueue[int](5)
		parted := silent()
		parted.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1))
		runs := runAlone(t.Context(), p, q, parted)
		give(t, p, upTo(7)...)
		give(t, parted, upTo(8)...)
		require.NoError(t, q.TryPush(upTo(4)...))
		abortAll(t, runs...)
		require.EqualValues(t, 7, p.Stats().Output.Lost)
		require.EqualValues(t, 8, parted.Stats().Output.Lost)
		require.EqualValues(t, 4, q.Stats().Output.Lost)
		closed(t, p, q, parted)
	},
	"a buffer is full": func(t *testing.T) {
		p := silent(quiet, stage.BufferSize(3))
		runs := runAlone(t.Context(), p)
		give(t, p, upTo(10)...)
		require.EqualValues(t, 7, p.Stats().Output.Discarded)
		abortAll(t, runs...)
	},
	"a dispatcher has nobody for an event: no such partition, a function that says no or panics, an event that cannot be weighed": func(t *testing.T) {
		p, c := stage.FromSlice(upTo(12), quiet), newSink(0)
		p.DispatchWith(stage.PartitionWith(func(n int) (int, int, bool) {
			if n == 11 {
				panic("boom")
			}
			return n, n % 3, n != 0
		}, 0))
		c.SubscribeTo(stage.Charge(stage.Partition(p, 0), stage.NewBudget(9), func(n int) int64 { return int64(n - 6) }))
		require.NoError(t, stage.Run(t.Context(), p, c))
		require.Equal(t, []int{6, 9}, c.events())
		require.EqualValues(t, 10, p.Stats().Output.Dropped)
		closed(t, p, c)
	},
	"a subscriber with `Lag` is too slow": func(t *testing.T) {
		p, slow, fast := stage.FromSlice(upTo(20)), newSink(time.Minute, patient), newSink(0)
		p.DispatchWith(stage.Broadcast)
		slow.SubscribeTo(p, stage.MaxDemand(1), stage.Lag(4, stage.LagDropOldest))
		fast.SubscribeTo(p, stage.MaxDemand(2))
		require.NoError(t, stage.Run(t.Context(), p, slow, fast))
		downs := p.Stats().Downstreams
		require.EqualValues(t, 15, downs[0].Lagged+downs[1].Lagged)
		require.Equal(t, []int{0, 16, 17, 18, 19}, slow.events())
		require.Equal(t, upTo(20), fast.events())
	},
	"a callback returns after it was abandoned": func(t *testing.T) {
		p := stage.NewProducer(func(context.Context, int) ([]int, error) { time.Sleep(time.Hour); return upTo(3), nil }, quiet)
		c := newSink(0)
		c.SubscribeTo(p)
		runs := runAlone(t.Context(), p, c)
		p.Abort(nil)
		require.ErrorIs(t, runs[0].wait(t), stage.ErrStuck)
		time.Sleep(time.Hour)
		require.EqualValues(t, 3, p.Stats().Output.LateResults)
		require.Empty(t, c.events())
	},
	"`Stop`": func(t *testing.T) {
		p, mid, c := endless(), relay(time.Millisecond), newSink(time.Second)
		mid.SubscribeTo(p, stage.MaxDemand(10))
		c.SubscribeTo(mid, stage.MaxDemand(4))
		pipeline := stage.NewPipeline(p, mid, c)
		run := start(t.Context(), pipeline)
		time.Sleep(10 * time.Second)
		require.NoError(t, pipeline.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		require.Equal(t, p.Stats().Output.Emitted, c.Stats().Input.Handled)
		closed(t, p, mid, c)

		run = start(t.Context(), pipeline)
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var left *stage.StopError
		require.ErrorAs(t, pipeline.Stop(ctx), &left)
		require.NotEmpty(t, left.Left)
		_ = run.wait(t)
		closed(t, p, mid, c)
	},
	"the process dies": func(t *testing.T) {}, // nothing is left to tell
}

// repeat has the first event of a batch again and again.
func repeat(_ context.Context, events []int, _ *stage.Subscription) iter.Seq2[int, error] {
	return func(yield func(int, error) bool) {
		for yield(events[0], nil) {
		}
	}
}

// loseFrom runs a consumer that gets ten events in two chunks, has it aborted after a second, and returns what it and its
// source have counted.
func loseFrom(t *testing.T, handle func(context.Context, []int, *stage.Subscription) error) (stage.InputStats, stage.OutputStats) {
	p, c := stage.FromSlice(upTo(20), quiet), stage.NewConsumer(handle, quiet)
	c.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(5))
	runs := runAlone(t.Context(), p, c)
	time.Sleep(time.Second)
	c.Abort(nil)
	_ = runs[1].wait(t)
	time.Sleep(2 * time.Hour) // what was abandoned has returned
	abortAll(t, runs[0])
	closed(t, p, c)
	return c.Stats().Input, p.Stats().Output
}

// loseChildren runs ten children, and aborts their supervisor after a second.
func loseChildren(t *testing.T, child func(context.Context, int) error) stage.InputStats {
	p, s := stage.FromSlice(upTo(10)), stage.NewConsumerSupervisor(child, quiet)
	s.SubscribeTo(p, stage.MaxDemand(10))
	runs := runAlone(t.Context(), p, s)
	time.Sleep(time.Second)
	s.Abort(nil)
	abortAll(t, runs...)
	closed(t, p, s)
	return s.Stats().Input
}

func TestWhatCanBeLost(t *testing.T) {
	page, err := os.ReadFile("../docs/guide.md")
	require.NoError(t, err)
	_, section, found := strings.Cut(string(page), "### What can be lost, and when\n")
	require.True(t, found)
	_, table, found := strings.Cut(section, "|---|---|---|\n")
	require.True(t, found)
	table, _, _ = strings.Cut(table, "\n\n")
	rows := strings.Split(table, "\n")
	require.Len(t, rows, len(losses), "one test for each row of the table")
	for _, row := range rows {
		name := strings.TrimSpace(strings.Split(row, "|")[1])
		test, known := losses[name]
		require.True(t, known, "no test of: %s", name)
		t.Run(name, func(t *testing.T) { bubble(t, test) })
	}
}
