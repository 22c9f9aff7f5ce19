package window

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// recorder keeps what an engine of lists of numbers hands out, as text.
type recorder struct {
	panes   []string
	late    []int
	discard bool // windows go on with a fresh accumulator
}

func (r *recorder) reducer() Reducer[int, []int] {
	return Reducer[int, []int]{
		Init: func() []int { return nil },
		Add:  func(acc []int, n int) []int { return append(acc, n) },
		Fire: func(p Pane[[]int]) []int {
			r.panes = append(r.panes, fmt.Sprintf("%s #%d %v %v", name(p.Window), p.Number, p.Timing, p.Acc))
			if p.Trigger != "" {
				r.panes[len(r.panes)-1] += " " + p.Trigger
			}
			if r.discard {
				return nil
			}
			return p.Acc
		},
		Late: func(n int) { r.late = append(r.late, n) },
	}
}

// name is short for a window: its span in seconds after epoch, or its index.
func name(w Window) string {
	if w.End.IsZero() {
		return fmt.Sprint(w.Index)
	}
	return fmt.Sprintf("%v-%v", w.Start.Sub(epoch).Seconds(), w.End.Sub(epoch).Seconds())
}

// take returns what was recorded since the last take.
func (r *recorder) take() []string {
	panes := r.panes
	r.panes = nil
	return panes
}

// epoch is when the time of these tests begins: at the beginning of a window.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func sec(s float64) time.Time { return epoch.Add(time.Duration(s * float64(time.Second))) }

func record(t *testing.T, spec Spec) (*Engine[int, []int], *recorder) {
	t.Helper()
	r := &recorder{}
	e, err := New(spec, r.reducer())
	require.NoError(t, err)
	return e, r
}

func TestTheGlobalWindowEndsWithTheStream(t *testing.T) {
	e, r := record(t, Spec{})
	for n := range 3 {
		require.NoError(t, e.Add(nil, n, time.Time{}, sec(0)))
	}
	require.Empty(t, r.take())
	_, ok := e.Next()
	require.False(t, ok, "nothing becomes due")
	e.End()
	require.Equal(t, []string{"0 #0 final [0 1 2]"}, r.take())

	require.NoError(t, e.Add(nil, 3, time.Time{}, sec(0)))
	require.Equal(t, []int{3}, r.late, "after the end everything is late")
	e.End()
	require.Empty(t, r.take(), "a second end brings nothing")
}

func TestAStreamWithoutEventsHasNoWindow(t *testing.T) {
	for _, spec := range []Spec{
		{},
		{Kind: Count, Size: 10},
		{Kind: Fixed, Duration: time.Second, Idle: time.Second, Interval: time.Second},
		{Kind: Periodic, Duration: time.Second, Interval: time.Second},
	} {
		e, r := record(t, spec)
		e.AddSource(nil, sec(0))
		e.Advance(sec(1000))
		_, ok := e.Next()
		require.False(t, ok, "%v: no timer for nothing", spec.Kind)
		e.Message("hello", sec(1000))
		e.End()
		require.Empty(t, r.take(), spec.Kind)
	}
}

func TestACountWindowHasNoEmptyTail(t *testing.T) {
	e, r := record(t, Spec{Kind: Count, Size: 2})
	for n := range 4 {
		require.NoError(t, e.Add(nil, n, time.Time{}, sec(0)))
	}
	require.Equal(t, []string{"0 #0 final [0 1]", "1 #0 final [2 3]"}, r.take())
	require.Zero(t, e.Open())
	e.End()
	require.Empty(t, r.take(), "a full window was the last")

	e, r = record(t, Spec{Kind: Count, Size: 2})
	for n := range 3 {
		require.NoError(t, e.Add(nil, n, time.Time{}, sec(0)))
	}
	e.End()
	require.Equal(t, []string{"0 #0 final [0 1]", "1 #0 final [2]"}, r.take())
}

