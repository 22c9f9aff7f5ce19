package buffer

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// entry is an event or a mark of the naive model.
type entry struct {
	n      int
	isMark bool
}

// naive is the buffer as one would write it without caring for cost.
type naive struct {
	limit int
	keep  Keep
	list  []entry
}

func (m *naive) len() int {
	n := 0
	for _, e := range m.list {
		if !e.isMark {
			n++
		}
	}
	return n
}

// put goes event by event, as GenStage does.
func (m *naive) put(events []int) (discarded []int) {
	for _, e := range events {
		if m.limit < 0 || m.len() < m.limit {
			m.list = append(m.list, entry{n: e})
			continue
		}
		if m.keep == KeepFirst {
			discarded = append(discarded, e)
			continue
		}
		m.list = append(m.list, entry{n: e})
		for i, old := range m.list {
			if !old.isMark {
				discarded = append(discarded, old.n)
				m.list = append(m.list[:i:i], m.list[i+1:]...)
				break
			}
		}
	}
	return discarded
}

func (m *naive) putFront(events []int) {
	var list []entry
	for _, e := range events {
		list = append(list, entry{n: e})
	}
	m.list = append(list, m.list...)
}

func (m *naive) take(n int) (events []int) {
	for len(events) < n && len(m.list) > 0 && !m.list[0].isMark {
		events = append(events, m.list[0].n)
		m.list = m.list[1:]
	}
	return events
}

func (m *naive) due() (int, bool) {
	if len(m.list) == 0 || !m.list[0].isMark {
		return 0, false
	}
	n := m.list[0].n
	m.list = m.list[1:]
	return n, true
}

func (m *naive) trim(n int) (discarded []int) {
	over := m.len() - n
	for at, seen := 0, 0; over > 0 && at < len(m.list); at++ {
		if m.list[at].isMark {
			continue
		}
		if seen++; m.keep == KeepLast && seen <= over || m.keep == KeepFirst && seen > n {
			discarded = append(discarded, m.list[at].n)
			m.list = append(m.list[:at:at], m.list[at+1:]...)
			at--
		}
	}
	return discarded
}

func (m *naive) drain() (events int, marks []int) {
	for _, e := range m.list {
		if e.isMark {
			marks = append(marks, e.n)
		} else {
			events++
		}
	}
	m.list = nil
	return events, marks
}

// FuzzBuffer reads the policy and then operations, two bytes each, and compares
// with the naive model.
func FuzzBuffer(f *testing.F) {
	f.Add([]byte{0, 5, 0, 3, 2, 0, 0, 4, 3, 9, 4, 0, 3, 9})
	f.Add([]byte{1, 5, 0, 3, 2, 0, 0, 4, 1, 2, 4, 0, 3, 9})
	f.Add([]byte{0, 1, 0, 3, 2, 0, 1, 4, 0, 9, 2, 0, 4, 0, 4, 0, 5, 0})
	f.Add([]byte{1, 0, 0, 3, 1, 1, 2, 0, 0, 3, 3, 1, 4, 0, 5, 0})
	f.Add([]byte{0, 19, 2, 0, 0, 3, 2, 0, 0, 3, 2, 0, 1, 2, 6, 4, 6, 1, 2, 0, 6, 0, 4, 0, 4, 0})
	f.Add([]byte{1, 19, 2, 0, 0, 3, 2, 0, 0, 3, 2, 0, 1, 2, 6, 4, 6, 1, 2, 0, 6, 0, 4, 0, 4, 0})
	f.Fuzz(func(t *testing.T, ops []byte) {
		if len(ops) < 2 {
			t.Skip()
		}
		keep := Keep(ops[0] % 2)
		limit := int(ops[1]%20) - 1
		b := New[int, int](limit, keep)
		model := &naive{limit: limit, keep: keep}
		next := 0
		fresh := func(n byte) []int {
			s := seq(next, int(n%16))
			next += len(s)
			return s
		}
		var handed [][]int // every slice given in or out, and what it must still read
		var must [][]int
		remember := func(s []int) {
			handed = append(handed, s)
			must = append(must, append([]int(nil), s...))
		}
		for ops = ops[2:min(len(ops), 400)]; len(ops) >= 2; ops = ops[2:] {
			switch ops[0] % 7 {
			case 0:
				events := fresh(ops[1])
				remember(events)
				want := model.put(append([]int(nil), events...))
				got := b.Put(events)
				require.Equal(t, want, got)
				requireClipped(t, got)
				remember(got)
			case 1:
				events := fresh(ops[1])
				remember(events)
				model.putFront(events)
				b.PutFront(events)
			case 2:
				next++
				model.list = append(model.list, entry{n: next, isMark: true})
				b.Mark(next)
			case 3:
				want := model.take(int(ops[1] % 24))
				got := b.Take(int(ops[1] % 24))
				require.Equal(t, want, got)
				requireClipped(t, got)
				remember(got)
			case 4:
				wantMark, wantOK := model.due()
				mark, ok := b.Due()
				require.Equal(t, wantOK, ok)
				require.Equal(t, wantMark, mark)
			case 5:
				if ops[1]%8 != 0 { // seldom
					continue
				}
				wantEvents, wantMarks := model.drain()
				events, marks := b.Drain()
				require.Equal(t, wantEvents, events)
				require.Equal(t, wantMarks, marks)
			case 6:
				want := model.trim(int(ops[1] % 24))
				got := b.Trim(int(ops[1] % 24))
				require.Equal(t, want, got)
				requireClipped(t, got)
				remember(got)
			}
			require.Equal(t, model.len(), b.Len())
			require.Equal(t, len(model.list)-model.len(), b.Marks())
		}
		for i := range handed {
			require.Equal(t, must[i], append([]int(nil), handed[i]...), "slices are handed over, not written to")
		}
	})
}
