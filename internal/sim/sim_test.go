package sim_test

import (
	"runtime"
	"testing"

	"github.com/go-genstage/genstage/internal/sim"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// T4: the same seed gives the same trace, whatever the machine does.
func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	for i := range 100 {
		o := sim.OptionsOf(uint64(i), sim.Mode(i%2))
		var first uint64
		for round, procs := range []int{1, 2, 8, 2} {
			runtime.GOMAXPROCS(procs)
			hash := sim.Run(t, o, nil).Hash
			if round == 0 {
				first = hash
			}
			require.Equal(t, first, hash, "seed %d, %d processors", i, procs)
		}
	}
}
