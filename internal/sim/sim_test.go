package sim_test

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/internal/sim"
	"github.com/go-genstage/genstage/internal/testargs"
	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	debug.SetGCPercent(400) // a sixth of the time was the garbage collector's
	goleak.VerifyTestMain(m)
}

// seeds says how many: with the race detector a tenth, which is slow enough, but twenty at least.
func seeds(ci, long int) int {
	n := testkit.Rounds(ci, long)
	if raced {
		return min(n, max(20, n/10))
	}
	return n
}

// T1, T2, T3, T5, T8: random pipelines, faults and schedules; no promise is broken, and every interesting state is
// reached. In CI the modes alternate from seed to seed, in the long run every seed has both.
func TestCampaign(t *testing.T) {
	n := seeds(5000, 20_000)
	alternate, runs := !testargs.Long(), n
	if !alternate {
		runs = 2 * n
	}
	report := sim.Campaign(t, sim.Config{From: 1, Seeds: n, Alternate: alternate, Workers: runtime.GOMAXPROCS(0)})
	require.Equal(t, runs, report.Runs)
	for _, failed := range report.Failed {
		t.Errorf("go run ./internal/sim/cmd/sim -seed %d -mode %v -trace\n%s", failed.Options.Seed, failed.Options.Mode,
			strings.Join(failed.Violations, "\n"))
	}
	if n >= sim.Enough {
		require.Empty(t, report.States.Missing(), "never reached")
	}
	for _, id := range []string{"T1", "T2", "T3", "T5", "T8"} {
		testkit.Report(t, id, report.Runs)
	}
}

// Alternating modes are those of the seeds' own runs, the first mode first.
func TestAlternatingModes(t *testing.T) {
	want := [...]sim.States{ // of one mode, by seed
		sim.Run(t, sim.OptionsOf(7, sim.Safety), nil).States,
		sim.Run(t, sim.OptionsOf(8, sim.Liveness), nil).States,
		sim.Run(t, sim.OptionsOf(9, sim.Safety), nil).States,
	}
	for n := range len(want) {
		var sum sim.States
		for _, states := range want[:n+1] {
			for state, times := range states {
				sum[state] += times
			}
		}
		report := sim.Campaign(t, sim.Config{From: 7, Seeds: n + 1, Alternate: true})
		require.Equal(t, n+1, report.Runs)
		require.Equal(t, sum, report.States)
	}
}

// T4: the same seed gives the same trace, whatever the machine does.
func TestTheSameSeedGivesTheSameTrace(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	procs := []int{1, 2, 8}
	n := seeds(300, 1000)
	for i := range n {
		o := sim.OptionsOf(uint64(i), sim.Mode(i%2))
		var hashes [2]uint64
		for round := range hashes {
			runtime.GOMAXPROCS(procs[(i+round)%len(procs)])
			hashes[round] = sim.Run(t, o, nil).Hash
		}
		require.Equal(t, hashes[0], hashes[1], "seed %d %v", o.Seed, o.Mode)
	}
	testkit.Report(t, "T4", n)
}

// Two traces of one seed are the same text; those of other seeds differ.
func TestReplay(t *testing.T) {
	trace := func(seed uint64, mode sim.Mode) string {
		var lines []string
		sim.Run(t, sim.OptionsOf(seed, mode), func(line string) { lines = append(lines, line) })
		return strings.Join(lines, "\n")
	}
	seen, seeds := map[string]bool{}, uint64(20)
	if testing.Short() {
		seeds = 4
	}
	for seed := range seeds {
		for _, mode := range []sim.Mode{sim.Safety, sim.Liveness} {
			first := trace(seed, mode)
			require.Equal(t, first, trace(seed, mode))
			require.False(t, seen[first], "seed %d", seed)
			seen[first] = true
		}
	}
}

func TestOptionsSayWhatRuns(t *testing.T) {
	o := sim.OptionsOf(7, sim.Liveness)
	require.Equal(t, fmt.Sprint(o), fmt.Sprint(sim.OptionsOf(7, sim.Liveness)))
	require.Contains(t, fmt.Sprint(o), "seed 7 liveness")
	require.Equal(t, len(o.Stages)+len(o.Inputs)+len(o.Groups)+len(o.Budgets)+1, strings.Count(fmt.Sprint(o), "\n"), "a line for each stage and subscription")
	require.NotEqual(t, fmt.Sprint(o), fmt.Sprint(sim.OptionsOf(8, sim.Liveness)))
}
