package build

import (
	"fmt"
	"io"
	"math"
	"runtime"
	"runtime/metrics"
	"time"
)

// Report is what a build came to. Times are in seconds, sizes in bytes.
type Report struct {
	Design           string  `json:"design"`
	ShardsBuilt      int     `json:"shards_built"`
	ShardsFailed     int     `json:"shards_failed"`
	ShardsListed     int     `json:"shards_listed"` // at last; with SourceOptions.Only, those of such a name
	SnapshotsFetched int     `json:"snapshots_fetched"`
	SnapshotsReused  int     `json:"snapshots_reused"`
	MaxShards        int     `json:"max_shards"`    // most in progress at once
	MaxSnapshots     int     `json:"max_snapshots"` // most in flight at once: from slot taken to result ingested
	MaxStoreOpen     int     `json:"max_store_open"`
	MeanInFlight     float64 `json:"mean_in_flight_while_waiting"` // over the time in which as many waited as there are slots; 0 if there was none
	Makespan         float64 `json:"makespan_s"`
	OwnerBusyShare   float64 `json:"owner_busy_share"` // of the time from a shard's begin until all its snapshots have come, in which its owner took some
	LowerBound       float64 `json:"lower_bound_s"`    // no schedule can be faster, given the store's own times
	Connections      int     `json:"connections_opened"`
	BytesRead        int64   `json:"bytes_read"` // as stored
	ValueBytesRaw    int64   `json:"value_bytes_raw"`
	ValueBytesStored int64   `json:"value_bytes_stored"`
	PeakTransit      int64   `json:"peak_transit_bytes"`     // raw bytes read and not ingested
	PeakShards       int64   `json:"peak_shards_bytes"`      // that shards under construction hold: their indexes
	ShardsOverdraft  int64   `json:"shards_overdraft_bytes"` // the most of these beyond their half of the budget; 0 without
	PeakHeap         int64   `json:"peak_heap_bytes"`        // live heap objects, sampled
	PeakRSS          int64   `json:"peak_rss_bytes"`         // of the process; 0 where the system does not tell
	GoroutinesEnd    int     `json:"goroutines_end"`

	Failures []Failure `json:"failures,omitempty"`
}

// Report returns what was counted. After the run it is final.
func (m *Meter) Report(design string) Report {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := Report{
		Design: design, ShardsBuilt: m.totals.built, ShardsFailed: m.totals.failed, ShardsListed: m.wanted,
		SnapshotsFetched: m.totals.fetched, SnapshotsReused: m.totals.reused,
		MaxShards: m.top.shards, MaxSnapshots: m.top.slots, MaxStoreOpen: m.top.bodies,
		Makespan: m.makespan.Seconds(), LowerBound: m.lowerBound().Seconds(),
		Connections: m.connected,
		BytesRead:   m.totals.bytesRead, ValueBytesRaw: m.totals.valuesRaw, ValueBytesStored: m.totals.valuesAsStored,
		PeakTransit: m.topTransit, PeakShards: m.topShards, PeakRSS: peakRSS(), GoroutinesEnd: runtime.NumGoroutine(),
		Failures: m.failures,
	}
	if m.busyTime > 0 {
		r.MeanInFlight = m.busySum / m.busyTime
	}
	if m.budget > 0 {
		r.ShardsOverdraft = max(0, m.topShards-m.budget)
	}
	if m.gathering > 0 {
		r.OwnerBusyShare = m.ownerTime.Seconds() / m.gathering.Seconds()
	}
	return r
}

// TraceErr returns why the trace is not complete, nil if it is.
func (m *Meter) TraceErr() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.traceErr
}

// lowerBound is the larger of three bounds: all snapshots over all slots, all shards over all builders, the longest shard.
// A shard's own time is that of its snapshots over all slots, or of its longest snapshot, and of persisting it.
func (m *Meter) lowerBound() time.Duration {
	if m.slots == 0 || m.builders == 0 {
		return 0
	}
	var all, shards, longest time.Duration
	for _, s := range m.finished {
		own := max(s.sum/time.Duration(m.slots), s.longest) + s.persist
		all += s.sum
		shards += own
		longest = max(longest, own)
	}
	return max(all/time.Duration(m.slots), shards/time.Duration(m.builders), longest)
}

