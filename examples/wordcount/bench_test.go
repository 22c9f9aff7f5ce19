package main

import (
	"fmt"
	"io"
	"iter"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// megabytes is how long the text of the benchmark is.
const megabytes = 100

// text reads as a part over and over.
type text struct {
	part []byte
	left int // bytes
	at   int // in part
}

func newText() *text {
	var b strings.Builder
	generate(&b, 500_000, rand.New(rand.NewPCG(1, 1)))
	return &text{part: []byte(b.String()), left: megabytes * 1_000_000}
}

func (t *text) Read(p []byte) (int, error) {
	if t.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), t.left)], t.part[t.at:])
	t.left -= n
	t.at = (t.at + n) % len(t.part)
	return n, nil
}

// BenchmarkWordcount compares the flow with goroutines written by hand, on the same text: what they differ in is how
// the chunks come to those who count. peak-MB is the most heap in use, looked at with each 16th chunk.
func BenchmarkWordcount(b *testing.B) {
	for _, c := range []struct {
		name  string
		count counter
	}{{"hand", byHand}, {"flow", count}} {
		for _, n := range []int{1, 2, 4} {
			b.Run(fmt.Sprintf("%s-%d", c.name, n), func(b *testing.B) {
				b.SetBytes(megabytes * 1_000_000)
				b.ReportAllocs()
				peak := uint64(0)
				for b.Loop() {
					runtime.GC()
					counts, err := c.count(b.Context(), watched(split(newText(), chunkSize), &peak), n)
					require.NoError(b, err)
					require.NotEmpty(b, counts)
				}
				b.ReportMetric(float64(peak)/1e6, "peak-MB")
			})
		}
	}
}

// watched notes the most heap in use while the chunks pass.
func watched(chunks iter.Seq2[[]byte, error], peak *uint64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var m runtime.MemStats
		n := 0
		for chunk, err := range chunks {
			if n%16 == 0 {
				runtime.ReadMemStats(&m)
				*peak = max(*peak, m.HeapInuse)
			}
			n++
			if !yield(chunk, err) {
				return
			}
		}
	}
}
