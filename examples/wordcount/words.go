package main

import (
	"unicode"
	"unicode/utf8"
)

// tally counts the words of a chunk. It makes a string only of a word that is new.
func tally(counts map[string]*int, chunk []byte) {
	for word := range words(chunk) {
		if n := counts[string(word)]; n != nil {
			*n++
			continue
		}
		one := 1
		counts[string(word)] = &one
	}
}

// words returns the words of a chunk, in lower case. A word is valid until the next one.
func words(chunk []byte) func(yield func(word []byte) bool) {
	return func(yield func(word []byte) bool) {
		var word []byte
		for i := 0; i < len(chunk); {
			c := chunk[i]
			switch {
			case class[c] == letter:
				word = append(word, c|class[c]) // letter is the bit that makes them lower case
				i++
				continue
			case class[c] == digit:
				word = append(word, c)
				i++
				continue
			case c >= utf8.RuneSelf:
				r, n := utf8.DecodeRune(chunk[i:])
				i += n
				if unicode.IsLetter(r) || unicode.IsDigit(r) {
					word = utf8.AppendRune(word, unicode.ToLower(r))
					continue
				}
			default:
				i++
			}
			if len(word) > 0 && !yield(word) {
				return
			}
			word = word[:0]
		}
		if len(word) > 0 {
			yield(word)
		}
	}
}

const (
	letter = 0x20
	digit  = 1
)

// class says which bytes are ASCII letters and digits.
var class = func() (class [256]byte) {
	for c := 'a'; c <= 'z'; c++ {
		class[c], class[c-0x20] = letter, letter
	}
	for c := '0'; c <= '9'; c++ {
		class[c] = digit
	}
	return class
}()
