package build

import "github.com/go-genstage/genstage/stage"

// budget is manualSupervised with a limit in bytes in place of a count: as many children as their snapshots' bytes allow.
func (b *shared) budget() []stage.Stage {
	builders := b.owners()
	slots := merge(builders)
	children := b.supervisor()
	children.SubscribeTo(b.charged(slots), stage.MinDemand(0))
	return append(append([]stage.Stage{b.source.stage}, stage.All(builders...)...), slots, children)
}
