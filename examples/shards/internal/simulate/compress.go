package simulate

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
)

// Compressing is what a lone shard of 240 comes to, by who compresses: its makespan in t, which a snapshot takes to fetch, and
// the share of it in which its owner is busy.
type Compressing struct {
	Takes  float64 // to compress a snapshot, in t
	Worker Lone    // manual, a worker compresses
	Owner  Lone    // manual, the owner compresses; it also hands out the pieces, and what asks for one waits until it has a moment
	Pool   Lone    // pool, the owner compresses; the pieces are in a queue by then
}

// Lone is a build of one shard.
type Lone struct{ Makespan, Busy float64 }

// MeasureCompressing builds a lone shard of 240 in these ways. As many workers compress at a time as there are slots, so with
// fewer cores than these it takes longer.
func MeasureCompressing(ctx context.Context, takes time.Duration) (Compressing, error) {
	c := Compressing{Takes: takes.Seconds() / unit.Seconds()}
	for _, way := range []struct {
		lone   *Lone
		design string
		by     build.CompressBy
	}{{&c.Worker, "manual", build.ByWorker}, {&c.Owner, "manual", build.ByOwner}, {&c.Pool, "pool", build.ByOwner}} {
		shards := many(1, 240)
		for i := range shards[0].Pieces {
			shards[0].Pieces[i].Compress = takes
		}
		r, err := BuildCompressed(ctx, build.Options{Design: way.design}, shards, way.by)
		if err != nil {
			return c, err
		}
		*way.lone = Lone{r.Report.Makespan / unit.Seconds(), r.Report.OwnerBusyShare}
	}
	return c, nil
}

// compressTakes are the times of the table: the owner of a lone shard with 20 slots has t/20 for each snapshot.
var compressTakes = []time.Duration{unit / 200, unit / 100, unit / 40, unit / 20, unit / 10}

// PrintCompressing prints a line for each of some times that compressing takes.
func PrintCompressing(ctx context.Context, w io.Writer) error {
	fmt.Fprintf(w, "A lone shard of 240 snapshots, each of which takes t to fetch. M = 20 snapshots in flight.\n\n")
	fmt.Fprintf(w, "%16s %18s %26s %26s\n", "", "manual", "manual", "pool")
	fmt.Fprintf(w, "%16s %18s %26s %26s\n", "to compress one", "-compress worker", "-compress owner, busy", "-compress owner, busy")
	for _, takes := range compressTakes {
		c, err := MeasureCompressing(ctx, takes)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%14g t %16.4g t %15.4g t %6.0f %% %15.4g t %6.0f %%\n", c.Takes, c.Worker.Makespan,
			c.Owner.Makespan, 100*c.Owner.Busy, c.Pool.Makespan, 100*c.Pool.Busy); err != nil {
			return err
		}
	}
	return nil
}
