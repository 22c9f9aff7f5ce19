package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Bad input, and calls at the wrong time or from the wrong place.
// Nothing hangs; nothing panics but a nil callback in a constructor.

func TestNilCallbackPanics(t *testing.T) {
	for name, construct := range map[string]func(){
		"NewProducer":         func() { stage.NewProducer[int](nil) },
		"NewProducerConsumer": func() { stage.NewProducerConsumer[int, int](nil) },
		"NewConsumer":         func() { stage.NewConsumer[int](nil) },
		"ForEach":             func() { stage.ForEach[int](nil) },
		"FromSeq":             func() { stage.FromSeq[int](nil) },
		"Poll":                func() { stage.Poll[int](nil) },
	} {
		require.PanicsWithValue(t, fmt.Sprintf("stage: %s: nil %s", name, map[bool]string{true: "iterator", false: "callback"}[name == "FromSeq"]), construct)
	}
}

// Options out of range come back from Run, name the option, and nothing runs.
func TestInvalidOptions(t *testing.T) {
	for want, option := range map[string]stage.Option{
		`Name("")`: stage.Name(""), "OnInit(nil)": stage.OnInit(nil), "OnTerminate(nil)": stage.OnTerminate(nil),
		"Observe(nil)": stage.Observe(nil), "Logger(nil)": stage.Logger(nil),
	} {
		for _, s := range []stage.Stage{silent(option), relay(0, option), newSink(0, option)} {
			checkInvalid(t, s, want)
		}
	}
	for want, option := range map[string]stage.OutputOption{
		"BufferSize(-2)": stage.BufferSize(-2), "OnConsumer(nil)": stage.OnConsumer(nil), "OnConsumerGone(nil)": stage.OnConsumerGone(nil),
	} {
		checkInvalid(t, silent(option), want)
		checkInvalid(t, relay(0, option), want)
	}
	checkInvalid(t, relay(0, stage.OnSubscribe(nil)), "OnSubscribe(nil)")
	checkInvalid(t, newSink(0, stage.OnSubscribe(nil)), "OnSubscribe(nil)")
	checkInvalid(t, silent(nil), "nil ProducerOption")
	checkInvalid(t, relay(0, nil), "nil ProducerConsumerOption")
	checkInvalid(t, newSink(0, nil), "nil ConsumerOption")
	poll := func(context.Context, int) ([]int, error) { return nil, nil }
	checkInvalid(t, stage.Poll(poll, stage.PollEvery(0, time.Second)), "PollEvery(0s, 1s)")
	checkInvalid(t, stage.Poll(poll, stage.PollEvery(-1, time.Second)), "PollEvery(-1ns, 1s)")
	checkInvalid(t, stage.Poll(poll, stage.PollEvery(2*time.Second, time.Second)), "PollEvery(2s, 1s)")
	checkInvalid(t, silent(stage.PollEvery(time.Second, time.Second)), "PollEvery")
	checkInvalid(t, stage.FromSlice(upTo(1), stage.PollEvery(time.Second, time.Second)), "PollEvery")
}

func checkInvalid(t *testing.T, s stage.Stage, want string) {
	t.Helper()
	for range 2 { // it stays so
		err := s.Run(t.Context())
		require.ErrorIs(t, err, stage.ErrInvalidOption)
		require.ErrorContains(t, err, want)
		require.ErrorContains(t, err, s.Name())
		require.ErrorIs(t, stage.Run(t.Context(), s), stage.ErrInvalidOption)
	}
	require.Zero(t, s.Stats().Runs)
}

