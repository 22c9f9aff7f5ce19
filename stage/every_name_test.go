package stage_test

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"log/slog"
	"maps"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// The rest of T21, and the proof that it is the rest: every exported function that takes one of the user's has a row.

// hasRow says where the functions that an exported one takes are made to fail: kind and name of a place (victim_test.go), or
// the name of a spot.
var hasRow = map[string][]string{
	"NewProducer": {"producer/demand"}, "FromSeq": {"FromSeq/iterator"}, "FromSeq2": {"FromSeq2"}, "Poll": {"Poll/poll"},
	"Lines": {"a reader of Lines"}, "NewProducerConsumer": {"producer-consumer/events"}, "NewConsumer": {"consumer/events"},
	"ForEach": {"ForEach/fn"}, "NewExpander": {"the sequence of an expander", "the function of an expander"},
	"NewConsumerSupervisor": {"child", "child that is started again"}, "StartWith": {"start", "child of StartWith"},

	"OnInit":      {"producer/OnInit", "producer-consumer/OnInit", "consumer/OnInit", "OnInit of a supervisor"},
	"OnTerminate": {"producer/OnTerminate", "producer-consumer/OnTerminate", "consumer/OnTerminate", "OnTerminate of a supervisor"},
	"OnSubscribe": {"producer-consumer/OnSubscribe", "consumer/OnSubscribe", "OnSubscribe of a supervisor"},
	"OnConsumer":  {"producer/OnConsumer", "producer-consumer/OnConsumer"},

	"OnConsumerGone": {"producer/OnConsumerGone", "producer-consumer/OnConsumerGone"},

	"Observe":          {"producer/Observe", "producer-consumer/Observe", "consumer/Observe"},
	"ObserveCallbacks": {"an observer of callbacks, as one begins", "an observer of callbacks, as one has ended", "an observer of children"},
	"LogTo":            {"the handler of LogTo, of messages", "the handler of LogTo, of callbacks"},
	"Logger":           {"the handler of the log, as events are discarded", "the handler of a supervisor's log"},

	"Where": {"Where"}, "Charge": {"weigh of a budget"}, "PartitionBy": {"key of a partition"}, "PartitionWith": {"function of PartitionWith"},
	"Producer.DispatchWith": {"the constructor of a dispatcher"}, "ProducerConsumer.DispatchWith": {"the constructor of a dispatcher"},
	"Queue.DispatchWith": {"the constructor of a dispatcher"},

	"Producer.OnDiscard": {"producer/OnDiscard"}, "ProducerConsumer.OnDiscard": {"producer-consumer/OnDiscard"}, "Queue.OnDiscard": {"OnDiscard of a queue"},
	"ProducerConsumer.OnDemand": {"OnDemand"},
	"ProducerConsumer.OnCancel": {"producer-consumer/OnCancel"}, "Consumer.OnCancel": {"consumer/OnCancel"},
	"ConsumerSupervisor.OnCancel": {"OnCancel of a supervisor"},
	"ProducerConsumer.OnComplete": {"producer-consumer/OnComplete"}, "Consumer.OnComplete": {"consumer/OnComplete"},
	"ConsumerSupervisor.OnComplete":   {"OnComplete of a supervisor"},
	"ConsumerSupervisor.OnDeadLetter": {"OnDeadLetter"},

	"Producer.Do": {"producer/Do"}, "Producer.Tell": {"producer/Tell"},
	"Producer.DoAfter": {"DoAfter of a producer"}, "Producer.TellAfter": {"TellAfter of a producer"},
	"ProducerConsumer.Do": {"producer-consumer/Do"}, "ProducerConsumer.Tell": {"producer-consumer/Tell"},
	"ProducerConsumer.DoAfter": {"DoAfter of a producer-consumer"}, "ProducerConsumer.TellAfter": {"TellAfter of a producer-consumer"},
	"Consumer.Do": {"consumer/Do"}, "Consumer.Tell": {"consumer/Tell"},
	"ConsumerSupervisor.Do": {"Do of a supervisor, from a child"}, "ConsumerSupervisor.Tell": {"Tell of a supervisor"},
	"Subscription.Do":   {"producer-consumer/sub.Do", "consumer/sub.Do"},
	"Subscription.Tell": {"producer-consumer/sub.Tell", "consumer/sub.Tell", "Tell of a supervisor's subscription"},

	"Supervisor.AddFunc": {"AddFunc, at the first start", "AddFunc, at a restart"},
}

