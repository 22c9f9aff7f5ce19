package simulate

import (
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/stage/stagetest"
	"github.com/stretchr/testify/require"
)

// span is where a figure must lie, ends included. Most are a single value; a range stands where the order of messages
// decides, which differs from run to run.
type span [2]float64

func at(x float64) span           { return span{x, x} }
func (s span) has(x float64) bool { return s[0]-1e-6 <= x && x <= s[1]+1e-6 }

// What each design must reach, and what it must be seen to fail at (on the right: bad), in t and numbers. The figures are
// those of the use case's table, but for these, which docs/shards.md explains:
//
//   - direct: 300 singles take 33 to 60 t for its "about 35", as asks reach the builders in any order;
//   - direct with 20/10: 12 to 20 in flight of ten large shards, for its 20; with 1000/500 at most 10;
//   - sync: a newcomer that finds no free consumer waits until one is; that is 240 t with nine consumers, more with fewer;
//   - a long queue: 108 t for its "up to 102", if the newcomer comes at once;
//   - aggregator with more than one partition: a result on its way to the next stage is in flight as well.
var expected = []struct {
	name                                          string
	peak, lone, singles, newcomer, inProgress     span
	badPeak, badLone, badSingles, badNew, badOpen bool
}{
	{name: "manual", peak: at(20), lone: at(12), singles: at(30), newcomer: span{0, 1}, inProgress: at(10)},
	{name: "manual -wiring direct", peak: at(20), lone: at(12), singles: span{31, 60}, badSingles: true, newcomer: span{8, 9}, badNew: true, inProgress: at(10)},
	{name: "manual -wiring direct, workers 20/10", peak: span{12, 20}, lone: at(20), badLone: true, singles: span{31, 100}, badSingles: true, newcomer: span{10, 240}, badNew: true, inProgress: at(10)},
	{name: "manual -wiring direct, workers 1000/500", peak: span{1, 10}, badPeak: true, lone: at(240), badLone: true, singles: span{31, 100}, badSingles: true, newcomer: span{100, 2160}, badNew: true, inProgress: at(10)},
	{name: "manual -automatic", peak: at(20), lone: at(12), singles: span{15, 30}, newcomer: span{0, 1}, inProgress: span{11, 40}, badOpen: true},
	{name: "pool -queue 20", peak: at(20), lone: at(12), singles: at(30), newcomer: span{0, 2}, inProgress: at(10)},
	{name: "pool -queue 10000", peak: at(20), lone: at(12), singles: at(30), newcomer: span{90, 108}, badNew: true, inProgress: at(10)},
	{name: "children", peak: at(2400), badPeak: true, lone: at(1), singles: at(30), newcomer: at(0), inProgress: at(10)},
	{name: "children -k 20 (shared)", peak: at(20), lone: at(12), singles: at(30), newcomer: span{0, 2}, inProgress: at(10)},
	{name: "sync -consumers 2", peak: at(2), badPeak: true, lone: at(240), badLone: true, singles: at(150), badSingles: true, newcomer: at(960), badNew: true, inProgress: at(2), badOpen: true},
	{name: "sync -consumers 9", peak: at(9), badPeak: true, lone: at(240), badLone: true, singles: at(34), badSingles: true, newcomer: at(240), badNew: true, inProgress: at(9), badOpen: true},
	{name: "sync -consumers 20", peak: at(10), badPeak: true, lone: at(240), badLone: true, singles: at(15), newcomer: at(0), inProgress: at(20), badOpen: true},
	{name: "tasks -k 2", peak: at(20), lone: at(120), badLone: true, singles: at(30), newcomer: at(0), inProgress: at(10)},
	{name: "tasks -k 20", peak: at(200), badPeak: true, lone: at(12), singles: at(30), newcomer: at(0), inProgress: at(10)},
	{name: "manual-supervised", peak: at(20), lone: at(12), singles: at(30), newcomer: span{0, 1}, inProgress: at(10)},
	{name: "pool-supervised", peak: at(20), lone: at(12), singles: at(30), newcomer: span{0, 2}, inProgress: at(10)},
	{name: "budget (room for 20)", peak: at(20), lone: at(12), singles: at(30), newcomer: span{0, 1}, inProgress: at(10)},
	{name: "aggregator", peak: at(20), lone: at(12), singles: at(15), newcomer: at(108), badNew: true, inProgress: at(40), badOpen: true},
	{name: "aggregator -consumers 10", peak: span{20, 40}, lone: at(12), singles: at(15), newcomer: at(108), badNew: true, inProgress: at(40), badOpen: true},
	{name: "naive", peak: at(240), badPeak: true, lone: at(1), singles: at(300), badSingles: true, newcomer: at(9), badNew: true, inProgress: at(1), badOpen: true},
	{name: "limited", peak: at(20), lone: at(12), singles: at(300), badSingles: true, newcomer: at(108), badNew: true, inProgress: at(1), badOpen: true},
}

