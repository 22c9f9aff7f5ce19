package hoptest_test

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/hop/hoptest"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// race is ten goroutines that write down, unguarded, when they are at work.
func race(t *testing.T, seed uint64) (trace string) {
	synctest.Test(t, func(t *testing.T) {
		rng := rand.New(rand.NewPCG(seed, 0))
		s := hoptest.New(func(waiting []string) int { return rng.IntN(len(waiting)) })
		for i := range 10 {
			name := string(rune('a' + i))
			s.Go(name, func() {
				for range 5 {
					trace += name
					s.Sleep(name, time.Duration(rng.IntN(3))*time.Second)
				}
			})
		}
		require.NoError(t, s.Run())
	})
	return trace
}

func TestOneAtATimeInAnOrderThatTheSeedDecides(t *testing.T) {
	first := race(t, 1)
	require.Len(t, first, 50)
	for range 20 {
		require.Equal(t, first, race(t, 1))
	}
	require.NotEqual(t, first, race(t, 2))
}

func TestTheChoiceIsAmongAllThatWaitInTheOrderOfJoining(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var choices [][]string
		s := hoptest.New(func(waiting []string) int {
			choices = append(choices, append([]string(nil), waiting...))
			return len(waiting) - 1
		})
		for _, name := range []string{"a", "b", "c"} {
			s.Go(name, func() {})
		}
		require.NoError(t, s.Run())
		require.Equal(t, [][]string{{"a", "b", "c"}, {"a", "b"}, {"a"}}, choices)
	})
}

func TestTimeMovesOnlyWhenNobodyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hoptest.New(func([]string) int { return 0 })
		begin := time.Now()
		var idle []time.Duration
		s.Idle = func() { idle = append(idle, time.Since(begin)) }
		for _, d := range []time.Duration{2, 1, 2} {
			s.Go("sleeper", func() { s.Sleep("sleeper", d*time.Second) })
		}
		require.NoError(t, s.Run())
		require.Equal(t, []time.Duration{0, time.Second, 2 * time.Second}, idle)
	})
}

func TestGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		left := 3
		s := hoptest.New(func([]string) int { left--; return min(left, 0) })
		s.Go("restless", func() {
			for range 5 {
				s.Sleep("restless", 0)
			}
		})
		require.ErrorIs(t, s.Run(), hoptest.ErrGivenUp)
		left = 10
		require.NoError(t, s.Run())
	})
}

func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := hoptest.New(func([]string) int { return 0 })
		never := make(chan struct{})
		s.Go("stuck", func() { <-never })
		require.ErrorIs(t, s.Run(), hoptest.ErrStuck)
		require.Equal(t, 1, s.Left())
		close(never)
		require.NoError(t, s.Run())
	})
}
