package build

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"
)

// SourceOptions say which stale shards are built, and in which order.
type SourceOptions struct {
	Only         string // glob (see path.Match) that a shard's name must match; "": all
	Order        Order  // OrderName
	ReserveSmall int    // so many of the builders take small shards only; 0
	Small        int    // a shard is small if it misses at most so many snapshots; 4
}

// Order is the order in which stale shards are built.
type Order string

const (
	// OrderName is the order of the listing. The first shard is begun as soon as one is found.
	OrderName Order = "name"
	// OrderOldest begins with the shard whose first missing snapshot has the first name, and SmallFirst with the one that
	// misses the fewest. Both look at all shards before the first is begun.
	OrderOldest     Order = "oldest"
	OrderSmallFirst Order = "small-first"
)

func (o *SourceOptions) check(builders int) error {
	if o.Small == 0 {
		o.Small = 4
	}
	o.Order = cmp.Or(o.Order, OrderName)
	if _, err := path.Match(o.Only, ""); err != nil {
		return fmt.Errorf("only %q: %w", o.Only, err)
	}
	switch {
	case o.Order != OrderName && o.Order != OrderOldest && o.Order != OrderSmallFirst:
		return fmt.Errorf("order %q: want name, oldest or small-first", o.Order)
	case o.ReserveSmall < 0 || o.ReserveSmall >= builders:
		return fmt.Errorf("reserve-small %d: want 0 to %d, of %d builders", o.ReserveSmall, builders-1, builders)
	case o.Small < 0:
		return fmt.Errorf("small %d: want at least 1", o.Small)
	}
	return nil
}

// wants reports whether the shard's name matches.
func (o *SourceOptions) wants(shard string) bool {
	if o.Only == "" {
		return true
	}
	ok, _ := path.Match(o.Only, shard) // the pattern was checked
	return ok
}

func (o *SourceOptions) isSmall(t *Task) bool { return len(t.Snapshots) <= o.Small }

// sort puts tasks into the order, those that are equal in it by name.
func (o *SourceOptions) sort(tasks []*Task) {
	first := func(t *Task) string {
		if len(t.Snapshots) == 0 {
			return ""
		}
		return t.Snapshots[0]
	}
	slices.SortFunc(tasks, func(a, b *Task) int {
		c := 0
		switch o.Order {
		case OrderOldest:
			c = strings.Compare(first(a), first(b))
		case OrderSmallFirst:
			c = cmp.Compare(len(a.Snapshots), len(b.Snapshots))
		}
		return cmp.Or(c, strings.Compare(a.Shard, b.Shard))
	})
}
