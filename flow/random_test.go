package flow_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/flow"
	"github.com/stretchr/testify/require"
)

// seeds is how many random flows are run.
func seeds(t *testing.T) uint64 {
	if raceEnabled || testing.Short() {
		return 300
	}
	return 10_000
}

// A random flow gives what the model gives: the same values, and in the same order if its layers keep it.
func TestRandomFlows(t *testing.T) {
	for _, ordered := range []bool{false, true} {
		t.Run(fmt.Sprint("ordered ", ordered), func(t *testing.T) {
			for seed := range seeds(t) {
				synctest.Test(t, func(t *testing.T) {
					w := world{rand.New(rand.NewPCG(seed, 1)), ordered}
					s := w.flow()
					got, err := s.f.Collect(t.Context())
					require.NoError(t, err, "seed %d: %v", seed, s.steps)
					want := slices.Clone(s.want)
					if !ordered {
						slices.Sort(got)
						slices.Sort(want)
					}
					if !slices.Equal(want, got) {
						t.Fatalf("seed %d: %v\n%s\nwant %v\ngot  %v", seed, s.steps, s.f.Explain(), want, got)
					}
				})
			}
		})
	}
}

// Whatever fails, wherever and whenever: Collect returns that error and no results.
func TestRandomFailures(t *testing.T) {
	for seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			w := world{rand.New(rand.NewPCG(seed, 2)), seed%2 == 0}
			boom := fmt.Errorf("seed %d", seed)
			left := w.IntN(50)
			values := func(yield func(int, error) bool) {
				for i := range left {
					if !yield(i, nil) {
						return
					}
				}
				yield(0, boom)
			}
			s := subject{f: flow.FromSeq2(values, w.layer()...), want: make([]int, left)}
			panics := w.IntN(4) == 0
			if w.IntN(2) == 0 {
				s.f = flow.MapErr(flow.FromSlice(append(make([]int, left, left+1), 1), w.layer()...), func(_ context.Context, v int) (int, error) {
					switch {
					case v == 0:
						return v, nil
					case panics:
						panic(boom)
					}
					return v, boom
				})
			}
			for range w.IntN(4) {
				s = w.pure(s)
				if w.IntN(2) == 0 && !w.ordered { // whose Take might end it before
					s = w.next(s)
				}
			}
			got, err := s.f.Collect(t.Context())
			require.ErrorIs(t, err, boom, "%v\n%s", s.steps, s.f.Explain())
			require.Nil(t, got)
		})
	}
}

// However early the loop is left, and whenever the context ends, nothing of the flow goes on (the bubble
// would not end).
func TestRandomEnds(t *testing.T) {
	for seed := range seeds(t) {
		synctest.Test(t, func(t *testing.T) {
			w := world{rand.New(rand.NewPCG(seed, 3)), seed%2 == 0}
			s := w.flow()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			n, cancelled := w.IntN(30), w.IntN(2) == 0
			if cancelled && w.IntN(2) == 0 {
				time.AfterFunc(time.Duration(w.IntN(600))*time.Microsecond, cancel)
			}
			seen := 0
			for _, err := range s.f.Seq(ctx) {
				if err != nil {
					require.ErrorIs(t, err, context.Canceled)
					return
				}
				seen++
				if seen == n && cancelled {
					cancel()
				} else if seen == n {
					return
				}
			}
			require.Len(t, s.want, seen, "it ended without an error: %v", s.steps)
		})
	}
}
