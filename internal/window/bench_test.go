package window

import (
	"testing"
	"time"
)

// What a value costs in a window, beside adding it to a variable.
func BenchmarkAdd(b *testing.B) {
	for _, c := range []struct {
		name string
		spec Spec
		step time.Duration // between events
		back time.Duration // how far every other one lies behind
	}{
		{"global", Spec{Every: 1000}, 0, 0},
		{"fixed, in order", Spec{Kind: Fixed, Duration: time.Second, Idle: time.Minute}, time.Millisecond, 0},
		{"fixed, between two windows", Spec{Kind: Fixed, Duration: time.Second, Disorder: 2 * time.Second}, time.Millisecond, time.Second},
		{"fixed, a window each", Spec{Kind: Fixed, Duration: time.Millisecond}, time.Millisecond, 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			e, err := New(c.spec, Reducer[int, int]{
				Init: func() int { return 0 },
				Add:  func(sum, n int) int { return sum + n },
				Fire: func(p Pane[int]) int { return p.Acc },
			})
			if err != nil {
				b.Fatal(err)
			}
			s := e.AddSource(nil, epoch)
			b.ReportAllocs()
			at := epoch
			for i := 0; b.Loop(); i++ {
				at = at.Add(c.step)
				_ = e.Add(s, 1, at.Add(-c.back*time.Duration(i&1)), epoch)
			}
			if e.Late() > 0 {
				b.Fatal("late events")
			}
		})
	}
}
