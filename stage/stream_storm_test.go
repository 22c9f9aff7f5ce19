package stage_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Sources of 0, 1 and 2 events and many subscribers: every event comes once, nobody fails (bug B16).
func TestShortSourcesAndManyRanges(t *testing.T) {
	rounds := 1000
	if testing.Short() {
		rounds = 50
	}
	for round := range rounds {
		bubble(t, func(t *testing.T) {
			n := round % 3
			var src stage.Source[int]
			var st stage.Stage
			switch round / 3 % 4 {
			case 0:
				p := stage.FromSlice(upTo(n))
				src, st = p, p
			case 1:
				p := failing(n, stage.ErrDone)
				src, st = p, p
			case 2:
				ch := make(chan int, n)
				for i := range n {
					ch <- i
				}
				close(ch)
				p := stage.FromChannel(ch)
				src, st = p, p
			default:
				q := stage.NewQueue[int](2)
				require.NoError(t, q.Push(t.Context(), upTo(n)...))
				q.Close()
				src, st = q, q
			}
			type result struct {
				got []int
				err error
			}
			results := make(chan result)
			const ranges = 11
			for range ranges {
				go func() {
					got, err := rangeOver(stage.Events(t.Context(), src, windows[round%len(windows)]...), -1)
					results <- result{got, err}
				}()
			}
			run := start(t.Context(), st)
			var all []int
			for range ranges {
				r := <-results
				require.NoError(t, r.err)
				all = append(all, r.got...)
			}
			require.NoError(t, run.wait(t))
			slices.Sort(all)
			require.Equal(t, upTo(n), append([]int{}, all...))
			ledger(t, st)
		})
	}
}

func TestEventsStorm(t *testing.T) {
	for seed := range 100 {
		bubble(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(seed), 3))
			const n = 200
			src := stage.FromSlice(upTo(n))
			run := start(t.Context(), src)
			seen := make(chan int, 2*n)
			for range 4 {
				seed := random.Uint64()
				go func() { // ends with the source
					random := rand.New(rand.NewPCG(seed, 4))
					for {
						select {
						case <-run.done:
							return
						default:
						}
						ctx, cancel := context.WithCancel(t.Context())
						stop := random.IntN(8)
						for event, err := range stage.Events(ctx, src, stage.MaxDemand(1+random.IntN(9)), stage.MinDemand(0)) {
							if err != nil {
								if !errors.Is(err, context.Canceled) {
									t.Error(err)
								}
								continue
							}
							seen <- event
							if stop--; stop == 0 {
								break
							}
							if random.IntN(20) == 0 {
								cancel()
							}
						}
						cancel()
					}
				}()
			}
			require.NoError(t, run.wait(t))
			synctest.Wait()
			close(seen)
			var all []int
			for e := range seen {
				all = append(all, e)
			}
			slices.Sort(all)
			require.Equal(t, upTo(n), all, "seed %d: each once", seed)
			ledger(t, src)
		})
	}
}
