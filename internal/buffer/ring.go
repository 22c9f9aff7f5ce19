package buffer

// keptRing is the size up to which an empty ring keeps its storage.
const keptRing = 64

// ring is a queue that can be pushed at both ends and read by position. Its
// storage is used round, so a steady cycle of pushes and pops does not grow it.
type ring[E any] struct {
	slots []E // len is 0 or a power of two; unused slots are zero
	head  int // where the first one is
	len   int
}

// at returns the i-th one, 0 being the first. The pointer is good until the
// next push or pop.
func (r *ring[E]) at(i int) *E {
	return &r.slots[(r.head+i)&(len(r.slots)-1)]
}

func (r *ring[E]) pushBack(e E) {
	r.grow()
	r.len++
	*r.at(r.len - 1) = e
}

// insert puts e before the i-th one; the cost is O(i).
func (r *ring[E]) insert(i int, e E) {
	r.grow()
	r.head = (r.head - 1) & (len(r.slots) - 1)
	r.len++
	for j := range i {
		*r.at(j) = *r.at(j + 1)
	}
	*r.at(i) = e
}

// popFront removes the first one and lets go of what it points to.
func (r *ring[E]) popFront() {
	var zero E
	*r.at(0) = zero
	r.head = (r.head + 1) & (len(r.slots) - 1)
	if r.len--; r.len == 0 && len(r.slots) > keptRing {
		*r = ring[E]{}
	}
}

// popBack removes the last one and lets go of what it points to.
func (r *ring[E]) popBack() {
	var zero E
	*r.at(r.len - 1) = zero
	if r.len--; r.len == 0 && len(r.slots) > keptRing {
		*r = ring[E]{}
	}
}

// grow makes room for one more.
func (r *ring[E]) grow() {
	if r.len < len(r.slots) {
		return
	}
	slots := make([]E, max(4, 2*len(r.slots)))
	n := copy(slots, r.slots[r.head:])
	copy(slots[n:], r.slots[:r.head])
	r.slots, r.head = slots, 0
}
