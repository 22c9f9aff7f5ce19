package stage_test

import (
	"context"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// T14: any sequence of calls of two producers and two consumers, on subscriptions that live, have ended, belong to
// earlier runs; and messages about subscriptions that the receiver does not know, or knows to have ended. Pass: nothing
// panics, nothing hangs, every event is accounted for, and what is left can be ended.

// parlour is the stages and what the sequence has brought about.
type parlour struct {
	t         *testing.T
	producers []*stage.Producer[int]
	consumers []*stage.Consumer[int]
	stages    []stage.Stage
	runs      []*started // those that have not been waited for

	mu   sync.Mutex
	subs []*stage.Subscription // guarded by mu: all there have ever been
}

func newParlour(t *testing.T) *parlour {
	w := &parlour{t: t}
	keep := stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.subs = append(w.subs, sub)
		return nil
	})
	for range 2 {
		calls := 0
		p := stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
			if calls++; calls > 50 { // or it never comes to rest
				return nil, nil
			}
			return make([]int, min(demand, 7)), nil
		}, quiet)
		c := stage.NewConsumer(func(_ context.Context, events []int, sub *stage.Subscription) error {
			if len(events)%3 == 0 {
				return sub.Hold(1)
			}
			return nil
		}, keep, quiet)
		w.producers, w.consumers = append(w.producers, p), append(w.consumers, c)
		w.stages = append(w.stages, p, c)
	}
	for _, s := range w.stages {
		w.runs = append(w.runs, start(t.Context(), s))
	}
	return w
}

func (w *parlour) sub(n byte) *stage.Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.subs) == 0 {
		return new(stage.Subscription)
	}
	return w.subs[int(n)%len(w.subs)]
}

// play does one thing.
func (w *parlour) play(what, who, n byte) {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
	defer cancel()
	p, c, sub := w.producers[who%2], w.consumers[who/2%2], w.sub(who/4)
	amount := int(n) - 2
	if n > 250 {
		amount = math.MaxInt - int(n-250)
	}
	reason := []error{nil, errBoom, stage.ErrShutdown}[n%3]
	options := []stage.SubscribeOption{stage.Cancel(stage.CancelMode(n % 3)), stage.MaxDemand(1 + int(n/3)%20)}
	if n%5 == 0 {
		options = append(options, stage.Manual())
	}
	if n%7 == 0 {
		options = append(options, stage.AllowDuplicate())
	}
	switch what % 20 {
	case 0, 1, 2:
		_, _ = c.Subscribe(ctx, p, options...)
	case 3, 4, 5:
		_ = sub.Ask(amount)
	case 6:
		_ = sub.Cancel(reason)
	case 7:
		_ = sub.SetDemand(amount, int(n/2))
	case 8:
		_ = sub.Next(amount)
	case 9:
		_ = sub.Release(amount)
	case 10:
		_, _ = c.Resubscribe(ctx, sub, reason, p, options...)
	case 11:
		_ = p.Tell(func(context.Context) ([]int, error) { return make([]int, n%20), nil })
	case 12:
		_ = sub.Tell(func(context.Context) error { return nil })
	case 13, 14, 15:
		stage.Stray(sub, w.sub(n), int(what), int64(amount), reason)
	case 16, 17:
		stage.Belated(sub, int(n), reason)
	case 18:
		if s := w.stages[who%4]; n%4 == 0 {
			_ = s.Stop(ctx)
		} else if n%4 == 1 {
			s.Abort(reason)
		}
	case 19:
		synctest.Wait()
		for _, s := range w.stages {
			if !s.Stats().Running {
				w.runs = append(w.runs, start(w.t.Context(), s))
			}
		}
	}
	if n%2 == 0 {
		synctest.Wait()
		ledger(w.t, w.stages...)
	}
}

func playProtocol(t *testing.T, data []byte) {
	synctest.Test(t, func(t *testing.T) {
		w := newParlour(t)
		for data = data[:min(len(data), 600)]; len(data) >= 3; data = data[3:] {
			w.play(data[0], data[1], data[2])
		}
		synctest.Wait()
		ledger(t, w.stages...)
		for _, s := range w.stages {
			s.Abort(nil)
		}
		for _, r := range w.runs {
			if err := r.wait(t); err != nil {
				require.NotErrorAs(t, err, new(*stage.PanicError))
			}
		}
		ledger(t, w.stages...)
	})
}

func FuzzProtocol(f *testing.F) {
	f.Add([]byte{0, 0, 10, 3, 0, 20, 13, 0, 0, 6, 0, 1, 13, 0, 0, 16, 0, 2, 18, 1, 0, 19, 0, 0, 0, 0, 10, 13, 1, 9, 14, 5, 252})
	f.Fuzz(playProtocol)
}

func TestCallsAndMessagesInAnyOrder(t *testing.T) {
	t.Parallel() // one of the longest
	n := testkit.Rounds(3_000, 100_000)
	for seed := range uint64(n) {
		random := rand.New(rand.NewPCG(seed, 14))
		data := make([]byte, 300)
		for i := range data {
			data[i] = byte(random.Uint32())
		}
		playProtocol(t, data)
		require.False(t, t.Failed(), "seed %d", seed)
	}
	testkit.Report(t, "T14", n)
}
