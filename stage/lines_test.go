package stage_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// collector keeps what it has received, in order.
type collector[T any] struct {
	*stage.Consumer[T]
	mu  sync.Mutex
	got []T // guarded by mu
}

func collect[T any](src stage.Source[T], opts ...stage.SubscribeOption) *collector[T] {
	c := &collector[T]{}
	c.Consumer = stage.NewConsumer(func(_ context.Context, events []T, _ *stage.Subscription) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got = append(c.got, events...)
		return nil
	})
	c.SubscribeTo(src, opts...)
	return c
}

func (c *collector[T]) events() []T {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]T(nil), c.got...)
}

func TestLinesAreThoseOfScanner(t *testing.T) {
	texts := []string{
		"", "\n", "\r\n", "\r", "a", "a\n", "a\r\n", "a\r", "\n\n", "a\n\nb", "a\r\nb\r\n", "a\rb\n", "\r\r\n", "ä\nö\nü",
		strings.Repeat("0123456789\n", 20_000), strings.Repeat("x", 200_000) + "\nend",
	}
	readers := map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r }, "data and EOF": iotest.DataErrReader, "half": iotest.HalfReader,
		"one byte": iotest.OneByteReader,
	}
	for i, text := range texts {
		for name, reader := range readers {
			if name == "one byte" && len(text) > 100 {
				continue
			}
			t.Run(fmt.Sprint(i, " ", name), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					var want []string
					s := bufio.NewScanner(strings.NewReader(text))
					s.Buffer(nil, 1<<20)
					for s.Scan() {
						want = append(want, s.Text())
					}
					lines := stage.Lines(reader(strings.NewReader(text)))
					c := collect(lines, stage.MaxDemand(7))
					require.NoError(t, stage.Run(t.Context(), lines, c))
					require.Equal(t, want, c.events())
					closed(t, lines, c)
				})
			})
		}
	}
}

func TestLongLineEndsLinesWithItsNumber(t *testing.T) {
	for _, end := range []string{"\n", "\r\n", ""} {
		for length := 8; length <= 12; length++ {
			for _, reader := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.DataErrReader} {
				bubble(t, func(t *testing.T) {
					long := strings.Repeat("x", length)
					lines := stage.Lines(reader(strings.NewReader("one\ntwo\n"+long+end)), stage.MaxLine(10))
					c := collect(lines)
					consumer := start(t.Context(), c)
					err := start(t.Context(), lines).wait(t)
					_ = consumer.wait(t)
					if length <= 10 {
						require.NoError(t, err)
						require.Equal(t, []string{"one", "two", long}, c.events())
						return
					}
					require.ErrorIs(t, err, bufio.ErrTooLong)
					require.ErrorContains(t, err, "line 3 is longer than 10 bytes")
					require.Equal(t, []string{"one", "two"}, c.events(), "what came before was emitted")
				})
			}
		}
	}
}

func TestMaxLineHasLimits(t *testing.T) {
	require.ErrorIs(t, stage.Lines(strings.NewReader(""), stage.MaxLine(0)).Run(t.Context()), stage.ErrInvalidOption)
	require.ErrorIs(t, stage.FromSlice([]string{""}, stage.MaxLine(10)).Run(t.Context()), stage.ErrInvalidOption)
	bubble(t, func(t *testing.T) {
		lines := stage.Lines(strings.NewReader("a\nb"), stage.MaxLine(math.MaxInt))
		c := collect(lines)
		require.NoError(t, stage.Run(t.Context(), lines, c))
		require.Equal(t, []string{"a", "b"}, c.events())
	})
	require.Panics(t, func() { stage.Lines(nil) })
}

// chunks is a reader that blocks until something is sent, and returns errors as told.
type chunks struct {
	ch     chan any // a string, an error, or a func() that is called
	closed chan struct{}
	rest   []byte
}

func newChunks() *chunks { return &chunks{ch: make(chan any), closed: make(chan struct{})} }