func TestAPeriodicWindowEndsWithItsSpan(t *testing.T) {
	e, r := record(t, Spec{Kind: Periodic, Duration: 10 * time.Second, Offset: 3 * time.Second})
	require.NoError(t, e.Add(nil, 0, time.Time{}, sec(4)))
	next, ok := e.Next()
	require.True(t, ok)
	require.Equal(t, sec(13), next)
	require.NoError(t, e.Add(nil, 1, time.Time{}, sec(12.5)))
	e.Advance(sec(12.9))
	require.Empty(t, r.take())
	e.Advance(next)
	require.Equal(t, []string{"3-13 #0 final [0 1]"}, r.take())
	_, ok = e.Next()
	require.False(t, ok, "no window, no timer")

	require.NoError(t, e.Add(nil, 2, time.Time{}, sec(40)))
	require.NoError(t, e.Add(nil, 3, time.Time{}, sec(20)), "a clock that goes back")
	require.NoError(t, e.Add(nil, 4, time.Time{}, sec(43)), "an event before the timer")
	require.Equal(t, []string{"33-43 #0 final [2 3]"}, r.take())
	e.End()
	require.Equal(t, []string{"43-53 #0 final [4]"}, r.take())
	require.Empty(t, r.late)
}

func TestOnlyWindowsWithEventsAreEmitted(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: time.Second})
	s := e.AddSource(nil, sec(0))
	for _, at := range []float64{0, 0.5, 100_000} {
		require.NoError(t, e.Add(s, int(at), sec(at), sec(0)))
	}
	require.Equal(t, []string{"0-1 #0 final [0 0]"}, r.take())
	e.End()
	require.Equal(t, []string{"100000-100001 #0 final [100000]"}, r.take())
}

// A jump in time must cost by the windows that it closes, not by those that it leaps over.
func TestAJumpCostsNothing(t *testing.T) {
	for _, kind := range []Kind{Fixed, Periodic} {
		e, r := record(t, Spec{Kind: kind, Duration: time.Second, Interval: 1 << 62})
		s := e.AddSource(nil, sec(0))
		require.NoError(t, e.Add(s, 0, sec(0), sec(0)))
		for i, far := range []float64{100_000, 4_000_000_000} {
			before := e.steps
			require.NoError(t, e.Add(s, i+1, sec(far), sec(far)))
			require.EqualValues(t, 1, e.steps-before, "%v: one window was open", kind)
		}
		require.Equal(t, 1, e.Open())
		require.Len(t, r.take(), 2)
	}
}

func TestEventsOfAClosedWindowAreLate(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second})
	s := e.AddSource(nil, sec(0))
	for i, at := range []float64{1, 11, 2, 12, 9.9, 25, 10} {
		require.NoError(t, e.Add(s, i, sec(at), sec(0)))
	}
	e.End()
	require.Equal(t, []string{"0-10 #0 final [0]", "10-20 #0 final [1 3]", "20-30 #0 final [5]"}, r.take())
	require.Equal(t, []int{2, 4, 6}, r.late, "handed out")
	require.EqualValues(t, 3, e.Late(), "and counted")
}

func TestDisorderHoldsTheWatermarkBack(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second, Disorder: 5 * time.Second})
	s := e.AddSource(nil, sec(0))
	for i, at := range []float64{1, 14, 9, 14.9} {
		require.NoError(t, e.Add(s, i, sec(at), sec(0)))
	}
	require.Empty(t, r.take(), "9 was within the disorder of 14")
	require.NoError(t, e.Add(s, 4, sec(15), sec(0)))
	require.Equal(t, []string{"0-10 #0 final [0 2]"}, r.take())
	mark, ok := e.Watermark()
	require.True(t, ok)
	require.Equal(t, sec(10), mark)
	require.NoError(t, e.Add(s, 5, sec(10), sec(0)))
	require.Empty(t, r.late, "an event at the watermark is not late")
}

