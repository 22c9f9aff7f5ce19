package simulate

import (
	"flag"
	"testing"
	"testing/synctest"
)

// Bubble calls fn in a bubble of testing/synctest, in which time is fake, and blocks until it has returned and all its
// goroutines have ended. If fn panics, or its goroutines wait for each other, the program crashes and says so.
//
// The standard library gives bubbles to tests only; so fn is run as a test, one that never ends: [testing.Main] would end the
// program with it. For a program, once; tests have bubbles.
func Bubble(fn func()) {
	if flag.Lookup("test.v") == nil {
		testing.Init()
	}
	_ = flag.CommandLine.Parse(nil) // the program's arguments are not the test's
	done := make(chan struct{})
	test := testing.InternalTest{Name: "simulation", F: func(t *testing.T) {
		synctest.Test(t, func(*testing.T) { fn() })
		close(done)
		select {}
	}}
	all := func(string, string) (bool, error) { return true, nil }
	go testing.Main(all, []testing.InternalTest{test}, nil, nil) // ends with the program
	<-done
}