func (c *chunks) Read(p []byte) (int, error) {
	if len(c.rest) == 0 {
		select {
		case v := <-c.ch:
			switch v := v.(type) {
			case string:
				c.rest = []byte(v)
			case error:
				return 0, v
			case func():
				v()
			}
		case <-c.closed:
			return 0, io.ErrClosedPipe
		}
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

func TestALineGoesOnItsWayWhenItIsRead(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newChunks()
		lines := stage.Lines(r)
		c := collect(lines)
		run := start(t.Context(), stage.NewPipeline(lines, c))
		r.ch <- "one\ntw"
		synctest.Wait()
		require.Equal(t, []string{"one"}, c.events())
		r.ch <- "o\nthree\nfour"
		synctest.Wait()
		require.Equal(t, []string{"one", "two", "three"}, c.events())
		ledger(t, lines, c)
		within(t, "Do while Read blocks", func() {
			require.NoError(t, lines.Do(t.Context(), func(context.Context) ([]string, error) { return nil, nil }))
		})
		r.ch <- io.EOF
		require.NoError(t, run.wait(t))
		require.Equal(t, []string{"one", "two", "three", "four"}, c.events())
		closed(t, lines, c)
	})
}

func TestLinesReadsOnlyWhileThereIsDemand(t *testing.T) {
	bubble(t, func(t *testing.T) {
		text := bytes.NewBufferString(strings.Repeat("line\n", 100))
		lines := stage.Lines(iotest.OneByteReader(text))
		var sub *stage.Subscription
		c := stage.ForEach(func(context.Context, string) error { return nil },
			stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub = s; return nil }))
		c.SubscribeTo(lines, stage.Manual())
		run := start(t.Context(), stage.NewPipeline(lines, c))
		require.Equal(t, 500, text.Len(), "no demand, nothing read")
		for i := 1; i <= 10; i++ {
			require.NoError(t, sub.Ask(3))
			synctest.Wait()
			require.Equal(t, 500-15*i, text.Len())
			require.EqualValues(t, 3*i, lines.Stats().Output.Dispatched)
			ledger(t, lines, c)
		}
		abortAll(t, run)
	})
}

func TestStopOfLinesWaitsForTheReadThatBlocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newChunks()
		var log told
		lines := stage.Lines(r, stage.OnTerminate(func(error) { log.add(stage.Cancellation{}); close(r.closed) }))
		c := collect(lines)
		run := start(t.Context(), stage.NewPipeline(lines, c))
		r.ch <- "one\ntwo\nthr"
		synctest.Wait()
		require.NoError(t, run.Stop(t.Context()), "OnTerminate closes the reader")
		require.NoError(t, run.wait(t))
		require.Equal(t, []string{"one", "two"}, c.events())
		require.Len(t, log.list(), 1)
		closed(t, lines, c)
	})
}

func TestAbortOfLinesReturnsWhenReadDoes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newChunks()
		lines := stage.Lines(r)
		c := collect(lines)
		run := start(t.Context(), stage.NewPipeline(lines, c))
		r.ch <- "one\n"
		synctest.Wait()
		run.Abort(errBoom)
		require.True(t, run.running(), "Read blocks")
		r.ch <- "two\n"
		require.ErrorIs(t, run.wait(t), errBoom)
		require.Equal(t, []string{"one"}, c.events())

		run = start(t.Context(), stage.NewPipeline(lines, c))
		r.ch <- errBoom
		require.ErrorContains(t, run.wait(t), "line 3: boom")
		require.Equal(t, []string{"one", "two"}, c.events(), "the next run reads on")
	})
}