// Faults of wiring come back from Run too, with the line of the call.
func TestInvalidWiring(t *testing.T) {
	for name, test := range map[string]struct {
		options []stage.SubscribeOption
		want    string
	}{
		"max 0":          {[]stage.SubscribeOption{stage.MaxDemand(0)}, "MaxDemand(0)"},
		"max < 0":        {[]stage.SubscribeOption{stage.MaxDemand(math.MinInt)}, "MaxDemand(-"},
		"min < 0":        {[]stage.SubscribeOption{stage.MinDemand(-1)}, "MinDemand(-1)"},
		"min = max":      {[]stage.SubscribeOption{stage.MaxDemand(5), stage.MinDemand(5)}, "MinDemand(5)"},
		"min of default": {[]stage.SubscribeOption{stage.MinDemand(1000)}, "MinDemand(1000)"},
		"mode":           {[]stage.SubscribeOption{stage.Cancel(3)}, "Cancel(3)"},
		"nil option":     {[]stage.SubscribeOption{nil}, "nil SubscribeOption"},
	} {
		t.Run(name, func(t *testing.T) {
			source := silent()
			c, pc := newSink(0), relay(0)
			c.SubscribeTo(source, test.options...)
			checkWiring(t, c, stage.ErrInvalidOption, "misuse_test.go:", "SubscribeTo", test.want)
			pc.SubscribeTo(source, test.options...)
			checkWiring(t, pc, stage.ErrInvalidOption, "misuse_test.go:", "SubscribeTo", test.want)
			bubble(t, func(t *testing.T) {
				running := newSink(0)
				run := start(t.Context(), running)
				_, err := running.Subscribe(t.Context(), source, test.options...)
				require.ErrorIs(t, err, stage.ErrInvalidOption)
				require.ErrorContains(t, err, test.want)
				require.True(t, run.running(), "a fault that is returned changes nothing")
				abortAll(t, run)
				closed(t, running)
			})
		})
	}
	a, b := relay(0, stage.Name("a")), relay(0, stage.Name("b"))
	d := relay(0, stage.Name("d"))
	a.SubscribeTo(a)
	checkWiring(t, a, stage.ErrCycle, "misuse_test.go:", "subscribes to itself")
	a = relay(0, stage.Name("a"))
	a.SubscribeTo(b)
	b.SubscribeTo(d)
	d.SubscribeTo(a)
	checkWiring(t, d, stage.ErrCycle, "misuse_test.go:", `"a"`)

	var (
		noSource   stage.Source[int]
		noProducer *stage.Producer[int]
		noRelay    *stage.ProducerConsumer[int, int]
	)
	for _, source := range []stage.Source[int]{noSource, noProducer, noRelay, new(stage.Producer[int]), new(stage.ProducerConsumer[int, int])} {
		c := newSink(0)
		c.SubscribeTo(source)
		checkWiring(t, c, stage.ErrInvalidStage, "misuse_test.go:", "source")
	}
	c, source := newSink(0), silent(stage.Name("source"))
	c.SubscribeTo(source)
	c.SubscribeTo(source)
	checkWiring(t, c, stage.ErrAlreadySubscribed, "misuse_test.go:", `"source"`)
	c = newSink(0)
	c.SubscribeTo(source)
	c.SubscribeTo(source, stage.AllowDuplicate())
	bubble(t, func(t *testing.T) {
		run := start(t.Context(), c)
		require.Len(t, c.Stats().Upstreams, 2)
		abortAll(t, run)
	})
}

// What only the producer can know, it refuses: that comes back from Run with the line of the call and its name, also in OnCancel.
func TestRefusedWiring(t *testing.T) {
	for want, part := range map[string]func(*stage.Producer[int]) stage.Source[int]{
		"Partition needs DispatchWith": func(p *stage.Producer[int]) stage.Source[int] { return stage.Partition(p, 1) },
		"Where needs DispatchWith":     func(p *stage.Producer[int]) stage.Source[int] { return stage.Where(p, func(int) bool { return true }) },
	} {
		bubble(t, func(t *testing.T) {
			p, c := silent(stage.Name("plain")), newSink(0)
			var ends told
			ends.onCancel(c.Consumer)
			c.SubscribeTo(part(p))
			err := stage.Run(t.Context(), p, c)
			for _, err := range []error{err, ends.list()[0].Reason} {
				require.ErrorIs(t, err, stage.ErrRefused)
				require.ErrorIs(t, err, stage.ErrInvalidOption)
				require.ErrorContains(t, err, "misuse_test.go:")
				require.ErrorContains(t, err, `SubscribeTo: to "plain"`)
				require.ErrorContains(t, err, want)
			}
			run := start(t.Context(), p)
			for _, err := range stage.Events(t.Context(), part(p)) {
				require.ErrorIs(t, err, stage.ErrRefused)
				require.ErrorContains(t, err, "misuse_test.go:")
				require.NotContains(t, err.Error(), "stream.go", "a line of the library's own")
			}
			abortAll(t, run)
		})
	}
}

func checkWiring(t *testing.T, s stage.Stage, is error, contains ...string) {
	t.Helper()
	err := s.Run(t.Context())
	require.ErrorIs(t, err, is)
	for _, text := range append(contains, s.Name()) {
		require.ErrorContains(t, err, text)
	}
	require.Zero(t, s.Stats().Runs)
}

// On a running stage such a fault ends the run.
func TestInvalidWiringOfARunningStage(t *testing.T) {
	for name, wire := range map[string]func(c *stage.Consumer[int], p *stage.Producer[int]){
		"duplicate": func(c *stage.Consumer[int], p *stage.Producer[int]) { c.SubscribeTo(p) },
		"option":    func(c *stage.Consumer[int], _ *stage.Producer[int]) { c.SubscribeTo(silent(), stage.MaxDemand(-1)) },
		"nil":       func(c *stage.Consumer[int], _ *stage.Producer[int]) { c.SubscribeTo(nil) },
		"duplicate of a dynamic one": func(c *stage.Consumer[int], _ *stage.Producer[int]) {
			other := silent()
			go func() { _ = other.Run(context.Background()) }()
			time.AfterFunc(time.Minute, func() { other.Abort(nil) })
			time.Sleep(time.Second)
			_, _ = c.Subscribe(context.Background(), other)
			c.SubscribeTo(other)
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				source, c := silent(), newSink(0)
				c.SubscribeTo(source)
				p := stage.NewPipeline(source, c)
				run := start(t.Context(), p)
				wire(c.Consumer, source)
				err := run.wait(t)
				require.Error(t, err)
				require.ErrorContains(t, err, "misuse_test.go:")
				require.ErrorContains(t, err, c.Name())
				time.Sleep(time.Hour)
				closed(t, p)
			})
		})
	}
}

