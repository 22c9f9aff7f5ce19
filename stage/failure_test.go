package stage_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"testing"
	"time"

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
	{name: "Goexit", hard: true, does: func() error { runtime.Goexit(); return nil }, check: func(t *testing.T, err error, v *victim) {
		require.ErrorIs(t, err, stage.ErrGoexit)
		panicsWith(stage.ErrGoexit)(t, err, v)
	}},
}

func panicsWith(value any) func(*testing.T, error, *victim) {
	return func(t *testing.T, err error, v *victim) {
		t.Helper()
		var panicked *stage.PanicError
		require.ErrorAs(t, err, &panicked)
		require.Equal(t, value, panicked.Value)
		require.Equal(t, "victim", panicked.Stage)
		require.Equal(t, v.where.callback, panicked.Callback)
		require.Contains(t, string(panicked.Stack), "(*victim).at", "the stack shows the user's function")
	}
}

// place is a function of the user's, in one kind of stage.
type place struct {
	kind, name string
	callback   string // as PanicError.Callback says
	returnsErr bool   // else only panics and Goexit can fail it
	observe    stage.MessageKind

	upEnded     bool // the producer has completed by then: it is told nothing
	notRun      bool // the stage never came to run: neighbours are told nothing, OnTerminate is not called
	leaverFirst bool // a subscriber has left before
	downLast    bool // the consumer begins to run after the stage
}

var places = []place{
	{kind: "producer", name: "demand", callback: "demand", returnsErr: true},
	{kind: "producer", name: "OnInit", callback: "OnInit", returnsErr: true, notRun: true},
	{kind: "producer", name: "OnTerminate", callback: "OnTerminate"},
	{kind: "producer", name: "OnConsumer", callback: "OnConsumer", returnsErr: true},
	{kind: "producer", name: "OnConsumerGone", callback: "OnConsumerGone", returnsErr: true, leaverFirst: true},
	{kind: "producer", name: "OnDiscard", callback: "OnDiscard"},
	{kind: "producer", name: "Do", callback: "Do", returnsErr: true},
	{kind: "producer", name: "Tell", callback: "Do", returnsErr: true},
	{kind: "producer", name: "Observe", callback: "Observe", observe: stage.MessageAccepted},
	{kind: "producer", name: "Observe", callback: "Observe", observe: stage.MessageEvents},
	{kind: "FromSeq", name: "iterator", callback: "demand"},
	{kind: "Poll", name: "poll", callback: "demand", returnsErr: true},

	{kind: "producer-consumer", name: "events", callback: "events", returnsErr: true},
	{kind: "producer-consumer", name: "OnInit", callback: "OnInit", returnsErr: true, notRun: true},
	{kind: "producer-consumer", name: "OnTerminate", callback: "OnTerminate", upEnded: true},
	{kind: "producer-consumer", name: "OnSubscribe", callback: "OnSubscribe", returnsErr: true},
	{kind: "producer-consumer", name: "OnConsumer", callback: "OnConsumer", returnsErr: true, downLast: true},
	{kind: "producer-consumer", name: "OnConsumerGone", callback: "OnConsumerGone", returnsErr: true, leaverFirst: true},
	{kind: "producer-consumer", name: "OnCancel", callback: "OnCancel", returnsErr: true, upEnded: true},
	{kind: "producer-consumer", name: "OnComplete", callback: "OnComplete", returnsErr: true, upEnded: true},
	{kind: "producer-consumer", name: "OnDiscard", callback: "OnDiscard"},
	{kind: "producer-consumer", name: "Do", callback: "Do", returnsErr: true},
	{kind: "producer-consumer", name: "Tell", callback: "Do", returnsErr: true},
	{kind: "producer-consumer", name: "sub.Do", callback: "Do", returnsErr: true},
	{kind: "producer-consumer", name: "sub.Tell", callback: "Do", returnsErr: true},
	{kind: "producer-consumer", name: "Observe", callback: "Observe", observe: stage.MessageEvents},
	{kind: "producer-consumer", name: "Observe", callback: "Observe", observe: stage.MessageAsk},

	{kind: "consumer", name: "events", callback: "events", returnsErr: true},
	{kind: "consumer", name: "OnInit", callback: "OnInit", returnsErr: true, notRun: true},
	{kind: "consumer", name: "OnTerminate", callback: "OnTerminate", upEnded: true},
	{kind: "consumer", name: "OnSubscribe", callback: "OnSubscribe", returnsErr: true},
	{kind: "consumer", name: "OnCancel", callback: "OnCancel", returnsErr: true, upEnded: true},
	{kind: "consumer", name: "OnComplete", callback: "OnComplete", returnsErr: true, upEnded: true},
	{kind: "consumer", name: "Do", callback: "Do", returnsErr: true},
	{kind: "consumer", name: "Tell", callback: "Do", returnsErr: true},
	{kind: "consumer", name: "sub.Do", callback: "Do", returnsErr: true},
	{kind: "consumer", name: "sub.Tell", callback: "Do", returnsErr: true},
	{kind: "consumer", name: "Observe", callback: "Observe", observe: stage.MessageSubscribe},
	{kind: "consumer", name: "Observe", callback: "Observe", observe: stage.MessageAsk},
	{kind: "ForEach", name: "fn", callback: "events", returnsErr: true},
}

