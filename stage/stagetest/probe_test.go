package stagetest_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
	"github.com/stretchr/testify/require"
)

var errBoom = errors.New("boom")

// doubler doubles numbers, a second for each.
func doubler() *stage.ProducerConsumer[int, int] {
	return stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
		out := make([]int, len(events))
		for i, n := range events {
			time.Sleep(time.Second)
			out[i] = 2 * n
		}
		return out, nil
	})
}

func TestProbesOnBothSides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := stagetest.NewProducer[int](t)
		double := doubler()
		double.SubscribeTo(in, stage.MaxDemand(2), stage.MinDemand(0))
		out := stagetest.Consume(t, double)
		run := stagetest.Start(t, in, double, out)
		run.ExpectRunning()

		in.ExpectDemand(2)
		in.Emit(1, 2)
		out.ExpectNone()
		out.Ask(1)
		out.ExpectNone() // it takes two seconds
		time.Sleep(2 * time.Second)
		out.Expect(2)
		in.ExpectDemand(2) // both are handled; one waits
		out.ExpectOpen()
		in.Complete()
		out.Ask(5)
		out.Expect(4)
		out.ExpectComplete()
		run.ExpectEnd(nil)
	})
}

func TestProbesSeeFailuresAndCancels(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in := stagetest.NewProducer[string](t, stage.KeepRunning(), stage.Logger(slog.New(slog.DiscardHandler)))
		out := stagetest.Consume(t, in)
		other := stagetest.Consume(t, in, stage.Label("other"))
		run := stagetest.Start(t, in, out, other)
		out.Ask(3)
		in.ExpectDemand(3)
		in.Emit("a", "b")
		require.Equal(t, []string{"a", "b"}, out.Take())
		out.Cancel(errBoom)
		gone, ok := in.ExpectCancel()
		require.True(t, ok)
		require.ErrorIs(t, gone.Reason, errBoom)
		end, ok := out.ExpectEnd()
		require.True(t, ok)
		require.Equal(t, stage.Cancelled, end.Kind)
		require.Equal(t, "other", other.Subscription().Label())
		require.Contains(t, in.Name(), "probe_test.go:")
		require.Contains(t, out.Name(), "probe_test.go:")
		in.Fail(errBoom)
		end, ok = other.ExpectEnd()
		require.True(t, ok)
		require.ErrorIs(t, end.Reason, errBoom)
		require.NoError(t, run.End(), "all its subscribers are temporary")
	})
}

// complaints is a testing.TB that keeps what it is told.
type complaints struct {
	testing.TB
	said  []string
	fatal bool
}

func (c *complaints) Helper() {}
func (c *complaints) Errorf(format string, args ...any) {
	c.said = append(c.said, fmt.Sprintf(format, args...))
}
func (c *complaints) Logf(string, ...any) {}

func (c *complaints) Fatalf(format string, args ...any) {
	c.fatal = true
	c.Errorf(format, args...)
}

func TestAProbeThatExpectsSomethingElseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := &complaints{TB: t}
		in := stagetest.NewProducer[int](tb, stage.KeepRunning())
		out := stagetest.Consume(tb, in)
		run := stagetest.Start(tb, in, out)
		fails := func(what string, fn func()) {
			t.Helper()
			tb.said = nil
			fn()
			require.Len(t, tb.said, 1, what)
		}
		out.Ask(5)
		fails("other demand", func() { in.ExpectDemand(4) })
		in.Emit(1, 2)
		fails("other events", func() { out.Expect(1, 3) })
		in.Emit(3)
		fails("more events", func() { out.ExpectNone() })
		fails("fewer events", func() { out.Expect(1) })
		fails("no end", func() { out.ExpectEnd() })
		fails("no completion", func() { out.ExpectComplete() })
		fails("nobody has gone", func() { in.ExpectCancel() })
		fails("a failure without an error", func() { in.Fail(nil) })
		fails("an ask for nothing", func() { out.Ask(0) })
		out.Cancel(nil)
		fails("its subscription has ended", func() { out.ExpectOpen() })
		fails("it was cancelled", func() { out.ExpectComplete() })
		fails("it does not end", func() { _ = run.End() })
		require.True(t, tb.fatal)
		fails("another end", func() { run.ExpectEnd(nil) })
		fails("it has ended", func() { run.ExpectRunning() })
		fails("it cannot emit", func() { in.Emit(1) })
		fails("it cannot ask", func() { out.Ask(1) })
		fails("it cannot cancel", func() { out.Cancel(nil) })
	})
}
