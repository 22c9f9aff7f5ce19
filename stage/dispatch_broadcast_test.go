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

// naiveBroadcast is the broadcast dispatcher, written down without positions and heaps.
type naiveBroadcast struct{ subs []*naiveSub }

type naiveSub struct {
	id    SubID
	r     Request[int]
	open  int64 // may be sent beyond what is queued
	queue []int
}

func (m *naiveBroadcast) find(id SubID) *naiveSub {
	i := slices.IndexFunc(m.subs, func(s *naiveSub) bool { return s.id == id })
	if i < 0 {
		return nil
	}
	return m.subs[i]
}

func (m *naiveBroadcast) subscribe(id SubID, r Request[int]) bool {
	for _, s := range m.subs {
		if s.id == id || s.r.Consumer == r.Consumer {
			return false
		}
	}
	m.subs = append(m.subs, &naiveSub{id: id, r: r})
	return true
}

func (m *naiveBroadcast) cancel(id SubID) {
	m.subs = slices.DeleteFunc(m.subs, func(s *naiveSub) bool { return s.id == id })
}

func (m *naiveBroadcast) live() int64 {
	least, most, waits := int64(math.MaxInt64), int64(0), false
	for _, s := range m.subs {
		most = max(most, s.open)
		if s.r.Lag == 0 {
			least, waits = min(least, s.open), true
		}
	}
	if waits {
		return least
	}
	return most
}

// holdingUp counts those who have asked for nothing, when all others wait for them.
func (m *naiveBroadcast) holdingUp() (n int) {
	for _, s := range m.subs {
		switch {
		case s.r.Lag > 0:
			return 0
		case s.open == 0:
			n++
		}
	}
	return n
}

func (m *naiveBroadcast) dispatch(events []int, out *record) []int {
	for len(events) > 0 && m.live() > 0 {
		n := int(min(m.live(), int64(len(events))))
		for _, s := range slices.Clone(m.subs) {
			m.offer(s, events[:n], out)
		}
		events = events[n:]
	}
	return events
}

func (m *naiveBroadcast) offer(s *naiveSub, batch []int, out *record) {
	for _, e := range batch {
		if s.r.Where != nil && panics(func() { s.r.Where(e) }) {
			m.cancel(s.id)
			out.filtered[s.id] += len(batch)
			out.refused[s.id] = ErrRefused
			return
		}
	}
	for _, e := range batch {
		if s.r.Where != nil && !s.r.Where(e) {
			out.filtered[s.id]++
			continue
		}
		s.queue = append(s.queue, e)
	}
	m.flush(s, out)
	if over := len(s.queue) - s.r.Lag; over > 0 {
		if s.r.Policy == LagDisconnect {
			out.lagged[s.id] += len(s.queue)
			out.refused[s.id] = ErrLagging
			m.cancel(s.id)
			return
		}
		s.queue = s.queue[over:]
		out.lagged[s.id] += over
	}
}

func (m *naiveBroadcast) flush(s *naiveSub, out *record) {
	n := int(min(s.open, int64(len(s.queue))))
	if n > 0 {
		out.sent[s.id] = append(out.sent[s.id], s.queue[:n]...)
		s.queue = s.queue[n:]
		if s.open < math.MaxInt64/2 {
			s.open -= int64(n)
		}
	}
}

func (m *naiveBroadcast) deliverable() (n int) {
	for _, s := range m.subs {
		n += len(s.queue)
	}
	return n
}

func panics(fn func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	fn()
	return false
}

// requestOf makes the requests of the fuzz tests: all kinds.
func requestOf(b byte) Request[int] {
	r := Request[int]{Consumer: int(b % 10)}
	switch b % 5 {
	case 1:
		r.Where = func(n int) bool { return n%3 == 0 }
	case 3:
		r.Where = func(n int) bool {
			if n%100 == 77 {
				panic("selector")
			}
			return n%2 == 0
		}
	}
	if b%3 == 1 {
		r.Lag = 1 + int(b/16)
		r.Policy = LagPolicy(b / 3 % 2)
	}
	return r
}

