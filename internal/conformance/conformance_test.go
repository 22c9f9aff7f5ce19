package conformance

import (
	"cmp"
	"flag"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/internal/testargs"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite testdata/ours: what we do where we differ")

// The folders to play: -scenarios and -traces, or our own.
func scenarioDir() string { return cmp.Or(testargs.Scenarios(), "testdata/scenarios") }
func traceDir() string    { return cmp.Or(testargs.Traces(), "testdata/traces") }

const oursDir = "testdata/ours"

// outcome counts how the scenarios came out.
type outcome struct{ match, typed, differ, fail int }

var tally outcome

// reporter prints the tally as the last line.
type reporter struct{ *testing.M }

func (r reporter) Run() int {
	code := r.M.Run()
	if tally != (outcome{}) {
		fmt.Printf("conformance: %d match, %d typed, %d differ as documented, %d fail\n", tally.match, tally.typed, tally.differ, tally.fail)
	}
	return code
}

func TestMain(m *testing.M) { goleak.VerifyTestMain(reporter{m}) }

func TestConformance(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(scenarioDir(), "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files, "no scenarios in %s", scenarioDir())
	tally = outcome{}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		t.Run(name, func(t *testing.T) { conform(t, name) })
	}
}

// conform plays one scenario and compares.
func conform(t *testing.T, name string) {
	sc, err := load[scenario](scenarioDir(), name)
	require.NoError(t, err)
	want, err := load[trace](traceDir(), name)
	require.NoError(t, err)
	var have *trace
	var w *world
	synctest.Test(t, func(*testing.T) { have, w = play(sc) })

	d := compare(want, have)
	switch {
	case d == nil && len(w.typed) > 0:
		tally.typed++
		slices.Sort(w.typed)
		t.Logf("typed: %s", strings.Join(slices.Compact(w.typed), ", "))
	case d == nil:
		tally.match++
	default:
		differs(t, sc, want, have, w, d)
	}
}

// differs judges a difference: it is documented, fair, and we do what we say we do, or it is a failure.
func differs(t *testing.T, sc *scenario, want, have *trace, w *world, d *difference) {
	p := (&played{sc, w, want, have}).copy()
	wrong := unfair(p)
	names := documented(p)
	if len(names) == 0 || wrong != "" {
		tally.fail++
		t.Errorf("%s: %s %s\n%v", sc.Name, sc.Note, wrong, d)
		return
	}
	foreign := testargs.Scenarios() != ""
	if changed := holdAgainst(t, oursDir, have, foreign); changed != nil {
		tally.fail++
		t.Errorf("%s: not what testdata/ours says (here \"GenStage\" is ours)\n%v", sc.Name, changed)
		return
	}
	tally.differ++
	t.Logf("differs as documented: %s\n%v", strings.Join(names, ", "), d)
}
