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

// delivery is one call of a dispatcher's send.
type delivery struct {
	to     SubID
	events []int
}

// dispatchTo hands events out and returns who got what.
func dispatchTo(t require.TestingT, d Dispatcher[int], events []int) (sent []delivery, rest []int) {
	rest = d.Dispatch(events, sender(func(id SubID, events []int) {
		equal(t, true, len(events) > 0, "nothing is sent for nothing")
		equal(t, len(events), cap(events), "cap == len")
		sent = append(sent, delivery{id, events})
	}))
	equal(t, len(rest), cap(rest), "cap == len")
	return sent, rest
}

// numbers returns the n integers from first on, with room behind them that must
// not be handed on.
func numbers(first, n int) []int {
	events := make([]int, 0, n+2)
	for i := range n {
		events = append(events, first+i)
	}
	return events
}

func TestDemandDispatcherServesTheLargestDemandFirst(t *testing.T) {
	type ask struct {
		id SubID
		n  int64
	}
	for _, c := range []struct {
		name   string
		asks   []ask
		events int
		sent   []delivery
		rest   []int
		live   int64
	}{
		{"nobody asked", nil, 3, nil, []int{0, 1, 2}, 0},
		{"no events", []ask{{1, 5}}, 0, nil, nil, 5},
		{"wholly to the largest if it fits", []ask{{1, 5}, {2, 10}, {3, 7}}, 10, []delivery{{2, numbers(0, 10)}}, nil, 12},
		{"then to the next largest", []ask{{1, 5}, {2, 10}, {3, 7}}, 19, []delivery{{2, numbers(0, 10)}, {3, numbers(10, 7)}, {1, numbers(17, 2)}}, nil, 3},
		{"what nobody asked for is left", []ask{{1, 2}, {2, 1}}, 5, []delivery{{1, []int{0, 1}}, {2, []int{2}}}, []int{3, 4}, 0},
		{"equals in order of asking", []ask{{3, 2}, {1, 2}, {2, 2}}, 6, []delivery{{3, []int{0, 1}}, {1, []int{2, 3}}, {2, []int{4, 5}}}, nil, 0},
		{"asks add up", []ask{{1, 3}, {2, 4}, {1, 3}}, 7, []delivery{{1, numbers(0, 6)}, {2, []int{6}}}, nil, 3},
		{"a further ask goes behind its new equals", []ask{{1, 1}, {2, 3}, {1, 2}}, 6, []delivery{{2, numbers(0, 3)}, {1, numbers(3, 3)}}, nil, 0},
		{"an ask for nothing or less is none", []ask{{1, 0}, {2, -5}}, 1, nil, []int{0}, 0},
		{"an unknown subscriber is ignored", []ask{{99, 4}}, 1, nil, []int{0}, 0},
		{"no end", []ask{{1, math.MaxInt64}, {1, 1}, {2, math.MaxInt64}}, 2, []delivery{{1, []int{0, 1}}}, nil, math.MaxInt64},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDemandDispatcher[int]()
			for id := range SubID(5) {
				require.NoError(t, d.Subscribe(id, Request[int]{}))
			}
			for _, a := range c.asks {
				d.Ask(a.id, a.n)
			}
			sent, rest := dispatchTo(t, d, numbers(0, c.events))
			require.Equal(t, c.sent, sent)
			require.Equal(t, c.rest, rest)
			require.Equal(t, c.live, d.Live())
		})
	}
}

func TestDemandDispatcherPutsTheServedBehindItsEquals(t *testing.T) {
	d := newDemandDispatcher[int]()
	for id := SubID(1); id <= 3; id++ {
		require.NoError(t, d.Subscribe(id, Request[int]{}))
		d.Ask(id, 4)
	}
	var order []SubID
	for i := range 12 {
		sent, _ := dispatchTo(t, d, numbers(i, 1))
		require.Len(t, sent, 1)
		order = append(order, sent[0].to)
	}
	require.Equal(t, []SubID{1, 2, 3, 1, 2, 3, 1, 2, 3, 1, 2, 3}, order, "single events go round among equals")
	require.Zero(t, d.Live())
}

