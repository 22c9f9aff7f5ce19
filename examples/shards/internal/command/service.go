package command

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
	"github.com/go-genstage/genstage/examples/shards/internal/disk"
	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/stage"
)

// serviceFlags are those of a build that an operator cares for.
type serviceFlags struct {
	drain  time.Duration
	dryRun bool
	log    string
}

func (s *serviceFlags) add(fs *flag.FlagSet, o *build.Options) {
	fs.DurationVar(&s.drain, "drain", 25*time.Second, "after the first interrupt or SIGTERM: how long the shards in progress may take before they are aborted; 0 for no limit")
	fs.BoolVar(&s.dryRun, "dry-run", false, "only say what is stale, and why")
	fs.StringVar(&s.log, "log", "", "text, json or off: a line on standard error for each shard begun, built or failed and each snapshot tried again; empty: text with -watch, else off")
	fs.Int64Var(&o.MinRate, "min-rate", 1<<20, "bytes per second that a store must give at least: a try may take -timeout and what the snapshot's size takes at this rate")
	fs.StringVar(&o.Source.Only, "only", "", "glob: only shards with such a name")
	fs.StringVar((*string)(&o.Source.Order), "order", string(build.OrderName), "name; oldest: by the name of the first missing snapshot; small-first: by the number of missing ones. The last two look at all shards before the first is begun")
	fs.IntVar(&o.Source.ReserveSmall, "reserve-small", 0, "so many of the builders take small shards only")
	fs.IntVar(&o.Source.Small, "small", 4, "with -reserve-small: a shard is small if it misses at most so many snapshots")
}

// check finds flags out of range.
func (s *serviceFlags) check(o *build.Options, stderr io.Writer) error {
	if s.drain < 0 {
		return fmt.Errorf("-drain %v: want 0 or more", s.drain)
	}
	if s.log == "" {
		s.log = "off"
		if o.Watch {
			s.log = "text"
		}
	}
	switch s.log {
	case "text":
		o.Log = slog.New(slog.NewTextHandler(stderr, nil))
	case "json":
		o.Log = slog.New(slog.NewJSONHandler(stderr, nil))
	case "off":
	default:
		return fmt.Errorf("-log %q: want text, json or off", s.log)
	}
	return nil
}

// say tells the operator something: in the log, or as a line of its own.
func (s *serviceFlags) say(o *build.Options, stderr io.Writer, text string) {
	if o.Log != nil {
		o.Log.Info(text)
		return
	}
	fmt.Fprintln(stderr, "shards:", text)
}

// errAborted is the cause of a build that the second signal ended, or the end of the time that draining may take.
var errAborted = errors.New("aborted")

// runUntilSignal runs a build. The first interrupt or SIGTERM drains it: no new shard is begun, those in progress are finished,
// but for no longer than drain, unless that is 0. The second aborts it.
func runUntilSignal(b stage.Stage, drain time.Duration, say func(string)) error {
	signals := notifySignals()
	defer signals.stop()
	over := make(chan struct{})
	watched := make(chan struct{})
	go func() { // ends when the run is over; runUntilSignal waits for it
		defer close(watched)
		select {
		case <-signals.c:
		case <-over:
			return
		}
		say("finishing the shards in progress; interrupt again to abort")
		stopped := make(chan struct{})
		go func() { // ends when the run is over; the function around it waits for it
			defer close(stopped)
			_ = b.Stop(context.Background()) // Run tells how it ended
		}()
		var late <-chan time.Time
		if drain > 0 {
			late = time.After(drain)
		}
		select {
		case <-signals.c:
			b.Abort(errAborted)
		case <-late:
			b.Abort(fmt.Errorf("%w: not finished within %v", errAborted, drain))
		case <-over:
		}
		<-stopped
	}()
	err := b.Run(context.Background())
	close(over)
	<-watched
	return err
}

// staleLine is what -dry-run -json says of a shard.
type staleLine struct {
	Shard       string   `json:"shard"`
	Reason      string   `json:"reason"`
	Missing     []string `json:"missing"`
	CarriedOver int      `json:"carried_over"`
}

// dryRun prints what is stale, and why. It takes no lock and changes nothing: what is being built meanwhile may be told as stale.
func dryRun(flags *buildFlags, root *root, out string, stdout, stderr io.Writer) int {
	ctx, stop := interruptible()
	defer stop()
	fail := func(err error) int {
		fmt.Fprintf(stderr, "shards: %v\n", err)
		return exitFailed
	}
	st, err := root.openStore(ctx, flags.options.Snapshots)
	if err != nil {
		return fail(err)
	}
	defer st.Close()
	var shardFiles shardfile.FS = new(disk.Model) // an empty folder
	dir, err := shardfile.OpenDir(out)
	switch {
	case err == nil:
		defer dir.Close()
		shardFiles = dir
	case !errors.Is(err, fs.ErrNotExist):
		return fail(err)
	}
	files := &build.Files{Store: st, Out: shardFiles, Want: flags.want, Limits: flags.limits, Meter: build.NewMeter(nil), ReadOnly: true}
	tasks, of, err := build.Stale(ctx, files, flags.options.Source)
	if ctx.Err() != nil {
		return exitAborted
	}
	lines := []staleLine{}
	for _, t := range tasks {
		lines = append(lines, staleLine{Shard: t.Shard, Reason: t.Reason, Missing: t.Snapshots, CarriedOver: t.Reused})
	}
	if printErr := printStale(lines, of, flags.json, stdout); printErr != nil {
		return fail(printErr)
	}
	if err != nil {
		return fail(err)
	}
	return exitOK
}

func printStale(lines []staleLine, of int, asJSON bool, w io.Writer) error {
	if asJSON {
		enc := json.NewEncoder(w)
		enc.SetIndent("", "  ")
		return enc.Encode(lines)
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%-24s %4d to fetch, %d carried over: %s\n", l.Shard, len(l.Missing), l.CarriedOver, l.Reason); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintf(w, "%d of %d shards are stale\n", len(lines), of)
	return err
}