func TestLateEventsWithinTheLatenessFireAgain(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second, Lateness: 20 * time.Second})
	s := e.AddSource(nil, sec(0))
	add := func(n int, at float64) []string {
		require.NoError(t, e.Add(s, n, sec(at), sec(0)))
		return r.take()
	}
	require.Empty(t, add(0, 1))
	require.Equal(t, []string{"0-10 #0 on time [0]"}, add(1, 25))
	require.Equal(t, []string{"0-10 #1 late [0 2]"}, add(2, 2))
	require.Equal(t, []string{"10-20 #0 late [3]"}, add(3, 11), "a window that had no event in time")
	require.Equal(t, []string{"0-10 #2 final [0 2]", "20-30 #0 on time [1]"}, add(4, 30), "in order of what is due")
	require.Empty(t, add(5, 3))
	require.Equal(t, []int{5}, r.late)
	require.Equal(t, []string{"10-20 #1 final [3]", "20-30 #1 final [1]", "30-40 #0 final [4]"}, add(6, 1000),
		"a leap over end and lateness is one pane")
	e.End()
	require.Equal(t, []string{"1000-1010 #0 final [6]"}, r.take())
}

func TestAnIdleSourceDoesNotHoldOthersBack(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second, Idle: time.Minute})
	a, b := e.AddSource(nil, sec(0)), e.AddSource(nil, sec(0))
	require.NoError(t, e.Add(a, 0, sec(1), sec(10)))
	require.NoError(t, e.Add(a, 1, sec(35), sec(20)))
	require.Empty(t, r.take(), "b may still bring something")
	next, ok := e.Next()
	require.True(t, ok)
	require.Equal(t, sec(70), next, "a minute after a came to 1")
	e.Advance(sec(79))
	require.Empty(t, r.take())
	next, _ = e.Next()
	require.Equal(t, sec(80), next, "a minute after it came to 35")
	e.Advance(next)
	require.Equal(t, []string{"0-10 #0 final [0]"}, r.take())
	_, ok = e.Next()
	require.False(t, ok)

	require.NoError(t, e.Add(b, 2, sec(31), sec(81)))
	require.NoError(t, e.Add(b, 3, sec(2), sec(81)))
	require.Equal(t, []int{3}, r.late, "the watermark does not go back")
	require.NoError(t, e.Add(a, 4, sec(99), sec(82)))
	require.Empty(t, r.take(), "b holds a back again")
	e.EndSource(b, sec(83))
	require.Equal(t, []string{"30-40 #0 final [1 2]"}, r.take(), "a source that has ended does not")
}

// After a pause, the first source to speak must not overtake the others: they were silent because there was nothing.
func TestAfterAPauseNobodyIsOvertaken(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second, Idle: time.Minute})
	a, b := e.AddSource(nil, sec(0)), e.AddSource(nil, sec(0))
	require.NoError(t, e.Add(a, 0, sec(1), sec(1)))
	require.NoError(t, e.Add(b, 1, sec(2), sec(2)))
	e.Advance(sec(3600))
	require.NoError(t, e.Add(b, 2, sec(3611), sec(3615)))
	require.NoError(t, e.Add(a, 3, sec(3), sec(3616)))
	require.NoError(t, e.Add(a, 4, sec(3609), sec(3617)))
	require.Equal(t, []string{"0-10 #0 final [0 1 3]"}, r.take())
	e.End()
	require.Equal(t, []string{"3600-3610 #0 final [4]", "3610-3620 #0 final [2]"}, r.take())
	require.Empty(t, r.late)
}

// A receiver that is slow must not take those for silent whose events it has not come to.
func TestASourceWhoseEventsWaitIsNotIdle(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second, Idle: time.Minute})
	waits := true
	a, b := e.AddSource(nil, sec(0)), e.AddSource(func() bool { return waits }, sec(0))
	require.NoError(t, e.Add(a, 0, sec(35), sec(0)))
	e.Advance(sec(60))
	next, ok := e.Next()
	require.True(t, ok)
	require.Equal(t, sec(120), next, "it is given the time again")
	require.NoError(t, e.Add(b, 1, sec(2), sec(500)))
	require.Empty(t, r.late)
	waits = false
	e.Advance(sec(559))
	require.Empty(t, r.take())
	e.Advance(sec(560))
	require.Equal(t, []string{"0-10 #0 final [1]"}, r.take())
}

