package command

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/examples/shards/internal/chart"
	"github.com/go-genstage/genstage/examples/shards/internal/generate"
	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// What -compare builds: little to compute and much to wait for, so that two cores show the designs and not themselves, and a
// design that takes one piece after the other is done in seconds.
const (
	compareShards  = 24
	compareSeed    = 13 // of those with some 400 snapshots, one shard of more than 100, and few records
	compareLatency = 20 * time.Millisecond
	compareBudget  = 1 << 17
)

// byHand is the line that the others are compared with.
const byHand = "two semaphores, by hand"

// compared is one line of the comparison.
type compared struct {
	name     string
	shows    string // in place of what the design says
	options  build.Options
	compress build.CompressBy
}

// checkCompare finds flags that -compare would not heed: it makes its own store, and has every design.
func checkCompare(fs *flag.FlagSet) (err error) {
	heeded := []string{"compare", "dir", "svg", "json", "builders", "snapshots", "connect", "retries", "timeout", "latency"}
	fs.Visit(func(f *flag.Flag) {
		if !slices.Contains(heeded, f.Name) {
			err = fmt.Errorf("-%s does not go with -compare: that takes -%s", f.Name, strings.Join(heeded[1:], ", -"))
		}
	})
	return err
}

// comparisons returns the designs in the order of the table, each with what it takes from base.
func comparisons(base build.Options) []compared {
	list := []compared{
		{name: byHand, shows: "no stages: what the others are compared with", options: build.Options{Design: "manual"}},
		{name: "manual"},
		{name: "manual -hold stream", shows: "a part of each snapshot is in memory, not all of it", options: build.Options{Design: "manual", Hold: build.HoldStream}},
		{name: "manual -compress owner", shows: "owners compress, one value after the other", options: build.Options{Design: "manual"}, compress: build.ByOwner},
		{name: "manual -wiring direct", shows: "pieces are bound to workers too early", options: build.Options{Design: "manual", Direct: true}},
		{name: "manual -wiring direct -worker-max 20 -worker-min 10", shows: "one worker does twenty pieces one by one", options: build.Options{Design: "manual", Direct: true, WorkerMax: 20, WorkerMin: 10}},
		{name: "manual -automatic", shows: "the fault: builders begin the next shard too early", options: build.Options{Design: "manual", Automatic: true}},
		{name: "manual-supervised"},
		{name: fmt.Sprintf("budget -budget %d", compareBudget), options: build.Options{Design: "budget", Budget: compareBudget}},
		{name: "pool"},
		{name: "pool -queue 10000", shows: "all is pushed at once: no back-pressure left", options: build.Options{Design: "pool", Queue: 10_000}},
		{name: "pool-supervised"},
		{name: "aggregator"},
		{name: "children"},
		{name: "children -k 20", shows: "the bound is back: a limit that all share", options: build.Options{Design: "children", K: 20}},
		{name: "tasks -k 2", shows: "a large shard starves", options: build.Options{Design: "tasks", K: 2}},
		{name: "tasks -k 20", shows: "the bound is broken", options: build.Options{Design: "tasks", K: 20}},
		{name: fmt.Sprintf("sync -consumers %d", runtime.GOMAXPROCS(0)), options: build.Options{Design: "sync"}},
		{name: "sync -consumers 20", options: build.Options{Design: "sync", Consumers: 20}},
		{name: "limited"},
		{name: "naive"},
	}
	for i := range list {
		o := &list[i].options
		if o.Design == "" {
			o.Design = list[i].name
		}
		if list[i].shows == "" {
			list[i].shows = build.Shows(o.Design)
		}
		o.Builders, o.Snapshots, o.Connect, o.Retries, o.Timeout = base.Builders, base.Snapshots, base.Connect, base.Retries, base.Timeout
	}
	return list
}

// runCompare builds the same input with every design, prints a table (or a list of reports), and draws curves.
func runCompare(flags *buildFlags, dir, svg string, stdout, stderr io.Writer) int {
	ctx, stop := interruptible()
	defer stop()
	reports, curves, list, err := compare(ctx, flags, dir, stderr)
	var ratio float64
	if err == nil && !flags.json {
		ratio, err = againstByHand(ctx, flags, list, dir)
	}
	if err == nil && svg != "" {
		err = drawCurves(svg, list, curves)
	}
	if err == nil {
		if flags.json {
			enc := json.NewEncoder(stdout)
			enc.SetIndent("", "  ")
			err = enc.Encode(reports)
		} else {
			err = printComparison(stdout, list, reports, ratio, flags.latency)
		}
	}
	if err != nil {
		fmt.Fprintf(stderr, "shards: %v\n", err)
		if ctx.Err() != nil {
			return exitAborted
		}
		return exitFailed
	}
	return exitOK
}

func compare(ctx context.Context, flags *buildFlags, dir string, stderr io.Writer) ([]build.Report, []build.Curves, []compared, error) {
	folder := filepath.Join(dir, "store")
	if err := os.MkdirAll(folder, 0o777); err != nil {
		return nil, nil, nil, err
	}
	place, writers, err := (&root{app: &app{}, path: folder}).openPlace(ctx, true)
	if err != nil {
		return nil, nil, nil, err
	}
	defer place.Close()
	if _, err := generate.Generate(ctx, place, writers, generate.Config{Seed: compareSeed, Shards: compareShards}); err != nil {
		return nil, nil, nil, err
	}
	list := comparisons(flags.options)
	var reports []build.Report
	var curves []build.Curves
	for _, c := range list {
		fmt.Fprintf(stderr, "%s\n", c.name)
		r, curve, err := compareOne(ctx, flags, c, folder, filepath.Join(dir, "shards"))
		if err != nil {
			return nil, nil, nil, fmt.Errorf("%s: %w", c.name, err)
		}
		r.Design = c.name
		reports, curves = append(reports, r), append(curves, curve)
	}
	return reports, curves, list, nil
}