func TestEachRunOfLinesReadsOn(t *testing.T) {
	for _, end := range []string{"abort", "stop", "done"} {
		t.Run(end, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				const n = 1000
				var text strings.Builder
				for i := range n {
					fmt.Fprintln(&text, i)
				}
				lines := stage.Lines(iotest.HalfReader(strings.NewReader(text.String())))
				var (
					got           []int // written by one run after the other
					emitted, lost int64
				)
				for runs := 1; emitted < n; runs++ {
					c := stage.ForEach(func(_ context.Context, line string) error {
						i, err := strconv.Atoi(line)
						got = append(got, i)
						switch {
						case err != nil:
							return err
						case len(got)%20 > 0:
						case end == "abort":
							lines.Abort(errBoom)
						case end == "stop":
							go lines.Stop(context.WithoutCancel(t.Context())) // ends with the run
						default:
							return stage.ErrDone
						}
						return nil
					})
					c.SubscribeTo(lines, stage.MaxDemand(3), stage.MinDemand(2))
					_ = stage.NewPipeline(lines, c).Run(t.Context())
					closed(t, lines, c)
					stats := lines.Stats()
					emitted += stats.Output.Emitted
					lost += stats.Output.Lost + c.Stats().Input.Lost
					require.Less(t, runs, n)
				}
				require.EqualValues(t, n, emitted, "each line is emitted in one run")
				require.EqualValues(t, n, int64(len(got))+lost)
				require.True(t, slices.IsSorted(got))
				if end == "stop" {
					require.Zero(t, lost)
				}
			})
		})
	}
}

func TestAReaderFailsInEveryWay(t *testing.T) {
	for name, fail := range map[string]struct {
		read any
		want error
	}{
		"error":     {errBoom, errBoom},
		"panic":     {func() { panic(errBoom) }, errBoom},
		"Goexit":    {func() { runtime.Goexit() }, stage.ErrGoexit},
		"EOF as is": {fmt.Errorf("wrapped: %w", io.EOF), io.EOF},
	} {
		for before := range 5 {
			t.Run(fmt.Sprint(name, before), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					r := newChunks()
					lines := stage.Lines(r, stage.Name("lines"))
					c := collect(lines)
					consumer, run := start(t.Context(), c), start(t.Context(), lines)
					for i := range before {
						r.ch <- fmt.Sprintln(i)
					}
					r.ch <- fail.read
					require.ErrorIs(t, run.wait(t), fail.want)
					require.ErrorIs(t, consumer.wait(t), fail.want)
					require.Len(t, c.events(), before, "what came before was emitted")
					var end *stage.Error
					require.ErrorAs(t, run.err, &end)
					require.Equal(t, "lines", end.Stage)
					closed(t, lines, c)
				})
			})
		}
	}
}

type badReader struct{ n int }

func (r badReader) Read([]byte) (int, error) { return r.n, nil }

func TestAReaderThatBreaksItsContractEndsLines(t *testing.T) {
	for n, want := range map[int]error{0: io.ErrNoProgress, -1: bufio.ErrBadReadCount, 1 << 30: bufio.ErrBadReadCount} {
		bubble(t, func(t *testing.T) {
			lines := stage.Lines(badReader{n})
			require.ErrorIs(t, stage.Run(t.Context(), lines, collect(lines)), want)
		})
	}
}

func TestAReaderThatStopsItsOwnStageIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newChunks()
		lines := stage.Lines(r)
		c := collect(lines)
		run := start(t.Context(), stage.NewPipeline(lines, c))
		var answer error
		r.ch <- func() { answer = lines.Stop(context.Background()) }
		synctest.Wait()
		require.ErrorIs(t, answer, stage.ErrSelfCall)
		r.ch <- errors.New("end")
		_ = run.wait(t)
	})
}

func TestLinesIsStoppedAtEveryMoment(t *testing.T) {
	for i := range 100 {
		bubble(t, func(t *testing.T) {
			pipe, w := io.Pipe()
			lines := stage.Lines(pipe, stage.OnTerminate(func(error) { pipe.Close() }))
			c := collect(lines, stage.MaxDemand(2))
			run := start(t.Context(), stage.NewPipeline(lines, c))
			go func() { // ends when the pipe is closed
				for n := 0; ; n++ {
					if _, err := fmt.Fprintln(w, n); err != nil {
						return
					}
				}
			}()
			for range i { // the clock stands still while every stage is busy
				runtime.Gosched()
			}
			if i%2 == 0 {
				require.NoError(t, run.Stop(t.Context()))
			} else {
				run.Abort(errBoom)
			}
			_ = run.wait(t)
			for n, line := range c.events() {
				require.Equal(t, fmt.Sprint(n), line)
			}
			closed(t, lines, c)
		})
	}
}
