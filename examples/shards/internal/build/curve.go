package build

import "time"

// curveBins is the most points of a curve; with more, two become one.
const curveBins = 1024

// curve is a figure over time: the most that it was in each of at most [curveBins] spans of equal length. It is a plain value.
type curve struct {
	width time.Duration // of a span
	bins  []int64
	last  int64
}

// set notes that the figure is v from at on. Calls are in order of time.
func (c *curve) set(at time.Duration, v int64) {
	if c.width == 0 {
		c.width = time.Millisecond
	}
	for at/c.width >= curveBins {
		c.halve()
	}
	for int(at/c.width) >= len(c.bins) {
		c.bins = append(c.bins, c.last)
	}
	i := at / c.width
	c.bins[i] = max(c.bins[i], v)
	c.last = v
}

// halve makes one span of every two.
func (c *curve) halve() {
	half := c.bins[:0]
	for i := 0; i < len(c.bins); i += 2 {
		v := c.bins[i]
		if i+1 < len(c.bins) {
			v = max(v, c.bins[i+1])
		}
		half = append(half, v)
	}
	c.bins, c.width = half, 2*c.width
}

// Point is one of a curve: the most that the figure was from T seconds on until the next point.
type Point struct {
	T     float64
	Value int64
}

func (c *curve) points() []Point {
	points := make([]Point, len(c.bins))
	for i, v := range c.bins {
		points[i] = Point{T: (time.Duration(i) * c.width).Seconds(), Value: v}
	}
	return points
}

// Curves are figures over the time of a run.
type Curves struct{ InFlight, Transit []Point }

// Curves returns the snapshots in flight and the bytes in transit over time.
func (m *Meter) Curves() Curves {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Curves{InFlight: m.inFlight.points(), Transit: m.inTransit.points()}
}
