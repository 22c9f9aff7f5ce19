package stage

import (
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// Children that come and go, as a map has them. Most of the time the oldest is not the first to end, and some stay for long.
func TestChildTableIsAMap(t *testing.T) {
	for seed := range uint64(200) {
		random := rand.New(rand.NewPCG(seed, 0))
		var table childTable[int]
		model := map[ChildID]*child[int]{}
		last, most := ChildID(0), 1+random.IntN(60)
		for range 2_000 {
			if len(model) < most && random.IntN(2) == 0 {
				last++
				model[last] = &child[int]{id: last}
				table.add(model[last])
			} else if len(model) > 0 {
				ids := slices.Sorted(maps.Keys(model))
				id := ids[random.IntN(len(ids))]
				if id == ids[0] && random.IntN(4) > 0 {
					continue
				}
				table.remove(model[id])
				delete(model, id)
			}
			require.Equal(t, len(model), table.live)
			if id := ChildID(random.Uint64N(uint64(last) + 2)); table.get(id) != model[id] {
				t.Fatalf("seed %d: child %d: %p, want %p", seed, id, table.get(id), model[id])
			}
		}
		var ids []ChildID
		for c := range table.all {
			ids = append(ids, c.id)
		}
		require.Equal(t, slices.Sorted(maps.Keys(model)), ids, "seed %d: the oldest first", seed)
		require.LessOrEqual(t, cap(table.places), 4*(most+1), "seed %d: it grows with those that live, not with those that have lived", seed)
	}
}

// Many children at once leave no room for as many behind.
func TestChildTableGivesRoomBack(t *testing.T) {
	var table childTable[int]
	children := make([]child[int], 2*keptPlaces)
	for i := range children {
		children[i].id = ChildID(i + 1)
		table.add(&children[i])
	}
	for i := range children {
		table.remove(&children[i])
	}
	require.Zero(t, table.live)
	require.Zero(t, cap(table.places))
	table.add(&child[int]{id: 1 << 40})
	require.Equal(t, ChildID(1<<40), table.get(1<<40).id)
}
