package stage_test

import (
	"context"
	"io/fs"
	"runtime"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// An error of the user's may have methods that panic: a nil pointer that was returned as an error has an Unwrap that
// does; another one calls Goexit. Wherever it comes from, the process lives, the run ends, and its error says what was wrong with that one.

type (
	panicsInIs   struct{}
	panicsAtOne  struct{} // only if it is asked for that
	exitsInIs    struct{}
	exitsInAs    struct{}
	exitsInWraps struct{}
)

func (panicsInIs) Error() string { return "its Is panics" }
func (panicsInIs) Is(error) bool { panic("boom") }

func (panicsAtOne) Error() string { return "its Is panics at times" }
func (panicsAtOne) Is(target error) bool {
	if target == stage.ErrShutdown {
		panic("boom")
	}
	return false
}

func (exitsInIs) Error() string { return "its Is calls Goexit" }
func (exitsInIs) Is(error) bool { runtime.Goexit(); return false }

func (exitsInAs) Error() string { return "its As calls Goexit" }
func (exitsInAs) As(any) bool   { runtime.Goexit(); return false }

func (exitsInWraps) Error() string { return "its Unwrap calls Goexit" }
func (exitsInWraps) Unwrap() error { runtime.Goexit(); return nil }

func TestAnErrorWhoseMethodsPanic(t *testing.T) {
	for _, bad := range []error{(*fs.PathError)(nil), panicsInIs{}, panicsAtOne{}, exitsInIs{}, exitsInAs{}, exitsInWraps{}} {
		sink := func(src stage.Source[int]) *sink {
			c := newSink(0)
			c.SubscribeTo(src)
			return c
		}
		fails := func(context.Context) error { return bad }
		for name, run := range map[string]func(t *testing.T) error{
			"demand": func(t *testing.T) error {
				p := stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, bad })
				return stage.Run(t.Context(), p, sink(p))
			},
			"a panic": func(t *testing.T) error {
				p := stage.NewProducer(func(context.Context, int) ([]int, error) { panic(bad) })
				err := stage.Run(t.Context(), p, sink(p))
				var panicked *stage.PanicError
				require.ErrorAs(t, err, &panicked)
				require.Equal(t, "demand", panicked.Callback)
				return panicked.Unwrap()
			},
			"OnInit": func(t *testing.T) error { return silent(stage.OnInit(fails)).Run(t.Context()) },
			"child": func(t *testing.T) error {
				p := stage.FromSlice(upTo(1))
				s := stage.NewConsumerSupervisor(func(context.Context, int) error { return bad },
					stage.Restart(stage.RestartTransient))
				s.SubscribeTo(p)
				return stage.Run(t.Context(), p, s)
			},
			"a dispatcher": func(t *testing.T) error {
				p := silent()
				p.DispatchWith(func(...stage.DispatchOption) (stage.Dispatcher[int], error) { return nil, bad })
				return stage.Run(t.Context(), p, sink(p))
			},
			"Abort": func(t *testing.T) error {
				p := silent()
				r := start(t.Context(), stage.NewPipeline(p, sink(p)))
				p.Abort(bad)
				return r.wait(t)
			},
			"Cancel": func(t *testing.T) error {
				p := silent()
				c, sub := manualSink(t, p)
				runs := runAlone(t.Context(), p, c)
				defer abortAll(t, runs[0])
				require.NoError(t, sub().Cancel(bad))
				return runs[1].wait(t)
			},
			"Resubscribe": func(t *testing.T) error {
				p := silent()
				c, sub := manualSink(t, p)
				runs := runAlone(t.Context(), p, c)
				defer abortAll(t, runs[0])
				_, _ = c.Resubscribe(t.Context(), sub(), bad, p)
				return runs[1].wait(t)
			},
			"the cause of a context": func(t *testing.T) error {
				ctx, cancel := context.WithCancelCause(t.Context())
				p := silent()
				r := start(ctx, stage.NewPipeline(p, sink(p)))
				cancel(bad)
				return r.wait(t)
			},
			"Events": func(t *testing.T) (err error) {
				ctx, cancel := context.WithCancelCause(t.Context())
				p := silent()
				r := start(t.Context(), p)
				defer abortAll(t, r)
				time.AfterFunc(time.Second, func() { cancel(bad) })
				for _, err = range stage.Events(ctx, p) {
					continue
				}
				return err
			},
		} {
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					err := run(t)
					require.ErrorContains(t, err, "of which a method ")
					var panicked *stage.PanicError
					require.NotErrorAs(t, err, &panicked)
				})
			})
		}
	}
}
