package hoptest

import (
	"math/rand/v2"
	"runtime"
)

// Jitter is a schedule that decides nothing: whoever asks for a turn gets it, but before that lets the other
// goroutines go on, often not at all, seldom for long. A test that takes for granted which of two goroutines comes first fails
// under it now and then, where it would fail once in a thousand runs without. It needs no bubble.
type Jitter struct{}

// Join returns a wait that yields a random number of times.
func (Jitter) Join(string) (wait func()) {
	return func() {
		yields := 0
		switch n := rand.IntN(100); {
		case n < 2:
			yields = rand.IntN(500)
		case n < 35:
			yields = rand.IntN(20)
		}
		for range yields {
			runtime.Gosched()
		}
	}
}

// Draw draws as the library does without a schedule.
func (Jitter) Draw(below int64) int64 { return rand.Int64N(below) }
