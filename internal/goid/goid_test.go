package goid

import (
	"iter"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCurrentTellsGoroutinesApart(t *testing.T) {
	for name, current := range map[string]func() uint64{"current": Current, "number": number} {
		t.Run(name, func(t *testing.T) {
			const n = 100
			mine := current()
			require.NotZero(t, mine)
			require.Equal(t, mine, current(), "the same goroutine stays the same")
			others, leave := make(chan uint64, n), make(chan struct{})
			defer close(leave)
			for range n {
				go func() { // ends with leave: those that have not ended are told apart
					others <- current()
					<-leave
				}()
			}
			seen := map[uint64]bool{mine: true}
			for range n {
				seen[<-others] = true
			}
			require.Len(t, seen, n+1)
		})
	}
}

// A goroutine stays what it was when its stack has moved, and when it waited.
func TestCurrentStaysTheSame(t *testing.T) {
	mine := Current()
	var deep func(n int) uint64
	deep = func(n int) uint64 {
		var room [1 << 10]byte
		if n > 0 {
			room[n] = byte(deep(n - 1))
		}
		return Current()
	}
	answer := make(chan uint64)
	go func() {
		before := Current()
		answer <- before
		answer <- deep(500)
		answer <- Current()
	}()
	other := <-answer
	require.Equal(t, other, <-answer)
	require.Equal(t, other, <-answer)
	require.Equal(t, mine, Current())
}

// The two sides of an iter.Pull are two.
func TestCurrentTellsCoroutinesApart(t *testing.T) {
	next, stop := iter.Pull(func(yield func(uint64) bool) {
		for yield(Current()) {
		}
	})
	defer stop()
	first, _ := next()
	second, _ := next()
	require.Equal(t, first, second)
	require.NotEqual(t, Current(), first)
}

func BenchmarkCurrent(b *testing.B) {
	for b.Loop() {
		Current()
	}
}

func BenchmarkNumber(b *testing.B) {
	for b.Loop() {
		number()
	}
}