// playBroadcast reads operations, three bytes each, and compares with the model.
func playBroadcast(t require.TestingT, ops []byte) {
	d := newBroadcastDispatcher[int]()
	model := &naiveBroadcast{}
	next := 0
	got, want := newRecord(), newRecord()
	for ops = ops[:min(len(ops), 900)]; len(ops) >= 3; ops = ops[3:] {
		id := SubID(ops[1] % 12)
		got.forget()
		want.forget()
		switch ops[0] % 8 {
		case 0:
			r := requestOf(ops[2])
			err := d.Subscribe(id, r)
			equal(t, model.subscribe(id, r), err == nil)
		case 1, 2:
			n := int64(ops[2]%16) - 1
			if ops[2] > 250 {
				n = math.MaxInt64 - int64(ops[2]-250)
			}
			d.Ask(id, n)
			if s := model.find(id); s != nil && n > 0 {
				s.open = add(s.open, n)
			}
		case 3, 4:
			events := numbers(next, int(ops[2]%40))
			next += len(events)
			rest := d.Dispatch(events, got)
			equal(t, len(model.dispatch(events, want)), len(rest))
			if !slices.Equal(events[len(events)-len(rest):], rest) {
				require.Equal(t, events[len(events)-len(rest):], rest)
			}
		case 5:
			d.Cancel(id)
			model.cancel(id)
		case 6:
			d.Flush(got)
			for _, s := range model.subs {
				model.flush(s, want)
			}
		case 7: // the stream has gone on for long: the origin is moved
			far := int64(math.MaxInt64/2+1) - d.position
			for _, e := range d.subs {
				if e.limit > math.MaxInt64/4 {
					far = 0
				}
			}
			d.position += far
			for _, e := range d.subs {
				e.limit += far
			}
		}
		d.Flush(got)
		for _, s := range model.subs {
			model.flush(s, want)
		}
		equalRecords(t, want, got)
		equal(t, model.holdingUp(), d.holdingUp())
		if live := model.live(); live < 1<<60 {
			equal(t, live, d.Live())
		} else {
			equal(t, true, d.Live() >= 1<<60, "%d", d.Live())
		}
		equal(t, model.deliverable(), d.Deliverable())
		equal(t, len(model.subs), len(d.subs))
		equal(t, len(d.subs)-len(d.lagging.items), len(d.waiting.items))
	}
}

// add adds demand, up to the largest number.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func FuzzBroadcastDispatcher(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 2, 1, 1, 1, 9, 1, 2, 5, 3, 0, 20, 7, 0, 0, 1, 1, 9, 3, 0, 9})
	f.Add([]byte{0, 1, 0, 0, 2, 1, 0, 3, 3, 0, 4, 7, 0, 5, 22, 1, 1, 255, 1, 3, 15, 3, 0, 39, 3, 0, 39, 3, 0, 39, 1, 2, 15, 5, 1, 0, 3, 0, 20})
	f.Fuzz(func(t *testing.T, ops []byte) { playBroadcast(t, ops) })
}

func TestHoldingUpIsCountedUpToABound(t *testing.T) {
	d := newBroadcastDispatcher[int]()
	for i := range 3 * mostHoldingUp {
		require.NoError(t, d.Subscribe(SubID(i+1), Request[int]{}))
		require.Equal(t, min(i+1, mostHoldingUp), d.holdingUp())
	}
	for i := range 3 * mostHoldingUp {
		d.Ask(SubID(i+1), 1)
		require.Equal(t, min(3*mostHoldingUp-i-1, mostHoldingUp), d.holdingUp())
	}
}

func TestBroadcastDispatcher(t *testing.T) {
	all := Request[int]{}
	even := Request[int]{Where: func(n int) bool { return n%2 == 0 }}
	none := Request[int]{Where: func(int) bool { return false }}
	lag3 := Request[int]{Lag: 3}
	type ask struct {
		id SubID
		n  int64
	}
	for _, c := range []struct {
		name   string
		subs   []Request[int] // 1, 2, ...
		asks   []ask
		events int
		sent   map[SubID][]int
		rest   int
		live   int64
	}{
		{"nobody is there", nil, nil, 3, map[SubID][]int{}, 3, 0},
		{"one did not ask", []Request[int]{all, all}, []ask{{1, 5}}, 3, map[SubID][]int{}, 3, 0},
		{"the least of all", []Request[int]{all, all}, []ask{{1, 5}, {2, 2}}, 3, map[SubID][]int{1: {0, 1}, 2: {0, 1}}, 1, 0},
		{"what is rejected uses up no demand", []Request[int]{all, even}, []ask{{1, 9}, {2, 2}}, 4, map[SubID][]int{1: {0, 1, 2}, 2: {0, 2}}, 1, 0},
		{"all is rejected", []Request[int]{all, none}, []ask{{1, 9}, {2, 1}}, 20, map[SubID][]int{1: numbers(0, 9)}, 11, 0},
		{"lag: nobody waits", []Request[int]{all, lag3}, []ask{{1, 9}}, 5, map[SubID][]int{1: numbers(0, 5)}, 0, 4},
		{"lag: it has demand", []Request[int]{all, lag3}, []ask{{1, 9}, {2, 2}}, 5, map[SubID][]int{1: numbers(0, 5), 2: {0, 1}}, 0, 4},
		{"lag: all may", []Request[int]{lag3, lag3}, []ask{{1, 4}, {2, 1}}, 9, map[SubID][]int{1: numbers(0, 4), 2: {0}}, 5, 0},
		{"no end", []Request[int]{all}, []ask{{1, math.MaxInt64}, {1, math.MaxInt64}}, 2, map[SubID][]int{1: {0, 1}}, 0, math.MaxInt64 - 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newBroadcastDispatcher[int]()
			for i, r := range c.subs {
				require.NoError(t, d.Subscribe(SubID(i+1), r))
			}
			for _, a := range c.asks {
				d.Ask(a.id, a.n)
			}
			out := newRecord()
			rest := d.Dispatch(numbers(0, c.events), out)
			require.Equal(t, c.sent, out.sent)
			require.Len(t, rest, c.rest)
			require.Equal(t, c.live, d.Live())
		})
	}
}