// userTypes are the types of parameters that call the user besides functions.
var userTypes = []string{"iter.Seq", "iter.Seq2", "io.Reader", "slog.Logger", "slog.Handler", "DispatcherFactory", "Dispatcher"}

func TestEveryFunctionTakenHasARow(t *testing.T) {
	rows := map[string]bool{}
	for _, p := range places {
		rows[p.kind+"/"+p.name] = true
	}
	for _, s := range slices.Concat(spots, furtherSpots) {
		rows[s.name] = true
	}
	taken := takesFunctions(t)
	require.Greater(t, len(taken), 40)
	for name := range taken {
		require.NotEmpty(t, hasRow[name], "%s takes a function that is never made to fail", name)
		for _, row := range hasRow[name] {
			require.True(t, rows[row], "%s: there is no %q", name, row)
		}
	}
	for name := range hasRow {
		require.Contains(t, slices.Collect(maps.Keys(taken)), name, "there is no such function any more")
	}
}

// takesFunctions lists the exported functions and methods that take something of the user's that is called.
func takesFunctions(t *testing.T) map[string]bool {
	taken := map[string]bool{}
	eachExported(t, func(receiver string, fn *ast.FuncDecl) {
		name := fn.Name.Name
		if receiver != "" {
			name = receiver + "." + name
		}
		if slices.ContainsFunc(fn.Type.Params.List, callsTheUser) {
			taken[name] = true
		}
	})
	return taken
}

func callsTheUser(param *ast.Field) (calls bool) {
	ast.Inspect(param.Type, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncType:
			calls = true
		case *ast.SelectorExpr:
			calls = calls || slices.Contains(userTypes, fmt.Sprint(n.X)+"."+n.Sel.Name)
		case *ast.Ident:
			calls = calls || slices.Contains(userTypes, n.Name)
		}
		return true
	})
	return calls
}

// busy makes a producer, a relay and a consumer of them, and has fn called a second later, which posts to one of them.
func busy(fn func(p *stage.Producer[int], mid *stage.ProducerConsumer[int, int])) []stage.Stage {
	p, mid := silent(quiet), relay(0, quiet, stage.OnInit(func(context.Context) error { return nil }))
	mid.SubscribeTo(p, stage.MaxDemand(10))
	time.AfterFunc(time.Second, func() { fn(p, mid) }) // ends by itself
	return to(mid, p, mid)
}

// dead is a dispatcher that takes everything and discards it.
type dead struct{ stage.Dispatcher[int] }

func (dead) Dispatch(events []int, out stage.Outlet[int]) []int { out.Discarded(events); return nil }
func (dead) Live() int64                                        { return 5 }

func watchChild(c stage.Callback, ended bool) bool { return c.Name == "child" && c.Ended == ended }

