package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/examples/shards/internal/simulate"
)

// runSimulate is "shards simulate".
func runSimulate(args []string, stdout, stderr io.Writer) int {
	fs := newFlags("simulate", "simulate [-table | -children | -compress | FLAGS]", stderr)
	table := fs.Bool("table", false, "what each design reaches, and where it fails, if every sub-task takes as long")
	children := fs.Bool("children", false, "how many children of a consumer supervisor run on average, by its min demand")
	compress := fs.Bool("compress", false, "how long a lone shard takes if its workers compress, and if its owner does")
	hold := fs.String("hold", "body", "of the day: body or stream")
	connect := fs.Duration("connect", 0, "with -table: what a connection takes to be made, where a sub-task takes 1s")
	design := fs.String("design", "manual", "of the day")
	builders := fs.String("builders", "5,10,20", "N, shards in progress: a list")
	snapshots := fs.String("snapshots", "10,20,40", "M, snapshots in flight: a list")
	budgets := fs.String("budget", "0,64", "in GB, 0 for none: a list")
	seed := fs.Uint64("seed", 1, "of the day")
	if _, code, ok := parseArgs(fs, args, 0); !ok {
		return code
	}
	var options []build.Options
	err := forEach(*budgets, func(gb int64) error {
		return forEach(*builders, func(n int64) error {
			return forEach(*snapshots, func(m int64) error {
				if n < 1 || m < 1 || n > 10_000 || m > 10_000 || gb < 0 || gb > 100_000 {
					return fmt.Errorf("-builders %d, -snapshots %d, -budget %d: out of range", n, m, gb)
				}
				o := build.Options{Design: *design, Builders: int(n), Snapshots: int(m), Budget: gb * 1e9, Hold: build.Hold(*hold)}
				options = append(options, o)
				return o.Check()
			})
		})
	})
	if err == nil {
		err = checkSimulate(fs, *connect)
	}
	if err != nil {
		fmt.Fprintf(stderr, "shards simulate: %v\n", err)
		return exitUsage
	}
	simulate.Bubble(func() {
		ctx := context.Background()
		switch {
		case *table:
			err = simulate.PrintTable(ctx, stdout, *connect)
		case *compress:
			err = simulate.PrintCompressing(ctx, stdout)
		case *children:
			err = simulate.PrintChildren(ctx, stdout)
		default:
			err = simulate.PrintDay(ctx, stdout, *seed, options)
		}
	})
	if err != nil {
		fmt.Fprintf(stderr, "shards simulate: %v\n", err)
		return exitFailed
	}
	return exitOK
}

// checkSimulate finds flags out of range, and such that do not go together.
func checkSimulate(fs *flag.FlagSet, connect time.Duration) (err error) {
	if connect < 0 || connect > 24*time.Hour {
		return fmt.Errorf("-connect %v: want 0 to 24h", connect)
	}
	which := ""
	for _, name := range []string{"table", "children", "compress"} {
		if fs.Lookup(name).Value.String() != "true" {
			continue
		}
		if which != "" {
			return fmt.Errorf("-%s does not go with -%s: each prints something else", name, which)
		}
		which = name
	}
	fs.Visit(func(f *flag.Flag) {
		switch {
		case f.Name == which:
		case f.Name == "connect" && which != "table":
			err = errors.New("-connect goes with -table only")
		case f.Name != "connect" && which != "" && f.Value.String() != "false":
			err = fmt.Errorf("-%s does not go with -%s: it is of the day", f.Name, which)
		}
	})
	return err
}

// forEach calls fn for each number of a list.
func forEach(list string, fn func(int64) error) error {
	for _, text := range strings.Split(list, ",") {
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
		if err != nil {
			return fmt.Errorf("%q is no list of numbers", list)
		}
		if err := fn(n); err != nil {
			return err
		}
	}
	return nil
}
