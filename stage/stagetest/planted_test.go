package stagetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
)

// first serves subscribers in order of subscription. It is right, but for what is planted in it.
type first struct {
	fault string
	order []stage.SubID
	open  map[stage.SubID]int64
	stale int64 // demand of those that have left
	spare []int
}

func newFirst(fault string) stage.DispatcherFactory[int] {
	return func(...stage.DispatchOption) (stage.Dispatcher[int], error) {
		return &first{fault: fault, open: map[stage.SubID]int64{}}, nil
	}
}

func (d *first) Subscribe(id stage.SubID, r stage.Request[int]) error {
	var err error
	if r.Key != nil || r.Where != nil || r.Lag != 0 || slices.Contains(d.order, id) {
		err = stage.ErrInvalidOption
		if !strings.HasPrefix(d.fault, "refused") || slices.Contains(d.order, id) {
			return err
		}
		if d.fault == "refused, but counted" {
			d.stale++
			return err
		}
		if d.fault == "refused, and accepted the second time" {
			if d.spare = append(d.spare, int(id)); len(d.spare) < 2 || d.spare[len(d.spare)-2] != int(id) {
				return err
			}
			err = nil
		}
	}
	d.order = append(d.order, id)
	d.open[id] = 0
	if d.fault == "refused, but given a share" && err != nil {
		d.order = slices.Insert(d.order[:len(d.order)-1], 0, id)
		d.open[id] = 1
		d.stale--
	}
	return err
}

func (d *first) Cancel(id stage.SubID) {
	switch d.fault {
	case "sends to those that have left":
		return
	case "keeps the demand of those that have left":
		d.stale += d.open[id]
	case "a stranger's cancel ends the first":
		if len(d.order) > 0 && !slices.Contains(d.order, id) {
			id = d.order[0]
		}
	}
	delete(d.open, id)
	d.order = slices.DeleteFunc(d.order, func(other stage.SubID) bool { return other == id })
}

func (d *first) Ask(id stage.SubID, n int64) {
	open, known := d.open[id]
	switch {
	case !known && d.fault != "takes strangers in":
		return
	case n < 1 && d.fault != "counts asks below one":
		return
	case !known:
		d.order = append(d.order, id)
	}
	switch d.fault {
	case "one too many":
		n++
	case "wraps around":
		d.open[id] = open + n
		return
	case "forgets what was asked before":
		d.open[id] = n
		return
	}
	d.open[id] = add(open, n)
}

func (d *first) HandBack(_ stage.Request[int], events []int) ([]int, int) {
	switch d.fault {
	case "loses what comes back":
		return nil, 0
	case "gives back others":
		return make([]int, len(events)), 0
	}
	return events, 0
}

func (d *first) Dispatch(events []int, out stage.Outlet[int]) (rest []int) {
	if d.fault == "returns everything" {
		return events
	}
	for i, id := range d.order {
		n := int(min(d.open[id], int64(len(events))))
		if d.fault == "serves the first only" && i > 0 {
			n = 0
		}
		if n == 0 {
			if d.fault == "sends nothing" {
				out.Send(id, nil)
			}
			continue
		}
		d.open[id] -= int64(n)
		switch batch := events[:n:n]; d.fault {
		case "leaves room":
			out.Send(id, append(make([]int, 0, n+1), batch...))
		case "sends a batch backwards":
			batch = slices.Clone(batch)
			slices.Reverse(batch)
			out.Send(id, slices.Clip(batch))
		case "sends twice":
			out.Send(id, batch)
			if i+1 < len(d.order) && d.open[d.order[i+1]] >= int64(n) {
				d.open[d.order[i+1]] -= int64(n)
				out.Send(d.order[i+1], batch)
			}
		case "loses the last of four":
			if n == 4 {
				batch = events[:3:3]
			}
			out.Send(id, batch)
		case "invents events":
			out.Send(id, append(batch[:n-1:n-1], 1_000_000)[:n:n])
		case "writes into what it was given":
			batch[0]++
			out.Send(id, batch)
		case "reuses its slice":
			d.spare = append(d.spare[:0], batch...)
			out.Send(id, d.spare[:n:n])
		default:
			out.Send(id, batch)
		}
		events = events[n:]
		if d.fault == "returns what it sent" && len(events) > 0 {
			return append([]int{events[0] - 1}, events...)
		}
	}
	return events
}

