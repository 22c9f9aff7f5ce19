package build

import "github.com/go-genstage/genstage/stage"

// poolSupervised is pool with one consumer supervisor in place of the workers.
func (b *shared) poolSupervised() []stage.Stage {
	builders, queue := b.pushers()
	children := b.supervisor()
	children.SubscribeTo(b.charged(queue), stage.MaxDemand(b.Options.Snapshots), stage.MinDemand(0))
	return append(append([]stage.Stage{b.source.stage, queue}, stage.All(builders...)...), children)
}