func TestDemandDispatcherForgetsTheDemandOfTheCancelled(t *testing.T) {
	d := newDemandDispatcher[int]()
	for id := SubID(1); id <= 3; id++ {
		require.NoError(t, d.Subscribe(id, Request[int]{}))
	}
	d.Ask(1, 10)
	d.Ask(2, 5)
	d.Cancel(1)
	d.Cancel(1)
	d.Cancel(3) // has none
	d.Cancel(99)
	require.EqualValues(t, 5, d.Live(), "no reserve is kept")
	d.Ask(1, 7) // an ask that was under way
	d.Ask(2, 1)
	require.EqualValues(t, 6, d.Live(), "an ask counts in full")
	sent, rest := dispatchTo(t, d, numbers(0, 8))
	require.Equal(t, []delivery{{2, numbers(0, 6)}}, sent)
	require.Equal(t, []int{6, 7}, rest)

	require.NoError(t, d.Subscribe(1, Request[int]{}), "a cancelled one may come back")
	require.Zero(t, d.Live(), "without what it had asked for before")
}

func TestDemandDispatcherRefusesASubscriberTwice(t *testing.T) {
	d := newDemandDispatcher[int]()
	require.NoError(t, d.Subscribe(1, Request[int]{}))
	d.Ask(1, 3)
	require.ErrorIs(t, d.Subscribe(1, Request[int]{}), ErrAlreadySubscribed)
	require.EqualValues(t, 3, d.Live(), "the first one is unharmed")
}

func TestDemandDispatcherLiveIsRightBeyondTheLargestNumber(t *testing.T) {
	d := newDemandDispatcher[int]()
	for id := SubID(1); id <= 3; id++ {
		require.NoError(t, d.Subscribe(id, Request[int]{}))
		d.Ask(id, math.MaxInt64)
		d.Ask(id, math.MaxInt64) // has no effect any more
		require.EqualValues(t, math.MaxInt64, d.Live())
	}
	d.Dispatch(numbers(0, 100), sender(func(SubID, []int) {}))
	require.EqualValues(t, math.MaxInt64, d.Live(), "3 × max - 100 is more than max")
	d.Cancel(3)
	require.EqualValues(t, math.MaxInt64, d.Live(), "so is 2 × max - 100")
	d.Dispatch(numbers(0, 1), sender(func(id SubID, _ []int) { require.Equal(t, SubID(2), id, "the one that still has max") }))
	d.Cancel(2)
	require.EqualValues(t, math.MaxInt64-100, d.Live(), "exact as soon as it fits")
	d.Ask(1, 40)
	require.EqualValues(t, math.MaxInt64-60, d.Live())
	d.Cancel(1)
	require.Zero(t, d.Live())
}

func TestDemandDispatcherKeepsItsAccountsWhenSendPanics(t *testing.T) {
	d := newDemandDispatcher[int]()
	require.NoError(t, d.Subscribe(1, Request[int]{}))
	require.NoError(t, d.Subscribe(2, Request[int]{}))
	d.Ask(1, 5)
	d.Ask(2, 3)
	require.Panics(t, func() { d.Dispatch(numbers(0, 6), sender(func(SubID, []int) { panic("send") })) })
	require.EqualValues(t, 3, d.Live())
	sent, _ := dispatchTo(t, d, numbers(6, 3))
	require.Equal(t, []delivery{{2, numbers(6, 3)}}, sent)
}

