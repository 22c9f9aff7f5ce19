// Wordcount counts the words of files with a flow: each stage counts the words of its part of the text in a map of its own, and one
// stage merges the maps.
//
//	wordcount [-top 10] [-stages N] [-all] [-verify] [FILE...]
//
// A word is a run of Unicode letters and digits, in lower case. Lines of output are COUNT WORD, by count and then by word. The file "-" is
// the standard input. Without files it counts a text that it makes up.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"os/signal"
	"sync/atomic"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		fmt.Fprintln(os.Stderr, "wordcount:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "wordcount:", err)
		os.Exit(1)
	}
}

// usageError is wrong use of the command.
type usageError struct{ error }

// run is the whole command.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("wordcount", flag.ContinueOnError)
	flags.SetOutput(stderr)
	top := flags.Int("top", 10, "print the `n` most frequent words")
	all := flags.Bool("all", false, "print all words")
	stages := flags.Int("stages", 0, "`number` of stages that count; 0 for one per processor")
	verify := flags.Bool("verify", false, "count once more, without stages, and compare; reads the files twice")
	flags.Usage = func() {
		fmt.Fprintln(stderr, "usage: wordcount [-top 10] [-stages N] [-all] [-verify] [FILE...]")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	switch {
	case *top < 1:
		return usageError{fmt.Errorf("-top %d: must be at least 1", *top)}
	case *stages < 0:
		return usageError{fmt.Errorf("-stages %d: must not be negative", *stages)}
	}
	in := &input{files: flags.Args(), stdin: stdin}
	for _, name := range in.files {
		if *verify && name == "-" {
			return usageError{errors.New("-verify reads twice, which the standard input cannot be")}
		}
	}

	done := progress(stderr, &in.read)
	counts, err := count(ctx, in.chunks(), *stages)
	done()
	if err != nil {
		return err
	}
	if *verify {
		if err := compare(in, counts); err != nil {
			return err
		}
	}
	if *all {
		*top = len(counts)
	}
	return report(stdout, counts, *top)
}

// compare counts once more, in one loop.
func compare(in *input, counts map[string]int) error {
	again := map[string]*int{}
	for chunk, err := range in.chunks() {
		if err != nil {
			return err
		}
		tally(again, chunk)
	}
	if !maps.EqualFunc(counts, again, func(n int, m *int) bool { return n == *m }) {
		return errors.New("-verify: the counts differ")
	}
	return nil
}

// progress tells once a second how much has been read, until the function that it returns is called.
func progress(w io.Writer, read *atomic.Int64) (done func()) {
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() { // done ends it and waits for it
		defer close(stopped)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				fmt.Fprintf(w, "wordcount: %d MB read\n", read.Load()/1_000_000)
			}
		}
	}()
	return func() { close(stop); <-stopped }
}
