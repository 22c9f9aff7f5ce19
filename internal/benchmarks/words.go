package main

import (
	"context"
	"fmt"
	"iter"
	"math/rand/v2"
	"runtime"
	"sync"

	"github.com/go-genstage/genstage/flow"
)

// text is what W8 counts the words of: chunks of 64 KiB, each cut behind a word.
var text = sync.OnceValue(func() (t struct {
	chunks [][]byte
	words  []int // of each chunk
},
) {
	const size, kinds = 64 << 10, 20_000
	random := rand.New(rand.NewPCG(1, 0))
	often := rand.NewZipf(random, 1.1, 4, kinds-1)
	for range 64 {
		chunk, words := make([]byte, 0, size), 0
		for len(chunk) < size-16 {
			chunk = fmt.Appendf(chunk, "w%x ", often.Uint64()*2654435761%(1<<28))
			words++
		}
		t.chunks, t.words = append(t.chunks, chunk), append(t.words, words)
	}
	return t
})

// chunks are the chunks of a job: as many as it has events.
func (j *job) chunks() iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		all := text().chunks
		for e, ok := j.one(); ok; e, ok = j.one() {
			if !yield(all[e%len(all)], nil) {
				return
			}
		}
	}
}

// count counts the words of a chunk. It makes a string only of a word that is new.
func count(counts map[string]*int, chunk []byte) {
	start := 0
	for i, c := range chunk {
		if c != ' ' {
			continue
		}
		if n := counts[string(chunk[start:i])]; n != nil {
			*n++
		} else {
			one := 1
			counts[string(chunk[start:i])] = &one
		}
		start = i + 1
	}
}

// merge adds part to total. Both are the callee's, and the larger one is kept.
func merge(total, part map[string]*int) map[string]*int {
	if len(total) < len(part) {
		total, part = part, total
	}
	for word, n := range part {
		if m := total[word]; m != nil {
			*m += *n
		} else {
			total[word] = n
		}
	}
	return total
}

// counted takes what has been counted.
func (j *job) counted(counts map[string]*int) {
	for _, n := range counts {
		j.sinks[0].count++
		j.sinks[0].sum += *n
	}
}

// allWords: every word has been counted.
func allWords(j *job) error {
	want, kinds := 0, map[string]*int{}
	for e := 1; e <= j.n; e++ {
		want += text().words[e%len(text().words)]
		if e <= len(text().chunks) {
			count(kinds, text().chunks[e%len(text().chunks)])
		}
	}
	return j.sinks[0].check("the count of words", len(kinds), want)
}

// countWords is W8.
func countWords() *work {
	text()
	return &work{
		sinks: 1, check: allWords, unit: "chunk",
		contestants: []contestant{
			{"ours", func(j *job) error { // a flow
				counts := flow.Reduce(flow.FromSeq2(j.chunks(), flow.MaxDemand(2), flow.MinDemand(1)),
					func() map[string]*int { return map[string]*int{} },
					func(counts map[string]*int, chunk []byte) map[string]*int { count(counts, chunk); return counts })
				total := flow.Departition(counts, func() map[string]*int { return nil }, merge).EmitState()
				return total.ForEach(context.Background(), func(_ context.Context, all map[string]*int) error {
					j.counted(all)
					return nil
				})
			}},
			{"loop", func(j *job) error {
				counts := map[string]*int{}
				for chunk := range j.chunks() {
					count(counts, chunk)
				}
				j.counted(counts)
				return nil
			}},
			{"by hand", func(j *job) error { // a goroutine for each processor, and a channel of chunks
				work := make(chan []byte, runtime.GOMAXPROCS(0))
				parts := make([]map[string]*int, runtime.GOMAXPROCS(0))
				var all sync.WaitGroup
				for i := range parts {
					parts[i] = map[string]*int{}
					all.Go(func() { // ends with work
						for chunk := range work {
							count(parts[i], chunk)
						}
					})
				}
				for chunk := range j.chunks() {
					work <- chunk
				}
				close(work)
				all.Wait()
				var total map[string]*int
				for _, part := range parts {
					total = merge(total, part)
				}
				j.counted(total)
				return nil
			}},
		},
	}
}
