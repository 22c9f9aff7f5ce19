package stage_test

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func TestAttackOnASupervisor(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		subs := &subscriptions{}
		p, mid := endlessly(), relay(10*time.Millisecond, quiet, stage.OnSubscribe(subs.add))
		c := newSink(20*time.Millisecond, quiet, stage.OnSubscribe(subs.add)).Consumer
		mid.SubscribeTo(p, stage.MaxDemand(4))
		c.SubscribeTo(mid, stage.MaxDemand(4))
		strategy := []stage.Strategy{stage.RestForOne, stage.OneForOne, stage.OneForAll}[rng.IntN(3)]
		sup := stage.NewSupervisor(quiet, strategy, stage.MaxRestarts(5+rng.IntN(100), time.Second), stage.Grace(time.Second))
		for _, s := range []stage.Stage{p, mid, c} {
			sup.Add(s, stage.Restart(stage.RestartMode(rng.IntN(3))))
		}
		sup.AddFunc(func() stage.Stage {
			time.Sleep(100 * time.Millisecond)
			s := silent(quiet)
			time.AfterFunc(300*time.Millisecond, func() { s.Abort(errBoom) })
			return s
		})
		outer := stage.NewSupervisor(quiet, stage.MaxRestarts(3, time.Second))
		outer.Add(sup)
		members := []stage.Stage{p, mid, c}
		fail := func(a *assault) { members[a.rng.IntN(3)].Abort(errBoom) }
		look := func(a *assault) { _ = stage.Explain(outer.Stats(), sup.Stats(), p.Stats()) }
		return &attack{
			stages: []stage.Stage{outer}, subs: subs, values: []any{sup, sup, outer, p, mid, c}, acts: []func(*assault){fail, fail, look},
			mark: func(t *testing.T) { ledger(t, members...) },
		}
	})
}

func TestAttackOnAConsumerSupervisor(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		subs := &subscriptions{}
		p := endlessly()
		s := stage.StartWith(func(ctx context.Context, n int) (func(context.Context) error, error) {
			if n%11 == 0 {
				return nil, nil
			}
			return func(ctx context.Context) error {
				select {
				case <-time.After(time.Duration(n%300) * time.Millisecond):
				case <-ctx.Done():
				}
				switch n % 10 {
				case 0:
					return errBoom
				case 1:
					panic("boom")
				}
				return nil
			}, nil
		}, quiet, stage.OnSubscribe(subs.add), stage.Restart(stage.RestartMode(rng.IntN(2))), stage.MaxAttempts(3), stage.MaxRestarts(50, time.Second))
		s.SubscribeTo(p, stage.MaxDemand(1+rng.IntN(6)), stage.Cancel(stage.CancelMode(rng.IntN(3))))
		begin := func(a *assault) {
			ctx, cancel := context.WithTimeout(a.ctx, time.Second)
			defer cancel()
			if id, err := s.StartChild(ctx, a.rng.IntN(1000)); err == nil && a.rng.IntN(2) == 0 {
				_ = s.StopChild(ctx, id)
			}
		}
		end := func(a *assault) {
			ctx, cancel := context.WithTimeout(a.ctx, time.Second)
			defer cancel()
			if all := s.Children(); len(all) > 0 {
				_ = s.StopChild(ctx, all[a.rng.IntN(len(all))].ID)
			}
		}
		return &attack{
			stages: []stage.Stage{p, s}, subs: subs, values: []any{s, s, p}, acts: []func(*assault){begin, end},
			skip: map[string]bool{"DispatchWith": true},
			mark: func(t *testing.T) {
				counts := s.Counts()
				require.Equal(t, counts.Started, counts.Ended)
				require.Empty(t, s.Children())
			},
		}
	})
}
