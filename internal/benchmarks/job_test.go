package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Every contestant of every work does what the harness verifies, whatever the number of events.
func TestContestantsMoveAllEvents(t *testing.T) {
	for _, w := range allWorks() {
		for _, c := range w.contestants {
			t.Run(w.id+" "+c.name, func(t *testing.T) {
				sizes := []int{1, 3, batchSize, 2*batchSize + 1, 5003}
				if w.id == "W8" {
					sizes = []int{1, 3, 70} // chunks
				}
				for _, n := range sizes {
					_, _, err := w.once(c, n)
					require.NoError(t, err)
				}
			})
		}
	}
}

// The checks see what a contestant could do wrong.
func TestChecksFail(t *testing.T) {
	const n = 1003
	for _, c := range []struct {
		name  string
		check check
		sinks int
		right func(*job, int) // gives one event to whom it belongs
	}{
		{"allInOrder", allInOrder, 2, func(j *job, e int) { j.sinks[0].one(e); j.sinks[1].one(e) }},
		{"eachOnce", eachOnce, 2, func(j *job, e int) { j.sinks[e%2].one(e) }},
		{"byRemainder", byRemainder, 4, func(j *job, e int) { j.sinks[e%4].one(e) }},
		{"atMost", atMost(1), 0, func(j *job, e int) { j.tasks.do(e) }},
	} {
		give := func(events []int) *job {
			j := newJob(n, c.sinks)
			for _, e := range events {
				c.right(j, e)
			}
			return j
		}
		all := newJob(n, 0).batch(n)
		require.NoError(t, c.check(give(all)), c.name)
		require.ErrorContains(t, c.check(give(all[1:])), "received", c.name)
		require.ErrorContains(t, c.check(give(append(append([]int{}, all[1:]...), 9))), "sum", c.name)
		if c.name != "atMost" {
			swapped := append([]int{}, all...)
			swapped[8], swapped[12] = swapped[12], swapped[8]
			require.ErrorContains(t, c.check(give(swapped)), "order", c.name)
		}
	}
	j := newJob(n, 0)
	j.tasks.top.Store(21)
	require.ErrorContains(t, atMost(20)(j), "at once")

	wrong := newJob(n, 4)
	for _, e := range wrong.batch(n) {
		wrong.sinks[(e+1)%4].one(e)
	}
	require.Error(t, byRemainder(wrong), "the wrong partitions")
	wrong = newJob(n, 2)
	wrong.sinks[0].batch(wrong.batch(n))
	require.Error(t, allInOrder(wrong), "one has received nothing")
}

func TestRatiosAreFormedWithinARound(t *testing.T) {
	w := &work{
		contestants: []contestant{{name: "ours"}, {name: "other"}},
		reaches:     []reach{{name: "ours", than: "other", most: 2}, {name: "ours", than: "other", most: 1.9}},
	}
	m := &measured{work: w, samples: [][]sample{
		{{nanos: 2}, {nanos: 20}, {nanos: 600}},
		{{nanos: 1}, {nanos: 10}, {nanos: 100}},
	}}
	require.Equal(t, spread{Median: 2, Min: 2, Max: 6}, m.ratio(0, 1, nanos))
	outcomes := m.outcomes()
	require.True(t, outcomes[0].Reached)
	require.False(t, outcomes[1].Reached)
	require.Equal(t, spread{Median: 1.5, Min: 1, Max: 2}, spreadOf([]float64{2, 1}))
	require.Zero(t, spreadOf(nil))
}

func TestAWorkIsCalibrated(t *testing.T) {
	w := &work{check: func(*job) error { return nil }}
	n, err := w.calibrate(contestant{"sleeper", func(j *job) error { time.Sleep(time.Duration(j.n) * time.Microsecond); return nil }}, 20*time.Millisecond)
	require.NoError(t, err)
	require.Positive(t, n)
}
