package build

import "github.com/go-genstage/genstage/stage"

// manualSupervised is manual with one consumer supervisor in place of the workers: a goroutine for each piece, at most M at
// once. Min demand is 0, so that each child that ends makes room for the next piece.
func (b *shared) manualSupervised() []stage.Stage {
	builders := b.owners()
	slots := merge(builders)
	children := b.supervisor()
	children.SubscribeTo(b.charged(slots), stage.MaxDemand(b.Options.Snapshots), stage.MinDemand(0))
	return append(append([]stage.Stage{b.source.stage}, stage.All(builders...)...), slots, children)
}
