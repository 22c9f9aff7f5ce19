package main

import (
	"context"
	"iter"
	"sync"
)

// byHand is the contestant: goroutines that count into maps of their own, which are merged in the end. It reads, splits and
// counts with the same functions.
func byHand(_ context.Context, chunks iter.Seq2[[]byte, error], workers int) (map[string]int, error) {
	work := make(chan []byte, workers)
	maps := make([]map[string]*int, workers)
	var wg sync.WaitGroup
	for i := range workers {
		maps[i] = map[string]*int{}
		wg.Go(func() { // ends when work is closed
			for chunk := range work {
				tally(maps[i], chunk)
			}
		})
	}
	var failed error
	for chunk, err := range chunks {
		if err != nil {
			failed = err
			break
		}
		work <- chunk
	}
	close(work)
	wg.Wait()
	if failed != nil {
		return nil, failed
	}
	var total map[string]*int
	for _, part := range maps {
		total = merge(total, part)
	}
	all := map[string]int{}
	for word, n := range total {
		all[word] = *n
	}
	return all, nil
}