// An ask costs O(log n): counted in comparisons, not in time.
func TestDemandDispatcherAskIsLogarithmic(t *testing.T) {
	const n = 100_000
	d := newDemandDispatcher[int]()
	random := rand.New(rand.NewPCG(1, 2))
	worst := map[string]uint64{}
	step := func(what string, do func()) {
		before := d.heap.steps
		do()
		worst[what] = max(worst[what], d.heap.steps-before)
	}
	send := sender(func(SubID, []int) {})
	events := numbers(0, 10)
	for id := range SubID(n) {
		require.NoError(t, d.Subscribe(id, Request[int]{}))
		step("first ask, larger than all before", func() { d.Ask(id, int64(id)+1) })
	}
	for range n / 10 {
		id := SubID(random.IntN(n))
		step("ask", func() { d.Ask(id, 1+random.Int64N(n)) })
		step("ask without end", func() { d.Ask(id/100, math.MaxInt64) })
		step("delivery", func() { d.Dispatch(events, send) })
	}
	for id := range SubID(n) {
		step("cancel", func() { d.Cancel(id) })
	}
	require.Zero(t, d.Live())
	require.Empty(t, d.heap.items)
	require.Len(t, worst, 5)
	for what, steps := range worst {
		require.NotZero(t, steps, what)
		require.LessOrEqual(t, steps, uint64(2*bits.Len(n)+2), "%s: at most two comparisons for each level of the heap", what)
	}
}

func TestDemandDispatcherDoesNotAllocatePerAskOrDelivery(t *testing.T) {
	for _, n := range []int{1, 10, 10_000} {
		d := newDemandDispatcher[int]()
		for id := range SubID(n) {
			require.NoError(t, d.Subscribe(id, Request[int]{}))
			d.Ask(id, 100)
		}
		events := numbers(0, 100)
		var last SubID
		send := sender(func(id SubID, _ []int) { last = id })
		require.Zero(t, testing.AllocsPerRun(100, func() {
			d.Dispatch(events, send)
			d.Ask(last, 100)
		}), "%d subscribers", n)
	}
}

// listDispatcher is GenStage's demand dispatcher, written down: a list sorted by
// demand, insertion before the first strictly smaller. It has no reserve.
type listDispatcher struct {
	list []listEntry
}

type listEntry struct {
	id     SubID
	demand int64
}

func (l *listDispatcher) find(id SubID) int {
	return slices.IndexFunc(l.list, func(e listEntry) bool { return e.id == id })
}

func (l *listDispatcher) insert(e listEntry) {
	at := slices.IndexFunc(l.list, func(other listEntry) bool { return other.demand < e.demand })
	if at < 0 {
		at = len(l.list)
	}
	l.list = slices.Insert(l.list, at, e)
}

func (l *listDispatcher) remove(id SubID) (listEntry, bool) {
	at := l.find(id)
	if at < 0 {
		return listEntry{}, false
	}
	e := l.list[at]
	l.list = slices.Delete(l.list, at, at+1)
	return e, true
}

func (l *listDispatcher) ask(id SubID, n int64) {
	e, known := l.remove(id)
	if !known {
		return
	}
	if e.demand > math.MaxInt64-n {
		e.demand = math.MaxInt64
	} else {
		e.demand += n
	}
	l.insert(e)
}

func (l *listDispatcher) dispatch(events []int) (sent []delivery, rest []int) {
	for len(events) > 0 && len(l.list) > 0 && l.list[0].demand > 0 {
		e := l.list[0]
		l.list = l.list[1:]
		n := int(min(e.demand, int64(len(events))))
		sent = append(sent, delivery{e.id, events[:n]})
		events = events[n:]
		e.demand -= int64(n)
		l.insert(e)
	}
	return sent, events
}

func (l *listDispatcher) live() int64 {
	sum := int64(0)
	for _, e := range l.list {
		if e.demand > math.MaxInt64-sum {
			return math.MaxInt64
		}
		sum += e.demand
	}
	return sum
}

