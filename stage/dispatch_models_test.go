package stage

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

// T6: each dispatcher of this package does what its naive model does, over sequences of 200 random operations. The fuzz
// targets play the same.

func TestDemandDispatcherIsTheNaiveOne(t *testing.T)    { againstModel(t, playDemand) }
func TestBroadcastDispatcherIsTheNaiveOne(t *testing.T) { againstModel(t, playBroadcast) }
func TestPartitionDispatcherIsTheNaiveOne(t *testing.T) { againstModel(t, playPartition) }

func againstModel(t *testing.T, play func(require.TestingT, []byte)) {
	sequences := testkit.Rounds(100_000, 1_000_000)
	t.Run("sequences", func(t *testing.T) { // ends when all of its parts have
		workers := runtime.GOMAXPROCS(0)
		for w := range workers {
			t.Run(fmt.Sprint(w), func(t *testing.T) {
				t.Parallel()
				ops := make([]byte, 600)
				for seed := w; seed < sequences; seed += workers {
					random := rand.New(rand.NewPCG(uint64(seed), 0))
					for i := range ops {
						ops[i] = byte(random.Uint32())
					}
					play(&player{t, seed}, ops)
				}
			})
		}
	})
	testkit.Report(t, "T6", sequences)
}

// equal is require.Equal for what is compared very often: it costs nothing when all is well.
func equal[T comparable](t require.TestingT, want, got T, what ...any) {
	if want != got {
		require.Equal(t, want, got, what...)
	}
}

// equalRecords compares what a dispatcher did. The partition dispatcher may report in another order than the model.
func equalRecords(t require.TestingT, want, got *record) {
	if !maps.EqualFunc(want.sent, got.sent, slices.Equal) {
		require.Equal(t, want.sent, got.sent)
	}
	equal(t, want.dropped, got.dropped)
	if !maps.Equal(want.filtered, got.filtered) || !maps.Equal(want.lagged, got.lagged) {
		require.Equal(t, want.filtered, got.filtered)
		require.Equal(t, want.lagged, got.lagged)
	}
	equal(t, len(want.refused), len(got.refused))
	for id, err := range want.refused {
		require.ErrorIs(t, got.refused[id], err)
	}
	if !slices.Equal(want.discarded, got.discarded) {
		require.ElementsMatch(t, want.discarded, got.discarded)
	}
	if !slices.Equal(want.due, got.due) {
		require.ElementsMatch(t, want.due, got.due)
	}
}

// player names the seed when a check fails. It has no Helper, which would take two thirds of the time.
type player struct {
	t    *testing.T
	seed int
}

func (p *player) Errorf(format string, args ...any) { p.t.Errorf(format, args...) }

func (p *player) FailNow() { p.t.Fatalf("seed %d", p.seed) }

// counts is of how many subscribers a test counts what an operation costs. (With -short of a thousand at most: that is how .ci/run looks for races,
// of which a plain value has none.)
func counts() []int {
	if testing.Short() {
		return []int{10, 1_000}
	}
	return []int{10, 1_000, 100_000}
}
