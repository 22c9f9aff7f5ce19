package build

import (
	"context"
	"maps"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/go-genstage/genstage/examples/shards/internal/store"
)

// tags is what is known of a shard's tags, for a store whose listings have some. It is made by Plan and goes on to the shard's
// owner; it is used by one goroutine at a time.
type tags struct {
	files *Files
	shard string
	were  shardfile.Tags // as read
	are   shardfile.Tags // of the listing, as far as known
}

// tags returns those of a shard, without a look at its file if the listing has none.
func (f *Files) tags(shard string, listing []store.Snapshot) *tags {
	t := &tags{files: f, shard: shard, are: shardfile.Tags{}}
	for _, s := range listing {
		if s.Tag == "" {
			continue
		}
		if t.were == nil {
			t.were = shardfile.ReadTags(f.Out, shard)
			if t.were == nil {
				break
			}
		}
		if was, ok := t.were[s.Name]; ok && was.Tag == s.Tag {
			t.are[s.Name] = was
		}
	}
	return t
}

// checksum returns the checksum of a snapshot: what is known under its tag, else what the store says.
func (t *tags) checksum(ctx context.Context, s store.Snapshot) (string, error) {
	if known, ok := t.are[s.Name]; ok {
		return known.Checksum, nil
	}
	sum, err := t.files.Store.Checksum(ctx, t.shard, s)
	if err == nil {
		t.learn(s, sum)
	}
	return sum, err
}

// learn takes down the checksum of a snapshot's bytes.
func (t *tags) learn(s store.Snapshot, checksum string) {
	if s.Tag != "" {
		t.are[s.Name] = shardfile.Tagged{Tag: s.Tag, Checksum: checksum}
	}
}

// keep writes down what is known now, if that is something else than what is written. That it cannot be written is no failure of
// the shard: the next look asks the store for more.
func (t *tags) keep() {
	if !t.files.ReadOnly && !maps.Equal(t.were, t.are) {
		_ = shardfile.WriteTags(t.files.Out, t.shard, t.are)
	}
}
