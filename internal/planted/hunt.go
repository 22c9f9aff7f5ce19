package planted

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Hunt has the simulator look for each of the bugs, and the exhaustive check for what that does not find.
type Hunt struct {
	Root  string    // folder of the module
	Seeds int       // how many seeds of each kind the simulator may try
	Bugs  []Bug     // nil: all
	Out   io.Writer // a line for each bug, and one at the end: "planted: N of M found"
}

// Found says what found a bug.
type Found struct {
	Bug      Bug
	Seed     string // the first seed with a violation; "" if the simulator found none
	Test     string // the first test of the exhaustive check that failed; "" if none did, or Seed is set
	Duration time.Duration
}

// patience is how long a check may take before it counts as found: a bug may well make it hang.
const patience = 10 * time.Minute

// Run looks for one bug after the other, and blocks until all have been looked for or ctx ends. Before, it has both
// checks look at the code as it is, where they must find nothing. It needs the go command. An error says that they did,
// that a bug could not be planted, or a check not be built.
func (h Hunt) Run(ctx context.Context) (found int, err error) {
	bugs := h.Bugs
	if bugs == nil {
		bugs = Bugs
	}
	none, err := h.one(ctx, Bug{Name: "none", What: "the code as it is"})
	if err != nil {
		return 0, err
	}
	if none.found() {
		return 0, fmt.Errorf("planted: the checks find something where nothing is planted: %s", none)
	}
	for _, b := range bugs {
		f, err := h.one(ctx, b)
		if err != nil {
			return found, err
		}
		if f.found() {
			found++
		}
		_, _ = fmt.Fprintln(h.Out, f)
	}
	_, _ = fmt.Fprintf(h.Out, "planted: %d of %d found\n", found, len(bugs))
	return found, nil
}

func (f Found) found() bool { return f.Seed != "" || f.Test != "" }

// String returns the result in a line.
func (f Found) String() string {
	by := []string{}
	if f.Seed != "" {
		by = append(by, "simulator: "+f.Seed)
	}
	if f.Test != "" {
		by = append(by, "exhaustive check: "+f.Test)
	}
	if len(by) == 0 {
		by = append(by, "NOT FOUND")
	}
	return fmt.Sprintf("%-20s %s (%s): %s", f.Bug.Name, f.Bug.What, f.Duration.Round(time.Second), strings.Join(by, "; "))
}

// one plants one bug and runs the simulator and, if that finds nothing, the exhaustive check.
func (h Hunt) one(ctx context.Context, b Bug) (f Found, err error) {
	begin := time.Now()
	dir, err := os.MkdirTemp("", "planted")
	if err != nil {
		return f, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	overlay, err := Plant(h.Root, dir, b)
	if err != nil {
		return f, err
	}
	f.Bug = b
	if f.Seed, err = h.simulate(ctx, dir, overlay); err != nil {
		return f, err
	}
	if f.Seed == "" {
		if f.Test, err = h.exhaust(ctx, dir, overlay); err != nil {
			return f, err
		}
	}
	f.Duration = time.Since(begin)
	return f, nil
}

var (
	failedSeed = regexp.MustCompile(`(?m)^seed (\d+) \((\w+)\)`)
	failedTest = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+/\S+|\S+)`)
)

// simulate runs the simulator until the first violation.
func (h Hunt) simulate(ctx context.Context, dir, overlay string) (seed string, err error) {
	program := filepath.Join(dir, "sim")
	if err := h.build(ctx, "build", "-overlay", overlay, "-o", program, "./internal/sim/cmd/sim"); err != nil {
		return "", err
	}
	out, failed, err := h.check(ctx, h.Root, program, "-quiet", "-first", "-seeds", fmt.Sprint(h.Seeds))
	switch match := failedSeed.FindStringSubmatch(out); {
	case err != nil || !failed:
		return "", err
	case match != nil:
		return fmt.Sprintf("seed %s (%s)", match[1], match[2]), nil
	default:
		return "it does not end as it should", nil
	}
}

// exhaust runs the exhaustive check until the first test that fails.
func (h Hunt) exhaust(ctx context.Context, dir, overlay string) (test string, err error) {
	program := filepath.Join(dir, "explore.test")
	if err := h.build(ctx, "test", "-c", "-overlay", overlay, "-o", program, "./internal/explore"); err != nil {
		return "", err
	}
	out, failed, err := h.check(ctx, filepath.Join(h.Root, "internal", "explore"), program,
		"-test.failfast", "-test.run=^TestEvery", "-test.timeout="+patience.String())
	if err != nil || !failed {
		return "", err
	}
	name := "it does not end as it should"
	for _, match := range failedTest.FindAllStringSubmatch(out, -1) {
		name = match[1] // the innermost one comes last
	}
	return name, nil
}

func (h Hunt) build(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = h.Root
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go %s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}

// check runs a program and reports whether it failed.
func (h Hunt) check(ctx context.Context, dir, program string, args ...string) (out string, failed bool, err error) {
	limited, cancel := context.WithTimeout(ctx, patience+time.Minute)
	defer cancel()
	var buf bytes.Buffer
	cmd := exec.CommandContext(limited, program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &buf, &buf
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return "", false, context.Cause(ctx)
	case err == nil:
		return buf.String(), false, nil
	case errors.As(err, &exit), limited.Err() != nil:
		return buf.String(), true, nil
	}
	return "", false, err
}
