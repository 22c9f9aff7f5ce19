package goid

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCurrentTellsGoroutinesApart(t *testing.T) {
	mine := Current()
	require.NotZero(t, mine)
	require.Equal(t, mine, Current(), "the same goroutine has one number")
	others := make(chan uint64, 100)
	for range cap(others) {
		go func() { others <- Current() }()
	}
	for range cap(others) {
		require.NotEqual(t, mine, <-others)
	}
}

func BenchmarkCurrent(b *testing.B) {
	for b.Loop() {
		Current()
	}
}
