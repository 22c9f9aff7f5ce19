// Command sim runs a campaign of the simulator, or shows one seed of it.
//
//	go run ./internal/sim/cmd/sim -seeds 20000
//	go run ./internal/sim/cmd/sim -seed 17 -mode liveness -trace
//	go run ./internal/sim/cmd/sim -planted
//
// The last line is "sim: N seeds, V violations". It exits with 1 if there are violations, or if a state of interest
// was never reached by a campaign of [sim.Enough] seeds or more; it names those that were not.
//
// With -planted it plants one bug after the other in a copy of the library, and has the simulator, by at most so many
// -seeds, and then the exhaustive check look for it. The last line is then "planted: N of M found", and it exits with 1
// unless all are.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/internal/planted"
	"github.com/go-genstage/genstage/internal/sim"
)

type flags struct {
	seeds, from, seed uint64
	one, trace, quiet bool
	given             bool // -seeds
	first, planted    bool
	workers           int
	mode              string
}

func main() {
	f, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	if f.planted {
		os.Exit(f.hunt())
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
	set.Uint64Var(&f.seeds, "seeds", 20_000, "how many seeds; with -planted 2000")
	set.Uint64Var(&f.from, "from", 1, "the first seed")
	set.Uint64Var(&f.seed, "seed", 0, "run this one seed")
	set.StringVar(&f.mode, "mode", "both", "safety, liveness or both")
	set.IntVar(&f.workers, "workers", runtime.GOMAXPROCS(0), "how many at once")
	set.BoolVar(&f.trace, "trace", false, "with -seed: print what happens")
	set.BoolVar(&f.quiet, "quiet", false, "no progress, no table of states")
	set.BoolVar(&f.first, "first", false, "stop at the first violation")
	set.BoolVar(&f.planted, "planted", false, "plant bugs, and look for them")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	set.Visit(func(given *flag.Flag) {
		f.one = f.one || given.Name == "seed"
		f.given = f.given || given.Name == "seeds"
	})
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
	cfg := sim.Config{From: f.from, Seeds: int(f.seeds), Modes: modes[f.mode], Workers: f.workers, Progress: os.Stderr, First: f.first}
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
		if f.first {
			break // it may have been cut short
		}
		fmt.Printf("never reached: %v\n", s)
		if cfg.Seeds >= sim.Enough {
			code = 1
		}
	}
	fmt.Printf("sim: %d seeds, %d violations\n", f.seeds, report.Violations())
	return code
}

// hunt looks for the planted bugs.
func (f *flags) hunt() (code int) {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		fmt.Fprintln(os.Stderr, "sim: cannot find the folder of the module:", err)
		return 2
	}
	if !f.given {
		f.seeds = 2000
	}
	h := planted.Hunt{Root: strings.TrimSpace(string(root)), Seeds: int(f.seeds), Out: os.Stdout}
	found, err := h.Run(context.Background())
	switch {
	case err != nil:
		fmt.Fprintln(os.Stderr, "sim:", err)
		return 2
	case found < len(planted.Bugs):
		return 1
	}
	return 0
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
