package stage_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Every function of the user's × every way it can fail, in a stage of each kind: what Run says,
// what the neighbours are told, that OnTerminate runs once, that the others end, that no event
// is unaccounted for.

// fault is one way for a function to fail.
type fault struct {
	name  string
	does  func() error
	check func(t *testing.T, err error, v *victim)
	hard  bool // a panic or Goexit: it fails also the functions that return no error
}

var faults = []fault{
	{name: "error", does: func() error { return errBoom }, check: func(t *testing.T, err error, v *victim) {
		require.ErrorIs(t, err, errBoom)
		var panicked *stage.PanicError
		require.False(t, errors.As(err, &panicked), "%v", err)
	}},
	{name: "ErrDone", does: func() error { return stage.ErrDone }, check: func(t *testing.T, err error, _ *victim) {
		require.NoError(t, err)
	}},
	{name: "ErrShutdown", does: func() error { return stage.ErrShutdown }, check: func(t *testing.T, err error, _ *victim) {
		require.ErrorIs(t, err, stage.ErrShutdown)
	}},
	{name: "panic(string)", hard: true, does: func() error { panic("boom") }, check: panicsWith("boom")},
	{name: "panic(error)", hard: true, does: func() error { panic(errBoom) }, check: func(t *testing.T, err error, v *victim) {
		require.ErrorIs(t, err, errBoom)
		panicsWith(errBoom)(t, err, v)
	}},
	{name: "panic(nil)", hard: true, does: func() error { panic(nil) }, check: func(t *testing.T, err error, v *victim) {
		var value *runtime.PanicNilError
		require.ErrorAs(t, err, &value)
		panicsWith(value)(t, err, v)
	}},
	{name: "error that cannot say what it is", does: func() error { return mute{} }, check: func(t *testing.T, err error, _ *victim) {
		require.ErrorAs(t, err, &mute{})
	}},
	{name: "panic(error that cannot say what it is)", hard: true, does: func() error { panic(mute{}) }, check: func(t *testing.T, err error, v *victim) {
		require.ErrorAs(t, err, &mute{})
		panicsWith(mute{})(t, err, v)
	}},
	{name: "panic(value that cannot be printed)", hard: true, does: func() error { panic(shy{}) }, check: panicsWith(shy{})},
	{name: "Goexit", hard: true, does: func() error { runtime.Goexit(); return nil }, check: func(t *testing.T, err error, v *victim) {
		require.ErrorIs(t, err, stage.ErrGoexit)
		panicsWith(stage.ErrGoexit)(t, err, v)
	}},
}

// mute is an error whose Error panics, shy a value whose String does.
type (
	mute struct{}
	shy  struct{}
)

func (mute) Error() string { panic("no words") }
func (shy) String() string { panic("no words either") }

func panicsWith(value any) func(*testing.T, error, *victim) {
	return func(t *testing.T, err error, v *victim) {
		t.Helper()
		var panicked *stage.PanicError
		require.ErrorAs(t, err, &panicked)
		require.Equal(t, value, panicked.Value)
		require.Equal(t, "victim", panicked.Stage)
		require.Equal(t, v.where.callback, panicked.Callback)
		require.Contains(t, string(panicked.Stack), "(*victim).at", "the stack shows the user's function")
		require.Contains(t, panicked.Error(), ", at failure_test.go:", "and the text its file and line")
	}
}

// provoke does what the place needs beyond running, and checks what the caller gets.
func (v *victim) provoke(t *testing.T) {
	t.Helper()
	fails := func() error { return v.at(v.where.name) }
	var err error
	switch v.where.name {
	case "Do":
		err = v.do(t.Context(), fails)
	case "sub.Do":
		err = (<-v.sub).Do(t.Context(), func(context.Context) error { return fails() })
	case "Tell":
		require.NoError(t, v.tell(fails))
		return
	case "sub.Tell":
		require.NoError(t, (<-v.sub).Tell(func(context.Context) error { return fails() }))
		return
	default:
		return
	}
	v.fault.check(t, err, v)
}

// forEachFault runs test for every place and every fault that fits it.
func forEachFault(t *testing.T, test func(t *testing.T, v *victim)) {
	cells := 0
	for _, p := range places {
		for _, f := range faults {
			if !f.hard && !p.returnsErr {
				continue
			}
			name := fmt.Sprintf("%s/%s/%s", p.kind, p.name, f.name)
			if p.observe != 0 {
				name += " of " + p.observe.String()
			}
			t.Run(name, func(t *testing.T) {
				bubble(t, func(t *testing.T) { test(t, newVictim(p, f)) })
			})
			cells++
		}
	}
	testkit.Report(t, "T21", cells)
}

// Each stage by itself: the failure reaches the neighbours through their subscriptions only.
func TestFailureOfAStageAlone(t *testing.T) {
	forEachFault(t, func(t *testing.T, v *victim) {
		// The neighbours first, so that the victim finds them. What is declared to it waits.
		var others []*started
		for _, s := range v.stages() {
			if s != v.self && !(v.where.downLast && s == v.down) {
				others = append(others, start(t.Context(), s))
			}
		}
		self := start(t.Context(), v.self)
		if v.where.downLast {
			others = append(others, start(t.Context(), v.down))
		}
		v.provoke(t)
		err := self.wait(t)
		v.fault.check(t, err, v)
		if err != nil {
			var named *stage.Error
			require.ErrorAs(t, err, &named)
			require.Equal(t, "victim", named.Stage)
			require.False(t, errors.As(named.Err, &named), "wrapped once: %v", err)
		}
		require.EqualValues(t, 1, v.armed.Load())
		time.Sleep(time.Minute) // the neighbours hear of it, and do what they still have to

		terminated := int64(1)
		if v.where.notRun && err != nil {
			terminated = 0
		}
		require.EqualValues(t, terminated, v.terminated.Load(), "OnTerminate")
		require.Equal(t, err, v.self.Stats().Err)

		if v.up != nil && !v.where.notRun && !v.where.upEnded {
			require.Equal(t, []error{err}, reasons(v.upTold.list()), "what the producer is told")
		} else {
			require.Empty(t, v.upTold.list())
		}
		if v.down != nil && (!v.where.notRun || err == nil) {
			require.Equal(t, []error{err}, reasons(v.downTold.list()), "what the consumer is told")
		} else {
			require.Empty(t, v.downTold.list())
		}
		abortAll(t, others...)
		closed(t, v.stages()...)
	})
}

