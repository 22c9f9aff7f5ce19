package simulate

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
)

// unit is t: what every sub-task of the table takes.
const unit = time.Second

// Row is one line of the table: a design, and what it came to.
type Row struct {
	Name     string
	Options  build.Options
	Arrivals []float64 // when the newcomer comes, in t; nil: [Arrivals]

	Peak       int     // ten shards of 240: most snapshots in flight
	Lone       float64 // one shard of 240: makespan
	Singles    float64 // 300 shards of one: makespan
	Newcomer   float64 // one of one snapshot beside nine of 240: the longest that it waits for its first body
	InProgress int     // 40 shards of 24: most in progress
}

// Rows returns the designs of the table, in its order.
func Rows() []Row {
	return []Row{
		{Name: "manual", Options: build.Options{Design: "manual"}},
		{Name: "manual -wiring direct", Options: build.Options{Design: "manual", Direct: true}},
		{Name: "manual -wiring direct, workers 20/10", Options: build.Options{Design: "manual", Direct: true, WorkerMax: 20, WorkerMin: 10}},
		{Name: "manual -wiring direct, workers 1000/500", Options: build.Options{Design: "manual", Direct: true, WorkerMax: 1000, WorkerMin: 500}},
		{Name: "manual -automatic", Options: build.Options{Design: "manual", Automatic: true}},
		{Name: "pool -queue 20", Options: build.Options{Design: "pool"}},
		{Name: "pool -queue 10000", Options: build.Options{Design: "pool", Queue: 10_000}},
		{Name: "children", Options: build.Options{Design: "children"}},
		{Name: "children -k 20 (shared)", Options: build.Options{Design: "children", K: 20}},
		{Name: "sync -consumers 2", Options: build.Options{Design: "sync", Consumers: 2}},
		{Name: "sync -consumers 9", Options: build.Options{Design: "sync", Consumers: 9}},
		{Name: "sync -consumers 20", Options: build.Options{Design: "sync", Consumers: 20}},
		{Name: "tasks -k 2", Options: build.Options{Design: "tasks", K: 2}},
		{Name: "tasks -k 20", Options: build.Options{Design: "tasks", K: 20}},
		{Name: "manual-supervised", Options: build.Options{Design: "manual-supervised"}},
		{Name: "pool-supervised", Options: build.Options{Design: "pool-supervised"}},
		{Name: "budget (room for 20)", Options: build.Options{Design: "budget", Budget: 40}},
		{Name: "aggregator", Options: build.Options{Design: "aggregator"}},
		{Name: "aggregator -consumers 10", Options: build.Options{Design: "aggregator", Consumers: 10}},
		{Name: "naive", Options: build.Options{Design: "naive"}},
		{Name: "limited", Options: build.Options{Design: "limited"}},
	}
}

// Arrivals are when the newcomer of the table comes, in t.
var Arrivals = []float64{0, 0.5, 3, 10.25, 40.5}

// Measure fills in the figures of a row. check, unless it is nil, is called with every run.
func (r *Row) Measure(ctx context.Context, check func(Run)) error {
	run := func(shards []*Shard, figure func(Run)) error {
		came, err := Build(ctx, r.Options, shards)
		if err != nil {
			return fmt.Errorf("%s: %w", r.Name, err)
		}
		if figure(came); check != nil {
			check(came)
		}
		return nil
	}
	inUnits := func(seconds float64) float64 { return seconds / unit.Seconds() }
	err := run(many(10, 240), func(c Run) { r.Peak = c.Report.MaxSnapshots })
	if err == nil {
		err = run(many(1, 240), func(c Run) { r.Lone = inUnits(c.Report.Makespan) })
	}
	if err == nil {
		err = run(many(300, 1), func(c Run) { r.Singles = inUnits(c.Report.Makespan) })
	}
	arrivals := r.Arrivals
	if arrivals == nil {
		arrivals = Arrivals
	}
	for _, at := range arrivals {
		if err != nil {
			break
		}
		late := many(1, 1)[0]
		late.Name, late.Arrives = "newcomer", time.Duration(at*float64(unit))
		err = run(append(many(9, 240), late), func(Run) {
			r.Newcomer = max(r.Newcomer, inUnits((late.Opened - late.Arrives).Seconds()))
		})
	}
	if err == nil {
		err = run(many(40, 24), func(c Run) { r.InProgress = c.Report.MaxShards })
	}
	return err
}

// many makes n shards of k snapshots.
func many(n, k int) []*Shard {
	pieces := make([]Piece, k)
	for i := range pieces {
		pieces[i] = Piece{Takes: unit, Bytes: 1}
	}
	var shards []*Shard
	for i := range n {
		shards = append(shards, &Shard{Name: fmt.Sprintf("s%03d", i), Pieces: pieces})
	}
	return shards
}

// PrintTable measures all rows and prints the table as it goes. connect is what a connection to the store takes to be made,
// where t is a second.
func PrintTable(ctx context.Context, w io.Writer, connect time.Duration) error {
	fmt.Fprintf(w, "Every sub-task takes t. N = 10 shards in progress, M = 20 snapshots in flight.\n\n")
	fmt.Fprintf(w, "%-40s %9s %9s %9s %9s %9s\n", "", "ten × 240", "lone 240", "300 × 1", "newcomer", "40 × 24")
	fmt.Fprintf(w, "%-40s %9s %9s %9s %9s %9s\n", "design", "in flight", "takes", "take", "waits", "in progr.")
	for _, r := range Rows() {
		r.Options.Connect = connect
		if err := r.Measure(ctx, nil); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "%-40s %9d %7.4g t %7.4g t %7.4g t %9d\n", r.Name, r.Peak, r.Lone, r.Singles, r.Newcomer, r.InProgress); err != nil {
			return err
		}
	}
	return nil
}
