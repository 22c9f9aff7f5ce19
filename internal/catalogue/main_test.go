package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheCatalogueIsComplete(t *testing.T) {
	var table strings.Builder
	faults, err := show(&table, "../..", "", false)
	require.NoError(t, err)
	require.Empty(t, faults)
	require.Equal(t, len(catalogue())+1, strings.Count(table.String(), "\n"), "a line for each")
}

func TestWhatIsMissingIsFound(t *testing.T) {
	all := catalogue()
	require.Len(t, missing(all[1:]), 1, "an id")
	require.NotEmpty(t, missing(append(all, all[0])), "an id twice")
	none := append([]row{}, all...)
	none[0].tests = nil
	require.NotEmpty(t, missing(none), "a test")
	none[0] = all[0]
	none[0].ci = 0
	require.Equal(t, []string{all[0].id + " has no count"}, missing(none))
	require.Len(t, unknown(all, nil), testsOf(all), "tests that do not exist")
}

func TestTheRulesOfThePageAreThoseOfTheCatalogue(t *testing.T) {
	page, err := rulesOfThePage("../..")
	require.NoError(t, err)
	require.Greater(t, len(page), 100)
	all := catalogue()
	require.Empty(t, unwritten(all, page))
	require.Equal(t, []string{"rule M1 is not in docs/protocol.md"}, unwritten(all, page[1:]))
	require.Equal(t, []string{"rule X1 of docs/protocol.md is not in the catalogue"}, unwritten(all, append(page, "X1")))
	require.NotEmpty(t, unwritten(all, append(page, page[0])), "a number twice")
}

func testsOf(rows []row) (n int) {
	for _, r := range rows {
		n += len(r.tests)
	}
	return n
}

func TestTheCountsOfARun(t *testing.T) {
	dir := t.TempDir()
	write := func(file, text string) {
		require.NoError(t, os.WriteFile(filepath.Join(dir, file), []byte(text), 0o666))
	}
	write("1", "T1 100 TestA/demand\nT1 50 TestA/broadcast\nT2 7 TestB\n")
	write("2", "T1 90 TestA/demand\n") // once more, with another seed
	done, err := readRun(dir)
	require.NoError(t, err)
	require.Equal(t, map[string]int{"T1": 150, "T2": 7}, done)

	rows := []row{{id: "T1", ci: 150, long: 1000, unit: "seeds"}, {id: "T2", ci: 8}, {id: "B1"}}
	require.Equal(t, []string{"T2: 7 in this run, not 8"}, tooFew(rows, done, false))
	require.Equal(t, []string{"T1: 150 seeds in this run, not 1,000 seeds", "T2: 7 in this run, not 8"}, tooFew(rows, done, true))

	write("3", "T3\n")
	_, err = readRun(dir)
	require.ErrorContains(t, err, "T3")
	_, err = readRun(filepath.Join(dir, "nowhere"))
	require.Error(t, err)
}
