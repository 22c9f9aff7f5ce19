package command

import (
	"context"
	"fmt"
	"io"
	"path/filepath"

	"github.com/go-genstage/genstage/examples/shards/internal/generate"
)

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
