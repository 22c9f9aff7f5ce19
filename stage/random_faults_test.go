package stage_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
	"github.com/stretchr/testify/require"
)

// tempest is one random pipeline with random faults. What its callbacks see is checked as it happens.
type tempest struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	r      *rand.Rand                     // guarded by mu
	got    map[int]int                    // guarded by mu: how often each event of a source was begun at a sink
	inits  map[string]int                 // guarded by mu: OnInit without OnTerminate yet
	opened map[*stage.Subscription]string // guarded by mu: OnSubscribe without OnCancel yet
	subs   []*stage.Subscription          // guarded by mu
	over   bool                           // guarded by mu: Run has returned

	stages  []stage.Stage
	sources []stage.Source[int]
	sinks   []*stage.Consumer[int]
	relays  []*stage.ProducerConsumer[int, int]
	writers []*stage.Producer[int]
	chosen  map[stage.Source[int]]bool // somebody subscribes to it
}

// n returns a random number below most.
func (s *tempest) n(most int) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.r.IntN(most)
}

func (s *tempest) nap() { time.Sleep(time.Duration(max(0, s.n(12)-6)) * time.Millisecond) }

// called is told of each callback, and now and then fails in its place.
func (s *tempest) called(what string, odds int) error {
	s.mu.Lock()
	if s.over {
		s.t.Errorf("%s was called after Run returned", what)
	}
	dice := s.r.IntN(8 * odds)
	s.mu.Unlock()
	switch dice {
	case 0, 1:
		return errBoom
	case 2:
		panic("a fault")
	case 3:
		runtime.Goexit()
	case 4, 5, 6:
		return stage.ErrDone
	}
	return nil
}

// life are the options of every stage.
func (s *tempest) life(name string) []stage.Option {
	return []stage.Option{
		stage.Name(name), stage.Logger(slog.New(slog.NewTextHandler(io.Discard, nil))),
		stage.OnInit(func(context.Context) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.inits[name]++
			return nil
		}),
		stage.OnTerminate(func(error) {
			s.mu.Lock()
			s.inits[name]--
			s.mu.Unlock()
			s.nap()
		}),
	}
}

func (s *tempest) subscribed(_ context.Context, sub *stage.Subscription) error {
	s.mu.Lock()
	if _, again := s.opened[sub]; again {
		s.t.Errorf("OnSubscribe called twice for %s → %s", sub.Producer(), sub.Consumer())
	}
	s.opened[sub] = "open"
	s.subs = append(s.subs, sub)
	s.mu.Unlock()
	if sub.Label() == "manual" {
		_ = sub.Ask(1 + s.n(20))
	}
	if s.n(60) == 0 {
		return stage.ErrRefused
	}
	return s.called("OnSubscribe", 40)
}

func (s *tempest) cancelled(sub *stage.Subscription) error {
	s.mu.Lock()
	if s.opened[sub] != "open" && s.opened[sub] != "" {
		s.t.Errorf("OnCancel called twice for %s → %s", sub.Producer(), sub.Consumer())
	}
	s.opened[sub] = "ended"
	s.mu.Unlock()
	return s.called("OnCancel", 40)
}

// options are those of one subscription.
func (s *tempest) options() []stage.SubscribeOption {
	most := 1 + s.n(20)
	list := []stage.SubscribeOption{stage.MaxDemand(most), stage.MinDemand(s.n(most)), stage.Cancel(stage.CancelMode(s.n(3)))}
	if s.n(4) == 0 {
		list = append(list, stage.Manual(), stage.Label("manual"))
	}
	return list
}

// some chooses at most so many sources.
func (s *tempest) some(most int) []stage.Source[int] {
	var list []stage.Source[int]
	for _, k := range s.r.Perm(len(s.sources))[:1+s.n(min(most, len(s.sources)))] {
		list = append(list, s.sources[k])
		s.chosen[s.sources[k]] = true
	}
	return list
}

// hold leaves some events of a manual subscription to a goroutine.
func (s *tempest) hold(n int, from *stage.Subscription) {
	if from.Label() != "manual" {
		return
	}
	if s.n(4) == 0 {
		_ = from.Ask(n) // for those not held
		return
	}
	if err := from.Hold(n); err != nil {
		s.t.Error(err)
	}
	go func() { // ends with its nap
		s.nap()
		for range n {
			if err := from.Next(1); err != nil && !errors.Is(err, stage.ErrEnded) {
				s.t.Error(err)
			}
		}
	}()
}

func (s *tempest) source(i int) {
	next, last := 1000*i, 1000*i+s.n(300)
	options := []stage.ProducerOption{stage.OnConsumer(func(context.Context, *stage.Subscription) error {
		return s.called("OnConsumer", 60)
	}), stage.OnConsumerGone(func(context.Context, *stage.Subscription, stage.Cancellation) error {
		return s.called("OnConsumerGone", 60)
	})}
	for _, o := range s.life(fmt.Sprint("source ", i)) {
		options = append(options, o)
	}
	p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		if err := s.called("demand", 80); err != nil {
			return nil, err
		}
		var events []int
		for range min(demand, last-next) {
			events = append(events, next)
			next++
		}
		s.nap()
		if next == last {
			return events, stage.ErrDone
		}
		return events, nil
	}, options...)
	s.stages, s.sources, s.writers = append(s.stages, p), append(s.sources, p), append(s.writers, p)
}

