package buffer

import (
	"fmt"
	"runtime"
	"testing"
	"unsafe"
	"weak"

	"github.com/stretchr/testify/require"
)

func seq(from, n int) []int {
	out := make([]int, 0, n+3) // spare capacity, which must never be handed on
	for i := range n {
		out = append(out, from+i)
	}
	return out
}

func requireClipped(t *testing.T, s []int) {
	t.Helper()
	require.Equal(t, len(s), cap(s), "cap == len")
}

func TestPutOverTheLimit(t *testing.T) {
	for _, c := range []struct {
		name      string
		limit     int
		keep      Keep
		puts      []int // sizes; events are numbered from 0
		discarded [][]int
		left      []int
	}{
		{"last: fits", 4, KeepLast, []int{3, 1}, [][]int{nil, nil}, []int{0, 1, 2, 3}},
		{"last: pushes out the oldest", 4, KeepLast, []int{3, 3}, [][]int{nil, {0, 1}}, []int{2, 3, 4, 5}},
		{"last: over several puts", 3, KeepLast, []int{1, 1, 1, 3}, [][]int{nil, nil, nil, {0, 1, 2}}, []int{3, 4, 5}},
		{"last: larger than the limit", 3, KeepLast, []int{1, 5}, [][]int{nil, {0, 1, 2}}, []int{3, 4, 5}},
		{"last: none kept", 0, KeepLast, []int{2, 1}, [][]int{{0, 1}, {2}}, nil},
		{"last: unlimited", -1, KeepLast, []int{1000, 1000}, [][]int{nil, nil}, seq(0, 2000)},
		{"first: fits", 4, KeepFirst, []int{3, 1}, [][]int{nil, nil}, []int{0, 1, 2, 3}},
		{"first: discards what does not fit", 4, KeepFirst, []int{3, 3}, [][]int{nil, {4, 5}}, []int{0, 1, 2, 3}},
		{"first: full", 3, KeepFirst, []int{3, 2}, [][]int{nil, {3, 4}}, []int{0, 1, 2}},
		{"first: larger than the limit", 3, KeepFirst, []int{5}, [][]int{{3, 4}}, []int{0, 1, 2}},
		{"first: none kept", 0, KeepFirst, []int{2, 1}, [][]int{{0, 1}, {2}}, nil},
		{"first: unlimited", -1, KeepFirst, []int{1000, 1000}, [][]int{nil, nil}, seq(0, 2000)},
		{"empty puts", 1, KeepLast, []int{0, 1, 0}, [][]int{nil, nil, nil}, []int{0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := New[int, string](c.limit, c.keep)
			next := 0
			for i, n := range c.puts {
				discarded := b.Put(seq(next, n))
				next += n
				require.Equal(t, c.discarded[i], discarded, "put %d", i)
				requireClipped(t, discarded)
			}
			require.Equal(t, len(c.left), b.Len())
			require.Equal(t, c.left, b.Take(next+1))
			require.Zero(t, b.Len())
		})
	}
}

func TestTakeCopiesOnlyOverSeveralPuts(t *testing.T) {
	b := New[int, string](-1, KeepLast)
	first, second := seq(0, 4), seq(4, 4)
	b.Put(first)
	b.Put(second)

	part := b.Take(3)
	require.Equal(t, []int{0, 1, 2}, part)
	requireClipped(t, part)
	require.Same(t, &first[0], unsafe.SliceData(part), "no copy within a put")

	over := b.Take(3)
	require.Equal(t, []int{3, 4, 5}, over)
	requireClipped(t, over)
	require.NotSame(t, &first[3], unsafe.SliceData(over))
	over[0] = -1 // a fresh slice belongs to the caller
	require.Equal(t, 3, first[3])

	rest := b.Take(100)
	require.Equal(t, []int{6, 7}, rest)
	requireClipped(t, rest)
	require.Same(t, &second[2], unsafe.SliceData(rest))

	require.Empty(t, b.Take(1))
	b.Put(seq(8, 1))
	require.Empty(t, b.Take(0))
	require.Empty(t, b.Take(-1))
	require.Equal(t, 1, b.Len())
}

