package stage_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// watcher keeps the callbacks that it is told of, in words.
type watcher struct {
	mu  sync.Mutex
	all []stage.Callback // guarded by mu
}

func (w *watcher) add(c stage.Callback) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.all = append(w.all, c)
}

// ends returns the ends of callbacks.
func (w *watcher) ends() []stage.Callback {
	w.mu.Lock()
	defer w.mu.Unlock()
	var ends []stage.Callback
	for _, c := range w.all {
		if c.Ended {
			ends = append(ends, c)
		}
	}
	return ends
}

// words returns the callbacks of one stage as "events 2→1 1s".
func (w *watcher) words(s stage.Stage) []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var list []string
	for _, c := range w.all {
		switch {
		case c.Stage != s.Name():
		case c.Ended:
			word := fmt.Sprintf("%s %d→%d %v", c.Name, c.N, c.Emitted, c.Took)
			if c.Err != nil {
				word += " " + c.Err.Error()
			}
			list = append(list, word)
		default:
			list = append(list, c.Name+" begins")
		}
	}
	return list
}

func TestObserveCallbacksShowsBeginAndEndOfEach(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w watcher
		watched := stage.ObserveCallbacks(w.add)
		var sub *stage.Subscription
		p := stage.NewProducer(func(context.Context, int) ([]int, error) {
			time.Sleep(time.Second)
			return []int{1, 2, 3}, stage.ErrDone
		}, stage.Name("p"), watched, stage.OnConsumer(func(context.Context, *stage.Subscription) error { return nil }))
		pc := stage.NewProducerConsumer(func(_ context.Context, events []int, from *stage.Subscription) ([]int, error) {
			sub = from
			time.Sleep(time.Minute)
			return events[1:], nil
		}, stage.Name("pc"), watched,
			stage.OnInit(func(context.Context) error { return nil }), stage.OnTerminate(func(error) {}))
		pc.OnComplete(func(context.Context) ([]int, error) { return []int{7}, stage.ErrDone })
		pc.SubscribeTo(p, stage.MaxDemand(10), stage.MinDemand(0))
		c := newSink(0, stage.Name("c"))
		c.SubscribeTo(pc, stage.MaxDemand(10), stage.MinDemand(0))
		began := time.Now()
		require.NoError(t, stage.Run(t.Context(), p, pc, c))

		require.Equal(t, []string{
			"OnConsumer begins", "OnConsumer 0→0 0s", "demand begins", "demand 10→3 1s stage: done",
		}, w.words(p))
		require.Equal(t, []string{
			"OnInit begins", "OnInit 0→0 0s", "events begins", "events 3→2 1m0s",
			"OnComplete begins", "OnComplete 0→1 0s stage: done", "OnTerminate begins", "OnTerminate 0→0 0s",
		}, w.words(pc))
		require.Empty(t, w.words(c))
		for _, cb := range w.ends() {
			switch cb.Name {
			case "events":
				require.Same(t, sub, cb.Sub)
				require.Equal(t, time.Second, cb.Began.Sub(began))
			case "demand":
				require.ErrorIs(t, cb.Err, stage.ErrDone)
				require.Nil(t, cb.Sub)
			}
		}
	})
}

// What the library does for itself at such a moment, letting go of an iterator for example, is no callback.
func TestObserveCallbacksShowsNothingButFunctionsOfTheUser(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w watcher
		watched := stage.ObserveCallbacks(w.add)
		p := stage.FromSlice(upTo(4), stage.Name("p"), watched)
		p.DispatchWith(stage.Broadcast)
		sup := stage.NewConsumerSupervisor(func(context.Context, int) error { return nil }, stage.Name("sup"), watched,
			stage.OnInit(func(context.Context) error { return nil }))
		sup.SubscribeTo(p)
		require.NoError(t, stage.Run(t.Context(), p, sup))
		require.Equal(t, []string{"demand begins", "demand 1000→4 0s stage: done"}, w.words(p))
		require.Equal(t, []string{"OnInit begins", "OnInit 0→0 0s"}, w.words(sup)[:2])
		for _, word := range w.words(sup)[2:] {
			require.Contains(t, []string{"child begins", "child 1→0 0s"}, word)
		}
	})
}

