package simulate

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
)

// The modelled store: what a snapshot takes before its first byte, and how fast one body is read.
const (
	dayLatency   = 200 * time.Millisecond
	dayBandwidth = 100 << 20 // bytes a second
	dayPersist   = 4         // times as fast is a shard persisted
)

// Day makes the stale shards of 24 hours: three bursts of 300 within ten minutes, and one every five minutes or so all day.
// Most miss one snapshot, one in forty was revived and misses 200; a snapshot decodes to 20 MB to 5 GB, evenly on a
// logarithmic scale.
func Day(seed uint64) []*Shard {
	random := rand.New(rand.NewPCG(seed, 0))
	var shards []*Shard
	add := func(at time.Duration) {
		n := 1
		if random.IntN(40) == 0 {
			n = 200
		}
		size := 20e6 * math.Pow(250, random.Float64())
		s := &Shard{Arrives: at}
		for range n {
			bytes := int64(size * (0.8 + 0.2*random.Float64()))
			s.Pieces = append(s.Pieces, Piece{Bytes: bytes, Takes: dayLatency + time.Duration(float64(bytes)/dayBandwidth*float64(time.Second))})
		}
		s.Persist = time.Duration(size / dayBandwidth / dayPersist * float64(time.Second))
		shards = append(shards, s)
	}
	for _, hour := range []int{6, 12, 18} {
		for range 300 {
			add(time.Duration(hour)*time.Hour + time.Duration(random.Int64N(int64(10*time.Minute))))
		}
	}
	for at := time.Duration(0); at < 24*time.Hour; at += time.Duration(random.ExpFloat64() * float64(5*time.Minute)) {
		add(at)
	}
	slices.SortStableFunc(shards, func(a, b *Shard) int { return cmp.Compare(a.Arrives, b.Arrives) })
	for i, s := range shards {
		s.Name = fmt.Sprintf("s%05d", i)
	}
	return shards
}

// Lag is how long shards of a run took from stale to persisted: half of them at most, and all but one in twenty.
func (r Run) Lag() (median, most time.Duration) {
	var lags []time.Duration
	for _, s := range r.Shards {
		lags = append(lags, s.Ended-s.Arrives)
	}
	slices.Sort(lags)
	return lags[len(lags)/2], lags[len(lags)*19/20]
}

// PrintDay simulates the day with each of the options and prints a line for each as it goes.
func PrintDay(ctx context.Context, w io.Writer, seed uint64, options []build.Options) error {
	pieces, bytes := 0, int64(0)
	day := Day(seed)
	for _, s := range day {
		pieces += len(s.Pieces)
		for _, p := range s.Pieces {
			bytes += p.Bytes
		}
	}
	fmt.Fprintf(w, "A day of %d stale shards with %d snapshots of 20 MB to 5 GB, %.1f TB in all, in three bursts and a trickle.\n\n", len(day), pieces, float64(bytes)/1e12)
	fmt.Fprintf(w, "%-18s %4s %4s %8s %10s %10s %8s %8s %9s %9s\n", "", "", "", "budget", "lag of", "lag of", "in", "shards", "transit", "indexes")
	fmt.Fprintf(w, "%-18s %4s %4s %8s %10s %10s %8s %8s %9s %9s\n", "design", "N", "M", "GB", "half", "95 %", "flight", "at once", "GB", "GB")
	for _, o := range options {
		r, err := Build(ctx, o, Day(seed))
		if err != nil {
			return err
		}
		median, most := r.Lag()
		budget := "-"
		if o.Budget > 0 {
			budget = fmt.Sprintf("%.0f", float64(o.Budget)/1e9)
		}
		name := r.Report.Design
		if o.Hold == build.HoldStream {
			name += ", stream"
		}
		if _, err := fmt.Fprintf(w, "%-18s %4d %4d %8s %10v %10v %8d %8d %9.1f %9.1f\n", name, o.Builders, o.Snapshots, budget,
			median.Round(time.Second), most.Round(time.Second), r.Report.MaxSnapshots, r.Report.MaxShards,
			float64(r.Report.PeakTransit)/1e9, float64(r.Report.PeakShards)/1e9); err != nil {
			return err
		}
	}
	return nil
}
