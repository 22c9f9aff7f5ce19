package stage

import (
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// naivePartition is the partition dispatcher, written down event by event.
type naivePartition struct {
	parts []*naivePart
	limit int // of a queue without owner; -1: none
	first bool
	marks map[any]int // queues to pass
}

type naivePart struct {
	subs  listDispatcher
	queue []any // int or *naiveMark
}

type naiveMark struct{ mark any }

func (m *naivePartition) of(id SubID) *naivePart {
	for _, p := range m.parts {
		if p.subs.find(id) >= 0 {
			return p
		}
	}
	return nil
}

func (p *naivePart) events() (n int) {
	for _, e := range p.queue {
		if _, ok := e.(int); ok {
			n++
		}
	}
	return n
}

func (m *naivePartition) live() int64 {
	live, queued := int64(0), 0
	for _, p := range m.parts {
		if len(p.subs.list) > 0 {
			live = add(live, p.subs.live())
			queued += p.events()
		}
	}
	return max(0, live-int64(queued))
}

func (m *naivePartition) dispatch(events []int, out *record) (rest []int) {
	batches := map[int][]int{}
	var order []int
	for live := m.live(); len(events) > 0 && live > 0; events = events[1:] {
		e := events[0]
		changed, key, keep := naiveKey(e)
		if !keep || key >= len(m.parts) {
			out.dropped++
			continue
		}
		if batches[key] == nil {
			order = append(order, key)
		}
		batches[key] = append(batches[key], changed)
		if len(m.parts[key].subs.list) > 0 {
			live--
		}
	}
	for _, key := range order {
		p := m.parts[key]
		batch := batches[key]
		if len(p.queue) == 0 {
			var sent []delivery
			sent, batch = p.subs.dispatch(batch)
			for _, s := range sent {
				out.sent[s.to] = append(out.sent[s.to], s.events...)
			}
		}
		for _, e := range batch {
			p.queue = append(p.queue, e)
		}
		m.trim(p, out)
	}
	return events
}

// naiveKey has four keys, of which three are partitions; it changes events, and drops some.
func naiveKey(e int) (changed, key int, keep bool) { return e + 1_000_000, e % 4, e%7 != 3 }

func (m *naivePartition) trim(p *naivePart, out *record) {
	over := p.events() - m.limit
	if len(p.subs.list) > 0 || m.limit < 0 || over <= 0 {
		return
	}
	var kept []any
	seen := 0
	for _, e := range p.queue {
		n, isEvent := e.(int)
		if isEvent {
			seen++
			if !m.first && seen <= over || m.first && seen > m.limit {
				out.discarded = append(out.discarded, n)
				continue
			}
		}
		kept = append(kept, e)
	}
	p.queue = kept
	m.pass(p, out)
}

// pass lets marks go that are in front.
func (m *naivePartition) pass(p *naivePart, out *record) {
	for len(p.queue) > 0 {
		mark, ok := p.queue[0].(*naiveMark)
		if !ok {
			return
		}
		p.queue = p.queue[1:]
		if m.marks[mark.mark]--; m.marks[mark.mark] == 0 {
			out.due = append(out.due, mark.mark)
		}
	}
}

func (m *naivePartition) flush(out *record) {
	for _, p := range m.parts {
		m.trim(p, out)
		for m.pass(p, out); len(p.queue) > 0 && p.subs.live() > 0; m.pass(p, out) {
			// As many as are asked for up to the next mark are shared at once.
			var run []int
			for _, e := range p.queue {
				n, ok := e.(int)
				if !ok || int64(len(run)) == p.subs.live() {
					break
				}
				run = append(run, n)
			}
			p.queue = p.queue[len(run):]
			sent, _ := p.subs.dispatch(run)
			for _, s := range sent {
				out.sent[s.to] = append(out.sent[s.to], s.events...)
			}
		}
	}
}

func (m *naivePartition) mark(mark any) bool {
	for _, p := range m.parts {
		if len(p.queue) > 0 {
			p.queue = append(p.queue, &naiveMark{mark})
			m.marks[mark]++
		}
	}
	return m.marks[mark] == 0
}

// playPartition reads operations, three bytes each, and compares with the model.
func playPartition(t require.TestingT, ops []byte) {
	if len(ops) == 0 {
		return
	}
	limit, first := int(ops[0]%12)-1, ops[0]&128 != 0
	made, err := PartitionWith(naiveKey, 0, 1, 2)(stageBuffer(limit, first))
	require.NoError(t, err)
	d := made.(*partitionDispatcher[int, int])
	model := &naivePartition{limit: limit, first: first, parts: []*naivePart{{}, {}, {}}, marks: map[any]int{}}
	next, marks := 0, 0
	had := map[SubID][]int{}
	got, want := newRecord(), newRecord()
	for ops = ops[1:min(len(ops), 900)]; len(ops) >= 3; ops = ops[3:] {
		id := SubID(ops[1] % 8)
		got.forget()
		want.forget()
		switch ops[0] % 8 {
		case 0:
			key := int(ops[2] % 4)
			err := d.Subscribe(id, Request[int]{Key: key})
			if model.of(id) != nil {
				require.ErrorIs(t, err, ErrAlreadySubscribed)
				break
			}
			if key == 3 {
				require.ErrorIs(t, err, ErrInvalidOption)
				break
			}
			require.NoError(t, err)
			model.parts[key].subs.list = append(model.parts[key].subs.list, listEntry{id: id})
			had[id] = nil
		case 1, 2:
			n := int64(ops[2]%16) - 1
			if ops[2] > 250 {
				n = math.MaxInt64 - int64(ops[2]-250)
			}
			d.Ask(id, n)
			if p := model.of(id); p != nil && n > 0 {
				p.subs.ask(id, n)
			}
		case 3, 4:
			events := numbers(next, int(ops[2]%40))
			next += len(events)
			rest := d.Dispatch(events, got)
			equal(t, len(model.dispatch(events, want)), len(rest))
		case 5:
			p := model.of(id)
			d.Cancel(id)
			if p == nil {
				break
			}
			p.subs.remove(id)
			back := had[id][max(0, len(had[id])-int(ops[2]%8)):]
			again, lost := d.HandBack(Request[int]{Key: slices.Index(model.parts, p)}, slices.Clone(back))
			require.Empty(t, again)
			require.Zero(t, lost)
			for i := range back {
				p.queue = slices.Insert(p.queue, i, any(back[i]))
			}
		case 6:
			marks++
			equal(t, model.mark(marks), d.Mark(marks))
		}
		if ops[0]%8 != 7 {
			d.Flush(got)
			model.flush(want)
		}
		equalRecords(t, want, got)
		if live := model.live(); live < 1<<60 {
			equal(t, live, d.Live())
		} else {
			equal(t, true, d.Live() >= 1<<60, "%d", d.Live())
		}
		queued, deliverable := 0, 0
		for _, p := range model.parts {
			queued += p.events()
			if len(p.subs.list) > 0 {
				deliverable += p.events()
			}
		}
		equal(t, queued, d.Queued())
		equal(t, deliverable, d.Deliverable())
		for id, events := range got.sent {
			had[id] = append(had[id], events...)
		}
	}
}

func FuzzPartitionDispatcher(f *testing.F) {
	f.Add([]byte{4, 0, 1, 0, 0, 2, 1, 1, 1, 9, 1, 2, 5, 3, 0, 20, 6, 0, 0, 5, 1, 3, 3, 0, 39, 0, 5, 0, 1, 5, 9})
	f.Add([]byte{131, 0, 1, 0, 1, 1, 255, 3, 0, 39, 6, 0, 0, 3, 0, 39, 6, 0, 0, 5, 1, 7, 3, 0, 9, 0, 3, 1, 1, 3, 255, 6, 0, 0})
	f.Fuzz(func(t *testing.T, ops []byte) { playPartition(t, ops) })
}

// A queue without owner that keeps the first events discards behind a mark, and keeps the mark in its place.
func TestPartitionKeepFirstKeepsMarksInPlace(t *testing.T) {
	made, err := PartitionBy(func(n int) int { return n % 2 }, 0, 1)(stageBuffer(4, true))
	require.NoError(t, err)
	d := made.(*partitionDispatcher[int, int])
	require.NoError(t, d.Subscribe(1, Request[int]{Key: 1}))
	d.Ask(1, 100)
	out := newRecord()
	d.Dispatch([]int{0, 2}, out)
	require.False(t, d.Mark("behind 2"))
	d.Dispatch([]int{4, 6, 8, 10}, out)
	require.Equal(t, []int{8, 10}, out.discarded)
	require.Empty(t, out.due, "0 and 2 are still there")
	require.NoError(t, d.Subscribe(2, Request[int]{Key: 0}))
	d.Ask(2, 2)
	d.Flush(out)
	require.Equal(t, []any{"behind 2"}, out.due)
	d.Ask(2, 9)
	d.Flush(out)
	require.Equal(t, []int{0, 2, 4, 6}, out.sent[2])
}

func TestPartitionRefusals(t *testing.T) {
	key := func(n int) any { return n % 2 }
	type name string
	for _, c := range []struct {
		name string
		r    Request[int]
		ok   bool
	}{
		{"one of them", Request[int]{Key: 1}, true},
		{"several consumers of a partition", Request[int]{Key: 0}, true},
		{"no key", Request[int]{}, false},
		{"no such partition", Request[int]{Key: 7}, false},
		{"a key of another type", Request[int]{Key: "0"}, false},
		{"a key of a type of the same kind", Request[int]{Key: name("a")}, false},
		{"a key that cannot be compared", Request[int]{Key: []int{1}}, false},
		{"Where", Request[int]{Key: 1, Where: func(int) bool { return true }}, false},
		{"Lag", Request[int]{Key: 1, Lag: 1}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			d, err := PartitionBy(key, any(0), any(1))()
			require.NoError(t, err)
			require.NoError(t, d.Subscribe(1, Request[int]{Key: 0}))
			d.Ask(1, 5)
			err = d.Subscribe(2, c.r)
			if c.ok {
				require.NoError(t, err)
			} else {
				require.ErrorIs(t, err, ErrInvalidOption)
			}
			require.EqualValues(t, 5, d.Live())
		})
	}
	for _, keys := range [][]any{nil, {1, 1}, {1, []int{2}}} {
		_, err := PartitionBy(key, keys...)()
		require.ErrorIs(t, err, ErrInvalidOption, "%v", keys)
	}
	_, err := PartitionBy(key, any(1))(Shuffle(1))
	require.ErrorIs(t, err, ErrInvalidOption)
	require.Panics(t, func() { PartitionBy[int, int](nil, 1) })
}

