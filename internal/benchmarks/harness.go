package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/pprof"
	"slices"
	"time"
)

// work is something that each contestant does in its own way.
type work struct {
	id, title   string
	sinks       int
	check       check
	contestants []contestant
	reaches     []reach
	paired      bool   // each second contestant is who the one before is compared with
	unit        string // of what a job counts; "event" if empty
}

// contestant does the work for one job: it moves the events from the job to its sinks, and returns when all
// have arrived.
type contestant struct {
	name string
	run  func(*job) error
}

// reach is what is to be reached, within a round: the time per event of a contestant is to be at most that of
// another one times most.
type reach struct {
	name, than string
	most       float64
}

// sample is one run.
type sample struct {
	nanos, cpu, allocs, bytes float64 // per event; cpu: of all processors together
}

// measured is what came of a work.
type measured struct {
	work    *work
	sizes   []int      // events per run, of each contestant
	samples [][]sample // of each contestant, by round
}

// measure runs the rounds of some works. In each round the contestants of a work run once each, in an order
// that is drawn anew: what is compared ran within the same second.
func measure(works []*work, rounds int, each time.Duration, seed uint64, progress func(string)) ([]*measured, error) {
	random := rand.New(rand.NewPCG(seed, 0))
	results := make([]*measured, len(works))
	for i, w := range works {
		progress(w.id + ": how many events take " + each.String())
		results[i] = &measured{work: w, samples: make([][]sample, len(w.contestants))}
		for _, c := range w.contestants {
			n, err := w.calibrate(c, each)
			if err != nil {
				return nil, err
			}
			results[i].sizes = append(results[i].sizes, n)
		}
	}
	for round := range rounds {
		for i, w := range works {
			progress(fmt.Sprintf("round %d of %d: %s", round+1, rounds, w.id))
			for _, c := range random.Perm(len(w.contestants)) {
				s, _, err := w.once(w.contestants[c], results[i].sizes[c])
				if err != nil {
					return nil, err
				}
				results[i].samples[c] = append(results[i].samples[c], s)
			}
		}
	}
	return results, nil
}

// calibrate returns how many events a contestant moves in about that time.
func (w *work) calibrate(c contestant, each time.Duration) (int, error) {
	for n := 1000; ; {
		_, took, err := w.once(c, n)
		if err != nil {
			return 0, err
		}
		if took >= each/2 {
			return max(1, int(float64(n)*float64(each)/float64(took))), nil
		}
		n *= int(min(100, max(2, each/max(1, took))))
	}
}

// once runs a contestant once, and verifies what it did.
func (w *work) once(c contestant, n int) (sample, time.Duration, error) {
	j := newJob(n, w.sinks)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	began, worked := time.Now(), cpuTime()
	var err error
	pprof.Do(context.Background(), pprof.Labels("contestant", c.name), func(context.Context) { err = c.run(j) })
	took := time.Since(began)
	worked = cpuTime() - worked
	runtime.ReadMemStats(&after)
	if err == nil {
		err = w.check(j)
	}
	if err != nil {
		return sample{}, 0, fmt.Errorf("%s, %s, %d events: %w", w.id, c.name, n, err)
	}
	per := func(x float64) float64 { return x / float64(n) }
	return sample{
		nanos:  per(float64(took.Nanoseconds())),
		cpu:    per(float64(worked.Nanoseconds())),
		allocs: per(float64(after.Mallocs - before.Mallocs)),
		bytes:  per(float64(after.TotalAlloc - before.TotalAlloc)),
	}, took, nil
}

// spread is the middle of some figures, and the least and the largest of them.
type spread struct {
	Median, Min, Max float64
}

func spreadOf(figures []float64) spread {
	if len(figures) == 0 {
		return spread{}
	}
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return spread{(sorted[(n-1)/2] + sorted[n/2]) / 2, sorted[0], sorted[n-1]}
}

// spread is that of one figure of a contestant over the rounds.
func (m *measured) spread(c int, figure func(sample) float64) spread {
	var figures []float64
	for _, s := range m.samples[c] {
		figures = append(figures, figure(s))
	}
	return spreadOf(figures)
}

func nanos(s sample) float64  { return s.nanos }
func cpu(s sample) float64    { return s.cpu }
func allocs(s sample) float64 { return s.allocs }
func memory(s sample) float64 { return s.bytes }

// ratio is how many times the figure of contestant b that of a is, in each round.
func (m *measured) ratio(a, b int, figure func(sample) float64) spread {
	var ratios []float64
	for round, s := range m.samples[a] {
		if of := figure(m.samples[b][round]); of > 0 {
			ratios = append(ratios, figure(s)/of)
		}
	}
	return spreadOf(ratios)
}

func (m *measured) index(name string) int {
	return slices.IndexFunc(m.work.contestants, func(c contestant) bool { return c.name == name })
}
