package build

import (
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// Options say how to build. [Options.Check] fills in defaults and finds what is out of range. What a design has no use for
// it ignores.
type Options struct {
	Design    string        // one of [Designs]; "manual"
	Builders  int           // N, shards in progress; 10
	Snapshots int           // M, snapshots in flight; 20
	Direct    bool          // manual: workers subscribe to the builders themselves
	Automatic bool          // manual: builders ask automatically
	WorkerMax int           // max demand of a worker; 1
	WorkerMin int           // min demand of a worker; 0
	Queue     int           // pool: pieces that the queue holds; 20
	K         int           // tasks: of one builder; 2. children: of all builders together; 0: without limit
	Consumers int           // sync: consumers; as many as cores. aggregator: aggregators; 1
	Hold      Hold          // what of a snapshot is in memory at a time; HoldBody
	Budget    int64         // bytes: half for what is in transit, half for shards in progress; 0: none, for budget 64 MiB
	Connect   time.Duration // what a connection takes to be made: once for a worker, once for a child or a task
	Retries   int           // tries of a snapshot beyond the first
	Timeout   time.Duration // of one try, to which is added what MinRate allows for the size; 0: none
	MinRate   int64         // bytes per second that the store is expected to give at least; 0: 1 MiB
	Seed      uint64        // of the pauses between tries
	Watch     bool          // go on when nothing is stale
	Poll      time.Duration // watching: the first pause when nothing is stale; 1 s

	Source SourceOptions
	Log    *slog.Logger // a line for each shard begun, built, failed, and each snapshot tried again; nil: none
}

// maxPairs is the most subscriptions between builders and workers; each is some kilobytes.
const maxPairs = 100_000

// Check fills in defaults and returns an error that names the option out of range.
func (o *Options) Check() error {
	if o.Design == "" {
		o.Design = "manual"
	}
	consumers := runtime.GOMAXPROCS(0)
	if o.Design == "aggregator" {
		consumers = 1
	}
	tasks := 0
	if o.Design == "tasks" {
		tasks = 2
	}
	for _, d := range []struct {
		v   *int
		def int
	}{{&o.Builders, 10}, {&o.Snapshots, 20}, {&o.WorkerMax, 1}, {&o.Queue, 20}, {&o.Consumers, consumers}, {&o.K, tasks}} {
		if *d.v == 0 {
			*d.v = d.def
		}
	}
	if o.Budget == 0 && o.Design == "budget" {
		o.Budget = 64 << 20
	}
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	if o.MinRate == 0 {
		o.MinRate = 1 << 20
	}
	switch {
	case !slices.Contains(Designs(), o.Design):
		return fmt.Errorf("design %q: there are %s", o.Design, strings.Join(Designs(), ", "))
	case o.Builders < 1 || o.Builders > 10_000:
		return fmt.Errorf("%d builders: want 1 to 10000", o.Builders)
	case o.Snapshots < 1 || o.Snapshots > 10_000:
		return fmt.Errorf("%d snapshots: want 1 to 10000", o.Snapshots)
	case o.WorkerMax < 1 || o.WorkerMin < 0 || o.WorkerMin >= o.WorkerMax:
		return fmt.Errorf("worker-max %d, worker-min %d: want max at least 1, min from 0 to max-1", o.WorkerMax, o.WorkerMin)
	case o.Queue < 1 || o.Queue > 1_000_000:
		return fmt.Errorf("queue of %d: want 1 to 1000000", o.Queue)
	case o.K < 0 || o.K > 10_000:
		return fmt.Errorf("k %d: want 0 to 10000", o.K)
	case o.Consumers < 1 || o.Consumers > 10_000:
		return fmt.Errorf("%d consumers: want 1 to 10000", o.Consumers)
	case o.Budget < 0 || o.Budget == 1 || o.Budget > stage.MaxBudget:
		return fmt.Errorf("budget of %d bytes: want 0 for none, or 2 to %d", o.Budget, int64(stage.MaxBudget))
	case o.Budget > 0 && !charging[o.Design]:
		return fmt.Errorf("budget %d: design %s takes no budget, its pieces are not handed out by demand", o.Budget, o.Design)
	case o.Connect < 0:
		return fmt.Errorf("connect %v: want 0 or more", o.Connect)
	case o.Retries < 0 || o.Retries > 100:
		return fmt.Errorf("%d retries: want 0 to 100", o.Retries)
	case o.Direct && o.Builders*o.Snapshots > maxPairs:
		return fmt.Errorf("wiring direct: %d builders × %d snapshots are more than %d subscriptions", o.Builders, o.Snapshots, maxPairs)
	case o.Timeout < 0:
		return fmt.Errorf("timeout %v: want 0 or more", o.Timeout)
	case o.MinRate < 0:
		return fmt.Errorf("min-rate %d: want more than 0 bytes per second", o.MinRate)
	case o.Poll < 0 || o.Poll > 24*time.Hour:
		return fmt.Errorf("poll %v: want more than 0, at most 24h", o.Poll)
	case o.Source.ReserveSmall > 0 && (o.Automatic || o.Design != "manual"):
		return fmt.Errorf("reserve-small %d: goes with the manual design only, and not with automatic", o.Source.ReserveSmall)
	}
	if err := o.Hold.check(o.Design); err != nil {
		return err
	}
	return o.Source.check(o.Builders)
}
