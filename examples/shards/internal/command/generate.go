package command

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/go-genstage/genstage/examples/shards/internal/generate"
)

// runGenerate is "shards generate".
func runGenerate(args []string, stdout, stderr io.Writer) int {
	fs := newFlags("generate", "generate -root DIR [-seed N] [-shards N] [-size small|medium|large] [-tick]", stderr)
	root := fs.String("root", "", "folder to generate into; new, empty or generated before")
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var stats generate.Stats
	var err error
	if *tick {
		stats, err = generate.Tick(ctx, *root)
	} else {
		stats, err = generate.Generate(ctx, *root, config)
	}
	if err != nil {
		fmt.Fprintf(stderr, "shards generate: %v\n", err)
		if ctx.Err() != nil {
			return exitAborted
		}
		return exitFailed
	}
	if stats.Existing {
		fmt.Fprintf(stdout, "%s is generated already, up to %s\n", *root, stats.LastWeek)
		return exitOK
	}
	fmt.Fprintf(stdout, "%d snapshots, %d bytes, for %d shards (%d revived), up to %s\n",
		stats.Snapshots, stats.Bytes, stats.Shards, stats.Revived, stats.LastWeek)
	return exitOK
}
