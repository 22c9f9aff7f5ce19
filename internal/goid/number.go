package goid

import "runtime"

// number returns the number of the calling goroutine, as the runtime prints it in stacks. That form is not
// promised by Go; a test holds it.
func number() uint64 {
	var buf [40]byte
	n := runtime.Stack(buf[:], false)
	const prefix = len("goroutine ")
	var id uint64
	for _, c := range buf[prefix:n] {
		if c < '0' || c > '9' {
			break
		}
		id = id*10 + uint64(c-'0')
	}
	return id
}
