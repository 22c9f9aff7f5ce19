package shardfile

import (
	"context"
	"errors"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/stretchr/testify/require"
)

func TestPlan(t *testing.T) {
	listing := func(names ...string) (l []store.Snapshot) {
		for _, name := range names {
			l = append(l, store.Snapshot{Name: name, Size: 5})
		}
		return l
	}
	manifest := func(names ...string) *Manifest {
		m := &Manifest{Shard: "s", Schema: 1}
		for _, name := range names {
			m.Snapshots = append(m.Snapshots, Ingested{Name: name, Size: 5, Checksum: "sum"})
		}
		return m
	}
	larger := listing("a", "b")
	larger[1].Size = 6
	tests := []struct {
		name    string
		listing []store.Snapshot
		old     *Manifest
		want    Wanted
		sums    map[string]string // other than "sum"
		summed  int
		is      Decision
	}{
		{name: "nothing at all", is: Decision{}},
		{name: "no file", listing: listing("a", "b"), is: Decision{Stale: true, Missing: listing("a", "b"), Rebuild: true, Reason: "no shard file"}},
		{name: "up to date", listing: listing("a", "b"), old: manifest("a", "b"), summed: 2, is: Decision{}},
		{name: "newer", listing: listing("a", "b", "c"), old: manifest("a", "b"), summed: 2, is: Decision{Stale: true, Missing: listing("c"), Keep: []string{"a", "b"}, Reason: `1 missing, the first is "c"`}},
		{name: "older", listing: listing("a", "b"), old: manifest("b"), summed: 1, is: Decision{Stale: true, Missing: listing("a"), Keep: []string{"b"}, Reason: `1 missing, the first is "a"`}},
		{name: "gone stays", listing: listing("b"), old: manifest("a", "b"), summed: 1, is: Decision{}},
		{name: "gone stays beside a newer", listing: listing("c"), old: manifest("a"), is: Decision{Stale: true, Missing: listing("c"), Keep: []string{"a"}, Reason: `1 missing, the first is "c"`}},
		{name: "gone, prune", listing: listing("b"), old: manifest("a", "b"), want: Wanted{Prune: true}, is: Decision{Stale: true, Missing: listing("b"), Lost: []string{"a"}, Rebuild: true, Reason: `1 gone from the store, the first is "a"`}},
		{name: "all gone, prune", old: manifest("a"), want: Wanted{Prune: true}, is: Decision{Stale: true, Lost: []string{"a"}, Rebuild: true, Reason: `1 gone from the store, the first is "a"`}},
		{name: "prune, none gone", listing: listing("a"), old: manifest("a"), want: Wanted{Prune: true}, summed: 1, is: Decision{}},
		{name: "other schema", listing: listing("b"), old: manifest("a", "b"), want: Wanted{Schema: 2}, is: Decision{Stale: true, Missing: listing("b"), Lost: []string{"a"}, Rebuild: true, Reason: "schema 1, want 2"}},
		{name: "other size costs no read", listing: larger, old: manifest("a", "b"), is: Decision{Stale: true, Missing: larger, Rebuild: true, Reason: `"b" changed: 6 bytes, was 5`}},
		{name: "other content of the same size", listing: listing("a", "b", "c"), old: manifest("0", "a", "b", "c"), sums: map[string]string{"b": "other"}, summed: 2, is: Decision{Stale: true, Missing: listing("a", "b", "c"), Keep: []string{"0"}, Rebuild: true, Reason: `"b" changed: same size, other content`}},
		{name: "the listing knows the checksum", listing: []store.Snapshot{{Name: "a", Size: 5, Checksum: "other"}}, old: manifest("a"), is: Decision{Stale: true, Missing: []store.Snapshot{{Name: "a", Size: 5, Checksum: "other"}}, Rebuild: true, Reason: `"a" changed: same size, other content`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.want.Schema == 0 {
				test.want.Schema = 1
			}
			summed := 0
			is, err := Plan(t.Context(), test.listing, test.old, test.want, func(_ context.Context, s store.Snapshot) (string, error) {
				summed++
				if sum := test.sums[s.Name]; sum != "" {
					return sum, nil
				}
				return "sum", nil
			})
			require.NoError(t, err)
			require.Equal(t, test.is, is)
			require.Equal(t, test.summed, summed, "checksums that were asked for")
		})
	}
	gone := errors.New("gone")
	_, err := Plan(t.Context(), listing("a"), manifest("a"), Wanted{Schema: 1}, func(context.Context, store.Snapshot) (string, error) { return "", gone })
	require.ErrorIs(t, err, gone)
}