var furtherSpots = []spot{
	{"child of StartWith", func(fails func() error) []stage.Stage {
		return supervise(stage.StartWith(func(_ context.Context, n int) (func(context.Context) error, error) {
			return func(context.Context) error {
				if n == 7 {
					return fails()
				}
				return nil
			}, nil
		}, quiet))
	}, survives, false},
	{"an observer of callbacks, as one begins", func(fails func() error) []stage.Stage {
		p := stage.FromSlice(upTo(20), quiet, stage.ObserveCallbacks(func(c stage.Callback) {
			if c.Name == "demand" && !c.Ended {
				_ = fails()
			}
		}))
		return to(p, p)
	}, endsIt, true},
	{"an observer of callbacks, as one has ended", func(fails func() error) []stage.Stage {
		p := stage.FromSlice(upTo(20), quiet, stage.ObserveCallbacks(func(c stage.Callback) {
			if c.Name == "demand" && c.Ended {
				_ = fails()
			}
		}))
		return to(p, p)
	}, endsIt, true},
	{"an observer of children", func(fails func() error) []stage.Stage {
		return supervise(stage.NewConsumerSupervisor(idle, quiet, stage.ObserveCallbacks(func(c stage.Callback) {
			if watchChild(c, true) {
				_ = fails()
			}
		})))
	}, survives, true},
	{"the handler of LogTo, of messages", func(fails func() error) []stage.Stage {
		p := stage.FromSlice(upTo(20), quiet, stage.LogTo(slog.New(recordHandler(func(r slog.Record) {
			if r.Message == "stage: message" {
				_ = fails()
			}
		}))))
		return to(p, p)
	}, endsIt, true},
	{"the handler of LogTo, of callbacks", func(fails func() error) []stage.Stage {
		p := stage.FromSlice(upTo(20), quiet, stage.LogTo(slog.New(recordHandler(func(r slog.Record) {
			if r.Message == "stage: callback begins" {
				_ = fails()
			}
		}))))
		return to(p, p)
	}, endsIt, true},
	{"weigh of a budget", func(fails func() error) []stage.Stage {
		p := stage.FromSlice(upTo(50), quiet)
		return to(stage.Charge(p, stage.NewBudget(5), func(n int) int64 {
			if n == 20 {
				_ = fails()
			}
			return 1
		}), p)
	}, survives, true},
	{"function of PartitionWith", func(fails func() error) []stage.Stage {
		p := stage.FromSlice(upTo(50), quiet)
		p.DispatchWith(stage.PartitionWith(func(n int) (int, int, bool) {
			if n == 20 {
				_ = fails()
			}
			return n, 0, n%3 != 0
		}, 0))
		return to(stage.Partition(p, 0), p)
	}, survives, true},
	{"the constructor of a dispatcher", func(fails func() error) []stage.Stage {
		p, calls := stage.FromSlice(upTo(50), quiet), 0
		p.DispatchWith(func(opts ...stage.DispatchOption) (stage.Dispatcher[int], error) {
			if calls++; calls > 1 { // the first is of DispatchWith
				if err := fails(); err != nil {
					return nil, err
				}
			}
			return stage.Demand[int](opts...)
		})
		return to(p, p)
	}, endsIt, false},
	{"OnDiscard of a queue", func(fails func() error) []stage.Stage {
		q := stage.NewQueue[int](10, quiet)
		q.DispatchWith(func(opts ...stage.DispatchOption) (stage.Dispatcher[int], error) {
			d, err := stage.Demand[int](opts...)
			return dead{d}, err
		})
		q.OnDiscard(func(context.Context, []int) { _ = fails() })
		if err := q.TryPush(upTo(3)...); err != nil {
			panic(err)
		}
		return to(q, q)
	}, endsIt, true},
	{"DoAfter of a producer", func(fails func() error) []stage.Stage {
		return busy(func(p *stage.Producer[int], _ *stage.ProducerConsumer[int, int]) {
			_ = p.DoAfter(context.Background(), func(context.Context) ([]int, error) { return []int{1}, fails() })
		})
	}, endsIt, false},
	{"TellAfter of a producer", func(fails func() error) []stage.Stage {
		return busy(func(p *stage.Producer[int], _ *stage.ProducerConsumer[int, int]) {
			_ = p.TellAfter(func(context.Context) ([]int, error) { return []int{1}, fails() })
		})
	}, endsIt, false},
	{"DoAfter of a producer-consumer", func(fails func() error) []stage.Stage {
		return busy(func(_ *stage.Producer[int], mid *stage.ProducerConsumer[int, int]) {
			_ = mid.DoAfter(context.Background(), func(context.Context) ([]int, error) { return []int{1}, fails() })
		})
	}, endsIt, false},
	{"TellAfter of a producer-consumer", func(fails func() error) []stage.Stage {
		return busy(func(_ *stage.Producer[int], mid *stage.ProducerConsumer[int, int]) {
			_ = mid.TellAfter(func(context.Context) ([]int, error) { return []int{1}, fails() })
		})
	}, endsIt, false},
	{"Tell of a supervisor", func(fails func() error) []stage.Stage {
		var s *stage.ConsumerSupervisor[int]
		s = stage.NewConsumerSupervisor(func(_ context.Context, n int) error {
			if n == 7 {
				return s.Tell(func(context.Context) error { return fails() })
			}
			return nil
		}, quiet)
		return supervise(s)
	}, endsIt, false},
	{"Tell of a supervisor's subscription", func(fails func() error) []stage.Stage {
		return supervise(stage.NewConsumerSupervisor(idle, quiet, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
			return sub.Tell(func(context.Context) error { return fails() })
		})))
	}, endsIt, false},
	{"AddFunc, at the first start", func(fails func() error) []stage.Stage {
		s := stage.NewSupervisor(quiet)
		s.AddFunc(func() stage.Stage { _ = fails(); return nil })
		return []stage.Stage{s}
	}, endsIt, true},
	{"AddFunc, at a restart", func(fails func() error) []stage.Stage {
		s, calls := stage.NewSupervisor(quiet), 0
		s.AddFunc(func() stage.Stage {
			if calls++; calls == 2 {
				_ = fails()
			}
			if calls == 1 {
				p := silent(quiet)
				time.AfterFunc(time.Second, func() { p.Abort(errBoom) })
				return p
			}
			p := stage.FromSlice(upTo(5), quiet)
			return stage.NewPipeline(to(p, p)...)
		})
		return []stage.Stage{s}
	}, survives, true},
	{"the handler of a supervisor's log", func(fails func() error) []stage.Stage {
		s, runs := stage.NewSupervisor(stage.Logger(slog.New(logHandler(func() { _ = fails() })))), 0
		member := silent(quiet, stage.OnInit(func(context.Context) error {
			if runs++; runs > 1 {
				return stage.ErrDone
			}
			return nil
		}))
		s.Add(member)
		time.AfterFunc(time.Second, func() { member.Abort(errBoom) })
		return []stage.Stage{s}
	}, survives, true},
}

