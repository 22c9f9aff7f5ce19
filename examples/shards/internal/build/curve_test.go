package build

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// However long it goes on, a curve keeps its peaks, and holds a level between two changes.
func TestCurveKeepsPeaks(t *testing.T) {
	var c curve
	c.set(0, 1)
	c.set(5*time.Millisecond, 7)
	c.set(5*time.Millisecond+time.Microsecond, 2)
	require.Equal(t, []int64{1, 1, 1, 1, 1, 7}, c.bins)
	c.set(time.Hour, 3)
	require.LessOrEqual(t, len(c.bins), curveBins)
	require.EqualValues(t, 7, c.bins[0], "the peak is still there")
	require.EqualValues(t, 2, c.bins[len(c.bins)/2], "the level between")
	points := c.points()
	last := points[len(points)-1]
	require.EqualValues(t, 3, last.Value)
	require.InDelta(t, 3600, last.T, c.width.Seconds())
}
