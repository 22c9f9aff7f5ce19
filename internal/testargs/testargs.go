// Package testargs has the flags that may be given to all tests of the module at once, as in
//
//	go test ./... -run Conformance -v -args -scenarios DIR -traces DIR
//
// A test binary that does not know a flag refuses to run; so each one imports this package. It is imported from _test files only.
package testargs

import (
	"flag"
	"os"
	"path/filepath"
	"strconv"

	"github.com/go-genstage/genstage/internal/hop"
	"github.com/go-genstage/genstage/internal/hop/hoptest"
)

// The folders that the conformance player plays; empty for its own.
var (
	scenarios = flag.String("scenarios", "", "folder of conformance scenarios to play")
	traces    = flag.String("traces", "", "folder of GenStage's traces of them")
)

var long = flag.Bool("long", false, "run the tests that take long, and the others for longer")

// What -jitter does is done as the flags are read, before any test.
func init() {
	flag.BoolFunc("jitter", "have the goroutines of stages fall behind at random, to find tests that take an order for granted", func(value string) error {
		on, err := strconv.ParseBool(value)
		if on {
			hop.Everywhere(hoptest.Jitter{})
		}
		return err
	})
}

// Long reports whether -long was given: what a test does in CI is then done as often as in the long run of
// internal/catalogue, and tests that are skipped otherwise run.
func Long() bool { return *long }

// Scenarios returns the folder of -scenarios, "" if it was not given.
func Scenarios() string { return resolve(*scenarios) }

// Traces returns the folder of -traces, "" if it was not given.
func Traces() string { return resolve(*traces) }

// resolve finds a folder that was named as seen from where go test was called: tests run in the folder of their package.
func resolve(dir string) string {
	if dir == "" || filepath.IsAbs(dir) {
		return dir
	}
	for base := "."; ; base = filepath.Join(base, "..") {
		path := filepath.Join(base, dir)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			return path
		}
		if _, err := os.Stat(filepath.Join(base, "go.mod")); err == nil {
			return dir
		}
		if abs, err := filepath.Abs(base); err != nil || abs == filepath.Dir(abs) {
			return dir
		}
	}
}
