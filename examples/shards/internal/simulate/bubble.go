package simulate

import (
	"errors"
	"flag"
	"testing"
	"testing/synctest"
)

// Bubble calls fn in a bubble of testing/synctest, in which time is fake, and blocks until it has returned and all its
// goroutines have ended. It returns an error if fn panicked or its goroutines wait for each other.
//
// The standard library gives bubbles to tests only, so fn is run as the only test of a run without flags.
func Bubble(fn func()) error {
	if flag.Lookup("test.v") == nil {
		testing.Init()
	}
	all := func(string, string) (bool, error) { return true, nil }
	ok := testing.RunTests(all, []testing.InternalTest{{Name: "simulation", F: func(t *testing.T) {
		synctest.Test(t, func(*testing.T) { fn() })
	}}})
	if !ok {
		return errors.New("the simulation came to no end")
	}
	return nil
}
