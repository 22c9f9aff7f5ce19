package main

import (
	"bufio"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-genstage/genstage/internal/docs"
)

// missing returns the ids that the catalogue must have and has not, those that it has twice, and those that have neither
// a test nor a reason for that.
func missing(rows []row) []string {
	var faults []string
	by := map[string]int{}
	for _, r := range rows {
		by[r.id]++
		if len(r.tests) == 0 && r.note == "" {
			faults = append(faults, r.id+" has no test, and no reason why")
		}
	}
	must := func(prefix string, from, to int) {
		for i := from; i <= to; i++ {
			if id := fmt.Sprint(prefix, i); by[id] != 1 {
				faults = append(faults, fmt.Sprintf("%s is in the catalogue %d times", id, by[id]))
			}
		}
	}
	must("T", 1, 63)
	must("B", 1, 46)
	must("R1.", 1, 11)
	must("R2.", 1, 13)
	must("R3.", 1, 17)
	must("R4.", 1, 2)
	for _, r := range rows {
		switch {
		case !strings.HasPrefix(r.id, "T"):
		case len(r.tests) == 0:
			faults = append(faults, r.id+" has no test")
		case r.ci == 0 || r.long == 0:
			faults = append(faults, r.id+" has no count")
		}
	}
	return faults
}

// rulesOfThePage returns the numbers of the rules that docs/protocol.md has, in order.
func rulesOfThePage(root string) ([]string, error) {
	text, err := os.ReadFile(filepath.Join(root, "docs", "protocol.md"))
	return docs.Rules(text), err
}

// unwritten returns the rules that the page has and the catalogue has not, and the other way round.
func unwritten(rows []row, page []string) []string {
	var faults []string
	left := map[string]int{}
	for _, number := range page {
		left["rule "+number]++
	}
	for _, r := range rows {
		if strings.HasPrefix(r.id, "rule ") {
			left[r.id]--
		}
	}
	for _, id := range slices.Sorted(maps.Keys(left)) {
		switch n := left[id]; {
		case n > 0:
			faults = append(faults, id+" of docs/protocol.md is not in the catalogue")
		case n < 0:
			faults = append(faults, id+" is not in docs/protocol.md")
		}
	}
	return faults
}

// unknown returns the tests that the catalogue names and that do not exist.
func unknown(rows []row, known map[string]bool) []string {
	var faults []string
	for _, r := range rows {
		for _, test := range r.tests {
			if !known[test] {
				faults = append(faults, fmt.Sprintf("%s: there is no test %s", r.id, test))
			}
		}
	}
	return faults
}

// tooFew returns the ids of which a run has done less than the catalogue says.
func tooFew(rows []row, done map[string]int, long bool) []string {
	var faults []string
	for _, r := range rows {
		want := r.ci
		if long {
			want = max(r.ci, r.long)
		}
		if done[r.id] < want {
			faults = append(faults, fmt.Sprintf("%s: %s in this run, not %s", r.id, count(done[r.id], r.unit), count(want, r.unit)))
		}
	}
	return faults
}

// testsBelow returns the functions of test files below root, each as "folder.Function".
func testsBelow(root string) (map[string]bool, error) {
	known := map[string]bool{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "testdata" || strings.HasPrefix(d.Name(), ".") && path != root):
			return filepath.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		folder, err := filepath.Rel(root, filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				known[filepath.ToSlash(folder)+"."+f.Name.Name] = true
			}
		}
		return nil
	})
	return known, err
}

// readRun adds up what the tests of one run have reported (internal/testkit writes it): for each id and test the most,
// since a run may do a test several times, and over the tests the sum.
func readRun(dir string) (map[string]int, error) {
	sum := map[string]int{}
	if dir == "" {
		return sum, nil
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	most := map[[2]string]int{}
	for _, file := range files {
		f, err := os.Open(filepath.Join(dir, file.Name()))
		if err != nil {
			return nil, err
		}
		lines := bufio.NewScanner(f)
		for lines.Scan() {
			var id, test string
			var n int
			if _, err := fmt.Sscan(lines.Text(), &id, &n, &test); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", f.Name(), lines.Text(), err)
			}
			key := [2]string{id, test}
			most[key] = max(most[key], n)
		}
		_ = f.Close()
		if err := lines.Err(); err != nil {
			return nil, err
		}
	}
	for key, n := range most {
		sum[key[0]] += n
	}
	return sum, nil
}
