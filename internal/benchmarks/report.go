package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// report prints the table of a work, and what it reached.
func report(w io.Writer, m *measured) {
	unit := m.work.unit
	if unit == "" {
		unit = "event"
	}
	fmt.Fprintf(w, "\n%s: %s\n\n", m.work.id, m.work.title)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	heading := "ours takes"
	if m.work.paired {
		heading = "of batch"
	}
	fmt.Fprintf(t, "\tns/%s\tmin\tmax\t%s\tmin\tmax\tCPU ns\tCPU\tallocs\tB\t\n", unit, heading)
	ours := m.index("ours")
	for c, contestant := range m.work.contestants {
		a, b := ours, c
		if m.work.paired {
			a, b = c, c|1
		}
		n, r := m.spread(c, nanos), m.ratio(a, b, nanos)
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.2f x\t%.2f\t%.2f\t%.1f\t%.2f x\t%.3f\t%.1f\t\n",
			contestant.name, n.Median, n.Min, n.Max, r.Median, r.Min, r.Max,
			m.spread(c, cpu).Median, m.ratio(a, b, cpu).Median, m.spread(c, allocs).Median, m.spread(c, memory).Median)
	}
	t.Flush()
	for _, r := range m.outcomes() {
		fmt.Fprintln(w, r)
	}
}

// outcome is a reach, and what was measured.
type outcome struct {
	Name, Than string
	Most       float64 // of the time
	Measured   spread
	Reached    bool
}

func (m *measured) outcomes() []outcome {
	var all []outcome
	for _, r := range m.work.reaches {
		if m.index(r.name) < 0 || m.index(r.than) < 0 { // -beside
			continue
		}
		measured := m.ratio(m.index(r.name), m.index(r.than), nanos)
		all = append(all, outcome{r.name, r.than, r.most, measured, measured.Median <= r.most})
	}
	return all
}

// String says in throughput what the ratios say in time.
func (o outcome) String() string {
	return fmt.Sprintf("%s: %s does %.2f (%.2f to %.2f) times what %s does; at least %.2f", verdict(o.Reached), o.Name,
		1/o.Measured.Median, 1/o.Measured.Max, 1/o.Measured.Min, o.Than, 1/o.Most)
}

// reportIdle prints W9m.
func reportIdle(w io.Writer, all []footprint) {
	fmt.Fprintf(w, "\nW9m: %d idle stages that are subscribed\n\n", all[0].Count)
	for _, f := range all {
		fmt.Fprintf(w, "%22s: %5.0f B each, of which stack %5.0f B\n", f.Name, f.total(), f.Stacks)
	}
	fmt.Fprintf(w, "%s: at most %d B\n", verdict(all[0].total() <= mostIdle), mostIdle)
}

// reportShards prints W10.
func reportShards(w io.Writer, all []shardFigures) {
	fmt.Fprintf(w, "\nW10: shards, at most %d in progress and %d sub-tasks in flight\n\n", mostShards, mostTasks)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\t\tmakespan ms\tof semaphores\tmin\tmax\tmost shards\tmost sub-tasks\tnewcomer waits ms\tat most\t")
	for _, f := range all {
		fmt.Fprintf(t, "%s\t%s\t%.1f\t%.3f x\t%.3f\t%.3f\t%d\t%d\t%.2f\t%.2f\t\n", f.Mix, f.Contestant, f.Makespan.Median,
			f.Ratio.Median, f.Ratio.Min, f.Ratio.Max, f.TopShards, f.TopTask, f.WaitMedian, f.WaitTo)
	}
	t.Flush()
	for _, f := range all {
		if f.Contestant == "ours" {
			fmt.Fprintf(w, "%s: %s takes %.3f times as long as two semaphores; at most 1.02\n", verdict(f.Ratio.Median <= 1.02), f.Mix, f.Ratio.Median)
		}
	}
}

// reportCrowd prints W11.
func reportCrowd(w io.Writer, all []crowdFigures) {
	fmt.Fprintf(w, "\nW11: consumers with max demand 1 at one producer\n\n")
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "consumers\tns for an ask and its event\tB for a consumer\t")
	for _, f := range all {
		fmt.Fprintf(t, "%d\t%.0f\t%.0f\t\n", f.Consumers, f.Nanos, f.Bytes)
	}
	t.Flush()
	first, last := all[0], all[len(all)-1]
	fmt.Fprintf(w, "%s: with %d consumers an ask takes %.2f times as long as with %d; at most 5\n",
		verdict(last.Nanos <= 5*first.Nanos), last.Consumers, last.Nanos/first.Nanos, first.Consumers)
	fmt.Fprintf(w, "%s: at most %d B for a consumer\n", verdict(last.Bytes <= mostCrowded), mostCrowded)
}