func (d *first) Live() int64 {
	sum := d.stale
	for _, n := range d.open {
		if d.fault == "wraps around" {
			sum += n
			continue
		}
		sum = add(sum, n)
	}
	if d.fault == "never has demand" {
		return 0
	}
	return sum
}

// broken changes one thing of a dispatcher that is right.
type broken struct {
	stage.QueueingDispatcher[int]
	fault string
	known map[any]stage.SubID
}

func (d *broken) Subscribe(id stage.SubID, r stage.Request[int]) error {
	err := d.QueueingDispatcher.Subscribe(id, r)
	switch {
	case err == nil:
		d.known[r.Consumer] = id
	case d.fault == "a second subscription ends the first":
		d.QueueingDispatcher.Cancel(d.known[r.Consumer])
	}
	return err
}

func (d *broken) Queued() int {
	if d.fault == "does not say what it keeps" {
		return 0
	}
	return d.QueueingDispatcher.Queued()
}

func (d *broken) Mark(m any) bool {
	switch d.fault {
	case "loses marks":
		return d.QueueingDispatcher.Mark("lost") || false
	case "marks at once":
		return true
	case "gives back another mark":
		return d.QueueingDispatcher.Mark("another")
	}
	return d.QueueingDispatcher.Mark(m)
}

func (d *broken) Flush(out stage.Outlet[int]) {
	if d.fault == "loses marks" {
		out = muteDue{out}
	}
	d.QueueingDispatcher.Flush(out)
}

func (d *broken) Dispatch(events []int, out stage.Outlet[int]) []int {
	switch d.fault {
	case "sends beyond its time":
		defer func() { out.Dropped(1, nil) }()
	case "does not report drops":
		out = muteDropped{out}
	case "sends to all but one":
		out = &toOthers{Outlet: out}
	}
	return d.QueueingDispatcher.Dispatch(events, out)
}

// asMulticast is broken for a broadcast.
type asMulticast struct{ *broken }

func (asMulticast) Multicast() {}

type muteDue struct{ stage.Outlet[int] }

func (muteDue) Due(any) {}

type muteDropped struct{ stage.Outlet[int] }

func (muteDropped) Dropped(int, error) {}

type toOthers struct {
	stage.Outlet[int]
	n int
}

func (o *toOthers) Send(id stage.SubID, events []int) {
	if o.n++; o.n != 2 {
		o.Outlet.Send(id, events)
	}
}

func newBroken(fault string, make stage.DispatcherFactory[int]) stage.DispatcherFactory[int] {
	return func(...stage.DispatchOption) (stage.Dispatcher[int], error) {
		d, err := make()
		b := &broken{QueueingDispatcher: d.(stage.QueueingDispatcher[int]), fault: fault, known: map[any]stage.SubID{}}
		if _, ok := d.(stage.Multicaster); ok {
			return asMulticast{b}, err
		}
		return b, err
	}
}

