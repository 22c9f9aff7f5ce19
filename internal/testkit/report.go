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

// Rounds returns how much a test is to do: ci, with -args -long long, with -short a tenth of ci.
func Rounds(ci, long int) int {
	switch {
	case testargs.Long():
		return long
	case testing.Short():
		return max(1, ci/10)
	}
	return ci
}

// Report says that the test has done n of what the row of internal/catalogue with this id counts: seeds, rounds, cells.
// When the variable CATALOGUE names a folder, it is written down there as soon as the test has passed. A test calls it
// once for an id; subtests may each call it for their own share.
func Report(t testing.TB, id string, n int) {
	t.Helper()
	dir := os.Getenv("CATALOGUE")
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
