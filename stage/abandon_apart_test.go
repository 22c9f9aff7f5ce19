package stage_test

import (
	"context"
	"iter"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// blockingReader gives what it is sent.
type blockingReader chan string

func (r blockingReader) Read(p []byte) (int, error) { return copy(p, <-r), nil }

// A Read that does not return is abandoned. What it reads later is for the next run.
func TestStuckReader(t *testing.T) {
	bubble(t, func(t *testing.T) {
		text := make(blockingReader)
		var terminated count
		p := stage.Lines(text, stage.Name("lines"), terminated.onTerminate())
		var got []string
		c := stage.ForEach(func(_ context.Context, line string) error { got = append(got, line); return nil })
		c.SubscribeTo(p)
		pipeline := stage.NewPipeline(p, c)
		run := start(t.Context(), pipeline)
		text <- "one\ntwo\n"
		synctest.Wait()
		begin := time.Now()
		p.Abort(errBoom)
		err := run.wait(t)
		require.Equal(t, stage.DefaultGrace, time.Since(begin))
		require.Equal(t, []string{"lines/Read"}, stuckAt(t, err))
		require.EqualValues(t, 1, terminated.Load())
		require.ErrorIs(t, p.Run(t.Context()), stage.ErrStuck)
		text <- "three\n"
		synctest.Wait()
		require.Empty(t, p.Stats().Stuck)
		again := start(t.Context(), pipeline)
		text <- "four\n"
		synctest.Wait()
		require.Equal(t, []string{"one", "two", "three", "four"}, got)
		pipeline.Abort(nil)
		synctest.Wait()
		text <- "five"
		require.NotErrorIs(t, again.wait(t), stage.ErrStuck)
	})
}

// An iterator that is stuck is not touched by anyone else, and is released when it returns.
func TestStuckIterators(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		var released count
		seq := func(yield func(int, error) bool) {
			defer released.Add(1)
			for i := 0; yield(i, nil); i++ {
				if i == 5 {
					<-release
				}
			}
		}
		source := stage.FromSeq2(seq, stage.Name("source"))
		one := stage.FromSlice([]int{1, 2})
		expander := stage.NewExpander(func(context.Context, []int, *stage.Subscription) iter.Seq2[int, error] { return seq }, stage.Name("expander"))
		expander.SubscribeTo(one, stage.MaxDemand(1))
		a, b := newSink(0), newSink(0)
		a.SubscribeTo(source, stage.MaxDemand(1))
		b.SubscribeTo(expander, stage.MaxDemand(1))
		p := stage.NewPipeline(source, one, expander, a, b)
		run := start(t.Context(), p)
		p.Abort(nil)
		require.ElementsMatch(t, []string{"source/demand", "expander/events"}, stuckAt(t, run.wait(t)))
		require.EqualValues(t, 1, expander.Stats().Input.Late)
		require.Zero(t, released.Load())
		closed(t, p)
		close(release)
		synctest.Wait()
		require.EqualValues(t, 2, released.Load())
		require.Empty(t, source.Stats().Stuck)
		require.Empty(t, expander.Stats().Stuck)
	})
}

// A stage that is stuck elsewhere has an open iterator: it is released by the callback that comes late.
func TestIteratorOfAStuckStage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		var released count
		p := stage.FromSeq(func(yield func(int) bool) {
			defer released.Add(1)
			for i := 0; yield(i); i++ {
			}
		})
		c := newSink(0)
		c.SubscribeTo(p, stage.MaxDemand(3), stage.Manual())
		run := start(t.Context(), p)
		down := start(t.Context(), c)
		require.NoError(t, p.Tell(func(context.Context) ([]int, error) { <-release; return nil, nil }))
		synctest.Wait()
		p.Abort(nil)
		require.ErrorIs(t, run.wait(t), stage.ErrStuck)
		require.Zero(t, released.Load())
		close(release)
		synctest.Wait()
		require.ErrorIs(t, p.Stats().Err, stage.ErrStuck)
		require.Empty(t, p.Stats().Stuck)
		abortAll(t, down)
	})
}

// stuckHandler is a log handler that does not return.
type stuckHandler struct{ release chan struct{} }

func (stuckHandler) Enabled(context.Context, slog.Level) bool    { return true }
func (h stuckHandler) Handle(context.Context, slog.Record) error { <-h.release; return nil }
func (h stuckHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h stuckHandler) WithGroup(string) slog.Handler             { return h }

// A log handler that does not return is abandoned, too, and left alone.
func TestStuckLogger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		release := make(chan struct{})
		p := stage.FromSlice(upTo(10), stage.Name("p"), stage.Logger(slog.New(stuckHandler{release})), stage.BufferSize(0))
		c := newSink(0)
		c.SubscribeTo(p)
		p2 := stage.NewProducer(func(context.Context, int) ([]int, error) { return upTo(2000), nil },
			stage.Name("p2"), stage.BufferSize(1), stage.Logger(slog.New(stuckHandler{release})))
		c.SubscribeTo(p2, stage.MaxDemand(1))
		pipeline := stage.NewPipeline(p, p2, c)
		run := start(t.Context(), pipeline)
		begin := time.Now()
		pipeline.Abort(errBoom)
		err := run.wait(t)
		require.Equal(t, []string{"p2/Logger"}, stuckAt(t, err))
		require.Equal(t, stage.DefaultGrace, time.Since(begin))
		closed(t, pipeline)
		close(release)
		synctest.Wait()
		require.Empty(t, p2.Stats().Stuck)
	})
}
