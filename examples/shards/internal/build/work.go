// Package build builds stale shards with stages, with two limits at once: so many shards in progress, so many snapshots in
// flight. A design is one way to wire the stages; each stands in a file of its own (design_*.go), and designs.go lists them.
// What they share stands once: where stale shards come from (source.go), a shard in its owner's hands (job.go, gather.go), the
// sub-task that fetches one snapshot (fetch.go, workers.go), the two budgets (budgets.go), and the counting (meter.go,
// report.go).
//
// The stages know the work only as [Work], so a design is tested with invented work in fake time, and runs with [Files].
package build

import "context"

// Work is what there is to build and what it takes. Its methods are called by the stages, several at a time; each blocks as
// long as the work takes and returns early when ctx ends.
type Work interface {
	// List returns the names of all shards, stale or not, in the order in which they are to be built.
	List(ctx context.Context) ([]string, error)

	// Plan returns the task of a shard, nil if it is not stale. An error fails that shard and no other.
	Plan(ctx context.Context, shard string) (*Task, error)

	// Begin opens a shard for building. The owner is used by one goroutine.
	Begin(ctx context.Context, task *Task) (Owner, error)

	// Fetch fetches one missing snapshot of the task and returns what [Owner.Ingest] takes. Unless hand is nil, that may be
	// its last part: hand gives each one before it to [Owner.Take] and returns when it has been taken. An error of hand ends
	// Fetch.
	Fetch(ctx context.Context, task *Task, snapshot int, hand func(Result) error) (Result, error)

	// Discard takes a result, or a part, that no owner will take, because its shard has failed meanwhile.
	Discard(result Result)
}

// Owner is one shard under construction. It ends with Persist or Abandon.
type Owner interface {
	// Take takes a part of the result of a snapshot, and Drop forgets all that were taken: the snapshot is fetched anew.
	Take(snapshot int, part Result) error
	Drop(snapshot int)
	// Ingest takes the result of a snapshot, or its last part.
	Ingest(snapshot int, result Result) error
	// Bytes is what the shard holds of memory.
	Bytes() int64
	// Persist makes the shard durable, whatever it returns it ends the owner.
	Persist(ctx context.Context) error
	// Abandon leaves the shard as it was.
	Abandon() error
}

// Result is a fetched snapshot, or a part of one, as its Work made it.
type Result interface {
	// Bytes is how large it is, decoded.
	Bytes() int64
}

// Task says what one stale shard needs.
type Task struct {
	Shard     string
	Snapshots []string // the missing ones, in order
	Reused    int      // snapshots that are carried over from the old file
	Sizes     []int64  // of these in the store, in bytes; nil if they are not known
	Listing   string   // differs when anything in the shard's listing does: a failed shard then gets another chance at once
	Reason    string   // why it is stale, in words
	Detail    any      // of the Work
}
