// Command sim runs a campaign of the simulator, or shows one seed of it.
//
//	go run ./internal/sim/cmd/sim -seeds 20000
//	go run ./internal/sim/cmd/sim -seed 17 -mode liveness -trace
//
// The last line is "sim: N seeds, V violations". It exits with 1 if there are violations, or if an interesting
// state was never reached by a campaign.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
	"runtime"
	"testing"

	"github.com/go-genstage/genstage/internal/sim"
)

type flags struct {
	seeds, from, seed uint64
	one, trace, quiet bool
	workers           int
	mode              string
}

func main() {
	f, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	os.Args = os.Args[:1] // the rest is not for package testing
	code := 2
	match := func(string, string) (bool, error) { return true, nil }
	// A bubble needs a *testing.T, and so a test. Main does not return.
	testing.Main(match, []testing.InternalTest{{Name: "sim", F: func(t *testing.T) {
		if code = f.run(t); code != 0 {
			os.Exit(code)
		}
		os.Exit(0)
	}}}, nil, nil)
}

func parse(args []string) (*flags, error) {
	f := &flags{}
	set := flag.NewFlagSet("sim", flag.ContinueOnError)
	set.Uint64Var(&f.seeds, "seeds", 20_000, "how many seeds")
	set.Uint64Var(&f.from, "from", 1, "the first seed")
	set.Uint64Var(&f.seed, "seed", 0, "run this one seed")
	set.StringVar(&f.mode, "mode", "both", "safety, liveness or both")
	set.IntVar(&f.workers, "workers", runtime.GOMAXPROCS(0), "how many at once")
	set.BoolVar(&f.trace, "trace", false, "with -seed: print what happens")
	set.BoolVar(&f.quiet, "quiet", false, "no progress, no table of states")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	set.Visit(func(given *flag.Flag) { f.one = f.one || given.Name == "seed" })
	if _, known := modes[f.mode]; !known || set.NArg() > 0 {
		set.Usage()
		return nil, flag.ErrHelp
	}
	return f, nil
}

var modes = map[string][]sim.Mode{
	"safety": {sim.Safety}, "liveness": {sim.Liveness}, "both": {sim.Safety, sim.Liveness},
}

func (f *flags) run(t *testing.T) (code int) {
	if f.one {
		return f.show(t)
	}
	cfg := sim.Config{From: f.from, Seeds: int(f.seeds), Modes: modes[f.mode], Workers: f.workers, Progress: os.Stderr}
	if f.quiet {
		cfg.Progress = io.Discard
	}
	report := sim.Campaign(t, cfg)
	for _, failed := range report.Failed {
		tell(failed)
		code = 1
	}
	if !f.quiet {
		fmt.Print(report.States.String())
	}
	for _, s := range report.States.Missing() {
		fmt.Printf("never reached: %v\n", s)
		code = 1
	}
	fmt.Printf("sim: %d seeds, %d violations\n", f.seeds, report.Violations())
	return code
}

// show runs one seed.
func (f *flags) show(t *testing.T) (code int) {
	violations := 0
	for _, mode := range modes[f.mode] {
		o := sim.OptionsOf(f.seed, mode)
		fmt.Print(o)
		var write func(string)
		if f.trace {
			write = func(line string) { fmt.Println(line) }
		}
		result := sim.Run(t, o, write)
		fmt.Printf("trace %016x\n", result.Hash)
		if len(result.Violations) > 0 {
			tell(result)
			violations++
			code = 1
		}
	}
	fmt.Printf("sim: 1 seeds, %d violations\n", violations)
	return code
}

// tell says what went wrong, and how to see it again.
func tell(r sim.Result) {
	fmt.Printf("seed %d (%v): %d violations; again: go run ./internal/sim/cmd/sim -seed %[1]d -mode %[2]v -trace\n",
		r.Options.Seed, r.Options.Mode, len(r.Violations))
	for i, v := range r.Violations {
		if i == 5 {
			fmt.Println("  …")
			break
		}
		fmt.Printf("  %s\n", v)
	}
}
