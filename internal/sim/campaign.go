package sim

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Config says which seeds a campaign runs.
type Config struct {
	From      uint64    // the first seed
	Seeds     int       // how many
	Modes     []Mode    // every seed in each of them; none: both
	Alternate bool      // every seed in one of them only, which changes from seed to seed
	Workers   int       // at once; at least 1
	First     bool      // stop at the first violation
	Progress  io.Writer // a line now and then; nil: none
}

// Report is what a campaign showed.
type Report struct {
	Runs   int
	Failed []Result // runs with violations, in order of their seeds within a worker
	States States
}

// Violations counts the runs with violations.
func (r *Report) Violations() int { return len(r.Failed) }

// Campaign runs many seeds, each in a bubble of its own, and blocks until all have ended. It fails no test: what is
// wrong stands in the report.
func Campaign(t *testing.T, cfg Config) *Report {
	report := &Report{}
	modes := cfg.Modes
	if len(modes) == 0 {
		modes = []Mode{Safety, Liveness}
	}
	each := len(modes) // runs of a seed
	if cfg.Alternate {
		each = 1
	}
	var next, stop atomic.Int64
	var mu sync.Mutex
	begin := time.Now()
	work := func() {
		for stop.Load() == 0 {
			i := int(next.Add(1)) - 1
			if i >= cfg.Seeds*each {
				return
			}
			seed, mode := cfg.From+uint64(i/each), modes[i%len(modes)]
			result := Run(t, OptionsOf(seed, mode), nil)
			mu.Lock()
			report.Runs++
			report.States.add(&result.States)
			if len(result.Violations) > 0 {
				report.Failed = append(report.Failed, result)
				if cfg.Progress != nil {
					_, _ = fmt.Fprintf(cfg.Progress, "sim: seed %d %v: %s\n", seed, mode, result.Violations[0])
				}
				if cfg.First {
					stop.Store(1)
				}
			}
			if cfg.Progress != nil && report.Runs%1000 == 0 {
				_, _ = fmt.Fprintf(cfg.Progress, "sim: %d runs, %d with violations, %v\n", report.Runs, len(report.Failed), time.Since(begin).Round(time.Second))
			}
			mu.Unlock()
		}
	}
	var all sync.WaitGroup
	for range max(1, cfg.Workers) {
		all.Go(work)
	}
	all.Wait()
	return report
}