// What is good: both limits kept full and none exceeded, nobody waits behind others.
var good = struct{ peak, lone, singles, newcomer, inProgress span }{
	peak: span{20, 40}, lone: span{0, 12}, singles: span{0, 30}, newcomer: span{0, 2}, inProgress: at(10),
}

func TestTable(t *testing.T) {
	rows := Rows()
	require.Len(t, rows, len(expected))
	for i, want := range expected {
		t.Run(strings.ReplaceAll(want.name, " ", "_"), func(t *testing.T) {
			row := rows[i]
			require.Equal(t, want.name, row.Name)
			if testing.Short() {
				row.Arrivals = Arrivals[:1]
			}
			synctest.Test(t, func(t *testing.T) {
				require.NoError(t, row.Measure(t.Context(), func(r Run) {
					require.Empty(t, stagetest.FaultsAtEnd(r.Stats))
					require.Equal(t, len(r.Shards), r.Report.ShardsBuilt)
				}))
			})
			t.Logf("%+v", row)
			for _, f := range []struct {
				name       string
				figure     float64
				want, good span
				bad        bool
			}{
				{"peak in flight of ten shards of 240", float64(row.Peak), want.peak, good.peak, want.badPeak},
				{"makespan of a lone shard of 240", row.Lone, want.lone, good.lone, want.badLone},
				{"makespan of 300 singles", row.Singles, want.singles, good.singles, want.badSingles},
				{"wait of a newcomer beside nine of 240", row.Newcomer, want.newcomer, good.newcomer, want.badNew},
				{"shards in progress of 40", float64(row.InProgress), want.inProgress, good.inProgress, want.badOpen},
			} {
				if testing.Short() && strings.HasPrefix(f.name, "wait of a newcomer") {
					continue // it is the worst of all arrivals
				}
				require.True(t, f.want.has(f.figure), "%s: %g, want %v", f.name, f.figure, f.want)
				if f.good.has(f.want[0]) == f.good.has(f.want[1]) { // else it may be either
					require.Equal(t, f.bad, !f.good.has(f.figure), "%s: %g is bad: good is %v", f.name, f.figure, f.good)
				}
			}
		})
	}
}

// A worker makes one connection, a child one each. Of twice a sub-task's time, that is paid once or every time.
func TestWhatAConnectionPerChildCosts(t *testing.T) {
	for design, want := range map[string]struct {
		connections int
		lone        float64
		newcomer    span // the order of messages decides
	}{"manual": {20, 14, span{1, 3}}, "manual-supervised": {240, 36, span{3.5, 6}}} {
		synctest.Test(t, func(t *testing.T) {
			row := Row{Name: design, Options: build.Options{Design: design, Connect: 2 * unit}, Arrivals: Arrivals}
			if testing.Short() {
				row.Arrivals = Arrivals[:1] // the wait is the worst of all
			}
			require.NoError(t, row.Measure(t.Context(), nil))
			require.InDelta(t, want.lone, row.Lone, 1e-9, design)
			require.True(t, testing.Short() || want.newcomer.has(row.Newcomer), "%s: %g, want %v", design, row.Newcomer, want.newcomer)
			r, err := Build(t.Context(), row.Options, many(1, 240))
			require.NoError(t, err)
			require.Equal(t, want.connections, r.Report.Connections, design)
		})
	}
}
