package sim

import (
	"fmt"
	"hash/fnv"
	"time"
)

// trace is what happened, line by line, and its hash: two runs with the same hash did the same.
type trace struct {
	begin time.Time
	write func(line string) // nil: only the hash is kept
	line  []byte
	sum   uint64
}

// add writes a line: when, who, what.
func (t *trace) add(who, format string, args ...any) {
	t.line = fmt.Appendf(t.line[:0], "%9.3fms %-14s ", float64(time.Since(t.begin).Microseconds())/1000, who)
	t.line = fmt.Appendf(t.line, format, args...)
	t.mix(t.line)
	if t.write != nil {
		t.write(string(t.line))
	}
}

// turn notes whose turn it is.
func (t *trace) turn(name string) {
	t.mix([]byte(name))
	if t.write != nil {
		t.write("          · " + name)
	}
}

func (t *trace) mix(line []byte) {
	h := fnv.New64a()
	var before [8]byte
	for i := range before {
		before[i] = byte(t.sum >> (8 * i))
	}
	_, _ = h.Write(before[:])
	_, _ = h.Write(line)
	t.sum = h.Sum64()
}
