package main

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
)

// madeUp returns a text of 200,000 words, always the same: few that are frequent, and many that are rare, as in real texts.
func madeUp() string {
	var b strings.Builder
	generate(&b, 200_000, rand.New(rand.NewPCG(1, 1)))
	return b.String()
}

// generate writes words to b.
func generate(b *strings.Builder, n int, r *rand.Rand) {
	for i := range n {
		// The rank of a word is spread evenly over its logarithm: the k-th is about 1/k as frequent as the first.
		rank := int(math.Exp(r.Float64() * math.Log(50_000)))
		fmt.Fprintf(b, "%s", spell(rank))
		if i%12 == 11 {
			b.WriteString(".\n")
		} else {
			b.WriteString(" ")
		}
	}
}

// spell makes a word of a number.
func spell(n int) string {
	syllables := [...]string{"ka", "lo", "mi", "ne", "ru", "sö", "ta", "vi", "Zu", "ö", "Re", "и"}
	word := ""
	for ; n > 0; n /= len(syllables) {
		word += syllables[n%len(syllables)]
	}
	return word
}
