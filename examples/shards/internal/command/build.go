package command

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/examples/shards/internal/generate"
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
	dir, err := shardfile.CreateDir(out)
	if err != nil {
		return fail(err)
	}
	defer dir.Close()
	lock, err := shardfile.AcquireLock(out)
	if err != nil {
		return fail(err)
	}
	defer lock.Release()
	if err := shardfile.CleanTemps(dir); err != nil { // of a shard that is to be built, it is told again
		fmt.Fprintf(stderr, "shards: a temporary file stays: %v\n", err)
	}

	var traceTo io.Writer
	var buffered *bufio.Writer
	if flags.trace != "" {
		file, err := os.Create(flags.trace)
		if err != nil {
			return fail(err)
		}
		defer file.Close()
		buffered = bufio.NewWriter(file)
		traceTo = buffered
	}
	meter := build.NewMeter(traceTo)
	files := &build.Files{Store: st, Out: dir, Want: flags.want, Limits: flags.limits, Meter: meter, Compress: flags.compress, Latency: flags.latency, Seed: rand.Uint64()}
	flags.options.Seed = files.Seed
	if flags.options.Watch {
		files.Recheck = 10 * time.Minute
	}
	b, err := build.New(files, meter, flags.options)
	if err != nil {
		return fail(err)
	}

	heap := build.HeapPeak(20 * time.Millisecond)
	progress := func() {}
	if flags.options.Log == nil {
		progress = showProgress(stderr, meter)
	}
	status := keepStatus(dir, b)
	say := func(text string) { flags.service.say(&flags.options, stderr, text) }
	err = runUntilSignal(b, flags.service.drain, say)
	progress()
	if statusErr := status(); statusErr != nil {
		say("the status could not be written: " + statusErr.Error())
	}
	peak := heap()
	report := meter.Report(flags.options.Design)
	report.PeakHeap = peak
	if buffered != nil {
		if flushErr := errors.Join(meter.TraceErr(), buffered.Flush()); flushErr != nil {
			return fail(fmt.Errorf("trace: %w", flushErr))
		}
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

// inside reports whether out, which need not exist, is root or lies in it.
func inside(root, out string) bool {
	top, err := os.Stat(root)
	if err != nil {
		return false
	}
	if out, err = filepath.Abs(out); err != nil {
		return false
	}
	for real, err := filepath.EvalSymlinks(out); ; real, err = filepath.EvalSymlinks(out) {
		if err == nil { // it is there; where it leads to counts
			out = real
		}
		if dir, err := os.Stat(out); err == nil && os.SameFile(dir, top) {
			return true
		}
		if filepath.Dir(out) == out {
			return false
		}
		out = filepath.Dir(out)
	}
}

func printReport(r build.Report, asJSON bool, w io.Writer) error {
	if !asJSON {
		return r.Print(w)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(r)
}

// The demo's folder, under the current one.
const demoDir = "shards-demo"

// runDemo generates a small store once, or lets a week pass in it, and builds it.
func (a *app) runDemo(args []string, stdout, stderr io.Writer) int {
	fs := newFlags("shards", "[FLAGS]", stderr)
	dir := fs.String("dir", demoDir, "folder of the demo's store and shard files")
	root := a.rootFlag(fs, "folder of the store; empty: store, in the folder of -dir")
	comparing := fs.Bool("compare", false, fmt.Sprintf("build the same small store with every design and print a table; with -json the reports (-latency %v by default)", compareLatency))
	svg := fs.String("svg", "", "with -compare: draw what was in flight over time, a curve for each design, to this file")
	var flags buildFlags
	flags.add(fs)
	if _, code, ok := parseArgs(fs, args, 0); !ok {
		return code
	}
	if *svg != "" && !*comparing {
		fmt.Fprintln(stderr, "shards: -svg goes with -compare")
		return exitUsage
	}
	if root.path == "" {
		root.path = filepath.Join(*dir, "store")
	}
	out := filepath.Join(*dir, "shards")
	if err := flags.check(fs, root, stderr); err != nil {
		fmt.Fprintf(stderr, "shards: %v\n", err)
		return exitUsage
	}
	if *comparing {
		if err := checkCompare(fs); err != nil {
			fmt.Fprintf(stderr, "shards: %v\n", err)
			return exitUsage
		}
		if !isSet(fs, "latency") {
			flags.latency = compareLatency
		}
		return runCompare(&flags, filepath.Join(*dir, "compare"), *svg, stdout, stderr)
	}
	ctx, stop := interruptible()
	fmt.Fprintf(stderr, "%s: making the demo's snapshots\n", root.path)
	stats, err := demoStore(ctx, root)
	aborted := ctx.Err() != nil
	stop()
	if err != nil {
		fmt.Fprintf(stderr, "shards: %v\n", err)
		if aborted {
			return exitAborted
		}
		return exitFailed
	}
	fmt.Fprintf(stderr, "%s: %d new snapshots (%.1f MB) for %d shards, %d of them revived, up to %s; building into %s\n",
		root.path, stats.Snapshots, float64(stats.Bytes)/1e6, stats.Shards, stats.Revived, stats.LastWeek, out)
	if flags.service.dryRun {
		return dryRun(&flags, root, out, stdout, stderr)
	}
	return buildRoot(&flags, root, out, stdout, stderr)
}

func demoStore(ctx context.Context, root *root) (generate.Stats, error) {
	place, writers, err := root.openPlace(ctx, true)
	if err != nil {
		return generate.Stats{}, err
	}
	defer place.Close()
	exists, err := generate.Exists(ctx, place)
	if err != nil {
		return generate.Stats{}, err
	}
	if exists {
		return generate.Tick(ctx, place, writers)
	}
	return generate.Generate(ctx, place, writers, generate.Config{})
}