func TestBroadcastGoesOnBeyondTheLargestPosition(t *testing.T) {
	d := newBroadcastDispatcher[int]()
	require.NoError(t, d.Subscribe(1, Request[int]{}))
	require.NoError(t, d.Subscribe(2, Request[int]{Lag: 5}))
	require.NoError(t, d.Subscribe(3, Request[int]{}))
	d.position = math.MaxInt64/2 + 1
	for _, e := range d.subs {
		e.limit = d.position
	}
	out := newRecord()
	d.Ask(1, math.MaxInt64)
	d.Ask(3, 10)
	d.Dispatch(numbers(0, 4), out) // 2 lags behind
	require.Less(t, d.position, int64(100), "moved back")
	d.Dispatch(numbers(4, 1), out)
	d.Ask(2, 3)
	d.Flush(out)
	require.Equal(t, map[SubID][]int{1: numbers(0, 5), 2: numbers(0, 3), 3: numbers(0, 5)}, out.sent)
	require.EqualValues(t, 5, d.Live())
	d.Cancel(3)
	require.Greater(t, d.Live(), int64(math.MaxInt64/2), "an ask without end stays so")
	d.Ask(1, 1)
	require.Greater(t, d.Live(), int64(math.MaxInt64/2))
}

// Counted in comparisons, not in time: an ask, a subscription and an end cost O(log n).
func TestBroadcastDispatcherAskIsLogarithmic(t *testing.T) {
	for _, lag := range []int{0, 3} {
		for _, n := range counts() {
			t.Run(fmt.Sprintf("lag %d, %d subscribers", lag, n), func(t *testing.T) {
				d := newBroadcastDispatcher[int]()
				worst := map[string]uint64{}
				step := func(what string, do func()) {
					before := d.waiting.steps + d.lagging.steps
					do()
					worst[what] = max(worst[what], d.waiting.steps+d.lagging.steps-before)
				}
				random := rand.New(rand.NewPCG(1, 2))
				for id := range SubID(n) {
					step("subscribe", func() { require.NoError(t, d.Subscribe(id, Request[int]{Consumer: id, Lag: lag})) })
				}
				for range n {
					id := SubID(random.IntN(n))
					step("ask", func() { d.Ask(id, 1+random.Int64N(100)); d.Live() })
					step("ask without end", func() { d.Ask(id/100, math.MaxInt64); d.Live() })
				}
				for id := range SubID(n) {
					step("cancel", func() { d.Cancel(id); d.Live() })
				}
				require.Empty(t, d.subs)
				for what, steps := range worst {
					require.LessOrEqual(t, steps, uint64(4*bits.Len(uint(n))+2), "%s: two comparisons a level, and one way up", what)
				}
			})
		}
	}
}

func TestBroadcastDispatcherDoesNotAllocatePerAskOrDelivery(t *testing.T) {
	d := newBroadcastDispatcher[int]()
	for id := range SubID(100) {
		require.NoError(t, d.Subscribe(id, Request[int]{Consumer: id}))
	}
	events, out := numbers(0, 100)[:100:100], sender(func(SubID, []int) {})
	require.Zero(t, testing.AllocsPerRun(100, func() {
		for id := range SubID(100) {
			d.Ask(id, 100)
		}
		d.Dispatch(events, out)
		d.Flush(out)
	}))
}