// victim is the stage under test with its neighbours.
type victim struct {
	where place
	fault fault
	armed count // 1 once the failing function has been called

	self stage.Stage
	do   func(context.Context, func() error) error
	tell func(func() error) error
	sub  chan *stage.Subscription // the victim's, once it has events

	terminated count
	ctx        *context.Context // where the context of the callbacks is left; nil for nowhere

	up     *stage.Producer[int] // nil for producers
	upTold told
	down   *sink // nil for consumers
	leaver *stage.Consumer[int]

	downTold told
}

// at fails if this is the place for it.
func (v *victim) at(name string) error {
	if name != v.where.name || !v.armed.CompareAndSwap(0, 1) {
		return nil
	}
	return v.fault.does()
}

func (v *victim) common() []stage.Option {
	opts := []stage.Option{
		stage.Name("victim"),
		stage.OnInit(func(ctx context.Context) error {
			if v.ctx != nil {
				*v.ctx = ctx
			}
			return v.at("OnInit")
		}),
		stage.OnTerminate(func(error) {
			v.terminated.Add(1)
			_ = v.at("OnTerminate")
		}),
		stage.Logger(slog.New(slog.DiscardHandler)),
	}
	if v.where.name == "Observe" {
		opts = append(opts, stage.Observe(func(m stage.Message) {
			if m.Kind == v.where.observe {
				_ = v.at("Observe")
			}
		}))
	}
	return opts
}

func (v *victim) output() []stage.OutputOption {
	opts := []stage.OutputOption{
		stage.OnConsumer(func(context.Context, *stage.Subscription) error { return v.at("OnConsumer") }),
		stage.OnConsumerGone(func(context.Context, *stage.Subscription, stage.Cancellation) error { return v.at("OnConsumerGone") }),
	}
	if v.where.name == "OnDiscard" {
		opts = append(opts, stage.BufferSize(1))
	}
	return opts
}

// newVictim makes the stage and its neighbours. The producer above has a hundred events, or more
// than anybody takes where the place needs a victim that is still busy.
func newVictim(p place, f fault) *victim {
	v := &victim{where: p, fault: f, sub: make(chan *stage.Subscription, 1)}
	discard := func(context.Context, []int) { _ = v.at("OnDiscard") }
	isProducer := false
	switch p.kind {
	case "producer", "Poll", "FromSeq":
		isProducer = true
		var opts []stage.ProducerOption
		for _, o := range v.common() {
			opts = append(opts, o)
		}
		for _, o := range v.output() {
			opts = append(opts, o)
		}
		left := 50
		emit := func(_ context.Context, demand int) ([]int, error) {
			if err := v.at("demand"); err != nil {
				return []int{-1}, err
			}
			if err := v.at("poll"); err != nil {
				return []int{-1}, err
			}
			n := min(demand, left)
			if left -= n; left == 0 && p.name == "OnTerminate" {
				return upTo(n), stage.ErrDone
			}
			if p.name == "OnDiscard" {
				n += 10
			}
			return upTo(n), nil
		}
		var self *stage.Producer[int]
		switch p.kind {
		case "Poll":
			self = stage.Poll(emit, opts...)
		case "FromSeq":
			self = stage.FromSeq(func(yield func(int) bool) {
				for i := range 50 {
					if !yield(i) {
						return
					}
				}
				_ = v.at("iterator")
			}, opts...)
		default:
			self = stage.NewProducer(emit, opts...)
		}
		self.OnDiscard(discard)
		v.self = self
		v.do = func(ctx context.Context, fn func() error) error {
			return self.Do(ctx, func(context.Context) ([]int, error) { return nil, fn() })
		}
		v.tell = func(fn func() error) error {
			return self.Tell(func(context.Context) ([]int, error) { return nil, fn() })
		}
		v.addDown(self)
	}
	if !isProducer {
		v.addConsumer(discard)
	}
	return v
}

