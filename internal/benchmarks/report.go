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
	fmt.Fprintf(t, "\tns/%s\tmin\tmax\tours takes\tmin\tmax\tCPU ns\tours takes\tallocs\tB\t\n", unit)
	ours := m.index("ours")
	for c, contestant := range m.work.contestants {
		n, r := m.spread(c, nanos), m.ratio(ours, c, nanos)
		fmt.Fprintf(t, "%s\t%.1f\t%.1f\t%.1f\t%.2f x\t%.2f\t%.2f\t%.1f\t%.2f x\t%.3f\t%.1f\t\n",
			contestant.name, n.Median, n.Min, n.Max, r.Median, r.Min, r.Max,
			m.spread(c, cpu).Median, m.ratio(ours, c, cpu).Median, m.spread(c, allocs).Median, m.spread(c, memory).Median)
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
