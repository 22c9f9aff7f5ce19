package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/verify"
)

// runVerify is "shards verify".
func (a *app) runVerify(args []string, stdout, stderr io.Writer) int {
	fs := newFlags("verify", "verify -root DIR -out DIR", stderr)
	root := a.rootFlag(fs, "folder of the store")
	out := fs.String("out", "", "folder of the shard files")
	if _, code, ok := parseArgs(fs, args, 0); !ok {
		return code
	}
	if !need(fs, "root", "out") {
		return exitUsage
	}
	ctx, stop := interruptible()
	defer stop()
	res, err := verifyRoot(ctx, root, *out)
	for _, line := range res.Notes {
		fmt.Fprintln(stderr, "note:", line)
	}
	for _, line := range res.Differences {
		fmt.Fprintln(stdout, line)
	}
	if err != nil {
		fmt.Fprintf(stderr, "shards verify: %v\n", err)
		if errors.Is(err, context.Canceled) {
			return exitAborted
		}
		return exitFailed
	}
	fmt.Fprintf(stdout, "%d shards, %d snapshots, %d records compared, %d differences\n",
		res.Shards, res.Snapshots, res.Records, len(res.Differences))
	if len(res.Differences) > 0 {
		return exitFailed
	}
	return exitOK
}

func verifyRoot(ctx context.Context, root *root, out string) (verify.Result, error) {
	st, err := root.openStore(ctx, 1)
	if err != nil {
		return verify.Result{}, err
	}
	defer st.Close()
	dir, err := shardfile.OpenDir(out)
	if err != nil {
		return verify.Result{}, err
	}
	defer dir.Close()
	return verify.Verify(ctx, st, dir)
}
