package sim

import (
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/go-genstage/genstage/stage"
)

// buildLines makes a source of two stages: one reads lines, the other makes events of them.
func (n *node) buildLines() {
	reader := stage.Lines(&lineReader{n: n}, stage.Name(n.name+" reader"), quiet, stage.Grace(n.w.o.Grace))
	var opts []stage.ProducerConsumerOption
	for _, o := range n.options() {
		opts = append(opts, o)
	}
	for _, o := range n.consumers() {
		opts = append(opts, o)
	}
	p := stage.NewProducerConsumer(n.parse, opts...)
	p.SubscribeTo(reader, stage.MaxDemand(n.o.Most), stage.MinDemand(n.o.Most/2), stage.Label(linesLabel))
	n.stage, n.out, n.extra = p, p, reader
	p.OnDiscard(n.onDiscard)
	n.dispatch(p)
}

// linesLabel is that of the subscription between the two.
const linesLabel = "lines"

// parse is the events callback of the second one.
func (n *node) parse(_ context.Context, lines []string, _ *stage.Subscription) ([]event, error) {
	err := n.call("events", nil)
	var out []event
	for _, line := range lines {
		number, fault := strconv.Atoi(line)
		if fault != nil || number < 1 || number > n.next {
			n.w.violate("%s: the line %q was never read", n.name, line)
			continue
		}
		out = append(out, event{n.index, number})
	}
	return n.emitted(out, err)
}

// lineReader is what is read: the numbers from 1.
type lineReader struct {
	n    *node
	rest []byte // of a line that was read in part
}

func (r *lineReader) Read(p []byte) (int, error) {
	n, w := r.n, r.n.w
	if w.once(3) {
		w.sleep(n.name+" reads", 4)
	}
	if !w.calm && w.o.Faults > 0 && w.once(2*w.o.Faults) {
		w.trace.add(n.name, "cannot be read")
		w.disturbed = true
		w.reach(LinesFailed)
		return 0, errBoom
	}
	for len(r.rest) < 3*n.o.Room && n.next < n.o.Events && !w.calm && !w.ending {
		n.next++
		r.rest = fmt.Appendf(r.rest, "%d\n", n.next)
	}
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	count := copy(p[:min(len(p), 1+w.below(4*n.o.Room))], r.rest)
	r.rest = r.rest[count:]
	w.started = true
	w.reach(LinesRead)
	return count, nil
}