func TestMarksStandBetweenEvents(t *testing.T) {
	b := New[int, string](-1, KeepLast)
	due := func(want string) {
		t.Helper()
		m, ok := b.Due()
		require.Equal(t, want != "", ok)
		require.Equal(t, want, m)
	}
	due("")
	b.Mark("before all")
	b.Put(seq(0, 2))
	b.Put(seq(2, 2))
	b.Mark("behind 3")
	b.Mark("also behind 3")
	b.Put(seq(4, 1))
	b.Mark("behind 4")
	require.Equal(t, 4, b.Marks())
	require.Equal(t, 5, b.Len(), "marks are not counted")

	require.Empty(t, b.Take(10), "a mark is in front")
	due("before all")
	due("")
	require.Equal(t, []int{0}, b.Take(1))
	due("")
	require.Equal(t, []int{1, 2, 3}, b.Take(10), "stops before the mark")
	require.Empty(t, b.Take(10))
	due("behind 3")
	due("also behind 3")
	due("")
	require.Equal(t, []int{4}, b.Take(1))
	due("behind 4")
	require.Zero(t, b.Marks())
	due("")
}

func TestMarksOfDiscardedEventsBecomeDue(t *testing.T) {
	b := New[int, string](3, KeepLast)
	b.Put(seq(0, 2))
	b.Mark("behind 1")
	b.Put(seq(2, 1))
	b.Mark("behind 2")
	require.Equal(t, []int{0, 1, 2}, b.Put(seq(3, 3)), "discards from behind marks as well")
	for _, want := range []string{"behind 1", "behind 2"} {
		m, ok := b.Due()
		require.True(t, ok)
		require.Equal(t, want, m)
	}
	require.Equal(t, []int{3, 4, 5}, b.Take(3))

	none := New[int, string](0, KeepLast)
	none.Put(seq(0, 2))
	none.Mark("nothing is kept")
	m, ok := none.Due()
	require.True(t, ok)
	require.Equal(t, "nothing is kept", m)
}

func TestPutFrontComesBeforeMarksAndIsNeverDiscarded(t *testing.T) {
	for _, keep := range []Keep{KeepLast, KeepFirst} {
		b := New[int, string](2, keep)
		b.Put(seq(10, 2))
		b.Mark("behind 11")
		require.Equal(t, []int{10, 11}, b.Take(2)) // its mark is at the very front now
		back := seq(10, 2)
		b.PutFront(back[1:])
		b.PutFront(back[:1])
		b.PutFront(nil)
		b.PutFront(seq(8, 2))
		require.Equal(t, 4, b.Len(), "above the limit")
		_, ok := b.Due()
		require.False(t, ok, "the mark is behind them again")
		require.Nil(t, b.Put(nil), "nothing comes, nothing goes")

		discarded := b.Put(seq(12, 1)) // pushes out one, not the three above the limit
		require.Equal(t, map[Keep][]int{KeepLast: {8}, KeepFirst: {12}}[keep], discarded)
		require.Equal(t, 4, b.Len())
		require.Equal(t, map[Keep][]int{KeepLast: {9, 10, 11}, KeepFirst: {8, 9, 10, 11}}[keep], b.Take(10))
		m, ok := b.Due()
		require.True(t, ok)
		require.Equal(t, "behind 11", m)
	}
}

func TestDrainEmptiesAndReturnsTheMarks(t *testing.T) {
	b := New[int, string](-1, KeepLast)
	b.Mark("a")
	b.Put(seq(0, 3))
	b.Mark("b")
	b.Mark("c")
	b.Put(seq(3, 3))
	b.Take(1)
	events, marks := b.Drain()
	require.Equal(t, 6, events)
	require.Equal(t, []string{"a", "b", "c"}, marks)
	require.Zero(t, b.Len())
	require.Zero(t, b.Marks())
	events, marks = b.Drain()
	require.Zero(t, events)
	require.Empty(t, marks)
	b.Put(seq(6, 1))
	require.Equal(t, []int{6}, b.Take(1), "an emptied buffer can be used again")
}

func TestWhatIsTakenIsLetGo(t *testing.T) {
	type event struct{ _ [64]byte }
	b := New[*event, string](-1, KeepLast)
	var gone []weak.Pointer[event]
	for range 10 {
		e := new(event)
		gone = append(gone, weak.Make(e))
		b.Put([]*event{e})
	}
	for range 4 {
		b.Take(1)
	}
	b.Take(3)
	for range 3 { // a discard lets go as well
		b.cut(1)
	}
	runtime.GC()
	for i, e := range gone {
		require.Nil(t, e.Value(), "event %d", i)
	}
	runtime.KeepAlive(b)
}

