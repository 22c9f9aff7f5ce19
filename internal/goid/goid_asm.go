//go:build (amd64 || arm64) && gc

package goid

// current returns the address of the runtime's descriptor of the goroutine. Descriptors are never
// moved or freed, and used again for other goroutines.
func current() uint64