// Progress is where a build stands, for a progress line.
type Progress struct {
	Built, Failed, Fetched, InProgress, InFlight, Waiting int
	Elapsed                                               time.Duration
}

// Progress returns where the build stands now.
func (m *Meter) Progress() Progress {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := Progress{
		Built: m.totals.built, Failed: m.totals.failed, Fetched: m.totals.fetched,
		InProgress: m.now.shards, InFlight: m.now.slots, Waiting: m.waiting,
	}
	if !m.begun.IsZero() {
		p.Elapsed = time.Since(m.begun)
	}
	return p
}

// String returns the progress as one line.
func (p Progress) String() string {
	return fmt.Sprintf("%6.1fs  %d shards built, %d failed, %d in progress; %d snapshots fetched, %d in flight, %d waiting",
		p.Elapsed.Seconds(), p.Built, p.Failed, p.InProgress, p.Fetched, p.InFlight, p.Waiting)
}

// Print writes the report for people.
func (r Report) Print(w io.Writer) error {
	mb := func(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }
	ratio := func(a, b float64) string {
		if b == 0 {
			return "-"
		}
		return fmt.Sprintf("%.2f", a/b)
	}
	lines := [][2]string{
		{"design", r.Design},
		{"shards built", fmt.Sprintf("%d, failed %d, of %d listed", r.ShardsBuilt, r.ShardsFailed, r.ShardsListed)},
		{"snapshots fetched", fmt.Sprintf("%d, carried over %d", r.SnapshotsFetched, r.SnapshotsReused)},
		{"most at once", fmt.Sprintf("%d shards in progress, %d snapshots in flight, %d bodies open", r.MaxShards, r.MaxSnapshots, r.MaxStoreOpen)},
		{"mean in flight", fmt.Sprintf("%.1f while as many waited as there are slots", r.MeanInFlight)},
		{"makespan", fmt.Sprintf("%.2f s, %s times the lower bound of %.2f s", r.Makespan, ratio(r.Makespan, r.LowerBound), r.LowerBound)},
		{"owners", fmt.Sprintf("busy with what comes for %.0f %% of the time", 100*r.OwnerBusyShare)},
		{"read", fmt.Sprintf("%s; values %s, stored as %s (%s to 1)", mb(r.BytesRead), mb(r.ValueBytesRaw), mb(r.ValueBytesStored),
			ratio(float64(r.ValueBytesRaw), float64(r.ValueBytesStored)))},
		{"memory", fmt.Sprintf("%s in transit, %s heap, %s of the process at most", mb(r.PeakTransit), mb(r.PeakHeap), mb(r.PeakRSS))},
		{"goroutines left", fmt.Sprint(r.GoroutinesEnd)},
	}
	for _, l := range lines {
		if _, err := fmt.Fprintf(w, "%-18s %s\n", l[0], l[1]); err != nil {
			return err
		}
	}
	for _, f := range r.Failures {
		if _, err := fmt.Fprintf(w, "FAILED  %s\n", f.Error); err != nil {
			return err
		}
	}
	return nil
}

// HeapPeak samples the live heap until stop is called, which returns the highest sample.
func HeapPeak(every time.Duration) (stop func() int64) {
	quit, peak := make(chan struct{}), make(chan int64)
	go func() { // ends with stop, which waits for it
		tick := time.NewTicker(every)
		defer tick.Stop()
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		var top uint64
		for {
			metrics.Read(sample)
			top = max(top, sample[0].Value.Uint64())
			select {
			case <-tick.C:
			case <-quit:
				peak <- int64(min(top, math.MaxInt64))
				return
			}
		}
	}()
	return func() int64 { close(quit); return <-peak }
}
