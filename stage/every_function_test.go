package stage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"slices"
	"testing"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// T21: the functions of the user's that the table of places (victim_test.go) has not: what dispatchers call, OnDemand,
// sequences, readers, those of a consumer supervisor, the log. Each fails in every way: the process lives, the
// run ends as is said here, with the cause kept, and every event is accounted for.

// outcome says what the failure of a function does.
type outcome string

const (
	endsIt   outcome = "its stage ends with it"
	refuses  outcome = "its subscription ends with it" // and the process and all others live
	survives outcome = "nobody ends"
)

// spot is such a function.
type spot struct {
	name  string
	makes func(fails func() error) []stage.Stage
	is    outcome
	hard  bool // it returns no error: it only panics, or calls Goexit
}

func swallow() *stage.Consumer[int] {
	return stage.ForEach(func(context.Context, int) error { return nil }, quiet)
}

// to makes a consumer of one source.
func to(src stage.Source[int], all ...stage.Stage) []stage.Stage {
	c := swallow()
	c.SubscribeTo(src, stage.MaxDemand(10))
	return append(all, c)
}

// supervise makes a consumer supervisor with its source.
func supervise(s *stage.ConsumerSupervisor[int]) []stage.Stage {
	p := stage.FromSlice(upTo(20), quiet)
	s.SubscribeTo(p, stage.MaxDemand(5))
	return []stage.Stage{p, s}
}

func idle(context.Context, int) error { return nil }

var spots = []spot{
	{"Where", func(fails func() error) []stage.Stage {
		p := stage.FromSlice(upTo(50), quiet)
		p.DispatchWith(stage.Broadcast)
		picky := stage.ForEach(func(context.Context, int) error { return nil }, quiet)
		picky.SubscribeTo(stage.Where(p, func(n int) bool { return n < 20 || fails() == nil }), stage.Cancel(stage.CancelTemporary))
		return to(p, p, picky)
	}, refuses, true},
	{"key of a partition", func(fails func() error) []stage.Stage {
		p := stage.FromSlice(upTo(50), quiet)
		p.DispatchWith(stage.PartitionBy(func(n int) int {
			if n == 20 {
				_ = fails()
			}
			return 0
		}, 0))
		return to(stage.Partition(p, 0), p)
	}, survives, true},
	{"OnDemand", func(fails func() error) []stage.Stage {
		p, mid := stage.FromSlice(upTo(50), quiet), relay(0, quiet)
		shown := 0
		mid.OnDemand(func(_ context.Context, demand int) ([]int, int, error) {
			if shown++; shown == 3 {
				return nil, 0, fails()
			}
			return nil, demand, nil
		})
		mid.SubscribeTo(p, stage.MaxDemand(10))
		return to(mid, p, mid)
	}, endsIt, false},
	{"the sequence of an expander", func(fails func() error) []stage.Stage {
		p := stage.FromSlice(upTo(5), quiet)
		x := stage.NewExpander(func(_ context.Context, events []int, _ *stage.Subscription) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				if yield(1, nil) && yield(2, nil) {
					yield(3, fails())
				}
			}
		}, quiet)
		x.SubscribeTo(p, stage.MaxDemand(1))
		return to(x, p, x)
	}, endsIt, false},
	{"the function of an expander", func(fails func() error) []stage.Stage {
		p := stage.FromSlice(upTo(5), quiet)
		x := stage.NewExpander(func(context.Context, []int, *stage.Subscription) iter.Seq2[int, error] {
			err := fails()
			return func(yield func(int, error) bool) { yield(0, err) }
		}, quiet)
		x.SubscribeTo(p, stage.MaxDemand(1))
		return to(x, p, x)
	}, endsIt, false},
	{"FromSeq2", func(fails func() error) []stage.Stage {
		p := stage.FromSeq2(func(yield func(int, error) bool) {
			if yield(1, nil) {
				yield(2, fails())
			}
		}, quiet)
		return to(p, p)
	}, endsIt, false},
	{"a reader of Lines", func(fails func() error) []stage.Stage {
		p := stage.Lines(reader(func([]byte) (int, error) { return 0, fails() }), quiet)
		c := stage.ForEach(func(context.Context, string) error { return nil })
		c.SubscribeTo(p)
		return []stage.Stage{p, c}
	}, endsIt, false},
	{"child", func(fails func() error) []stage.Stage {
		return supervise(stage.NewConsumerSupervisor(func(_ context.Context, n int) error {
			if n == 7 {
				return fails()
			}
			return nil
		}, quiet))
	}, survives, false},
	{"child that is started again", func(fails func() error) []stage.Stage {
		return supervise(stage.NewConsumerSupervisor(func(_ context.Context, n int) error {
			if n == 7 {
				return fails()
			}
			return nil
		}, quiet, stage.Restart(stage.RestartTransient), stage.MaxAttempts(3)))
	}, survives, false},
	{"start", func(fails func() error) []stage.Stage {
		return supervise(stage.StartWith(func(_ context.Context, n int) (func(context.Context) error, error) {
			if n == 7 {
				return nil, fails()
			}
			return func(context.Context) error { return nil }, nil
		}, quiet))
	}, survives, false},
	{"OnDeadLetter", func(fails func() error) []stage.Stage {
		s := stage.NewConsumerSupervisor(func(context.Context, int) error { return errBoom }, quiet)
		s.OnDeadLetter(func(context.Context, int, int, error) { _ = fails() })
		return supervise(s)
	}, endsIt, true},
	{"OnInit of a supervisor", func(fails func() error) []stage.Stage {
		return supervise(stage.NewConsumerSupervisor(idle, quiet, stage.OnInit(func(context.Context) error { return fails() })))
	}, endsIt, false},
	{"OnSubscribe of a supervisor", func(fails func() error) []stage.Stage {
		return supervise(stage.NewConsumerSupervisor(idle, quiet,
			stage.OnSubscribe(func(context.Context, *stage.Subscription) error { return fails() })))
	}, endsIt, false},
	{"OnTerminate of a supervisor", func(fails func() error) []stage.Stage {
		return supervise(stage.NewConsumerSupervisor(idle, quiet, stage.OnTerminate(func(error) { _ = fails() })))
	}, endsIt, true},
	{"OnCancel of a supervisor", func(fails func() error) []stage.Stage {
		s := stage.NewConsumerSupervisor(idle, quiet)
		s.OnCancel(func(context.Context, *stage.Subscription, stage.Cancellation) error { return fails() })
		return supervise(s)
	}, endsIt, false},
	{"OnComplete of a supervisor", func(fails func() error) []stage.Stage {
		s := stage.NewConsumerSupervisor(idle, quiet)
		s.OnComplete(func(context.Context) error {
			if err := fails(); err != nil {
				return err
			}
			return stage.ErrDone
		})
		return supervise(s)
	}, endsIt, false},
	{"Do of a supervisor, from a child", func(fails func() error) []stage.Stage {
		var s *stage.ConsumerSupervisor[int]
		s = stage.NewConsumerSupervisor(func(ctx context.Context, n int) error {
			if n == 7 {
				_ = s.Do(ctx, func(context.Context) error { return fails() })
			}
			return nil
		}, quiet)
		return supervise(s)
	}, endsIt, false},
	{"the handler of the log, as events are discarded", func(fails func() error) []stage.Stage {
		log := stage.Logger(slog.New(logHandler(func() { _ = fails() })))
		p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) { return upTo(demand + 100), stage.ErrDone }, log, stage.BufferSize(1))
		return to(p, p)
	}, survives, true},
	{"the handler of the log, as a child is given up", func(fails func() error) []stage.Stage {
		log := stage.Logger(slog.New(logHandler(func() { _ = fails() })))
		return supervise(stage.NewConsumerSupervisor(func(context.Context, int) error { return errBoom }, log))
	}, survives, true},
	{"the handler of the log, as a key fails", func(fails func() error) []stage.Stage {
		log := stage.Logger(slog.New(logHandler(func() { _ = fails() })))
		p := stage.FromSlice(upTo(50), log)
		p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 2 }, 0))
		return to(stage.Partition(p, 0), p)
	}, survives, true},
}