func TestObserveCallbacksShowsStartsAndChildren(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w watcher
		p := stage.FromSlice(upTo(2))
		sup := stage.StartWith(func(_ context.Context, n int) (func(context.Context) error, error) {
			return func(context.Context) error {
				if n == 1 {
					panic(errBoom)
				}
				time.Sleep(time.Hour)
				return nil
			}, nil
		}, stage.Name("sup"), stage.ObserveCallbacks(w.add))
		sup.OnDeadLetter(func(context.Context, int, int, error) {})
		sup.SubscribeTo(p, stage.MaxDemand(1))
		require.NoError(t, stage.Run(t.Context(), p, sup))
		words := w.words(sup)
		var at string
		words[7], at, _ = strings.Cut(words[7], ", at ")
		require.Contains(t, at, "observe_test.go:")
		require.Equal(t, []string{
			"start begins", "start 1→0 0s", "child begins", "child 1→0 1h0m0s",
			"start begins", "start 1→0 0s", "child begins", "child 1→0 0s panic in child: boom",
			"OnDeadLetter begins", "OnDeadLetter 1→0 0s",
		}, words)
		ends := w.ends()
		require.EqualValues(t, 1, ends[1].Child)
		require.EqualValues(t, 2, ends[3].Child)
		require.Zero(t, ends[4].Child)
		require.NotNil(t, ends[4].Sub)
	})
}

// explode has its own frame, to be found in the stack.
func explode(how string) error {
	switch how {
	case "panic":
		panic(errBoom)
	case "Goexit":
		runtime.Goexit()
	}
	return errBoom
}

func TestAWatchedCallbackFailsAsAnother(t *testing.T) {
	for _, how := range []string{"error", "panic", "Goexit"} {
		t.Run(how, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var w watcher
				p := stage.FromSlice(upTo(5))
				c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return explode(how) },
					stage.Name("c"), stage.ObserveCallbacks(w.add))
				c.SubscribeTo(p)
				err := stage.Run(t.Context(), p, c)
				require.Len(t, w.ends(), 1)
				seen := w.ends()[0].Err
				if how == "error" {
					require.ErrorIs(t, err, errBoom)
					require.Equal(t, errBoom, seen)
				} else {
					var ended, told *stage.PanicError
					require.ErrorAs(t, err, &ended)
					require.ErrorAs(t, seen, &told)
					require.Equal(t, told.Value, ended.Value)
					require.Equal(t, "events", ended.Callback)
					require.Contains(t, string(ended.Stack), "explode")
					require.Contains(t, string(told.Stack), "explode")
				}
				closed(t, p, c)
			})
		})
	}
}

// A sequence runs on a coroutine: the stack of its panic is kept there.
func TestAWatchedSequenceThatPanicsKeepsItsStack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var w watcher
		p := stage.FromSeq(func(yield func(int) bool) { _ = yield(1) && explode("panic") == nil },
			stage.ObserveCallbacks(w.add))
		c := newSink(0)
		c.SubscribeTo(p)
		var panicked *stage.PanicError
		require.ErrorAs(t, stage.Run(t.Context(), p, c), &panicked)
		require.Contains(t, string(panicked.Stack), "explode")
	})
}

func TestAnObserverOfCallbacksThatFailsFailsTheCallback(t *testing.T) {
	for _, how := range []string{"panic", "Goexit"} {
		for _, atEnd := range []bool{false, true} {
			for _, callback := range []error{nil, errors.New("of the callback")} {
				t.Run(fmt.Sprint(how, atEnd, callback), func(t *testing.T) {
					bubble(t, func(t *testing.T) {
						called := 0
						p := stage.FromSlice(upTo(5))
						c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error {
							called++
							return callback
						}, stage.ObserveCallbacks(func(cb stage.Callback) {
							if cb.Name == "events" && cb.Ended == atEnd {
								_ = explode(how)
							}
						}))
						c.SubscribeTo(p)
						var panicked *stage.PanicError
						require.ErrorAs(t, stage.Run(t.Context(), p, c), &panicked)
						require.Equal(t, "events", panicked.Callback)
						require.Contains(t, string(panicked.Stack), "explode")
						if atEnd {
							require.Equal(t, 1, called)
						} else {
							require.Zero(t, called)
						}
						require.EqualValues(t, 5, c.Stats().Input.Failed)
						closed(t, p, c)
					})
				})
			}
		}
	}
}