// recordHandler is a slog.Handler that gives each record to a function.
type recordHandler func(slog.Record)

func (recordHandler) Enabled(context.Context, slog.Level) bool        { return true }
func (h recordHandler) Handle(_ context.Context, r slog.Record) error { h(r); return nil }
func (h recordHandler) WithAttrs([]slog.Attr) slog.Handler            { return h }
func (h recordHandler) WithGroup(string) slog.Handler                 { return h }

// Whatever method of a dispatcher fails, once or from then on: its producer ends with that, and every event is accounted for.
func TestDispatcherFailsInEveryWay(t *testing.T) {
	cells := 0
	for _, method := range dispatcherMethods {
		for _, f := range faults {
			for _, once := range []bool{true, false} {
				if !f.hard {
					continue
				}
				cells++
				t.Run(fmt.Sprintf("%s/%s/once %v", method, f.name, once), func(t *testing.T) {
					bubble(t, func(t *testing.T) { failDispatcher(t, method, f, once) })
				})
			}
		}
	}
	testkit.Report(t, "T21", cells)
}

func failDispatcher(t *testing.T, method string, f fault, once bool) {
	armed := false
	odd := stage.PartitionBy(func(n int) int { return n % 2 }, 0, 1)
	p := silent(stage.Name("p"), quiet)
	p.DispatchWith(func(opts ...stage.DispatchOption) (stage.Dispatcher[int], error) {
		d, err := odd(opts...)
		return &badDispatcher{QueueingDispatcher: d.(stage.QueueingDispatcher[int]), at: method, armed: &armed, does: func() {
			armed = !once
			_ = f.does()
		}}, err
	})
	var toldSlow, toldQuick told
	slow, quick := newSink(time.Second), newSink(0)
	toldSlow.onCancel(slow.Consumer)
	toldQuick.onCancel(quick.Consumer)
	slow.SubscribeTo(stage.Partition(p, 0), stage.MaxDemand(2))
	quick.SubscribeTo(stage.Partition(p, 1), stage.MaxDemand(1000), stage.MinDemand(1))
	runs := runAlone(t.Context(), p, slow, quick)
	give(t, p, upTo(20)...)
	silence := func(context.Context) ([]int, error) { return nil, nil }
	_ = p.Do(t.Context(), func(context.Context) ([]int, error) { armed = true; return nil, nil })
	_ = p.Tell(func(context.Context) ([]int, error) { return upTo(5), nil })
	_ = p.TellAfter(silence)
	time.Sleep(time.Millisecond)
	slow.Abort(errBoom) // Cancel, HandBack
	another := newSink(0)
	another.SubscribeTo(stage.Partition(p, 0)) // Subscribe
	runs = append(runs, start(t.Context(), another))
	time.Sleep(time.Minute)
	quick.Abort(errBoom)
	time.Sleep(time.Minute)
	stopping, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	_ = p.Stop(stopping) // Deliverable
	err := runs[0].wait(t)
	var panicked *stage.PanicError
	require.ErrorAs(t, err, &panicked)
	require.Equal(t, "Dispatcher", panicked.Callback)
	if cause, ok := panicked.Value.(error); ok && f.name != "Goexit" {
		require.ErrorIs(t, err, cause)
	}
	require.Equal(t, f.name == "Goexit", errors.Is(err, stage.ErrGoexit))
	require.Equal(t, f.name == "panic(nil)", errors.As(err, new(*runtime.PanicNilError)))
	abortAll(t, runs...)
	closed(t, p, slow, quick, another)
	require.LessOrEqual(t, len(toldSlow.list()), 1)
	require.LessOrEqual(t, len(toldQuick.list()), 1)
}
