package stage

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

var errChildStopped = errors.New("stopped")

// However a child's context is looked at, and whenever, it says what one of context.WithCancelCause says.
func TestChildContextIsAContext(t *testing.T) {
	type key struct{}
	looks := map[string]func(ctx context.Context){
		"not at all": func(context.Context) {},
		"Done":       func(ctx context.Context) { ctx.Done() },
		"Err":        func(ctx context.Context) { _ = ctx.Err() },
		"Value":      func(ctx context.Context) { ctx.Value(key{}) },
	}
	type ends struct{ run, child func() }
	for name, end := range map[string]func(ends){
		"neither":              func(ends) {},
		"the child":            func(e ends) { e.child() },
		"the run":              func(e ends) { e.run() },
		"the child, then run":  func(e ends) { e.child(); e.run() },
		"the run, then child":  func(e ends) { e.run(); e.child() },
		"the child twice, run": func(e ends) { e.child(); e.child(); e.run() },
	} {
		for before, look := range looks {
			t.Run(name+", looked at before: "+before, func(t *testing.T) {
				run, endRun := context.WithCancelCause(context.WithValue(t.Context(), key{}, 7))
				want, endWant := context.WithCancelCause(run)
				got := &childContext{run: run}
				look(got)
				end(ends{
					run:   func() { endRun(ErrKilled) },
					child: func() { endWant(errChildStopped); got.end(errChildStopped) },
				})
				require.Equal(t, context.Cause(want), context.Cause(got))
				require.Equal(t, want.Err(), got.Err())
				require.Equal(t, 7, got.Value(key{}))
				require.Equal(t, want.Err() != nil, ended(got.Done()))
				require.Equal(t, got.Done(), got.Done())
				within, cancel := context.WithCancel(got)
				defer cancel()
				require.Equal(t, want.Err() != nil, ended(within.Done()), "a context within it")
				require.Equal(t, context.Cause(want), context.Cause(within))
				endRun(ErrKilled)
				require.True(t, ended(got.Done()))
			})
		}
	}
}

func ended(done <-chan struct{}) bool {
	select {
	case <-done:
		return true
	default:
		return false
	}
}

// Who waits for the end of a child's context is woken by the child's end and by the run's, and hears the deadline of
// Run's context.
func TestChildContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		one, other := &childContext{run: run}, &childContext{run: run}
		woken := make(chan error, 3)
		context.AfterFunc(one, func() { woken <- one.Err() })
		go func() { <-one.Done(); woken <- one.Err() }()
		context.AfterFunc(other, func() { woken <- other.Err() })
		synctest.Wait()
		one.end(nil)
		require.Equal(t, context.Canceled, <-woken)
		require.Equal(t, context.Canceled, <-woken)
		require.Equal(t, context.DeadlineExceeded, <-woken)
		deadline, ok := other.Deadline()
		require.True(t, ok)
		require.Equal(t, time.Now(), deadline)
		require.Equal(t, context.Canceled, one.Err(), "the first end counts")
		never := &childContext{run: run}
		never.end(nil)
		require.Equal(t, context.DeadlineExceeded, never.Err())
	})
}

// The charge is found whether or not the context was needed as a whole, and nothing else is taken for it.
func TestChildContextHasTheCharge(t *testing.T) {
	charge := &ChargedEvent{}
	with, without := &childContext{run: t.Context(), charge: charge}, &childContext{run: t.Context()}
	for range 2 {
		require.Same(t, charge, ChargeFrom(with))
		require.Nil(t, ChargeFrom(without))
		within, cancel := context.WithCancel(with)
		require.Same(t, charge, ChargeFrom(within))
		cancel()
	}
}

// A goroutine is known to a run as long as it runs, and no longer: the next one may be told apart by the same.
func TestARunForgetsItsGoroutines(t *testing.T) {
	type runs struct {
		*core
		kids func() int
	}
	synctest.Test(t, func(t *testing.T) {
		p := FromSeq(func(yield func(int) bool) {
			for i := range 10 {
				if !yield(i) {
					return
				}
			}
		}, Observe(func(Message) {}))
		c := NewConsumerSupervisor(func(context.Context, int) error { return nil }, Observe(func(Message) {}))
		c.SubscribeTo(p, MaxDemand(3))
		var all []runs
		p.conf.onInit = func(context.Context) error {
			x, _ := p.current()
			r := x.(*run[none, int])
			require.NotZero(t, r.onGo.Load())
			all = append(all, runs{&r.core, func() int { return 0 }})
			return nil
		}
		c.conf.onInit = func(context.Context) error {
			x, _ := c.current()
			r := x.(*run[int, none])
			all = append(all, runs{&r.core, func() int { return len(r.kids.list()) }})
			return nil
		}
		require.NoError(t, Run(t.Context(), p, c))
		synctest.Wait()
		require.Len(t, all, 2)
		for _, r := range all {
			require.Zero(t, r.onGo.Load(), r.name())
			require.Zero(t, r.aside.Load(), r.name())
			require.Zero(t, r.pumping.Load(), r.name())
			require.Zero(t, r.kids())
		}
	})
}
