package build

import (
	"math"

	"github.com/go-genstage/genstage/stage"
)

// naive is one builder with a task for each piece: one shard at a time, and all of that at once.
func (b *shared) naive() []stage.Stage { return b.tasksOf(1, math.MaxInt) }