// It takes the place of the panic that it was to report.
func TestAnObserverThatPanicsOverAPanic(t *testing.T) {
	bubble(t, func(t *testing.T) {
		other := errors.New("other")
		p := stage.FromSlice(upTo(5))
		c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { panic(errBoom) },
			stage.ObserveCallbacks(func(cb stage.Callback) {
				if cb.Ended && cb.Name == "events" {
					require.ErrorIs(t, cb.Err, errBoom)
					panic(other)
				}
			}))
		c.SubscribeTo(p)
		require.ErrorIs(t, stage.Run(t.Context(), p, c), other)
		closed(t, p, c)
	})
}

func TestAnObserverThatFailsWithAChildFailsTheChild(t *testing.T) {
	for _, how := range []string{"panic", "Goexit"} {
		for _, atEnd := range []bool{false, true} {
			t.Run(fmt.Sprint(how, atEnd), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					p := stage.FromSlice(upTo(5))
					var letters []error
					sup := stage.NewConsumerSupervisor(func(context.Context, int) error { return nil },
						stage.ObserveCallbacks(func(cb stage.Callback) {
							if cb.Name == "child" && cb.Child == 3 && cb.Ended == atEnd {
								_ = explode(how)
							}
						}))
					sup.OnDeadLetter(func(_ context.Context, _ int, _ int, cause error) { letters = append(letters, cause) })
					sup.SubscribeTo(p)
					require.NoError(t, stage.Run(t.Context(), p, sup))
					require.Len(t, letters, 1)
					var panicked *stage.PanicError
					require.ErrorAs(t, letters[0], &panicked)
					require.Contains(t, string(panicked.Stack), "explode")
					require.EqualValues(t, 4, sup.Stats().Input.Handled)
					closed(t, p, sup)
				})
			})
		}
	}
}

func TestObserversCompose(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var messages [2]int
		var callbacks [2]int
		p := stage.FromSlice(upTo(5),
			stage.Observe(func(stage.Message) { messages[0]++ }), stage.Observe(func(stage.Message) { messages[1]++ }),
			stage.ObserveCallbacks(func(stage.Callback) { callbacks[0]++ }),
			stage.ObserveCallbacks(func(stage.Callback) { callbacks[1]++ }))
		c := newSink(0)
		c.SubscribeTo(p)
		require.NoError(t, stage.Run(t.Context(), p, c))
		require.Equal(t, [2]int{4, 4}, messages, "accepted, events, that is all, complete")
		require.Equal(t, [2]int{2, 2}, callbacks)
	})
}

// The second observer is called although the first one panics, and the message arrives.
func TestAnObserverThatPanicsLeavesTheOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var seen []stage.MessageKind
		p := stage.FromSlice(upTo(5), quiet,
			stage.Observe(func(m stage.Message) {
				if m.Kind == stage.MessageEvents {
					panic(errBoom)
				}
			}),
			stage.Observe(func(m stage.Message) { seen = append(seen, m.Kind) }))
		c := newSink(0)
		c.SubscribeTo(p, stage.Cancel(stage.CancelTemporary))
		c.OnComplete(func(context.Context) error { return stage.ErrDone })
		require.NoError(t, stage.Run(t.Context(), p, c))
		require.Equal(t, []stage.MessageKind{
			stage.MessageAccepted, stage.MessageEvents, stage.MessageThatIsAll, stage.MessageProducerDown,
		}, seen)
		require.Equal(t, upTo(5), c.events())
		require.ErrorIs(t, p.Stats().Err, errBoom)
	})
}

func TestMessagesHaveTheirTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		began := time.Now()
		var at []time.Duration
		p := stage.FromSlice(upTo(2), stage.Observe(func(m stage.Message) {
			if m.Kind == stage.MessageEvents {
				at = append(at, m.At.Sub(began))
			}
		}))
		c := newSink(time.Minute)
		c.SubscribeTo(p, stage.MaxDemand(1))
		require.NoError(t, stage.Run(t.Context(), p, c))
		require.Equal(t, []time.Duration{0, time.Minute}, at)
	})
}

