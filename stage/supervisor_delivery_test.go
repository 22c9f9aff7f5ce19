package stage_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// A delivery whose third of five events has its function in progress when something happens: the first two have
// children, the others have not been begun. Whatever ends the supervisor, those go back, and each event is booked once.
func TestInTheMiddleOfADelivery(t *testing.T) {
	type outcome struct {
		late, lost, failed, handled, back int64
	}
	type what struct {
		meanwhile func(t *testing.T, s *stage.ConsumerSupervisor[int], sub *stage.Subscription)
		returns   func() error
		hangs     bool // until Grace is over
		inStart   outcome
		inLetter  outcome
	}
	nothing := func(*testing.T, *stage.ConsumerSupervisor[int], *stage.Subscription) {}
	abort := func(_ *testing.T, s *stage.ConsumerSupervisor[int], _ *stage.Subscription) { s.Abort(errBoom) }
	cases := map[string]what{
		"abort, it hangs": {abort, nil, true, outcome{late: 1, lost: 2, back: 2}, outcome{lost: 2, failed: 1, back: 2}},
		"abort, it returns": {
			abort, func() error { return nil }, false,
			outcome{lost: 3, back: 2},
			outcome{lost: 2, failed: 1, back: 2},
		},
		"abort, it exits": {
			abort, func() error { runtime.Goexit(); return nil }, false,
			outcome{failed: 1, lost: 2, back: 2},
			outcome{failed: 1, lost: 2, back: 2},
		},
		"Stop": {
			func(_ *testing.T, s *stage.ConsumerSupervisor[int], _ *stage.Subscription) {
				go func() { _ = s.Stop(context.Background()) }()
			},
			func() error { return nil }, false,
			outcome{lost: 5},
			outcome{lost: 4, failed: 1},
		},
		"Cancel": {
			func(t *testing.T, _ *stage.ConsumerSupervisor[int], sub *stage.Subscription) {
				require.NoError(t, sub.Cancel(nil))
			},
			func() error { return nil }, false,
			outcome{lost: 5},
			outcome{lost: 4, failed: 1},
		},
		"SetDemand": {
			func(_ *testing.T, _ *stage.ConsumerSupervisor[int], sub *stage.Subscription) {
				go func() { _ = sub.SetDemand(2, 0) }()
			},
			func() error { return nil }, false,
			outcome{lost: 5},
			outcome{lost: 4, failed: 1},
		},
		"it fails": {nothing, func() error { return errBoom }, false, outcome{lost: 4, failed: 1}, outcome{lost: 4, failed: 1}},
		"it panics": {
			nothing, func() error { panic("x") }, false,
			outcome{lost: 4, failed: 1},
			outcome{lost: 2, failed: 1, back: 2},
		},
		"StopChild, StartChild": {
			func(_ *testing.T, s *stage.ConsumerSupervisor[int], _ *stage.Subscription) {
				go func() { _ = s.StopChild(context.Background(), 1) }()
				go func() { _, _ = s.StartChild(context.Background(), 6) }()
			},
			func() error { return nil }, false,
			outcome{lost: 5, failed: 1},
			outcome{lost: 4, failed: 2},
		},
		"Hold, Release, Adjust": {
			func(t *testing.T, _ *stage.ConsumerSupervisor[int], sub *stage.Subscription) {
				require.ErrorIs(t, sub.Hold(1), stage.ErrInvalidHold)
				require.ErrorIs(t, sub.Release(1), stage.ErrInvalidHold)
				require.NoError(t, sub.Adjust(2))
			},
			func() error { return nil }, false,
			outcome{lost: 5},
			outcome{lost: 4, failed: 1},
		},
	}
	for name, c := range cases {
		for _, letter := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, in OnDeadLetter: %v", name, letter), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					release, reached := make(chan struct{}), make(chan struct{})
					do := func() error {
						close(reached)
						if <-release; c.returns != nil {
							return c.returns()
						}
						return nil
					}
					s := stage.StartWith(func(_ context.Context, event int) (func(context.Context) error, error) {
						run := func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) }
						switch {
						case event == 3 && letter:
							return nil, errBoom
						case event == 3:
							return run, do()
						}
						return run, nil
					}, stage.Name("s"), quiet)
					s.OnDeadLetter(func(context.Context, int, int, error) {
						if letter {
							_ = do()
						}
					})
					b := stage.NewBudget(100)
					source := askedOnly(stage.Name("p"))
					runs := runAlone(t.Context(), source, s)
					sub, err := s.Subscribe(t.Context(), stage.Charge(source, b, func(int) int64 { return 3 }), stage.MaxDemand(5),
						stage.Cancel(stage.CancelTemporary))
					require.NoError(t, err)
					require.NoError(t, source.Do(t.Context(), func(context.Context) ([]int, error) { return []int{1, 2, 3, 4, 5}, nil }))
					<-reached
					synctest.Wait()
					in := s.Stats().Input
					want, failed := c.inStart, int64(0)
					if letter {
						want, failed = c.inLetter, 1
					}
					require.Equal(t, [4]int64{5, failed, 3 - failed, 2}, [4]int64{in.Received, in.Failed, in.InHand, in.Queued})
					c.meanwhile(t, s, sub)
					synctest.Wait()
					if c.hangs {
						<-runs[1].done
						ledger(t, source, s)
					}
					close(release)
					synctest.Wait()
					if runs[1].running() {
						balanced(t, source, s)
						s.Abort(errBoom)
					}
					_ = runs[1].wait(t)
					ledger(t, source, s)
					in = s.Stats().Input
					require.Equal(t, want, outcome{in.Late, in.Lost, in.Failed, in.Handled, in.HandedBack})
					require.EqualValues(t, in.HandedBack, source.Stats().Output.TakenBack)
					abortAll(t, runs[0])
					require.Zero(t, b.Stats().Used)
				})
			})
		}
	}
}
