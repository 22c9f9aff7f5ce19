package main

import (
	"encoding/json"
	"io"
	"os"
	"time"
)

// figures is all that was measured, as -json writes it.
type figures struct {
	Header   string
	Records  []record
	Outcomes map[string][]outcome
	Idle     []footprint
	Shards   []shardFigures
	Crowd    []crowdFigures
}

// record is one contestant of one work.
type record struct {
	Work, Title, Contestant string
	Events                  int // per run
	Rounds                  []map[string]float64
}

// take takes the results of works that are measured event by event.
func (f *figures) take(results []*measured) {
	f.Outcomes = map[string][]outcome{}
	for _, m := range results {
		for c, contestant := range m.work.contestants {
			r := record{Work: m.work.id, Title: m.work.title, Contestant: contestant.name, Events: m.sizes[c]}
			for _, s := range m.samples[c] {
				r.Rounds = append(r.Rounds, map[string]float64{"ns": s.nanos, "cpu": s.cpu, "allocs": s.allocs, "bytes": s.bytes})
			}
			f.Records = append(f.Records, r)
		}
		f.Outcomes[m.work.id] = m.outcomes()
	}
}

// measure does one of the other works, and prints what came of it.
func (f *figures) measure(name string, rounds int, w io.Writer) (err error) {
	switch name {
	case "W9m":
		if f.Idle, err = idle(10_000); err == nil {
			reportIdle(w, f.Idle)
		}
	case "W10":
		if f.Shards, err = runShards(rounds, 10*time.Millisecond); err == nil {
			reportShards(w, f.Shards)
		}
	case "W11":
		for _, n := range []int{10, 1_000, 100_000} {
			c, err := crowd(n, 400_000)
			if err != nil {
				return err
			}
			f.Crowd = append(f.Crowd, c)
		}
		reportCrowd(w, f.Crowd)
	}
	return err
}

func (f *figures) write(file string) error {
	text, err := json.MarshalIndent(f, "", "\t")
	if err != nil {
		return err
	}
	return os.WriteFile(file, append(text, '\n'), 0o644)
}