func (s *tempest) relay(i int) {
	options := []stage.ProducerConsumerOption{stage.OnSubscribe(s.subscribed)}
	for _, o := range s.life(fmt.Sprint("relay ", i)) {
		options = append(options, o)
	}
	pc := stage.NewProducerConsumer(func(_ context.Context, events []int, from *stage.Subscription) ([]int, error) {
		s.hold(len(events), from)
		s.nap()
		return events, s.called("relay", 80)
	}, options...)
	pc.OnCancel(func(_ context.Context, sub *stage.Subscription, _ stage.Cancellation) ([]int, error) {
		return nil, s.cancelled(sub)
	})
	for _, src := range s.some(2) {
		pc.SubscribeTo(src, s.options()...)
	}
	s.stages, s.relays = append(s.stages, pc), append(s.relays, pc)
	s.sources = append(s.sources, pc)
}

func (s *tempest) sink(i int) {
	options := []stage.ConsumerOption{stage.OnSubscribe(s.subscribed)}
	for _, o := range s.life(fmt.Sprint("sink ", i)) {
		options = append(options, o)
	}
	c := stage.NewConsumer(func(_ context.Context, events []int, from *stage.Subscription) error {
		s.mu.Lock()
		for _, e := range events {
			s.got[e]++
		}
		s.mu.Unlock()
		s.hold(len(events), from)
		s.nap()
		return s.called("events", 60)
	}, options...)
	c.OnCancel(func(_ context.Context, sub *stage.Subscription, _ stage.Cancellation) error { return s.cancelled(sub) })
	if s.n(3) == 0 {
		c.OnComplete(func(context.Context) error { s.nap(); return stage.ErrDone })
	}
	for _, src := range s.some(3) {
		c.SubscribeTo(src, s.options()...)
	}
	if i == 0 { // nobody is without a subscriber: that would be waited for
		for _, src := range s.sources {
			if !s.chosen[src] {
				c.SubscribeTo(src, s.options()...)
			}
		}
	}
	s.stages, s.sinks = append(s.stages, c), append(s.sinks, c)
}

// meddle does one thing from outside.
func (s *tempest) meddle() {
	c := s.sinks[s.n(len(s.sinks))]
	src := s.sources[s.n(len(s.sources))]
	s.mu.Lock()
	var sub *stage.Subscription
	if len(s.subs) > 0 {
		sub = s.subs[s.r.IntN(len(s.subs))]
	}
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(s.ctx, time.Duration(s.n(20))*time.Millisecond)
	defer cancel()
	switch kind := s.n(12); {
	case kind == 0:
		_, _ = c.Subscribe(ctx, src, s.options()...)
	case kind == 1 && sub != nil:
		_, _ = c.Resubscribe(ctx, sub, nil, src, s.options()...)
	case kind == 2 && sub != nil:
		_ = sub.Cancel(errBoom)
	case kind == 3 && sub != nil:
		_ = sub.Cancel(nil)
	case kind == 4 && sub != nil:
		most := 1 + s.n(30)
		_ = sub.SetDemand(most, s.n(most))
	case kind == 5:
		_ = c.Stop(ctx)
	case kind == 6 && s.n(4) == 0:
		s.stages[s.n(len(s.stages))].Abort(errBoom)
	case kind == 7 && s.n(2) == 0:
		_ = s.stages[s.n(len(s.stages))].Stop(ctx)
	case kind == 8:
		_ = c.Do(ctx, func(context.Context) error { return s.called("Do", 10) })
	case kind == 9 && sub != nil:
		_ = sub.Tell(func(context.Context) error { return s.called("Tell", 10) })
	case kind == 10:
		p := s.writers[s.n(len(s.writers))]
		_ = p.Accumulate()
		s.nap()
		_ = p.Forward()
	default:
		_ = s.stages[s.n(len(s.stages))].Stats()
	}
}

// Whatever happens to a pipeline: Run returns, with all callbacks over and paired, no event was
// begun twice, and the books agree.
func TestRandomFaults(t *testing.T) {
	for seed := range uint64(faultSeeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { runTempest(t, seed) })
		})
	}
}

const faultSeeds = 500

func runTempest(t *testing.T, seed uint64) {
	s := &tempest{
		t: t, ctx: t.Context(), r: rand.New(rand.NewPCG(seed, 7)),
		chosen: map[stage.Source[int]]bool{}, got: map[int]int{}, inits: map[string]int{}, opened: map[*stage.Subscription]string{},
	}
	for i := range 1 + s.n(3) {
		s.source(i)
	}
	for i := range s.n(4) {
		s.relay(i)
	}
	for i := range 1 + s.n(4) {
		s.sink(i)
	}
	order := s.stages
	s.r.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	var whole stage.Stage = stage.NewPipeline(order...)
	if k := s.n(len(order)); k > 0 && s.n(3) == 0 {
		whole = stage.NewPipeline(append(order[k:len(order):len(order)], stage.NewPipeline(order[:k]...))...)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	defer cancel(nil)
	run := start(ctx, whole)
	var meddlers sync.WaitGroup
	for range s.n(4) {
		meddlers.Go(func() {
			for range s.n(20) {
				s.nap()
				s.meddle()
			}
		})
	}
	time.Sleep(time.Duration(s.n(400)) * time.Millisecond)
	switch s.n(3) {
	case 0:
		cancel(errBoom)
	case 1:
		whole.Abort(errBoom)
	default:
		meddlers.Wait()
		for _, p := range s.writers {
			_ = p.Forward()
		}
		stop, end := context.WithTimeout(t.Context(), time.Minute)
		if err := whole.Stop(stop); errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop: %v", err)
		}
		end()
	}
	_ = run.wait(t)
	s.mu.Lock()
	s.over = true
	s.mu.Unlock()
	meddlers.Wait()
	time.Sleep(time.Second) // those who hold give up
	for name, n := range s.inits {
		require.Zero(t, n, "OnInit without OnTerminate of %s", name)
	}
	for e, times := range s.got {
		require.Equal(t, 1, times, "event %d", e)
	}
	stagetest.Ended(t, s.stages...)
}
