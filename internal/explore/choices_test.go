package explore_test

import (
	"testing"

	"github.com/go-genstage/genstage/internal/explore"
	"github.com/stretchr/testify/require"
)

func TestChoicesEnumerateAll(t *testing.T) {
	c := explore.NewChoices(-1)
	seen := map[[3]int]bool{}
	for {
		var run [3]int
		for i := range run {
			run[i] = c.Choose(i + 1)
		}
		require.False(t, seen[run])
		seen[run] = true
		if !c.Next() {
			break
		}
	}
	require.Len(t, seen, 6)
	require.Equal(t, 6, c.Runs)
}

func TestDelaysBoundTheSchedules(t *testing.T) {
	for delays, want := range map[int]map[string]bool{
		0: {"aabb": true},
		1: {"aabb": true, "bbaa": true, "abba": true, "baab": false, "abab": false},
		2: {"baab": true, "abab": true},
	} {
		got := map[string]bool{}
		c := explore.NewChoices(delays)
		for {
			left, run := map[string]int{"a": 2, "b": 2}, ""
			for {
				var waiting []string
				for _, name := range []string{"a", "b"} {
					if left[name] > 0 {
						waiting = append(waiting, name)
					}
				}
				if len(waiting) == 0 {
					break
				}
				name := waiting[c.Turn(waiting, func(string) bool { return false })]
				left[name]--
				run += name
			}
			got[run] = true
			if !c.Next() {
				break
			}
		}
		for run, is := range want {
			require.Equal(t, is, got[run], "%d delays: %s among %v", delays, run, got)
		}
	}
}

func TestAProgramThatIsNoFunctionOfItsChoices(t *testing.T) {
	c := explore.NewChoices(-1)
	c.Choose(2)
	require.True(t, c.Next())
	require.Panics(t, func() { c.Choose(3) })
}
