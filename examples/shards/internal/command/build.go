package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// buildFlags are the flags of build, which the demo has too.
type buildFlags struct {
	options  build.Options
	wiring   string
	compress build.CompressBy
	want     shardfile.Wanted
	limits   store.Limits
	latency  time.Duration
	json     bool
	trace    string
	service  serviceFlags
}

func (b *buildFlags) add(fs *flag.FlagSet) {
	o := &b.options
	b.limits = store.DefaultLimits()
	addDesign(fs, b)
	fs.IntVar(&o.Builders, "builders", 10, "shards in progress, at most")
	fs.IntVar(&o.Snapshots, "snapshots", 20, "snapshots in flight over all shards, at most")
	fs.IntVar(&o.Retries, "retries", 2, "further tries of a snapshot that could not be fetched")
	fs.DurationVar(&o.Timeout, "timeout", time.Minute, "of one try; 0 for none")
	fs.BoolVar(&o.Watch, "watch", false, "go on: look again for stale shards; the first interrupt drains, the second aborts")
	fs.DurationVar(&o.Poll, "poll", time.Second, "with -watch: the pause when nothing is stale, growing to 20 times that")
	fs.DurationVar(&b.latency, "latency", 5*time.Millisecond, "the store's own time for a snapshot, added to what reading takes; with a root that is no folder the default is 0")
	fs.IntVar(&b.want.Schema, "schema", 1, "schema version; another one than a file has rebuilds it from scratch")
	fs.BoolVar(&b.want.Prune, "prune", false, "rebuild shards that have snapshots which are gone from the store")
	fs.BoolVar(&b.json, "json", false, "print the report as JSON")
	fs.StringVar(&b.trace, "trace", "", "write a line of JSON for each happening to this file")
	b.service.add(fs, o)
	b.limits.AddFlags(fs)
}

// check finds flags of fs out of range, and a root that no remote knows, and sets the latency that goes with the root, and
// the log to stderr.
func (b *buildFlags) check(fs *flag.FlagSet, root *root, stderr io.Writer) error {
	if err := checkPositive(fs); err != nil {
		return err
	}
	if err := b.checkDesign(fs); err != nil {
		return err
	}
	if b.latency < 0 {
		return fmt.Errorf("-latency %v: want 0 or more", b.latency)
	}
	if b.want.Schema < 0 {
		return fmt.Errorf("-schema %d: want 0 or more", b.want.Schema)
	}
	remote, err := root.remote()
	if err != nil {
		return err
	}
	if remote != nil && !isSet(fs, "latency") {
		b.latency = 0 // it has its own
	}
	if err := b.service.check(&b.options, stderr); err != nil {
		return err
	}
	return b.options.Check()
}

// runBuild is "shards build".
func (a *app) runBuild(args []string, stdout, stderr io.Writer) int {
	fs := newFlags("build", "build -root DIR -out DIR [FLAGS]", stderr)
	root := a.rootFlag(fs, "folder of the store")
	out := fs.String("out", "", "folder of the shard files; made if it is not there")
	var flags buildFlags
	flags.add(fs)
	if _, code, ok := parseArgs(fs, args, 0); !ok {
		return code
	}
	if !need(fs, "root", "out") {
		return exitUsage
	}
	if err := flags.check(fs, root, stderr); err != nil {
		fmt.Fprintf(stderr, "shards build: %v\n", err)
		return exitUsage
	}
	if flags.service.dryRun {
		return dryRun(&flags, root, *out, stdout, stderr)
	}
	return buildRoot(&flags, root, *out, stdout, stderr)
}

// buildRoot builds, prints the report and returns the exit code.
func buildRoot(flags *buildFlags, root *root, out string, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintf(stderr, "shards: %v\n", err)
		if errors.Is(err, shardfile.ErrLocked) {
			return exitUsage
		}
		return exitFailed
	}
	st, err := root.openStore(context.Background(), flags.options.Snapshots)
	if err != nil {
		return fail(err)
	}
	defer st.Close()
	if inside(root.path, out) {
		fmt.Fprintf(stderr, "shards: -out %s lies in -root %s: the next build would take shard files for shards\n", out, root.path)
		return exitUsage
	}
	to, err := openOutput(out, flags.trace, stderr)
	if err != nil {
		return fail(err)
	}
	defer to.close()
	b, err := newBuild(flags, st, to)
	if err != nil {
		return fail(err)
	}
	say := func(text string) { flags.service.say(&flags.options, stderr, text) }
	report, err := runBuilt(b, flags, to, say, stderr)
	if traceErr := to.flushTrace(b.Meter); traceErr != nil {
		return fail(fmt.Errorf("trace: %w", traceErr))
	}
	if printErr := printReport(report, flags.json, stdout); printErr != nil {
		return fail(printErr)
	}
	switch {
	case errors.Is(err, errAborted):
		say(err.Error() + "; shards in progress are as they were")
		return exitAborted
	case err != nil:
		return fail(err)
	case slices.ContainsFunc(b.Troubles(), func(t build.Trouble) bool { return t.State == build.Failed }):
		return exitFailed // watching: one that is built by now does not count
	}
	return exitOK
}

// newBuild wires the design that the flags ask for.
func newBuild(flags *buildFlags, st store.Store, to *output) (*build.Build, error) {
	meter := build.NewMeter(to.trace())
	files := &build.Files{Store: st, Out: to.dir, Want: flags.want, Limits: flags.limits, Meter: meter, Compress: flags.compress, Latency: flags.latency, Seed: rand.Uint64()}
	flags.options.Seed = files.Seed
	if flags.options.Watch {
		files.Recheck = 10 * time.Minute
	}
	return build.New(files, meter, flags.options)
}

// runBuilt runs a build to its end, or to the signal that ends it, keeps the status file meanwhile and shows how far it is. The error is the build's.
func runBuilt(b *build.Build, flags *buildFlags, to *output, say func(string), stderr io.Writer) (build.Report, error) {
	heap := build.HeapPeak(20 * time.Millisecond)
	progress := func() {}
	if flags.options.Log == nil {
		progress = showProgress(stderr, b.Meter)
	}
	status := keepStatus(to.dir, b)
	err := runUntilSignal(b, flags.service.drain, say)
	progress()
	if statusErr := status(); statusErr != nil {
		say("the status could not be written: " + statusErr.Error())
	}
	peak := heap()
	report := b.Meter.Report(flags.options.Design)
	report.PeakHeap = peak
	return report, err
}

func printReport(r build.Report, asJSON bool, w io.Writer) error {
	if !asJSON {
		return r.Print(w)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}