// Subscribe at run time finds rings and duplicates as well; what has ended is forgotten.
func TestDynamicRingsAndDuplicates(t *testing.T) {
	bubble(t, func(t *testing.T) {
		a, b, source := relay(0, stage.Name("a")), relay(0, stage.Name("b")), silent()
		runs := runAlone(t.Context(), source, a, b)
		sub, err := a.Subscribe(t.Context(), b, stage.Cancel(stage.CancelTemporary))
		require.NoError(t, err)
		_, err = b.Subscribe(t.Context(), a)
		require.ErrorIs(t, err, stage.ErrCycle)
		_, err = a.Subscribe(t.Context(), a)
		require.ErrorIs(t, err, stage.ErrCycle)
		_, err = a.Subscribe(t.Context(), b)
		require.ErrorIs(t, err, stage.ErrAlreadySubscribed)
		require.NoError(t, sub.Cancel(nil))
		time.Sleep(time.Second)
		_, err = b.Subscribe(t.Context(), a)
		require.NoError(t, err, "the other direction is free now")
		abortAll(t, runs...)
		closed(t, a, b, source)
	})
}

// A pipeline of nothing, of nil, of one stage twice, of values that no constructor made.
func TestInvalidPipelines(t *testing.T) {
	require.NoError(t, stage.Run(t.Context()))
	require.NoError(t, stage.Run(t.Context(), stage.All[*stage.Producer[int]]()...))
	var noProducer *stage.Producer[int]
	var noRelay *stage.ProducerConsumer[int, int]
	var noConsumer *stage.Consumer[int]
	var noPipeline *stage.Pipeline
	for _, s := range []stage.Stage{nil, noProducer, noRelay, noConsumer, noPipeline} {
		p := stage.NewPipeline(silent(), s)
		err := p.Run(t.Context())
		require.ErrorIs(t, err, stage.ErrInvalidStage)
		require.ErrorContains(t, err, "stage 1")
		require.ErrorIs(t, stage.Run(t.Context(), p), stage.ErrInvalidStage)
		require.ErrorIs(t, p.Stop(t.Context()), stage.ErrNotRunning)
		p.Abort(nil)
		_ = p.Stats()
	}
	require.ErrorIs(t, stage.NewPipeline(nil).Run(t.Context()), stage.ErrInvalidStage)
	s := silent(stage.Name("twin"))
	err := stage.Run(t.Context(), s, stage.NewPipeline(s))
	require.ErrorIs(t, err, stage.ErrInvalidStage)
	require.ErrorContains(t, err, `"twin"`)
	for _, zero := range []stage.Stage{new(stage.Producer[int]), new(stage.ProducerConsumer[int, int]), new(stage.Consumer[int])} {
		require.ErrorIs(t, zero.Run(t.Context()), stage.ErrInvalidStage)
		require.ErrorIs(t, stage.Run(t.Context(), silent(), zero), stage.ErrInvalidStage)
	}
	stages := []stage.Stage{stage.FromSlice(upTo(0))}
	p := stage.NewPipeline(stages...)
	stages[0] = nil
	bubble(t, func(t *testing.T) {
		run := start(t.Context(), p)
		require.NoError(t, p.Stop(t.Context()))
		require.NoError(t, run.wait(t), "it has a copy of the list")
	})
}

