// Command catalogue prints the catalogue of tests: what could go wrong, which test looks for it, and how often that is
// done in CI and in the long run.
//
//	go run ./internal/catalogue           # the table; fails if a test that it names does not exist
//	go run ./internal/catalogue -run DIR  # also what was done in a test run with CATALOGUE=DIR; fails if that is less than the table says
//
// It is called in the root of the module. With -long the run is held against the counts of the long run (go test ./... -args -long).
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
)

// row says which tests look for one thing.
type row struct {
	id   string
	what string
	// tests are names as "stage.TestX": the folder in the module, the function, and perhaps a benchmark or a fuzz target.
	tests []string
	// ci and long are what the tests do, all together, counted in unit; 0 where a figure would say nothing: one case is
	// one case, and a benchmark or a long test is not part of CI.
	ci, long int
	unit     string
	note     string // why the figure is another than one would expect, or why there is no test
}

func main() {
	run := flag.String("run", "", "folder that CATALOGUE named in a test run")
	long := flag.Bool("long", false, "the run was a long one")
	flag.Parse()
	faults, err := show(os.Stdout, ".", *run, *long)
	if err != nil {
		fmt.Fprintln(os.Stderr, "catalogue:", err)
		os.Exit(2)
	}
	for _, fault := range faults {
		fmt.Fprintln(os.Stderr, "catalogue:", fault)
	}
	if len(faults) > 0 {
		os.Exit(1)
	}
}

// show prints the catalogue of the module at root, and returns what is missing. done is the folder of a test run, or "".
func show(w io.Writer, root, done string, long bool) ([]string, error) {
	rows := catalogue()
	known, err := testsBelow(root)
	if err != nil {
		return nil, err
	}
	counts, err := readRun(done)
	if err != nil {
		return nil, err
	}
	print(w, rows, counts, done != "")
	written, err := rulesOfThePage(root)
	if err != nil {
		return nil, err
	}
	faults := append(missing(rows), unknown(rows, known)...)
	faults = append(faults, unwritten(rows, written)...)
	if done != "" {
		faults = append(faults, tooFew(rows, counts, long)...)
	}
	return faults, nil
}

// catalogue is all of it, in order.
func catalogue() []row {
	var all []row
	for _, part := range [][]row{simulation, demand, userCode, lifecycle, load, shards, bugs, rules, protocol} {
		all = append(all, part...)
	}
	return all
}

func print(w io.Writer, rows []row, counts map[string]int, ran bool) {
	fmt.Fprint(w, "id | what | test | count in CI | count in the long run |")
	if ran {
		fmt.Fprint(w, " done |")
	}
	fmt.Fprintln(w)
	for _, r := range rows {
		tests := cmp.Or(strings.Join(r.tests, ", "), "-")
		fmt.Fprintf(w, "%s | %s | %s | %s | %s |", r.id, r.what, tests, count(r.ci, r.unit), count(r.long, r.unit))
		if ran {
			fmt.Fprintf(w, " %s |", count(counts[r.id], r.unit))
		}
		if r.note != "" {
			fmt.Fprintf(w, " %s", r.note)
		}
		fmt.Fprintln(w)
	}
}

func count(n int, unit string) string {
	if n == 0 {
		return "-"
	}
	digits := fmt.Sprint(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return strings.TrimSpace(digits + " " + unit)
}
