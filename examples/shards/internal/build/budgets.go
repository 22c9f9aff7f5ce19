package build

import "github.com/go-genstage/genstage/stage"

// charging says which designs take a budget: those whose pieces are handed out by demand, to owners that hold their shard.
var charging = map[string]bool{"manual": true, "manual-supervised": true, "budget": true, "pool": true, "pool-supervised": true}

// Two budgets, so that a holder never waits for others of its own kind: a builder holds its shard, and waits for pieces; a
// piece holds its bytes, and waits for nothing but the store and its owner.

// stale returns the source of stale shards for builder i, charged to the budget of shards if there is one.
func (b *Build) stale(i int) stage.Source[*job] {
	if b.shards == nil {
		return b.source.to(i)
	}
	return stage.Charge(b.source.to(i), b.shards, func(*job) int64 { return 1 })
}

// charged returns a source of pieces, charged to the budget of what is in transit if there is one.
func (b *Build) charged(pieces stage.Source[*piece]) stage.Source[*piece] {
	if b.transit == nil {
		return pieces
	}
	return stage.Charge(pieces, b.transit, (*piece).weight)
}

// weight is what a piece weighs before anything of it is known but its listing.
func (p *piece) weight() int64 {
	if p.job.task.Sizes == nil {
		return 1
	}
	return p.job.task.Sizes[p.snapshot]
}
