package explore_test

import (
	"errors"
	"testing"

	"github.com/go-genstage/genstage/internal/explore"
	"github.com/stretchr/testify/require"
)

// counters is two counters that each go up to top, and round again from there if it says so.
type counters struct {
	At    [2]int
	Top   int
	Round bool
	Bad   [2]int // a violation
	Stay  bool   // it may not rest
}

func (c *counters) Moves() (moves []explore.Move) {
	for i, at := range c.At {
		if at < c.Top || c.Round {
			moves = append(moves, explore.Move{What: "up", Who: i})
		}
	}
	return moves
}

func (c *counters) Make(m explore.Move) error {
	c.At[m.Who] = (c.At[m.Who] + 1) % (c.Top + 1)
	if c.At == c.Bad {
		return errors.New("bad")
	}
	return nil
}

func (c *counters) AtRest() error {
	if c.Stay {
		return errors.New("may not rest")
	}
	return nil
}

func TestSearchVisitsEachStateOnce(t *testing.T) {
	r := explore.Search(&counters{Top: 9, Bad: [2]int{-1}}, 0)
	require.NoError(t, r.Violation)
	require.Equal(t, 100, r.States)
	require.Equal(t, 180, r.Transitions)
	require.Equal(t, 18, r.Depth)
	require.False(t, r.Cut)
	require.Equal(t, "100 states, 180 transitions, depth 18", r.String())
}

func TestSearchFinds(t *testing.T) {
	r := explore.Search(&counters{Top: 3, Bad: [2]int{2, 1}}, 0)
	require.EqualError(t, r.Violation, "bad")
	require.Len(t, r.Path, 3)

	r = explore.Search(&counters{Top: 2, Round: true, Bad: [2]int{-1}}, 0)
	require.ErrorContains(t, r.Violation, "for ever")

	r = explore.Search(&counters{Top: 2, Stay: true, Bad: [2]int{-1}}, 0)
	require.EqualError(t, r.Violation, "at rest: may not rest")

	r = explore.Search(&counters{Top: 9, Bad: [2]int{-1}}, 50)
	require.True(t, r.Cut)
}

func TestPlainValues(t *testing.T) {
	type inner struct{ N int }
	type value struct {
		List  []int
		Map   map[int]*inner
		One   *inner
		Two   *inner
		Any   any
		turn  uint64
		Named map[string]uint8
	}
	shared := &inner{N: 1}
	v := &value{
		List: make([]int, 1, 9), Map: map[int]*inner{1: shared, 2: {N: 7}}, One: shared, Two: shared, Any: &inner{N: 3},
		turn: 5, Named: map[string]uint8{"a": 1, "b": 2},
	}
	before := explore.Fingerprint(v)
	w := explore.Clone(v)
	require.Equal(t, v, w)
	require.Equal(t, before, explore.Fingerprint(w))
	require.Same(t, w.One, w.Two)
	require.Same(t, w.One, w.Map[1])
	require.NotSame(t, v.One, w.One)

	for _, change := range []func(*value){
		func(v *value) { v.List[0]++ },
		func(v *value) { v.Map[2].N++ },
		func(v *value) { delete(v.Map, 2) },
		func(v *value) { v.One.N++ },
		func(v *value) { v.Two = &inner{N: 1} },
		func(v *value) { v.Any.(*inner).N++ },
		func(v *value) { v.Named["a"] = 3 },
	} {
		changed := explore.Clone(v)
		change(changed)
		require.NotEqual(t, before, explore.Fingerprint(changed))
		require.Equal(t, before, explore.Fingerprint(v), "the copy has something in common with the original")
	}
	v.turn = 17
	require.Equal(t, before, explore.Fingerprint(v), "the only turn is the first, whatever its number")
	require.Panics(t, func() { explore.Clone(struct{ C chan int }{make(chan int)}) })
}
