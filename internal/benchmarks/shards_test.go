package main

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestShardsAreBuiltWithinBothLimits(t *testing.T) {
	all, err := runShards(1, 100*time.Microsecond)
	require.NoError(t, err)
	require.Len(t, all, 4)
	for _, f := range all {
		require.LessOrEqual(t, f.TopShards, mostShards)
		require.LessOrEqual(t, f.TopTask, mostTasks)
	}
	require.Positive(t, all[3].WaitTo, "newcomers wait")
	var out bytes.Buffer
	reportShards(&out, all)
	require.Contains(t, out.String(), "300 shards of 1")

	m := mixes(time.Millisecond)[0]
	require.ErrorContains(t, (&store{topTasks: mostTasks + 1, doneShards: 300, doneTasks: 300}).check(m), "at most")
	require.ErrorContains(t, (&store{doneShards: 299, doneTasks: 300}).check(m), "299 shards of 300")
	require.NoError(t, (&store{doneShards: 300, doneTasks: 300}).check(m))
}

func TestACrowdHandlesEveryEvent(t *testing.T) {
	for _, n := range []int{1, 50} {
		f, err := crowd(n, 1000)
		require.NoError(t, err)
		require.Positive(t, f.Nanos)
	}
}