func TestLogToLogsMessagesAndCallbacks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{
			Level: slog.LevelDebug,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			},
		}))
		p := stage.FromSlice(upTo(2), stage.Name("p"), stage.LogTo(logger))
		c := newSink(0, stage.Name("c"))
		c.SubscribeTo(p, stage.MaxDemand(2), stage.MinDemand(0))
		require.NoError(t, stage.Run(t.Context(), p, c))
		require.Equal(t, `level=DEBUG msg="stage: message" message=accepted from=p to=c
level=DEBUG msg="stage: callback begins" stage=p callback=demand n=2
level=DEBUG msg="stage: callback ended" stage=p callback=demand n=2 took=0s emitted=2 error="stage: done"
level=DEBUG msg="stage: message" message=events from=p to=c n=2
level=DEBUG msg="stage: message" message="that is all" from=p to=c n=2
level=DEBUG msg="stage: message" message=complete from=p to=c
`, out.String())
	})
}

func TestLogToNamesChildrenAndReasons(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var out bytes.Buffer
		logger := slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug}))
		p := stage.NewQueue[int](1, stage.Name("p"))
		require.NoError(t, p.TryPush(1))
		sup := stage.NewConsumerSupervisor(func(context.Context, int) error { return errBoom }, stage.Name("sup"), stage.LogTo(logger))
		sup.OnDeadLetter(func(context.Context, int, int, error) { panic("letter") })
		sup.SubscribeTo(p)
		require.Error(t, stage.Run(t.Context(), p, sup))
		log := out.String()
		require.Contains(t, log, `callback ended" stage=sup callback=child child=1 producer=p consumer=sup n=1 took=0s error=boom`)
		require.Contains(t, log, `message="consumer down" from=sup to=p reason="stage \"sup\": panic in OnDeadLetter: letter, at observe_test.go:`)
	})
}

func TestObserversThatAreNilAreReported(t *testing.T) {
	for name, o := range map[string]stage.Option{
		"Observe": stage.Observe(nil), "ObserveCallbacks": stage.ObserveCallbacks(nil), "LogTo": stage.LogTo(nil),
	} {
		err := silent(o).Run(t.Context())
		require.ErrorIs(t, err, stage.ErrInvalidOption)
		require.True(t, strings.Contains(err.Error(), name+"(nil)"), err.Error())
	}
}

// An observer may ask over the subscription that it sees, which is observed in turn; one that calls Goexit, or hangs, is the
// end of its stage, and the messages of that end are seen by the others.
func TestAnObserverWithinAnObserver(t *testing.T) {
	for name, does := range map[string]func(){"returns": func() {}, "exits": runtime.Goexit, "panics": func() { panic("boom") }, "hangs": func() { time.Sleep(time.Hour) }} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				var asks, seen count
				inside := false // owned by the stage goroutine
				c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return nil }, quiet,
					stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(1) }),
					stage.Observe(func(m stage.Message) {
						if m.Kind != stage.MessageAsk {
							return
						}
						asks.Add(1)
						if inside {
							does()
							return
						}
						inside = true
						if err := m.Sub.Ask(2); err != nil {
							t.Error(err)
						}
					}),
					stage.Observe(func(stage.Message) { seen.Add(1) }))
				p := silent(quiet)
				c.SubscribeTo(p, stage.Manual())
				pipeline := stage.NewPipeline(p, c)
				run := start(t.Context(), pipeline)
				time.Sleep(time.Second)
				if name == "returns" {
					require.True(t, run.running())
					require.EqualValues(t, 3, c.Stats().Upstreams[0].Asked)
				}
				abortAll(t, run)
				require.EqualValues(t, 2, asks.Load())
				require.True(t, name == "hangs" || seen.Load() > 2) // after that nobody is told any more
				if name == "exits" || name == "panics" {
					require.Error(t, c.Stats().Err)
					var panicked *stage.PanicError
					require.ErrorAs(t, c.Stats().Err, &panicked)
					require.Equal(t, "Observe", panicked.Callback)
				}
				time.Sleep(2 * time.Hour)
				closed(t, p, c)
			})
		})
	}
}
