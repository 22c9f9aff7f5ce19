package demand

import (
	"fmt"
	"math"
	"math/big"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddSaturates(t *testing.T) {
	for _, c := range []struct{ a, b, want int64 }{
		{0, 0, 0},
		{1, 2, 3},
		{math.MaxInt64, 0, math.MaxInt64},
		{math.MaxInt64, 1, math.MaxInt64},
		{1, math.MaxInt64, math.MaxInt64},
		{math.MaxInt64 - 1, 1, math.MaxInt64},
		{math.MaxInt64, math.MaxInt64, math.MaxInt64},
	} {
		require.Equal(t, c.want, Add(c.a, c.b), "%d + %d", c.a, c.b)
	}
	require.Panics(t, func() { Add(-1, 2) })
	require.Panics(t, func() { Add(2, -1) })
	require.Panics(t, func() { Add(math.MinInt64, math.MaxInt64) })
}

func FuzzAdd(f *testing.F) {
	f.Add(int64(3), int64(4))
	f.Add(int64(math.MaxInt64), int64(math.MaxInt64))
	f.Fuzz(func(t *testing.T, a, b int64) {
		if a < 0 || b < 0 {
			t.Skip()
		}
		sum := new(big.Int).Add(big.NewInt(a), big.NewInt(b))
		if !sum.IsInt64() {
			sum.SetInt64(math.MaxInt64)
		}
		require.Equal(t, sum.Int64(), Add(a, b))
	})
}

func TestNewAccountRefusesWhatCannotWork(t *testing.T) {
	for _, c := range [][2]int{{0, 0}, {-1, 0}, {1, 1}, {1, -1}, {10, 10}, {10, 11}} {
		require.Panics(t, func() { NewAccount(c[0], c[1]) }, "max %d min %d", c[0], c[1])
	}
	a := NewAccount(1, 0)
	require.Equal(t, 1, a.Max())
	require.Zero(t, a.Min())
	require.Zero(t, a.Outstanding(), "nothing is asked for before Open")
}

// handle lets n events arrive at once and returns the chunks and the ask after
// each of them.
func handle(a *Account, n int) (chunks []int, asks []int64) {
	for n > 0 {
		k := a.Chunk(n)
		chunks = append(chunks, k)
		asks = append(asks, a.Handled(k))
		n -= k
	}
	return chunks, asks
}

func TestAccount(t *testing.T) {
	type arrival struct {
		n      int
		chunks []int
		asks   []int64
	}
	for _, c := range []struct {
		name     string
		max, min int
		arrivals []arrival
	}{
		{"1000 and 750 by hundreds", 1000, 750, []arrival{ // not cut at the boundary: the third ask is 300
			{100, []int{100}, []int64{0}},
			{100, []int{100}, []int64{0}},
			{100, []int{100}, []int64{300}},
			{100, []int{100}, []int64{0}},
			{100, []int{100}, []int64{0}},
			{100, []int{100}, []int64{300}},
		}},
		{"1000 and 750 all at once", 1000, 750, []arrival{
			{1000, []int{250, 250, 250, 250}, []int64{250, 250, 250, 250}},
		}},
		{"the leftover chunk is the last", 10, 6, []arrival{
			{10, []int{4, 4, 2}, []int64{4, 4, 0}},
			{3, []int{3}, []int64{5}},
			{10, []int{4, 4, 2}, []int64{4, 4, 0}},
			{1, []int{1}, []int64{0}},
			{1, []int{1}, []int64{4}},
		}},
		{"default half", 1000, 500, []arrival{
			{1000, []int{500, 500}, []int64{500, 500}},
			{499, []int{499}, []int64{0}},
			{1, []int{1}, []int64{500}},
		}},
		{"min 0 asks when all are handled", 4, 0, []arrival{
			{3, []int{3}, []int64{0}},
			{1, []int{1}, []int64{4}},
			{4, []int{4}, []int64{4}},
		}},
		{"min max-1 asks for each", 4, 3, []arrival{
			{4, []int{1, 1, 1, 1}, []int64{1, 1, 1, 1}},
		}},
		{"one at a time", 1, 0, []arrival{
			{1, []int{1}, []int64{1}},
			{1, []int{1}, []int64{1}},
		}},
		{"nothing arrived", 10, 5, []arrival{{0, nil, nil}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := NewAccount(c.max, c.min)
			require.EqualValues(t, c.max, a.Open(0), "the first ask is max")
			require.EqualValues(t, c.max, a.Outstanding())
			for i, arrived := range c.arrivals {
				chunks, asks := handle(&a, arrived.n)
				require.Equal(t, arrived.chunks, chunks, "arrival %d", i)
				require.Equal(t, arrived.asks, asks, "arrival %d", i)
			}
		})
	}
}

func TestExcessDoesNotCount(t *testing.T) {
	a := NewAccount(4, 2)
	a.Open(0)
	require.EqualValues(t, 4, a.Handled(100), "asks for max, not for 100")
	require.EqualValues(t, 4, a.Outstanding())
}

func TestHeldFromBeforeTakesUpRoom(t *testing.T) {
	for _, c := range []struct {
		held, first int64
		after       []int64 // asks as the held ones are released one by one
	}{
		{0, 4, nil},
		{1, 3, []int64{0}},
		{3, 1, []int64{0, 2, 0}},
		{4, 0, []int64{0, 2, 0, 2}},
		{6, 0, []int64{0, 0, 0, 2, 0, 2}}, // two above max are worked off first
	} {
		t.Run(fmt.Sprint(c.held), func(t *testing.T) {
			a := NewAccount(4, 2)
			require.Equal(t, c.first, a.Open(c.held))
			asked := c.first
			for i, want := range c.after {
				require.Equal(t, want, a.Handled(1), "release %d", i)
				asked += want
				held := c.held - int64(i) - 1
				require.LessOrEqual(t, asked+held, max(4, held), "the limit holds over both")
			}
			require.Equal(t, asked, a.Outstanding(), "what is left is what was asked for here")
		})
	}
	a := NewAccount(4, 2)
	require.Panics(t, func() { a.Open(-1) })
	require.Panics(t, func() { a.Handled(-1) })
}

func TestOpenAgainBeginsAnew(t *testing.T) {
	a := NewAccount(10, 5)
	a.Open(0)
	a.Handled(4)
	require.EqualValues(t, 10, a.Open(0))
	require.EqualValues(t, 10, a.Outstanding())
}

// FuzzAccount lets events arrive in any portions and compares with totals.
func FuzzAccount(f *testing.F) {
	f.Add(uint16(1000), uint16(750), uint16(0), []byte{100, 100, 100, 250})
	f.Add(uint16(4), uint16(0), uint16(6), []byte{1, 1, 1, 1, 1, 1, 1, 1})
	f.Add(uint16(4), uint16(3), uint16(2), []byte{4, 0, 9})
	f.Fuzz(func(t *testing.T, maxDemand, minDemand, held uint16, arrivals []byte) {
		limit := int(maxDemand)%2000 + 1
		low := int(minDemand) % limit
		a := NewAccount(limit, low)
		asked := int64(held) + a.Open(int64(held)) // naive: totals only
		handled := int64(0)
		require.Equal(t, max(int64(limit), int64(held)), asked)
		for _, portion := range arrivals[:min(len(arrivals), 64)] {
			n := int(min(int64(portion), asked-handled)) // never more than asked
			for n > 0 {
				k := a.Chunk(n)
				require.Positive(t, k)
				require.Equal(t, min(n, limit-low), k)
				ask := a.Handled(k)
				n -= k
				handled += int64(k)
				open := asked - handled
				want := int64(0)
				if open <= int64(low) {
					want = int64(limit) - open
				}
				require.Equal(t, want, ask)
				asked += ask
				require.Equal(t, asked-handled, a.Outstanding())
				require.Greater(t, a.Outstanding(), int64(low), "an account never waits with min or fewer outstanding")
				require.LessOrEqual(t, a.Outstanding(), max(int64(limit), int64(held)))
			}
		}
	})
}

func BenchmarkAccount(b *testing.B) {
	b.ReportAllocs()
	a := NewAccount(1000, 500)
	a.Open(0)
	for b.Loop() {
		a.Handled(a.Chunk(250))
	}
}
