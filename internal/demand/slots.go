package demand

import "fmt"

// Slots is the account of a subscription whose events are begun at once and end
// one by one, each in a slot of its own: at most max events are asked for and
// not ended. It asks again when min of them have ended since the last ask, for
// as many as have.
//
//	ask := slots.Open(0)
//	for each arrival of n events:
//		for n > 0:
//			k := slots.Chunk(n) // 1
//			… the event is begun …
//			ask = slots.Handled(k) // send it unless it is 0
//			n -= k
//	when an event has ended:
//		ask = slots.Ended() // send it unless it is 0
//
// min counts slots that have come free, not those taken: with max 20 and min 15
// it asks when 15 events have ended, and 5 are left. With min 0 it asks at each
// end. The zero Slots is of no use; [NewSlots] makes one.
type Slots struct {
	max, min int64
	taken    int64 // asked for and not ended
	left     int   // of the arrival in progress, not begun
}

// NewSlots returns an account of max slots that asks when min of them have come
// free. Until [Slots.Open] it has asked for nothing. It panics unless max is at
// least 1 and min lies in [0, max).
func NewSlots(max, min int) Slots {
	if max < 1 || min < 0 || min >= max {
		panic(fmt.Sprintf("demand: slots with max %d and min %d: max must be at least 1, min at least 0 and below max", max, min))
	}
	return Slots{max: int64(max), min: int64(min)}
}

// Open begins the account, or begins it anew, and returns the first ask. held is
// the number of slots that are taken from before, 0 as a rule; each of them is
// reported by [Slots.Ended] when it comes free.
func (s *Slots) Open(held int64) int64 {
	if held < 0 {
		panic("demand: slots opened with a negative number of held events")
	}
	s.taken, s.left = max(s.max, held), 0
	return s.taken - held
}

// Chunk returns how many of n arrived events are begun next: one.
func (s *Slots) Chunk(n int) int {
	s.left = n - 1
	return 1
}

// Handled records that an event has been begun, and returns how many to ask for
// now. That is 0 but for events that ended while their arrival was being begun:
// they are asked for together, with its last one.
func (s *Slots) Handled(int) int64 { return s.due() }

// Ended records that an event has ended, and returns how many to ask for now.
func (s *Slots) Ended() int64 {
	s.taken = max(0, s.taken-1)
	return s.due()
}

// Change sets other limits, as [NewSlots] does, and returns how many to ask for
// now. What is taken beyond the new max stays so.
func (s *Slots) Change(max, min int) int64 {
	changed := NewSlots(max, min)
	changed.taken, changed.left = s.taken, s.left
	*s = changed
	return s.due()
}

// due asks for the slots that are free if there are enough for an ask.
func (s *Slots) due() int64 {
	ask := s.max - s.taken
	if s.left > 0 || ask < max(1, s.min) {
		return 0
	}
	s.taken = s.max
	return ask
}

// Taken returns how many slots are taken: asked for and not ended. That is more
// than max while more are taken from before.
func (s *Slots) Taken() int64 { return s.taken }

// Max returns the number of slots.
func (s *Slots) Max() int { return int(s.max) }

// Min returns how many slots must have come free before the account asks again.
func (s *Slots) Min() int { return int(s.min) }
