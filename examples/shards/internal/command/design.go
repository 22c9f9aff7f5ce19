package command

import (
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/go-genstage/genstage/examples/shards/internal/build"
)

// addDesign adds the flags that say how the stages are wired.
func addDesign(fs *flag.FlagSet, b *buildFlags) {
	o := &b.options
	fs.StringVar(&o.Design, "design", "manual", "how the stages are wired: "+strings.Join(build.Designs(), ", "))
	fs.StringVar(&b.wiring, "wiring", "merge", "manual: merge, workers share one stage that takes from every builder; direct, each subscribes to each builder")
	fs.BoolVar(&o.Automatic, "automatic", false, "manual: let builders ask automatically, to see what goes wrong")
	fs.IntVar(&o.WorkerMax, "worker-max", 1, "max demand of a worker")
	fs.IntVar(&o.WorkerMin, "worker-min", 0, "min demand of a worker")
	fs.IntVar(&o.Queue, "queue", 20, "pool: pieces that the queue holds")
	fs.IntVar(&o.K, "k", 0, "tasks: of each builder, by default 2; children: of all builders together, by default without limit")
	fs.IntVar(&o.Consumers, "consumers", 0, "sync: how many build alone, by default as many as cores; aggregator: how many share the shards, by default 1")
	fs.DurationVar(&o.Connect, "connect", 0, "what a connection to the store takes to be made; a worker makes one, and so does each child")
	fs.StringVar((*string)(&o.Hold), "hold", string(build.HoldBody), "what of a snapshot is in memory: body, all of it until its shard has taken it; stream, a part of 64 KiB at a time. Not with design aggregator")
	fs.StringVar((*string)(&b.compress), "compress", string(build.ByWorker), "who compresses values: worker, who fetched them, in its slot; owner, who keeps the shard, one after the other")
	fs.Int64Var(&o.Budget, "budget", 0, "bytes, half for what is in transit and half for shards in progress; 0 for none, but for design budget 64 MiB")
}

// takenBy says which designs have a use for a flag.
var takenBy = map[string][]string{
	"wiring":     {"manual"},
	"automatic":  {"manual", "manual-supervised", "budget"},
	"worker-max": {"manual", "pool", "aggregator"},
	"worker-min": {"manual", "pool", "aggregator"},
	"queue":      {"pool", "pool-supervised"},
	"k":          {"tasks", "children"},
	"consumers":  {"sync", "aggregator"},
}

// checkDesign takes over what has a form of its own, and finds flags that the design has no use for.
func (b *buildFlags) checkDesign(fs *flag.FlagSet) error {
	for name, designs := range takenBy {
		if isSet(fs, name) && slices.Contains(build.Designs(), b.options.Design) && !slices.Contains(designs, b.options.Design) {
			return fmt.Errorf("-%s has no meaning for design %s: it goes with %s", name, b.options.Design, strings.Join(designs, ", "))
		}
	}
	if b.compress != build.ByWorker && b.compress != build.ByOwner {
		return fmt.Errorf("-compress %q: want worker or owner", b.compress)
	}
	switch b.wiring {
	case "merge":
	case "direct":
		b.options.Direct = true
	default:
		return fmt.Errorf("-wiring %q: want merge or direct", b.wiring)
	}
	return nil
}