// reasons lists those of ends by the other side.
func reasons(all []stage.Cancellation) []error {
	list := []error{}
	for _, c := range all {
		if c.Kind == stage.Down {
			list = append(list, c.Reason)
		} else {
			list = append(list, fmt.Errorf("cancelled: %w", c.Reason))
		}
	}
	return list
}

// In a pipeline a failure ends the others too, and Run returns it.
func TestFailureOfAMember(t *testing.T) {
	forEachFault(t, func(t *testing.T, v *victim) {
		p := stage.NewPipeline(v.stages()...)
		run := start(t.Context(), p)
		v.provoke(t)
		switch {
		case v.fault.name == "ErrShutdown" && v.where.name == "OnSubscribe" && v.down != nil:
			fallthrough // The consumer may come too late, and then waits for the next run.
		case v.fault.name == "ErrDone" && v.where.notRun && v.up != nil:
			// The producer has never had a subscriber, so nothing ends it.
			require.NoError(t, p.Stop(t.Context()))
			require.NoError(t, run.wait(t))
		case v.fault.name == "ErrShutdown" && !v.where.notRun:
			require.NoError(t, run.wait(t), "a clean end of each is no failure")
		default:
			v.fault.check(t, run.wait(t), v)
		}
		require.EqualValues(t, 1, v.armed.Load())
		for _, m := range p.Stats().Members {
			require.False(t, m.Running, m.Stage)
		}
		closed(t, p)
	})
}

// The steps of an end, in their order (E5): while OnTerminate is at work the mailbox still takes messages, nothing has gone back and
// nobody has been told; then events go back before the producer's hook is called.
func TestTheStepsOfAnEndInTheirOrder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var source *stage.Producer[int]
		told, back := new(told), make(chan int64, 1)
		source = stage.FromSlice(upTo(3), stage.OnConsumerGone(func(_ context.Context, _ *stage.Subscription, c stage.Cancellation) error {
			told.add(c)
			back <- source.Stats().Output.Buffered
			return nil
		}))
		c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error { return errBoom },
			stage.OnTerminate(func(error) { time.Sleep(time.Second) }))
		c.SubscribeTo(source, stage.MaxDemand(3), stage.MinDemand(2))
		runs := runAlone(t.Context(), source, c)

		synctest.Wait() // c is in OnTerminate
		require.True(t, runs[1].running())
		require.NoError(t, c.Tell(func(context.Context) error { t.Error("called after the end"); return nil }))
		require.Empty(t, told.list())
		require.Zero(t, source.Stats().Output.Buffered)
		require.NoError(t, c.Stats().Err)

		time.Sleep(2 * time.Second)
		require.EqualValues(t, 2, <-back)
		require.Len(t, told.list(), 1)
		require.ErrorIs(t, c.Stats().Err, errBoom)
		require.ErrorIs(t, runs[1].wait(t), errBoom)
		require.ErrorIs(t, c.Tell(func(context.Context) error { return nil }), stage.ErrEnded)
		abortAll(t, runs[0])
		closed(t, source, c)
	})
}

// Abort comes before what would have completed the stage: it has failed.
func TestAbortBeforeTheLastMessage(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1)) // the consumer does not look between the two
	for range 10 {
		bubble(t, func(t *testing.T) {
			source := silent()
			var sub *stage.Subscription
			k := newSink(0, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub = s; return nil }))
			k.SubscribeTo(source, stage.Cancel(stage.CancelTemporary))
			run := start(t.Context(), stage.NewPipeline(source, k))
			k.Abort(errBoom)
			require.NoError(t, sub.Cancel(nil))
			require.ErrorIs(t, run.wait(t), errBoom)
			closed(t, source, k)
		})
	}
}

// What the runtime panics with is where the user's code did it, not where the runtime noticed; and a panic that is raised again is where that was.
func TestAPanicSaysWhereItWas(t *testing.T) {
	line := func() string {
		_, _, line, _ := runtime.Caller(1)
		return fmt.Sprintf(", at failure_test.go:%d", line) // what calls this stands in the line that fails
	}
	var at string
	for name, does := range map[string]func(){
		"nil":      func() { var p *int; at = line(); *p = 1 },
		"index":    func() { var list []int; at = line(); list[len(at)] = 1 },
		"Goexit":   func() { at = line(); runtime.Goexit() },
		"again":    func() { defer func() { v := recover(); at = line(); panic(v) }(); panic("first") },
		"deferred": func() { defer func() { at = line(); panic("second") }(); panic("first") },
	} {
		c := stage.ForEach(func(context.Context, int) error { does(); return nil })
		p := stage.FromSlice([]int{1})
		c.SubscribeTo(p)
		err := stage.Run(t.Context(), p, c)
		require.ErrorContains(t, err, at, name)
	}
	require.EqualError(t, &stage.PanicError{Callback: "events", Value: 1}, "panic in events: 1")
	require.EqualError(t, &stage.PanicError{Callback: "events", Value: 1, Stack: []byte("panic(\nof another form")}, "panic in events: 1")
}