// However many marks are held back, what is kept of them is bounded, and none is let go before its time.
func TestMarksAreHeldBackTogether(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: time.Second, Idle: time.Minute})
	a, _ := e.AddSource(nil, sec(0)), e.AddSource(nil, sec(0))
	for i := range 30_000 { // 300 seconds
		now := float64(i) / 100
		require.NoError(t, e.Add(a, i, sec(now), sec(now)))
		require.LessOrEqual(t, len(e.marks.holds), grain+2)
		if mark, ok := e.Watermark(); ok {
			require.LessOrEqual(t, mark.Sub(epoch), time.Duration((now-60)*1e9)+time.Millisecond)
			require.GreaterOrEqual(t, mark.Sub(epoch), time.Duration((now-62)*1e9))
		} else {
			require.Less(t, now, 61.0)
		}
	}
	require.NotEmpty(t, r.take())
}

func TestASourceCanSayHowFarItIs(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second})
	s := e.AddSource(nil, sec(0))
	require.NoError(t, e.Add(nil, 0, sec(50), sec(0)))
	require.NoError(t, e.Add(nil, 1, sec(1), sec(0)))
	require.Empty(t, r.late, "an event of no source moves nothing")
	e.Observe(s, sec(10), sec(0))
	require.Equal(t, []string{"0-10 #0 final [1]"}, r.take())
}

func TestWithoutIdleTimeASilentSourceHoldsTheOthersBack(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second})
	a, _ := e.AddSource(nil, sec(0)), e.AddSource(nil, sec(0))
	require.NoError(t, e.Add(a, 0, sec(1000), sec(0)))
	e.Advance(sec(1e6))
	require.Empty(t, r.take())
	_, ok := e.Next()
	require.False(t, ok)
	_, ok = e.Watermark()
	require.False(t, ok)
}

func TestASourceThatIsAddedLaterHoldsTheOthersBack(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second})
	a := e.AddSource(nil, sec(0))
	require.NoError(t, e.Add(a, 0, sec(1), sec(0)))
	b := e.AddSource(nil, sec(1))
	require.NoError(t, e.Add(a, 1, sec(50), sec(1)))
	require.Empty(t, r.take())
	require.NoError(t, e.Add(b, 2, sec(2), sec(2)))
	require.NoError(t, e.Add(b, 3, sec(12), sec(3)))
	require.Equal(t, []string{"0-10 #0 final [0 2]"}, r.take())
	e.EndSource(a, sec(4))
	e.EndSource(b, sec(4))
	require.Equal(t, []string{"10-20 #0 final [3]"}, r.take(), "the highest mark is that of the first")
	e.EndSource(b, sec(4))
}

func TestEveryTriggerKeepsWhatFireReturns(t *testing.T) {
	e, r := record(t, Spec{Every: 2})
	for n := range 4 {
		require.NoError(t, e.Add(nil, n, time.Time{}, sec(0)))
	}
	e.End()
	require.Equal(t, []string{"0 #0 early [0 1] every", "0 #1 early [0 1 2 3] every", "0 #2 final [0 1 2 3]"}, r.take())

	e, r = record(t, Spec{Every: 2})
	r.discard = true
	for n := range 5 {
		require.NoError(t, e.Add(nil, n, time.Time{}, sec(0)))
	}
	e.End()
	require.Equal(t, []string{"0 #0 early [0 1] every", "0 #1 early [2 3] every", "0 #2 final [4]"}, r.take())

	var events []int64
	sum, err := New(Spec{Every: 2}, Reducer[int, int]{
		Init: func() int { return 0 },
		Add:  func(sum, n int) int { return sum + n },
		Fire: func(p Pane[int]) int {
			events = append(events, p.Events, int64(p.Acc))
			return -p.Acc // neither what it was nor a fresh one
		},
	})
	require.NoError(t, err)
	for n := range 5 {
		require.NoError(t, sum.Add(nil, n, time.Time{}, sec(0)))
	}
	sum.End()
	require.Equal(t, []int64{2, 1, 2, 4, 1, 0}, events)
}

func TestEveryCountsEachWindowAlone(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second, Disorder: time.Hour, Every: 2})
	s := e.AddSource(nil, sec(0))
	for n, at := range []float64{1, 11, 2, 12, 3} {
		require.NoError(t, e.Add(s, n, sec(at), sec(0)))
	}
	require.Equal(t, []string{"0-10 #0 early [0 2] every", "10-20 #0 early [1 3] every"}, r.take())
}

