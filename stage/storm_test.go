package stage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Everything at once, from many goroutines: nothing hangs, panics, races or is unaccounted for.

// storm is a pipeline with what the goroutines do to it.
type storm struct {
	source  *stage.Producer[int]
	middle  *stage.ProducerConsumer[int, int]
	a, b    *stage.Consumer[int]
	outside *stage.Producer[int] // runs by itself
	p       *stage.Pipeline

	mu   sync.Mutex
	subs []*stage.Subscription // guarded by mu
}

func newStorm(rng *rand.Rand) *storm {
	s := &storm{}
	refuses := rng.IntN(3) == 0
	keep := stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.subs = append(s.subs, sub); refuses && len(s.subs)%3 == 0 {
			return stage.ErrRefused
		}
		return nil
	})
	handle := func(_ context.Context, events []int, sub *stage.Subscription) error {
		if len(events) > 1 && sub.Hold(1) == nil {
			time.AfterFunc(time.Second, func() { _ = sub.Release(1) })
		}
		time.Sleep(time.Millisecond)
		return nil
	}
	s.source = stage.NewProducer(func(_ context.Context, n int) ([]int, error) { return make([]int, min(n, 10)), nil },
		stage.Retry(), quiet)
	s.outside = silent(quiet)
	s.middle = relay(time.Millisecond, keep, quiet)
	s.a, s.b = stage.NewConsumer(handle, keep), stage.NewConsumer(handle, keep)
	mode := func() stage.SubscribeOption { return stage.Cancel(stage.CancelMode(rng.IntN(3))) }
	s.middle.SubscribeTo(s.source, stage.MaxDemand(20), mode())
	s.a.SubscribeTo(s.middle, stage.MaxDemand(1+rng.IntN(10)), mode())
	s.b.SubscribeTo(s.middle, stage.Manual(), mode())
	s.p = stage.NewPipeline(s.source, s.middle, s.a, s.b)
	return s
}

func (s *storm) sub(rng *rand.Rand) *stage.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.subs) == 0 {
		return new(stage.Subscription)
	}
	return s.subs[rng.IntN(len(s.subs))]
}

// gust does one thing. heavy ones end the run.
func (s *storm) gust(ctx context.Context, rng *rand.Rand, heavy bool) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stages := []stage.Stage{s.p, s.source, s.middle, s.a, s.b}
	any := stages[rng.IntN(len(stages))]
	emit := func(context.Context) ([]int, error) { return []int{1}, nil }
	mute := func(context.Context) error { return nil }
	n := 16
	if heavy {
		n = 20
	}
	switch rng.IntN(n) {
	case 0:
		_ = s.source.Do(ctx, emit)
	case 1:
		_ = s.middle.DoAfter(ctx, emit)
	case 2:
		_ = s.a.Do(ctx, func(ctx context.Context) error { _ = s.b.Do(ctx, mute); return nil })
	case 3:
		_ = s.b.Do(ctx, func(ctx context.Context) error { _ = s.a.Do(ctx, mute); return nil })
	case 4:
		_ = s.middle.Tell(emit)
	case 5:
		_ = s.source.TellAfter(emit)
	case 6:
		_ = s.sub(rng).Ask(1 + rng.IntN(10))
	case 7:
		_ = s.sub(rng).Next(1)
	case 8:
		_ = s.sub(rng).Do(ctx, mute)
	case 9:
		_ = s.sub(rng).Tell(mute)
	case 10:
		_ = any.Stats()
	case 11:
		_ = s.source.Wake()
	case 12:
		_, _ = s.a.Subscribe(ctx, s.outside, stage.Cancel(stage.CancelTemporary))
	case 13:
		_, _ = s.b.Subscribe(ctx, s.source, stage.Cancel(stage.CancelTemporary), stage.AllowDuplicate())
	case 14:
		_ = s.sub(rng).Release(1)
	case 15:
		_ = s.p.Run(ctx)
	case 16:
		_ = s.sub(rng).Cancel(stage.ErrShutdown)
	case 17:
		_ = any.Stop(ctx)
	case 18:
		any.Abort([]error{nil, errBoom, stage.ErrKilled}[rng.IntN(3)])
	case 19:
		_ = any.Run(ctx)
	}
}

func TestStorm(t *testing.T) {
	for seed := range seeds(t, 30) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			rng := rand.New(rand.NewPCG(seed, 1))
			s := newStorm(rng)
			outside := start(t.Context(), s.outside)
			run := start(t.Context(), s.p)
			var all sync.WaitGroup
			for i := range 20 {
				own := rand.New(rand.NewPCG(seed, uint64(i+2)))
				all.Go(func() {
					for j := range 20 {
						time.Sleep(time.Duration(own.IntN(20)) * time.Millisecond)
						s.gust(t.Context(), own, i < 3 && j > 10)
					}
				})
			}
			within(t, "the storm", all.Wait)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_ = s.p.Stop(ctx)
			_ = run.wait(t)
			for _, st := range []stage.Stage{s.source, s.middle, s.a, s.b} { // run again by a gust
				st.Abort(nil)
			}
			abortAll(t, outside)
			time.Sleep(time.Minute)
			ledger(t, s.p, s.source, s.middle, s.a, s.b, s.outside)
			require.False(t, s.p.Stats().Running)
		})
	}
}

// Abort and Stop while the pipeline opens, in every order of the scheduler's.
func TestStopAndAbortAtTheVeryBeginning(t *testing.T) {
	for i := range 300 {
		bubble(t, func(t *testing.T) {
			var stages []stage.Stage
			source := endless()
			stages = append(stages, source)
			for range 10 {
				c := newSink(time.Second)
				c.SubscribeTo(source, stage.MaxDemand(2))
				stages = append(stages, c)
			}
			p := stage.NewPipeline(stages...)
			result := make(chan error, 1)
			go func() { result <- p.Run(t.Context()) }()
			if i%2 == 0 {
				for !p.Stats().Running { // it begins
					time.Sleep(0)
				}
				p.Abort(errBoom)
				require.ErrorIs(t, <-result, errBoom)
			} else {
				for errors.Is(p.Stop(t.Context()), stage.ErrNotRunning) {
					time.Sleep(0)
				}
				require.NoError(t, <-result)
			}
			closed(t, p)
		})
	}
}

// A consumer refuses in OnSubscribe while its producer ends: who reads what is the race detector's.
func TestRefusalWhileTheProducerEnds(t *testing.T) {
	for range 100 {
		bubble(t, func(t *testing.T) {
			source := silent()
			var runs []*started
			var stages []stage.Stage
			for i := range 4 {
				c := newSink(0, stage.OnSubscribe(func(context.Context, *stage.Subscription) error {
					return fmt.Errorf("%d: %w", i, stage.ErrRefused)
				}))
				c.SubscribeTo(source)
				stages = append(stages, c)
				runs = append(runs, start(t.Context(), c))
			}
			run := &started{Stage: source, done: make(chan struct{})}
			go func() { run.err = source.Run(t.Context()); close(run.done) }()
			for !source.Stats().Running {
				time.Sleep(0)
			}
			source.Abort(errBoom)
			require.ErrorIs(t, run.wait(t), errBoom)
			time.Sleep(time.Second)
			abortAll(t, runs...)
			closed(t, append(stages, source)...)
		})
	}
}