// inDispatchers are those that dispatchers call.
var inDispatchers = []string{"Where", "key of a partition", "function of PartitionWith", "weigh of a budget"}

type reader func([]byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }

var _ io.Reader = reader(nil)

// logHandler is a slog.Handler that calls a function for each record.
type logHandler func()

func (logHandler) Enabled(context.Context, slog.Level) bool    { return true }
func (h logHandler) Handle(context.Context, slog.Record) error { h(); return nil }
func (h logHandler) WithAttrs([]slog.Attr) slog.Handler        { return h }
func (h logHandler) WithGroup(string) slog.Handler             { return h }

func TestEveryOtherFunctionFailsInEveryWay(t *testing.T) {
	cells := 0
	for _, s := range slices.Concat(spots, furtherSpots) {
		for _, f := range faults {
			if s.hard && !f.hard || f.name == "ErrDone" || f.name == "ErrShutdown" {
				continue // those are ends, not failures
			}
			cells++
			t.Run(s.name+"/"+f.name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					called := 0
					stages := s.makes(func() error {
						called++
						return f.does()
					})
					p := stage.NewPipeline(stages...)
					err := start(t.Context(), p).wait(t)
					require.Positive(t, called)
					switch {
					case s.is == endsIt || f.name == "Goexit" && slices.Contains(inDispatchers, s.name):
						// Goexit cannot be stopped: a function that a dispatcher calls takes the producer with it.
						require.Error(t, err)
						var panicked *stage.PanicError
						require.Equal(t, f.hard, errors.As(err, &panicked), "%v", f.name)
						require.NotPanics(t, func() { _ = fmt.Sprint(err) })
						require.True(t, f.hard || errors.Is(err, errBoom) || errors.As(err, &mute{}))
					default:
						require.NoError(t, err)
					}
					ledger(t, stages...)
				})
			})
		}
	}
	testkit.Report(t, "T21", cells)
}
