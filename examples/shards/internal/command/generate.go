package command

import (
	"context"
	"fmt"
	"io"

	"github.com/go-genstage/genstage/examples/shards/internal/generate"
)

// runGenerate is "shards generate".
func (a *app) runGenerate(args []string, stdout, stderr io.Writer) int {
	fs := newFlags("generate", "generate -root DIR [-seed N] [-shards N] [-size small|medium|large] [-tick]", stderr)
	root := a.rootFlag(fs, "folder to generate into; new, empty or generated before")
	var config generate.Config
	fs.Uint64Var(&config.Seed, "seed", 1, "equal seeds give equal bytes")
	fs.IntVar(&config.Shards, "shards", 300, "number of shards")
	fs.StringVar(&config.Size, "size", "small", "small (about 40 MB), medium (1 GB) or large (25 GB), for 300 shards")
	tick := fs.Bool("tick", false, "let a week pass in a generated folder: 70 % of the shards get a snapshot, 5 % get 200 old ones; -seed, -shards and -size are the folder's")
	if _, code, ok := parseArgs(fs, args, 0); !ok {
		return code
	}
	if !need(fs, "root") {
		return exitUsage
	}
	if err := checkPositive(fs); err != nil {
		fmt.Fprintf(stderr, "shards generate: %v\n", err)
		return exitUsage
	}
	if err := config.Check(); err != nil {
		fmt.Fprintf(stderr, "shards generate: %v\n", err)
		return exitUsage
	}
	ctx, stop := interruptible()
	defer stop()
	stats, err := generateInto(ctx, root, config, *tick)
	if err != nil {
		fmt.Fprintf(stderr, "shards generate: %v\n", err)
		if ctx.Err() != nil {
			return exitAborted
		}
		return exitFailed
	}
	if stats.Existing {
		fmt.Fprintf(stdout, "%s is generated already, up to %s\n", root.path, stats.LastWeek)
		return exitOK
	}
	fmt.Fprintf(stdout, "%d snapshots, %d bytes, for %d shards (%d revived), up to %s\n",
		stats.Snapshots, stats.Bytes, stats.Shards, stats.Revived, stats.LastWeek)
	return exitOK
}

func generateInto(ctx context.Context, root *root, config generate.Config, tick bool) (generate.Stats, error) {
	place, writers, err := root.openPlace(ctx, !tick)
	if err != nil {
		return generate.Stats{}, err
	}
	defer place.Close()
	if tick {
		return generate.Tick(ctx, place, writers)
	}
	return generate.Generate(ctx, place, writers, config)
}
