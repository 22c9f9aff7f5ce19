// Package testkit is what the tests of this module share. It is imported from _test files only.
package testkit

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/go-genstage/genstage/internal/testargs"
)

// Rounds returns how much a test is to do: ci when the run is counted (the variable CATALOGUE names a folder), long with
// -args -long, and else a tenth of ci, a hundredth with -short; but 1 at least.
func Rounds(ci, long int) int {
	switch {
	case testargs.Long():
		return long
	case folder() != "":
		return ci
	case testing.Short():
		return max(1, ci/100)
	}
	return max(1, ci/10)
}

func folder() string { return os.Getenv("CATALOGUE") }

// Report says that the test has done n of what the row of internal/catalogue with this id counts: seeds, rounds, cells.
// When the variable CATALOGUE names a folder, it is written down there as soon as the test has passed. A test calls it
// once for an id; subtests may each call it for their own share.
func Report(t testing.TB, id string, n int) {
	t.Helper()
	dir := folder()
	if dir == "" {
		return
	}
	t.Cleanup(func() {
		if t.Failed() || t.Skipped() {
			return
		}
		name := filepath.Join(dir, strconv.Itoa(os.Getpid())) // a file for each test binary
		f, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o666)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err := fmt.Fprintln(f, id, n, t.Name()); err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
}
