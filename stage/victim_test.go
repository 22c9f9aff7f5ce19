package stage_test

import (
	"context"
	"log/slog"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// A stage of every kind with its neighbours, made so that one function of the user's can be had
// to do something: fail, abort, call the stage itself.

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