// addConsumer makes the victims that consume.
func (v *victim) addConsumer(discard func(context.Context, []int)) {
	v.up = stage.FromSlice(upTo(50), stage.Name("up"), v.upTold.onGone())
	if !v.where.upEnded {
		v.up = endless(stage.Name("up"), v.upTold.onGone())
	}
	subscribed := stage.OnSubscribe(func(context.Context, *stage.Subscription) error { return v.at("OnSubscribe") })
	handle := func(sub *stage.Subscription) error {
		select {
		case v.sub <- sub:
		default:
		}
		time.Sleep(100 * time.Millisecond)
		return v.at("events")
	}
	if v.where.kind == "producer-consumer" {
		opts := []stage.ProducerConsumerOption{subscribed}
		for _, o := range v.common() {
			opts = append(opts, o)
		}
		for _, o := range v.output() {
			opts = append(opts, o)
		}
		self := stage.NewProducerConsumer(func(_ context.Context, events []int, sub *stage.Subscription) ([]int, error) {
			if v.where.name == "OnDiscard" {
				events = append(events, make([]int, 1000)...)
			}
			return events, handle(sub)
		}, opts...)
		self.OnDiscard(discard)
		self.OnCancel(func(context.Context, *stage.Subscription, stage.Cancellation) ([]int, error) {
			return []int{1, 2, 3}, v.at("OnCancel")
		})
		self.OnComplete(func(context.Context) ([]int, error) {
			if err := v.at("OnComplete"); err != nil {
				return []int{4, 5, 6}, err
			}
			return []int{4, 5, 6}, stage.ErrDone
		})
		self.SubscribeTo(v.up, stage.MaxDemand(10))
		v.self = self
		v.do = func(ctx context.Context, fn func() error) error {
			return self.Do(ctx, func(context.Context) ([]int, error) { return nil, fn() })
		}
		v.tell = func(fn func() error) error {
			return self.Tell(func(context.Context) ([]int, error) { return nil, fn() })
		}
		v.addDown(self)
		return
	}
	opts := []stage.ConsumerOption{subscribed}
	for _, o := range v.common() {
		opts = append(opts, o)
	}
	var self *stage.Consumer[int]
	if v.where.kind == "ForEach" {
		self = stage.ForEach(func(_ context.Context, event int) error {
			time.Sleep(10 * time.Millisecond)
			if event < 7 {
				return nil
			}
			return v.at("fn")
		}, opts...)
	} else {
		self = stage.NewConsumer(func(_ context.Context, _ []int, sub *stage.Subscription) error { return handle(sub) }, opts...)
	}
	self.OnCancel(func(context.Context, *stage.Subscription, stage.Cancellation) error { return v.at("OnCancel") })
	self.OnComplete(func(context.Context) error {
		if err := v.at("OnComplete"); err != nil {
			return err
		}
		return stage.ErrDone
	})
	self.SubscribeTo(v.up, stage.MaxDemand(10))
	v.self = self
	v.do = func(ctx context.Context, fn func() error) error {
		return self.Do(ctx, func(context.Context) error { return fn() })
	}
	v.tell = func(fn func() error) error {
		return self.Tell(func(context.Context) error { return fn() })
	}
}

// addDown makes the consumers below.
func (v *victim) addDown(src stage.Source[int]) {
	v.down = newSink(time.Millisecond, stage.Name("down"))
	v.downTold.onCancel(v.down.Consumer)
	v.down.SubscribeTo(src, stage.MaxDemand(10))
	if v.where.leaverFirst {
		v.leaver = stage.NewConsumer(func(_ context.Context, _ []int, sub *stage.Subscription) error {
			return sub.Cancel(nil)
		}, stage.Name("leaver"))
		v.leaver.SubscribeTo(src, stage.MaxDemand(1))
	}
}

// stages are all of them, sources first.
func (v *victim) stages() []stage.Stage {
	var all []stage.Stage
	if v.up != nil {
		all = append(all, v.up)
	}
	all = append(all, v.self)
	if v.down != nil {
		all = append(all, v.down)
	}
	if v.leaver != nil {
		all = append(all, v.leaver)
	}
	return all
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
		}
	}
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
			var named *stage.StageError
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
