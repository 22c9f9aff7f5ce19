package stage_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// eater is a consumer with one subscription, that counts.
type eater struct {
	*stage.Consumer[int]
	run        *started
	sub        *stage.Subscription
	asked, got int
}

// A broadcast is not woken by asks that change nothing yet, but by the last one that is needed, whatever else happens between:
// its source never ends, so that somebody has got all that it has asked for whenever nothing moves.
func TestBroadcastIsAwakeWhenAllHaveAsked(t *testing.T) {
	for seed := range uint64(200) {
		bubble(t, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			p, pc := endless(), relay(0)
			var src stage.Source[int] = p
			all := []stage.Stage{p}
			if seed%2 == 0 {
				p.DispatchWith(stage.Broadcast[int])
			} else {
				pc.SubscribeTo(p, stage.MaxDemand(1+rng.IntN(4)))
				pc.DispatchWith(stage.Broadcast[int])
				src, all = pc, append(all, pc)
			}
			runs := runAlone(t.Context(), all...)
			eaters := []*eater{newEater(t, src, false)} // the first one stays
			for range 40 {
				for range 1 + rng.IntN(4) {
					i := rng.IntN(len(eaters))
					e := eaters[i]
					switch what := rng.IntN(15); {
					case what < 10:
						n := 1 + rng.IntN(4)
						require.NoError(t, e.sub.Ask(n))
						e.asked += n
					case what == 10 && i > 0:
						require.NoError(t, e.sub.Cancel(nil))
						eaters = slices.Delete(eaters, i, i+1)
					case what == 11 && i > 0:
						e.Abort(errBoom)
						eaters = slices.Delete(eaters, i, i+1)
					case what == 12:
						sub, err := e.Resubscribe(t.Context(), e.sub, nil, src, stage.Manual(), stage.Cancel(stage.CancelTemporary))
						require.NoError(t, err)
						synctest.Wait()
						e.sub, e.asked, e.got = sub, 0, 0
					case what > 12:
						eaters = append(eaters, newEater(t, src, what == 13))
						runs = append(runs, eaters[len(eaters)-1].run)
					}
				}
				synctest.Wait()
				require.Zero(t, slices.MinFunc(eaters, func(a, b *eater) int { return a.open() - b.open() }).open(), "seed %d: it is asleep", seed)
			}
			abortAll(t, append(runs, eaters[0].run)...)
		})
	}
}

// newEater starts a consumer that has subscribed, by hand, to all events of src or to some.
func newEater(t *testing.T, src stage.Source[int], some bool) *eater {
	e := &eater{}
	e.Consumer = stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		e.got += len(events)
		return nil
	})
	e.run = start(t.Context(), e.Consumer)
	if some {
		src = stage.Where(src, func(n int) bool { return n%3 > 0 })
	}
	sub, err := e.Subscribe(t.Context(), src, stage.Manual(), stage.Cancel(stage.CancelTemporary))
	require.NoError(t, err)
	e.sub = sub
	return e
}

// open is how many events it waits for.
func (e *eater) open() int { return e.asked - e.got }