func TestTheEventThatFillsACountWindowFiresItOnce(t *testing.T) {
	e, r := record(t, Spec{Kind: Count, Size: 4, Every: 2})
	for n := range 4 {
		require.NoError(t, e.Add(nil, n, time.Time{}, sec(0)))
	}
	require.Equal(t, []string{"0 #0 early [0 1] every", "0 #1 final [0 1 2 3]"}, r.take())
}

func TestThePeriodicTriggerFiresForChangedWindows(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second, Disorder: time.Hour, Interval: time.Minute})
	s := e.AddSource(nil, sec(0))
	add := func(n int, at, now float64) { require.NoError(t, e.Add(s, n, sec(at), sec(now))) }
	due := func() time.Time {
		next, ok := e.Next()
		require.True(t, ok)
		return next
	}
	add(0, 21, 5)
	add(1, 1, 6)
	add(2, 11, 7)
	require.Equal(t, sec(65), due(), "a minute after the first event")
	e.Advance(sec(65))
	require.Equal(t, []string{"0-10 #0 early [1] periodically", "10-20 #0 early [2] periodically", "20-30 #0 early [0] periodically"}, r.take())
	_, ok := e.Next()
	require.False(t, ok, "nothing has changed, no timer")

	add(3, 12, 200)
	require.Equal(t, sec(245), due(), "the next multiple of the interval")
	add(4, 13, 245)
	require.Equal(t, []string{"10-20 #1 early [2 3] periodically"}, r.take(), "an event before the timer makes no difference")
	require.Equal(t, sec(305), due())
	e.End()
	require.Equal(t, []string{"0-10 #1 final [1]", "10-20 #2 final [2 3 4]", "20-30 #1 final [0]"}, r.take())
}

func TestAMessageFiresForChangedWindows(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: 10 * time.Second, Disorder: time.Hour})
	s := e.AddSource(nil, sec(0))
	require.NoError(t, e.Add(s, 0, sec(11), sec(0)))
	require.NoError(t, e.Add(s, 1, sec(1), sec(0)))
	e.Message("flush", sec(0))
	require.Equal(t, []string{"0-10 #0 early [1] flush", "10-20 #0 early [0] flush"}, r.take())
	e.Message("flush", sec(0))
	require.Empty(t, r.take())
	require.NoError(t, e.Add(s, 2, sec(2), sec(0)))
	e.Message("again", sec(0))
	require.Equal(t, []string{"0-10 #1 early [1 2] again"}, r.take())
}

func TestCustomTriggersHaveStateOfTheirWindow(t *testing.T) {
	r := &recorder{discard: true}
	reduce := r.reducer()
	reduce.After = func() func(int) bool {
		sum := 0
		return func(n int) bool { // true when 10 more are together
			if sum += n; sum < 10 {
				return false
			}
			sum = 0
			return true
		}
	}
	reduce.Before = func() func(int) bool {
		return func(n int) bool { return n == 0 } // 0 begins a new part
	}
	e, err := New(Spec{Kind: Count, Size: 6}, reduce)
	require.NoError(t, err)
	for _, n := range []int{0, 6, 5, 0, 7, 0, 4, 4, 4} {
		require.NoError(t, e.Add(nil, n, time.Time{}, sec(0)))
	}
	e.End()
	require.Equal(t, []string{
		"0 #0 early [0 6 5] func",
		"0 #1 early [0 7] func",
		"0 #2 final [0]",
		"1 #0 early [4 4 4] func",
		"1 #1 final []",
	}, r.take(), "none for the 0 at the beginning, where there was nothing to show")
}

func TestWindowsEndInOrder(t *testing.T) {
	e, r := record(t, Spec{Kind: Fixed, Duration: time.Second, Disorder: time.Hour})
	s := e.AddSource(nil, sec(0))
	want := make([]string, 50)
	for i := range 50 {
		n := i * 43 % 50
		want[n] = fmt.Sprintf("%d-%d #0 final [%d]", n, n+1, i)
		require.NoError(t, e.Add(s, i, sec(float64(n)), sec(0)))
	}
	require.Empty(t, r.take())
	e.End()
	require.Equal(t, want, r.take())
}