// So often manual and what is written by hand are run in turns, to compare the best of each, and with so many times the
// latency: what is compared is how well the limits are kept full, not what else the machine has to do.
const (
	compareRounds = 3
	compareSlower = 5
)

// againstByHand returns how many times as long as by hand manual takes: in turns, so that whatever else the machine does
// strikes both, and the best of each.
func againstByHand(ctx context.Context, flags *buildFlags, list []compared, dir string) (float64, error) {
	slow := *flags
	slow.latency *= compareSlower
	best := map[string]float64{}
	for range compareRounds {
		for _, c := range list[:2] {
			r, _, err := compareOne(ctx, &slow, c, filepath.Join(dir, "store"), filepath.Join(dir, "shards"))
			if err != nil {
				return 0, fmt.Errorf("%s: %w", c.name, err)
			}
			if was, ok := best[c.name]; !ok || r.Makespan < was {
				best[c.name] = r.Makespan
			}
		}
	}
	return best[list[1].name] / best[list[0].name], nil
}

// compareOne builds all shards from scratch.
func compareOne(ctx context.Context, flags *buildFlags, c compared, root, out string) (build.Report, build.Curves, error) {
	if err := os.RemoveAll(out); err != nil {
		return build.Report{}, build.Curves{}, err
	}
	st, err := store.OpenDir(root)
	if err != nil {
		return build.Report{}, build.Curves{}, err
	}
	defer st.Close()
	shards, err := shardfile.CreateDir(out)
	if err != nil {
		return build.Report{}, build.Curves{}, err
	}
	defer shards.Close()
	meter := build.NewMeter(nil)
	files := &build.Files{Store: st, Out: shards, Want: flags.want, Limits: flags.limits, Meter: meter, Compress: c.compress, Latency: flags.latency, Seed: rand.Uint64()}
	run := func(ctx context.Context) error { return build.BySemaphores(ctx, files, meter, c.options) }
	if c.name != byHand {
		b, err := build.New(files, meter, c.options)
		if err != nil {
			return build.Report{}, build.Curves{}, err
		}
		run = b.Run
	}
	runtime.GC()
	heap := build.HeapPeak(5 * time.Millisecond)
	err = run(ctx)
	peak := heap()
	r := meter.Report(c.options.Design)
	r.PeakHeap = peak
	return r, meter.Curves(), err
}

func printComparison(w io.Writer, list []compared, reports []build.Report, ratio float64, latency time.Duration) error {
	fmt.Fprintf(w, "%d shards, %d snapshots, %.1f MB, each snapshot with %v of latency; N = %d shards in progress, M = %d snapshots in flight.\n\n",
		reports[0].ShardsBuilt, reports[0].SnapshotsFetched, float64(reports[0].BytesRead)/1e6, latency, list[0].options.Builders, list[0].options.Snapshots)
	const form = "%-52s %8s %8s %8s %8s %7s %7s %6s %6s %6s %8s  %s\n"
	fmt.Fprintf(w, form, "", "makespan", "times", "times by", "shards", "in", "bodies", "trans.", "heap", "owners", "connec-", "")
	fmt.Fprintf(w, form, "design", "s", "bound", "hand", "at once", "flight", "open", "MB", "MB", "busy %", "tions", "what it shows")
	for i, r := range reports {
		if _, err := fmt.Fprintf(w, "%-52s %8.2f %8.2f %8.2f %8d %7d %7d %6.2f %6.1f %6.0f %8d  %s\n", r.Design, r.Makespan, r.Makespan/r.LowerBound, r.Makespan/reports[0].Makespan,
			r.MaxShards, r.MaxSnapshots, r.MaxStoreOpen, float64(r.PeakTransit)/1e6, float64(r.PeakHeap)/1e6, 100*r.OwnerBusyShare, r.Connections, list[i].shows); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "\nThe bound is that of N and M: a design that exceeds one of them can be faster.\n"+
		"%s against %s, the best of %d each, in turns, at %v of latency: %.2f times as long.\n", list[1].name, list[0].name, compareRounds, compareSlower*latency, ratio)
	return err
}

// drawCurves draws snapshots in flight and bytes in transit over time, a curve for each design.
func drawCurves(file string, list []compared, curves []build.Curves) error {
	panels := []chart.Panel{
		{Title: "Snapshots in flight over time; grey: by hand", X: "s"},
		{Title: "Bytes in transit over time (read, and not yet ingested); grey: by hand", X: "s"},
	}
	for i, c := range curves {
		panels[0].Curves = append(panels[0].Curves, chart.Curve{Name: list[i].name, Points: chartPoints(c.InFlight)})
		panels[1].Curves = append(panels[1].Curves, chart.Curve{Name: list[i].name, Points: chartPoints(c.Transit)})
	}
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	if err := chart.Write(f, panels...); err != nil {
		_ = f.Close()
		return err
	}
	return f.Close()
}

func chartPoints(points []build.Point) []chart.Point {
	out := make([]chart.Point, len(points))
	for i, p := range points {
		out[i] = chart.Point{X: p.T, Y: float64(p.Value)}
	}
	return out
}
