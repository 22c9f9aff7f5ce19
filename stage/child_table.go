package stage

import (
	"cmp"
	"slices"
)

// childTable keeps children by their numbers, which grow: in order, with gaps where some have ended. Adding and removing
// costs the same for any number of them, finding one its logarithm. It is a plain value; whoever has it guards it.
type childTable[In any] struct {
	places []childPlace[In]
	live   int
}

// childPlace is where a child stands, or has stood.
type childPlace[In any] struct {
	id ChildID
	c  *child[In] // nil: it has ended
}

// keptPlaces is the number of places that an empty table keeps at the most.
const keptPlaces = 1024

// add takes a child whose number is larger than any before.
func (t *childTable[In]) add(c *child[In]) {
	if len(t.places) == cap(t.places) && t.live <= len(t.places)/2 {
		t.close()
	}
	c.place = int32(len(t.places))
	t.places = append(t.places, childPlace[In]{c.id, c})
	t.live++
}

// close closes the gaps.
func (t *childTable[In]) close() {
	n := 0
	for c := range t.all {
		c.place = int32(n)
		t.places[n] = childPlace[In]{c.id, c}
		n++
	}
	clear(t.places[n:])
	t.places = t.places[:n]
}

// remove forgets a child that is in the table.
func (t *childTable[In]) remove(c *child[In]) {
	t.places[c.place].c = nil
	switch t.live--; {
	case t.live > 0:
	case cap(t.places) > keptPlaces:
		t.places = nil
	default:
		t.places = t.places[:0]
	}
}

// get returns the child of a number; nil if it has ended, or was never there.
func (t *childTable[In]) get(id ChildID) *child[In] {
	i, found := slices.BinarySearchFunc(t.places, id, func(p childPlace[In], id ChildID) int { return cmp.Compare(p.id, id) })
	if !found {
		return nil
	}
	return t.places[i].c
}

// all yields the children, the oldest first.
func (t *childTable[In]) all(yield func(*child[In]) bool) {
	for _, p := range t.places {
		if p.c != nil && !yield(p.c) {
			return
		}
	}
}