// playDemand reads operations, three bytes each, and compares with the
// list: same receivers in the same order, never more than asked, nothing lost
// or twice.
func playDemand(t require.TestingT, ops []byte) {
	d := newDemandDispatcher[int]()
	model := &listDispatcher{}
	open := map[SubID]int64{} // asked and not sent, saturating
	next := 0
	for ops = ops[:min(len(ops), 600)]; len(ops) >= 3; ops = ops[3:] {
		id := SubID(ops[1] % 16)
		switch ops[0] % 5 {
		case 0:
			err := d.Subscribe(id, Request[int]{})
			if model.find(id) >= 0 {
				require.ErrorIs(t, err, ErrAlreadySubscribed)
				break
			}
			require.NoError(t, err)
			model.list = append(model.list, listEntry{id: id})
			open[id] = 0
		case 1, 4:
			n := int64(ops[2] % 16)
			if ops[0]%5 == 4 {
				n = math.MaxInt64 - n
			}
			d.Ask(id, n)
			if n > 0 {
				model.ask(id, n)
			}
			if was, known := open[id]; known {
				open[id] = was + min(n, math.MaxInt64-was)
			}
		case 2:
			events := numbers(next, int(ops[2]%64))
			next += len(events)
			wantSent, wantRest := model.dispatch(events)
			sent, rest := dispatchTo(t, d, events)
			if !slices.EqualFunc(wantSent, sent, func(a, b delivery) bool { return a.to == b.to && slices.Equal(a.events, b.events) }) {
				require.Equal(t, wantSent, sent)
			}
			equal(t, len(wantRest), len(rest))
			var all []int
			for _, s := range sent {
				open[s.to] -= int64(len(s.events))
				equal(t, true, open[s.to] >= 0, "never more than asked")
				all = append(all, s.events...)
			}
			all = append(all, rest...)
			equal(t, true, slices.Equal(events, all), "nothing lost, nothing twice, in order: %v became %v", events, all)
		case 3:
			d.Cancel(id)
			model.remove(id)
			delete(open, id)
		}
		equal(t, model.live(), d.Live())
		equal(t, len(model.list), len(d.subs))
		for i, item := range d.heap.items {
			equal(t, true, item.pending > 0)
			equal(t, i, item.entry.at)
			equal(t, item.entry, d.subs[item.entry.id])
			if i > 0 {
				equal(t, false, d.heap.before(&item, &d.heap.items[(i-1)/2]), "heap order")
			}
		}
	}
}

func FuzzDemandDispatcher(f *testing.F) {
	f.Add([]byte{0, 1, 0, 0, 2, 0, 1, 1, 5, 1, 2, 5, 2, 0, 3, 2, 0, 9})
	f.Add([]byte{0, 1, 0, 0, 2, 0, 4, 1, 0, 4, 2, 0, 4, 1, 0, 2, 0, 30, 3, 1, 0, 2, 0, 30})
	f.Add([]byte{0, 1, 0, 1, 1, 3, 0, 1, 0, 2, 0, 5, 3, 1, 0, 1, 1, 2, 0, 1, 0, 1, 1, 1, 2, 0, 2})
	f.Fuzz(func(t *testing.T, ops []byte) { playDemand(t, ops) })
}

func BenchmarkDemandDispatcher(b *testing.B) {
	for _, n := range counts() {
		b.Run(fmt.Sprintf("ask and dispatch 100/consumers=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			d := newDemandDispatcher[int]()
			for id := range SubID(n) {
				d.Subscribe(id, Request[int]{})
				d.Ask(id, 100+int64(id)%100)
			}
			events := numbers(0, 100)
			send := sender(func(id SubID, _ []int) { lastSent = id })
			for b.Loop() {
				d.Dispatch(events, send)
				d.Ask(lastSent, 100)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/event")
		})
		b.Run(fmt.Sprintf("ask anyone 1 and dispatch 1/consumers=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			d := newDemandDispatcher[int]()
			for id := range SubID(n) {
				d.Subscribe(id, Request[int]{})
				d.Ask(id, 1+int64(id)%100)
			}
			random := rand.New(rand.NewPCG(1, 2))
			events := numbers(0, 1)
			send := sender(func(id SubID, _ []int) { lastSent = id })
			for b.Loop() {
				d.Ask(SubID(random.IntN(n)), 1)
				d.Dispatch(events, send)
			}
		})
	}
}

// lastSent is where the benchmarks remember who was served.
var lastSent SubID
