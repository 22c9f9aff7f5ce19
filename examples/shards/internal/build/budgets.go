package build

import "github.com/go-genstage/genstage/stage"

// charging says which designs take a budget: those whose pieces are handed out by demand, to owners that hold their shard.
var charging = map[string]bool{"manual": true, "manual-supervised": true, "budget": true, "pool": true, "pool-supervised": true}

// Two budgets, so that a holder never waits for others of its own kind: a builder holds its shard, and waits for pieces; a
// piece holds its bytes, and waits for nothing but the store and its owner.

// stale returns the source of stale shards for builder i, charged to the budget of shards if there is one.
func (b *shared) stale(i int) stage.Source[*job] {
	if b.shards == nil {
		return b.source.to(i)
	}
	return stage.Charge(b.source.to(i), b.shards, func(*job) int64 { return 1 })
}

// charged returns a source of pieces, charged to the budget of what is in transit if there is one.
func (b *shared) charged(pieces stage.Source[*piece]) stage.Source[*piece] {
	if b.transit == nil {
		return pieces
	}
	return stage.Charge(pieces, b.transit, b.weight)
}

// correct returns what corrects the weight of the one piece that a worker has from a source of pieces; nil without budget.
func (b *shared) correct(from *stage.Subscription) func(int64) error {
	if b.transit == nil {
		return nil
	}
	return from.Adjust
}

// grows returns what tells the budget of shards how large the one shard of a builder has become; nil without budget.
func (b *shared) grows(from *stage.Subscription) func(int64) error {
	if b.shards == nil {
		return nil
	}
	return from.Adjust
}