// answers calls every exported method of all kinds and of a subscription.
func answers(t *testing.T, p *stage.Producer[int], pc *stage.ProducerConsumer[int, int], c *stage.Consumer[int], sub *stage.Subscription, wants ...error) {
	t.Helper()
	ctx := t.Context()
	emit := func(context.Context) ([]int, error) { t.Error("called"); return nil, nil }
	mute := func(context.Context) error { t.Error("called"); return nil }
	check := func(what string, err error) {
		t.Helper()
		for _, want := range wants {
			if errors.Is(err, want) {
				return
			}
		}
		t.Errorf("%s: %v", what, err)
	}
	for _, s := range []stage.Stage{p, pc, c} {
		_, _ = s.Name(), s.Stats()
		s.Abort(errBoom)
		s.Abort(nil)
	}
	check("Do", p.Do(ctx, emit))
	check("Do", pc.Do(ctx, emit))
	check("Do", c.Do(ctx, mute))
	check("DoAfter", p.DoAfter(ctx, emit))
	check("DoAfter", pc.DoAfter(ctx, emit))
	check("Tell", p.Tell(emit))
	check("Tell", pc.Tell(emit))
	check("Tell", c.Tell(mute))
	check("TellAfter", p.TellAfter(emit))
	check("TellAfter", pc.TellAfter(emit))
	check("nil", p.Do(ctx, nil))
	check("nil", c.Tell(nil))
	_, err := pc.Subscribe(ctx, p)
	check("Subscribe", err)
	_, err = c.Subscribe(ctx, p)
	check("Subscribe", err)
	p.OnDiscard(nil)
	pc.OnDiscard(nil)
	pc.OnCancel(nil)
	pc.OnComplete(nil)
	c.OnCancel(nil)
	c.OnComplete(nil)
	if sub == nil {
		return
	}
	_, _, _ = sub.Label(), sub.Producer(), sub.Consumer()
	check("Ask", sub.Ask(1))
	check("Cancel", sub.Cancel(errBoom))
	check("sub.Do", sub.Do(ctx, mute))
	check("sub.Tell", sub.Tell(mute))
	require.ErrorIs(t, sub.Ask(0), stage.ErrInvalidDemand)
	require.ErrorIs(t, sub.Ask(math.MinInt), stage.ErrInvalidDemand)
	require.ErrorIs(t, sub.Next(0), stage.ErrInvalidDemand)
	require.ErrorIs(t, sub.Hold(1), stage.ErrInvalidHold)
	require.ErrorIs(t, sub.Hold(0), stage.ErrInvalidHold)
	require.Error(t, sub.Release(1))
	require.Error(t, sub.Next(1))
}

func TestBeforeRunAndAfterTheEnd(t *testing.T) {
	for name, end := range map[string]func(p *stage.Pipeline){
		"completed": func(p *stage.Pipeline) { _ = p.Stop(context.Background()) },
		"aborted":   func(p *stage.Pipeline) { p.Abort(errBoom) },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				subs := make(chan *stage.Subscription, 2)
				source := silent(stage.Retry())
				middle, c := relay(0), newSink(0, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
					subs <- sub
					return nil
				}))
				answers(t, source, middle, c.Consumer, nil, stage.ErrNotRunning)
				require.ErrorIs(t, source.Wake(), stage.ErrNotRunning)
				require.ErrorIs(t, source.Stop(t.Context()), stage.ErrNotRunning)
				middle.SubscribeTo(source)
				c.SubscribeTo(middle, stage.Manual())
				p := stage.NewPipeline(source, middle, c)
				run := start(t.Context(), p)
				end(p)
				_ = run.wait(t)
				answers(t, source, middle, c.Consumer, <-subs, stage.ErrEnded)
				require.ErrorIs(t, source.Wake(), stage.ErrEnded)
				require.NoError(t, source.Stop(t.Context()))
				closed(t, p)
			})
		})
	}
}

// Values that no constructor made answer like stages that never ran.
func TestZeroValues(t *testing.T) {
	c, pc := new(stage.Consumer[int]), new(stage.ProducerConsumer[int, int])
	p := new(stage.Producer[int])
	answers(t, p, pc, c, nil, stage.ErrNotRunning)
	require.Error(t, p.Wake())
	c.SubscribeTo(silent())
	pc.SubscribeTo(silent())
	c.SubscribeTo(nil)
	for _, s := range []stage.Stage{p, pc, c} {
		require.ErrorIs(t, s.Run(t.Context()), stage.ErrInvalidStage)
		require.ErrorIs(t, s.Stop(t.Context()), stage.ErrNotRunning)
	}
	require.NoError(t, new(stage.Pipeline).Run(t.Context()))

	sub := new(stage.Subscription)
	_, _, _ = sub.Label(), sub.Producer(), sub.Consumer()
	require.Error(t, sub.Ask(1))
	require.ErrorIs(t, sub.Cancel(nil), stage.ErrEnded)
	require.ErrorIs(t, sub.Do(t.Context(), func(context.Context) error { return nil }), stage.ErrEnded)
	require.ErrorIs(t, sub.Tell(func(context.Context) error { return nil }), stage.ErrEnded)
	require.Error(t, sub.Hold(1))
	require.Error(t, sub.Release(1))
	require.Error(t, sub.Next(1))

	require.NotPanics(t, func() {
		_, _ = new(stage.Error).Error(), new(stage.StopError).Error()
		_, _ = new(stage.PanicError).Error(), new(stage.PanicError).Unwrap()
		_, _ = stage.MessageKind(200).String(), stage.CancellationKind(0).String()
	})
}
