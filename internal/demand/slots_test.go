package demand

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// begin lets n events arrive, of which those in refused end while they are begun.
func begin(s *Slots, n int, refused ...int) (asks []int64) {
	ends := map[int]bool{}
	for _, i := range refused {
		ends[i] = true
	}
	for i := 0; n > 0; i++ {
		k := s.Chunk(n)
		if ends[i] {
			asks = append(asks, s.Ended())
		}
		asks = append(asks, s.Handled(k))
		n -= k
	}
	return asks
}

func TestNewSlotsRefusesWhatCannotWork(t *testing.T) {
	for _, c := range [][2]int{{0, 0}, {-1, 0}, {1, 1}, {1, -1}, {10, 10}, {10, 11}} {
		require.Panics(t, func() { NewSlots(c[0], c[1]) }, "max %d min %d", c[0], c[1])
	}
	s := NewSlots(20, 15)
	require.Equal(t, 20, s.Max())
	require.Equal(t, 15, s.Min())
	require.Panics(t, func() { s.Open(-1) })
}

func TestSlotsAskWhenMinHaveEnded(t *testing.T) {
	for _, c := range []struct {
		max, min int
		asks     []int64 // after each end
	}{
		{4, 0, []int64{1, 1, 1, 1}},
		{4, 1, []int64{1, 1, 1, 1}},
		{4, 2, []int64{0, 2, 0, 2}},
		{4, 3, []int64{0, 0, 3, 0, 0, 3}},
		{10, 8, []int64{0, 0, 0, 0, 0, 0, 0, 8, 0}},
		{1, 0, []int64{1, 1}},
	} {
		s := NewSlots(c.max, c.min)
		require.EqualValues(t, c.max, s.Open(0), "the first ask is max")
		for _, ask := range begin(&s, c.max) {
			require.Zero(t, ask, "beginning asks nothing")
		}
		for i, want := range c.asks {
			require.Equal(t, want, s.Ended(), "max %d min %d, end %d", c.max, c.min, i+1)
		}
	}
}

func TestEndsWhileBeginningAreAskedForTogether(t *testing.T) {
	s := NewSlots(3, 1)
	s.Open(0)
	require.Equal(t, []int64{0, 0, 0, 2, 0}, begin(&s, 3, 1, 2), "the second and the third were refused")
	require.Equal(t, []int64{0, 0, 1}, begin(&s, 2, 0), "the first was refused: asked for with the second")
	require.EqualValues(t, 1, s.Ended())
}

func TestSlotsTakenFromBefore(t *testing.T) {
	s := NewSlots(3, 0)
	require.EqualValues(t, 1, s.Open(2))
	require.EqualValues(t, 3, s.Open(0))
	require.EqualValues(t, 0, s.Open(5))
	require.EqualValues(t, 5, s.Taken())
	for _, ask := range []int64{0, 0, 1, 1} {
		require.Equal(t, ask, s.Ended(), "two beyond max end first")
	}
}

func TestSlotsChange(t *testing.T) {
	s := NewSlots(4, 0)
	s.Open(0)
	begin(&s, 4)
	require.EqualValues(t, 3, s.Change(7, 2), "more slots are asked for at once")
	require.EqualValues(t, 0, s.Change(8, 2), "but not fewer than min")
	require.EqualValues(t, 2, s.Ended())
	require.EqualValues(t, 0, s.Change(6, 1))
	for _, ask := range []int64{0, 0, 1} {
		require.Equal(t, ask, s.Ended(), "what is above the new max ends first")
	}
	require.Panics(t, func() { s.Change(1, 1) })
}

// FuzzSlots begins and ends events in any order and compares with totals.
func FuzzSlots(f *testing.F) {
	f.Add(uint8(20), uint8(15), []byte{20, 0x80, 0x80, 3, 0x81})
	f.Add(uint8(4), uint8(0), []byte{1, 2, 0x80, 0x80})
	f.Fuzz(func(t *testing.T, maxDemand, minDemand uint8, ops []byte) {
		limit := int64(maxDemand)%100 + 1
		low := int64(minDemand) % limit
		s := NewSlots(int(limit), int(low))
		asked, begun, ended := s.Open(0), int64(0), int64(0) // naive: totals only
		sinceAsk := int64(0)
		book := func(ask int64) {
			if ask > 0 {
				require.Equal(t, sinceAsk, ask, "asks for what has ended")
				require.GreaterOrEqual(t, ask, low)
				sinceAsk = 0
			}
			asked += ask
			require.LessOrEqual(t, asked-ended, limit, "asked and not ended")
		}
		for _, op := range ops[:min(len(ops), 64)] {
			if op >= 0x80 {
				if begun > ended {
					ended++
					sinceAsk++
					book(s.Ended())
				}
			} else {
				for n := min(int64(op), asked-begun); n > 0; n-- {
					s.Chunk(int(n))
					begun++
					if op%3 == 0 { // refused
						ended++
						sinceAsk++
						book(s.Ended())
					}
					book(s.Handled(1))
				}
			}
			require.Less(t, sinceAsk, max(low, 1), "never waits with min or more ended")
		}
	})
}