func TestPartitionSaysWhyItDrops(t *testing.T) {
	split := func(n int) (int, int, bool) {
		if n == 5 {
			panic("five")
		}
		return n, n, n != 4
	}
	d, err := PartitionWith(split, 0, 1)()
	require.NoError(t, err)
	require.NoError(t, d.Subscribe(1, Request[int]{Key: 0}))
	d.Ask(1, 9)
	for event, fault := range map[int]string{4: "", 5: "panicked: five", 6: "no partition 6"} {
		out := newRecord()
		d.Dispatch([]int{event}, out)
		require.Equal(t, 1, out.dropped)
		require.EqualValues(t, 9, d.Live(), "it uses up no demand")
		if fault == "" {
			require.Empty(t, out.faults)
		} else {
			require.ErrorContains(t, out.faults[0], fault)
		}
	}
}

// Counted in comparisons, and in partitions that are looked at: an ask costs O(log n), however many partitions there are.
func TestPartitionDispatcherAskIsLogarithmic(t *testing.T) {
	for _, n := range counts() {
		for _, parts := range []int{1, n} {
			t.Run(fmt.Sprintf("%d consumers of %d partitions", n, parts), func(t *testing.T) {
				keys := make([]int, parts)
				for i := range keys {
					keys[i] = i
				}
				made, err := PartitionBy(func(e int) int { return e % parts }, keys...)()
				require.NoError(t, err)
				d := made.(*partitionDispatcher[int, int])
				for id := range SubID(n) {
					require.NoError(t, d.Subscribe(id, Request[int]{Key: int(id) % parts}))
				}
				random := rand.New(rand.NewPCG(1, 2))
				var worst uint64
				out := sender(func(SubID, []int) {})
				for range n {
					id := SubID(random.IntN(n))
					heap := &d.subs[id].subs.heap
					before := heap.steps
					d.Ask(id, 1+random.Int64N(100))
					worst = max(worst, heap.steps-before)
					require.LessOrEqual(t, len(d.due), 1)
					d.Live()
					if id%7 == 0 {
						d.Dispatch(numbers(int(id), 3), out)
						require.Empty(t, d.touched)
					}
					d.Flush(out)
				}
				require.LessOrEqual(t, worst, uint64(2*bits.Len(uint(n))+2))
			})
		}
	}
}

// A queue without owner is bounded; what is left of what a consumer gave back is still before what it gives back later.
func TestPartitionQueueThatIsTrimmedKeepsWhoGaveBack(t *testing.T) {
	for _, first := range []bool{false, true} {
		d, err := PartitionBy(func(int) int { return 0 }, 0)(stageBuffer(2, first))
		require.NoError(t, err)
		out, of := newRecord(), Request[int]{Key: 0, Consumer: "a"}
		require.NoError(t, d.Subscribe(1, of))
		d.Ask(1, 4)
		d.Dispatch([]int{1, 2, 3, 4}, out)
		d.Cancel(1)
		d.HandBack(of, []int{1, 2, 3})
		d.(QueueingDispatcher[int]).Flush(out)
		require.Len(t, out.discarded, 1)
		of.late = true
		d.HandBack(of, []int{4})
		out.forget()
		require.NoError(t, d.Subscribe(2, Request[int]{Key: 0}))
		d.Ask(2, 4)
		d.(QueueingDispatcher[int]).Flush(out)
		require.Equal(t, map[bool][]int{false: {2, 3, 4}, true: {1, 2, 4}}[first], out.sent[2])
	}
}
