package shardfile

import (
	"context"
	"fmt"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// Decision is what has to be done about a shard. The zero Decision: nothing.
type Decision struct {
	Stale   bool
	Missing []store.Snapshot // to fetch, in order; may be empty although the shard is stale
	Keep    []string         // snapshots of the old file that are carried over, in order
	Lost    []string         // snapshots of the old file that will be in the new one no more, in order
	Rebuild bool             // every snapshot of the store is fetched, also those the old file has
	Reason  string           // one line for people; empty if not stale
}

// Wanted is what a shard file should be like.
type Wanted struct {
	Schema int
	Prune  bool // drop snapshots that are gone from the store
}

// Plan compares a shard's listing, as of [store.Store.Snapshots], with the manifest of its file, nil if there is none or it
// cannot be used. A shard without snapshots and file needs nothing. Time plays no part.
//
// A snapshot that the manifest names is taken as unchanged if its size is the same and so is its checksum. The checksum is
// the listing's, if it has one; otherwise Plan calls sum, which may cost a read of the snapshot. It is called only if sizes,
// names and schema have given no cause for a rebuild already, and until the first difference. So over a folder a shard that
// is up to date costs one read of its stored bytes, without decompression, and one that is built for the first time none.
// There is no cheaper way to see another content of the same size that does not trust a time.
//
// A rebuild for changed content carries over the snapshots that are gone from the store, as it cannot fetch them; one
// for another schema cannot keep them (Lost). Plan blocks on sum, and fails only with its error.
func Plan(ctx context.Context, listing []store.Snapshot, old *Manifest, want Wanted,
	sum func(context.Context, store.Snapshot) (string, error),
) (Decision, error) {
	if old == nil {
		if len(listing) == 0 {
			return Decision{}, nil
		}
		return Decision{Stale: true, Missing: listing, Rebuild: true, Reason: "no shard file"}, nil
	}
	c := compare(listing, old)
	if old.Schema != want.Schema {
		return c.rebuild(want.Prune, false, fmt.Sprintf("schema %d, want %d", old.Schema, want.Schema)), nil
	}
	if want.Prune && len(c.gone) > 0 {
		return c.rebuild(true, true, fmt.Sprintf("%d gone from the store, the first is %q", len(c.gone), c.gone[0])), nil
	}
	changed, err := c.changed(ctx, old, sum)
	if err != nil {
		return Decision{}, err
	}
	if changed != "" {
		return c.rebuild(want.Prune, true, changed), nil
	}
	if len(c.missing) == 0 {
		return Decision{}, nil
	}
	d := Decision{Stale: true, Missing: c.missing, Reason: fmt.Sprintf("%d missing, the first is %q", len(c.missing), c.missing[0].Name)}
	for _, s := range old.Snapshots {
		d.Keep = append(d.Keep, s.Name)
	}
	return d, nil
}

type comparison struct {
	listing, missing, both []store.Snapshot
	gone                   []string
}

func compare(listing []store.Snapshot, old *Manifest) comparison {
	c := comparison{listing: listing}
	listed := make(map[string]bool, len(listing))
	for _, s := range listing {
		listed[s.Name] = true
		if _, ok := old.Find(s.Name); ok {
			c.both = append(c.both, s)
		} else {
			c.missing = append(c.missing, s)
		}
	}
	for _, s := range old.Snapshots {
		if !listed[s.Name] {
			c.gone = append(c.gone, s.Name)
		}
	}
	return c
}

// changed says which snapshot has another content than the manifest, if one has: all sizes first, as they cost nothing.
func (c comparison) changed(ctx context.Context, old *Manifest, sum func(context.Context, store.Snapshot) (string, error)) (string, error) {
	for _, s := range c.both {
		if was, _ := old.Find(s.Name); was.Size != s.Size {
			return fmt.Sprintf("%q changed: %d bytes, was %d", s.Name, s.Size, was.Size), nil
		}
	}
	for _, s := range c.both {
		is := s.Checksum
		if is == "" {
			var err error
			if is, err = sum(ctx, s); err != nil {
				return "", err
			}
		}
		if was, _ := old.Find(s.Name); was.Checksum != is {
			return fmt.Sprintf("%q changed: same size, other content", s.Name), nil
		}
	}
	return "", nil
}

func (c comparison) rebuild(prune, usable bool, reason string) Decision {
	d := Decision{Stale: true, Missing: c.listing, Rebuild: true, Reason: reason}
	if usable && !prune {
		d.Keep = c.gone
	} else {
		d.Lost = c.gone
	}
	return d
}
