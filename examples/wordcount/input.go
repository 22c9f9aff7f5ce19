package main

import (
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// input is the text to be counted.
type input struct {
	files []string // none: a text that is made up; "-" is stdin
	stdin io.Reader
	read  atomic.Int64 // bytes so far
}

// chunks returns the text in chunks that end where no word goes on.
func (in *input) chunks() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		if len(in.files) == 0 {
			for chunk, err := range split(strings.NewReader(madeUp()), chunkSize) {
				if !in.pass(yield, chunk, err) {
					return
				}
			}
		}
		for _, name := range in.files {
			if !in.file(name, yield) {
				return
			}
		}
	}
}

func (in *input) pass(yield func([]byte, error) bool, chunk []byte, err error) bool {
	in.read.Add(int64(len(chunk)))
	return yield(chunk, err)
}

// file returns the chunks of one file. An error names it.
func (in *input) file(name string, yield func([]byte, error) bool) bool {
	r := in.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			yield(nil, err) // it names the file
			return false
		}
		defer f.Close()
		r = f
	}
	for chunk, err := range split(r, chunkSize) {
		if err != nil && name == "-" {
			err = fmt.Errorf("standard input: %w", err)
		}
		if !in.pass(yield, chunk, err) || err != nil {
			return false
		}
	}
	return true
}

// chunkSize is how much is read at once.
const chunkSize = 256 << 10

// split reads r in chunks of about a size. A chunk ends behind an ASCII byte that is in no word, so it cuts neither a word nor a rune; one with
// a word that is longer grows. An error comes last.
func split(r io.Reader, size int) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		var rest []byte
		for {
			chunk := make([]byte, max(size, 2*len(rest)))
			n := copy(chunk, rest)
			m, err := io.ReadFull(r, chunk[n:])
			chunk = chunk[:n+m]
			if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
				if len(chunk) > 0 {
					yield(chunk, nil)
				}
				return
			}
			if err != nil {
				yield(nil, err)
				return
			}
			end := len(chunk)
			for end > 0 && (chunk[end-1] >= utf8.RuneSelf || class[chunk[end-1]] != 0) {
				end--
			}
			rest = chunk[end:]
			if end > 0 && !yield(chunk[:end:end], nil) {
				return
			}
		}
	}
}
