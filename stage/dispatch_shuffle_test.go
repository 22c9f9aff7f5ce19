package stage

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// served returns whom the first events go to when n subscribers have asked for one each.
func served(t *testing.T, seed uint64, n int, before func(Dispatcher[int])) []SubID {
	t.Helper()
	d, err := Demand[int](Shuffle(seed))
	require.NoError(t, err)
	before(d)
	for id := range SubID(n) {
		require.NoError(t, d.Subscribe(id, Request[int]{}))
		d.Ask(id, 1)
	}
	var order []SubID
	d.Dispatch(numbers(0, n), sender(func(id SubID, _ []int) { order = append(order, id) }))
	return order
}

func TestShuffleIsAFunctionOfItsSeed(t *testing.T) {
	nothing := func(Dispatcher[int]) {}
	first := served(t, 1, 20, nothing)
	require.Len(t, first, 20)
	require.False(t, slices.IsSorted(first))
	require.Equal(t, first, served(t, 1, 20, nothing))
	require.NotEqual(t, first, served(t, 2, 20, nothing))
}

// A dispatch that finds nobody with demand is not the first one.
func TestShuffleWaitsForDemand(t *testing.T) {
	early := func(d Dispatcher[int]) { d.Dispatch(numbers(0, 3), newRecord()) }
	require.False(t, slices.IsSorted(served(t, 1, 20, early)))
}

func TestShuffleKeepsTheLargestDemandFirst(t *testing.T) {
	d, err := Demand[int](Shuffle(3))
	require.NoError(t, err)
	for id := range SubID(20) {
		require.NoError(t, d.Subscribe(id, Request[int]{}))
		d.Ask(id, 1+int64(id)/10)
	}
	var order []SubID
	d.Dispatch(numbers(0, 20), sender(func(id SubID, _ []int) { order = append(order, id) }))
	require.Len(t, order, 10, "ten of them have asked for two")
	for _, id := range order {
		require.GreaterOrEqual(t, id, SubID(10))
	}
}