func TestAMarkThatCameOutIsLetGo(t *testing.T) {
	type mark struct{ _ [64]byte }
	b := New[int, *mark](-1, KeepLast)
	first := new(mark)
	gone := weak.Make(first)
	b.Mark(first)
	b.Mark(new(mark))
	b.Due()
	runtime.GC()
	require.Nil(t, gone.Value())
	require.Equal(t, 1, b.Marks())
}

func TestASteadyCycleDoesNotGrow(t *testing.T) {
	b := New[int, string](-1, KeepLast)
	batch := seq(0, 10)
	b.Put(batch)
	for range 10_000 {
		b.Put(batch)
		b.Take(10)
	}
	require.LessOrEqual(t, len(b.segs.slots), 4)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		b.Put(batch)
		b.Take(4)
		b.Take(6)
	}), "no allocation as long as nothing spans two puts")
	b.Take(10)

	for range 10_000 {
		b.Put(batch)
	}
	for b.Len() > 0 {
		b.Take(1000)
	}
	require.LessOrEqual(t, len(b.segs.slots), keptRing, "a burst does not keep its storage")

	for range 10_000 {
		b.Mark("m")
		b.Due()
	}
	require.Zero(t, cap(b.due))
}

func BenchmarkBuffer(b *testing.B) {
	for _, size := range []int{1, 100, 10_000} {
		b.Run(fmt.Sprintf("put and take/events=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			buf := New[int, string](-1, KeepLast)
			batch := seq(0, size)
			for b.Loop() {
				buf.Put(batch)
				buf.Take(size)
			}
		})
	}
	b.Run("take over 10 puts", func(b *testing.B) {
		b.ReportAllocs()
		buf := New[int, string](-1, KeepLast)
		batch := seq(0, 10)
		for b.Loop() {
			for range 10 {
				buf.Put(batch)
			}
			buf.Take(100)
		}
	})
	b.Run("full, keep last", func(b *testing.B) {
		b.ReportAllocs()
		buf := New[int, string](1000, KeepLast)
		batch := seq(0, 100)
		for b.Loop() {
			buf.Put(batch)
		}
	})
}

// What is left of what a consumer gave back is still that: more of it goes behind.
func TestWhatIsTrimmedKeepsWhoGaveItBack(t *testing.T) {
	for keep, want := range map[Keep][]int{KeepLast: {3, 4, 9}, KeepFirst: {2, 3, 4}} {
		b := New[int, string](-1, keep)
		b.Put([]int{9})
		b.PutBack([]int{2, 3}, "a", false)
		require.Len(t, b.Trim(2), 1)
		b.PutBack([]int{4}, "a", true)
		require.Equal(t, want, b.Take(10))
	}
}

func TestWhatComesBackInStepsStaysInOrder(t *testing.T) {
	b := New[int, string](-1, KeepLast)
	b.Mark("now")
	b.Put([]int{9})
	b.Mark("end")
	b.PutBack([]int{3, 4}, "a", false)
	b.PutBack([]int{1, 2}, "b", false)
	b.PutBack([]int{5}, "a", true)
	b.PutBack([]int{6}, "c", true)
	b.PutBack(nil, "c", true)
	b.PutBack([]int{7}, "a", true)
	require.Equal(t, 8, b.Len())
	require.Equal(t, []int{6, 1, 2, 3}, b.Take(4), "from another: in front")
	b.PutBack([]int{8}, "a", true)
	require.Equal(t, []int{4, 5, 7, 8}, b.Take(9), "up to the mark, which was behind all of them")
	mark, ok := b.Due()
	require.True(t, ok)
	require.Equal(t, "now", mark)
	b.PutBack([]int{10}, "a", true)
	require.Equal(t, []int{10, 9}, b.Take(9), "the others have gone: in front")
	mark, _ = b.Due()
	require.Equal(t, "end", mark)
	require.Zero(t, b.Len()+b.Marks())
}

// What was taken and could not be given out is still what its consumer gave back: more of that goes behind it.
func TestWhatIsPutInFrontAgainKeepsWhoGaveItBack(t *testing.T) {
	b := New[int, string](-1, KeepLast)
	b.Put([]int{6})
	b.PutBack([]int{2, 3}, "a", false)
	taken := b.Take(10)
	require.Equal(t, []int{2, 3, 6}, taken)
	b.PutFront(taken[1:])
	b.PutBack([]int{4, 5}, "a", true)
	require.Equal(t, []int{3, 4, 5, 6}, b.Take(10))
	b.PutFront([]int{6})
	b.PutBack([]int{7}, "a", true)
	require.Equal(t, []int{7, 6}, b.Take(10), "nothing is left of what it gave back")
}