func TestWhatIsPlantedIsFound(t *testing.T) {
	partitions := stage.PartitionWith(func(n int) (int, int, bool) { return n, n % 3, n%5 != 0 }, 0, 1, 2)
	request := func(i int) stage.Request[int] { return stage.Request[int]{Consumer: i, Key: i % 3} }
	cases := []struct {
		rule string
		name string
		make stage.DispatcherFactory[int]
		opts []Option
	}{
		{"", "nothing is wrong", newFirst(""), nil},
		{"D1", "sends to those that have left", newFirst("sends to those that have left"), nil},
		{"D3", "a stranger's cancel ends the first", newFirst("a stranger's cancel ends the first"), nil},
		{"D1", "takes strangers in", newFirst("takes strangers in"), nil},
		{"D2", "one too many", newFirst("one too many"), nil},
		{"D2", "counts asks below one", newFirst("counts asks below one"), nil},
		{"D3", "wraps around", newFirst("wraps around"), nil},
		{"D3", "forgets what was asked before", newFirst("forgets what was asked before"), nil},
		{"D3", "keeps the demand of those that have left", newFirst("keeps the demand of those that have left"), nil},
		{"D3", "serves the first only", newFirst("serves the first only"), nil},
		{"D3", "returns everything", newFirst("returns everything"), nil},
		{"D3", "never has demand", newFirst("never has demand"), nil},
		{"D4", "loses the last of four", newFirst("loses the last of four"), nil},
		{"D4", "sends twice", newFirst("sends twice"), nil},
		{"D4", "sends nothing", newFirst("sends nothing"), nil},
		{"D4", "invents events", newFirst("invents events"), nil},
		{"D4", "writes into what it was given", newFirst("writes into what it was given"), nil},
		{"D4", "reuses its slice", newFirst("reuses its slice"), nil},
		{"D4", "returns what it sent", newFirst("returns what it sent"), nil},
		{"D4", "loses what comes back", newFirst("loses what comes back"), nil},
		{"D4", "gives back others", newFirst("gives back others"), nil},
		{"D5", "sends a batch backwards", newFirst("sends a batch backwards"), nil},
		{"D6", "refused, but counted", newFirst("refused, but counted"), nil},
		{"D6", "refused, but given a share", newFirst("refused, but given a share"), nil},
		{"D6", "refused, and accepted the second time", newFirst("refused, and accepted the second time"), nil},
		{"D7", "leaves room", newFirst("leaves room"), nil},

		{"", "nothing is wrong with partitions", newBroken("", partitions), []Option{Requests(request)}},
		{"D4", "does not say what it keeps", newBroken("does not say what it keeps", partitions), []Option{Requests(request)}},
		{"D4", "does not report drops", newBroken("does not report drops", partitions), []Option{Requests(request)}},
		{"D4", "sends beyond its time", newBroken("sends beyond its time", partitions), []Option{Requests(request)}},
		{"D5", "loses marks", newBroken("loses marks", partitions), []Option{Requests(request)}},
		{"D5", "marks at once", newBroken("marks at once", partitions), []Option{Requests(request)}},
		{"D5", "gives back another mark", newBroken("gives back another mark", partitions), []Option{Requests(request)}},

		{"", "nothing is wrong with a broadcast", newBroken("", stage.Broadcast[int]), nil},
		{"D4", "sends to all but one", newBroken("sends to all but one", stage.Broadcast[int]), nil},
		{"D6", "a second subscription ends the first", newBroken("a second subscription ends the first", stage.Broadcast[int]), nil},
	}
	testkit.Report(t, "T7", len(cases))
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			conf := configure(c.opts)
			v := conf.search(c.make)
			switch {
			case c.rule == "" && v != nil:
				t.Fatal(v)
			case c.rule == "":
			case v == nil:
				t.Fatalf("rule %s is broken, and nothing was found", c.rule)
			case v.rule != c.rule:
				t.Fatalf("rule %s is broken; found:\n%v", c.rule, v)
			case len(v.log) > 12 || !strings.HasPrefix(v.Error(), fmt.Sprintf("rule %s is broken: ", c.rule)) || !strings.Contains(v.Error(), "seed "):
				t.Fatalf("found, but badly told:\n%v", v)
			}
			if c.rule != "" {
				inScenes := slices.ContainsFunc(scenes, func(s scene) bool { return conf.try(c.make, s.ops) != nil })
				t.Logf("in the short cases: %t\n%v", inScenes, v)
			}
		})
	}
}

func TestADispatcherThatPanicsIsAFailure(t *testing.T) {
	conf := configure(nil)
	v := conf.search(func(...stage.DispatchOption) (stage.Dispatcher[int], error) {
		return struct{ stage.Dispatcher[int] }{}, nil
	})
	if v == nil || !strings.Contains(v.Error(), "panicked") {
		t.Fatal(v)
	}
}
