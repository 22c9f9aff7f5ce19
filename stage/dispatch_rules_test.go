package stage

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// liar is a dispatcher that breaks a rule.
type liar struct {
	Dispatcher[int]
	dispatch func(events []int, out Outlet[int]) []int
}

func (l liar) Dispatch(events []int, out Outlet[int]) []int { return l.dispatch(events, out) }

// A producer checks its dispatcher while it runs: one that breaks a rule of docs/protocol.md ends it
// with an error that names the rule.
func TestDispatcherThatBreaksARuleEndsTheProducer(t *testing.T) {
	for rule, dispatch := range map[string]func([]int, Outlet[int]) []int{
		"rule D1": func(events []int, out Outlet[int]) []int { out.Send(99, events); return nil },
		"rule D2": func(_ []int, out Outlet[int]) []int { out.Send(1, make([]int, 100)); return nil },
		"rule D3": func(events []int, _ Outlet[int]) []int { return events },
	} {
		t.Run(rule, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := NewProducer(func(_ context.Context, demand int) ([]int, error) { return make([]int, demand), nil }, Name("liar"))
				p.DispatchWith(func(opts ...DispatchOption) (Dispatcher[int], error) {
					honest, err := Demand[int](opts...)
					return liar{honest, dispatch}, err
				})
				c := ForEach(func(context.Context, int) error { return nil })
				c.SubscribeTo(p, MaxDemand(3))
				err := Run(t.Context(), p, c)
				var broken *PanicError
				require.ErrorAs(t, err, &broken)
				require.Equal(t, "liar", broken.Stage)
				require.ErrorContains(t, err, rule)
			})
		})
	}
}
