package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"slices"

	"github.com/go-genstage/genstage/flow"
)

// count is the flow. stages is how many count, 0 for as many as there are processors.
func count(ctx context.Context, chunks iter.Seq2[[]byte, error], stages int) (map[string]int, error) {
	// A chunk is much: a stage has one in hand and one that waits.
	layer := []flow.Option{flow.Name("count"), flow.MaxDemand(2), flow.MinDemand(1)}
	if stages > 0 {
		layer = append(layer, flow.Stages(stages))
	}
	counts := flow.Reduce(flow.FromSeq2(chunks, layer...),
		func() map[string]*int { return map[string]*int{} },
		func(counts map[string]*int, chunk []byte) map[string]*int { tally(counts, chunk); return counts })
	total := flow.Departition(counts,
		func() map[string]*int { return nil },
		merge)
	words := flow.EmitPairs(total)

	all := map[string]int{}
	err := words.ForEach(ctx, func(_ context.Context, word flow.Pair[string, *int]) error {
		all[word.Key] = *word.Value
		return nil
	})
	return all, err
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

// report prints the most frequent words.
func report(w io.Writer, counts map[string]int, top int) error {
	words := make([]string, 0, len(counts))
	for word := range counts {
		words = append(words, word)
	}
	slices.SortFunc(words, func(a, b string) int {
		if d := counts[b] - counts[a]; d != 0 {
			return d
		}
		if a < b {
			return -1
		}
		return 1
	})
	out := bufio.NewWriter(w)
	for _, word := range words[:min(top, len(words))] {
		fmt.Fprintf(out, "%d %s\n", counts[word], word)
	}
	return out.Flush()
}
