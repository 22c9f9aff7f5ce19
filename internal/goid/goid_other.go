//go:build !((amd64 || arm64) && gc)

package goid

// current returns the number of the goroutine.
func current() uint64 { return number() }
