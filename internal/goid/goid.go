// Package goid tells goroutines apart. It serves one purpose: to answer a stage's call to itself
// with an error instead of a deadlock, whatever context the call was made with.
package goid

// Current returns what tells the calling goroutine apart from all others that have not ended; never 0.
// One that begins later may get the same from it when it has ended: whoever keeps it for others to
// compare with forgets it before the goroutine ends.
//
// It costs about a nanosecond on amd64 and arm64, and about a microsecond elsewhere.
func Current() uint64 { return current() }
