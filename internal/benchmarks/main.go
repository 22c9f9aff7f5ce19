// Benchmarks compares what the library costs with what the same work costs otherwise: in a loop, over channels, and with
// the libraries that one might take instead. It prints the tables of docs/performance.md.
//
//	go -C internal/benchmarks run . [-rounds 5] [-works W1,W2] [-beside batch,chan] [-each 200ms] [-json FILE] [-cpuprofile FILE]
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"time"
)

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.As(err, new(usageError)):
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "benchmarks:", err)
		os.Exit(1)
	}
}

// usageError is wrong use of the command.
type usageError struct{ error }

// run is the whole command.
func run(args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("benchmarks", flag.ContinueOnError)
	flags.SetOutput(stderr)
	rounds := flags.Int("rounds", 5, "how often each contestant runs")
	each := flags.Duration("each", 200*time.Millisecond, "about how long it runs")
	only := flags.String("works", "", "the works to do, as W1,W2; all if empty")
	beside := flags.String("beside", "", "the contestants that ours runs beside, as batch,chan; all if empty")
	file := flags.String("json", "", "write all figures to `FILE` as well")
	profile := flags.String("cpuprofile", "", "write a profile of the processor's time to `FILE`")
	seed := flags.Uint64("seed", 1, "of the order of the contestants in a round")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return usageError{err}
	}
	if *rounds < 1 || *each <= 0 || flags.NArg() > 0 {
		return usageError{errors.New("-rounds must be at least 1, -each more than 0, and nothing else is expected")}
	}
	works, rest, err := choose(allWorks(), *only)
	if err != nil {
		return usageError{err}
	}
	if works, err = runBeside(works, *beside); err != nil {
		return usageError{err}
	}
	if *profile != "" {
		file, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer file.Close()
		if err := pprof.StartCPUProfile(file); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	results, err := measure(works, *rounds, *each, *seed, func(what string) { fmt.Fprintln(stderr, what) })
	if err != nil {
		return err
	}
	head := header(*rounds)
	fmt.Fprintln(stdout, head)
	for _, m := range results {
		report(stdout, m)
	}
	out := figures{Header: head}
	out.take(results)
	for _, name := range rest {
		fmt.Fprintln(stderr, name)
		if err := out.measure(name, *rounds, stdout); err != nil {
			return err
		}
	}
	if *file == "" {
		return nil
	}
	return out.write(*file)
}

// choose returns the works that were named, in order: those that are measured event by event, and others.
func choose(all []*work, names string) (works []*work, rest []string, err error) {
	if names == "" {
		return all, others, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		name = strings.TrimSpace(name)
		w := slices.IndexFunc(all, func(w *work) bool { return strings.EqualFold(w.id, name) })
		o := slices.IndexFunc(others, func(other string) bool { return strings.EqualFold(other, name) })
		switch {
		case w >= 0:
			works = append(works, all[w])
		case o >= 0:
			rest = append(rest, others[o])
		default:
			return nil, nil, fmt.Errorf("-works: there is no %q", name)
		}
	}
	return works, rest, nil
}

// runBeside leaves ours and the contestants that were named, and the works that have one of those.
func runBeside(works []*work, names string) (left []*work, err error) {
	if names == "" {
		return works, nil
	}
	named := map[string]bool{}
	for name := range strings.SplitSeq(names, ",") {
		named[strings.TrimSpace(name)] = false // no work has it yet
	}
	for _, w := range works {
		w.contestants = slices.DeleteFunc(w.contestants, func(c contestant) bool {
			_, stays := named[c.name]
			if stays {
				named[c.name] = true
			}
			return !stays && c.name != "ours"
		})
		if len(w.contestants) > 1 && !w.paired {
			left = append(left, w)
		}
	}
	for name, found := range named {
		if !found {
			return nil, fmt.Errorf("-beside: none of the works has a contestant %q", name)
		}
	}
	return left, nil
}

// header says when and where the figures were taken.
func header(rounds int) string {
	return fmt.Sprintf("%s, %s, %s/%s, %s, GOMAXPROCS %d; medians of %d rounds",
		time.Now().Format("2006-01-02"), runtime.Version(), runtime.GOOS, runtime.GOARCH, processor(), runtime.GOMAXPROCS(0), rounds)
}

// processor returns the name of the processor, as far as the system tells it.
func processor() string {
	info, err := os.ReadFile("/proc/cpuinfo")
	if err == nil {
		for line := range strings.Lines(string(info)) {
			if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
				return strings.TrimSpace(value)
			}
		}
	}
	return "unknown processor"
}
