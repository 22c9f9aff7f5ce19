package stagetest

import (
	"fmt"
	"math"
	"runtime/debug"
	"slices"

	"github.com/go-genstage/genstage/stage"
)

// player does to a dispatcher what a producer does, and keeps account.
type player struct {
	c *config
	d stage.Dispatcher[int]
	q stage.QueueingDispatcher[int] // d, if it is one
	b stage.BudgetDispatcher[int]   // d, if it is one
	m bool                          // d is a Multicaster

	subs    map[stage.SubID]*subscriber // also those that are gone
	live    []*subscriber
	lastID  stage.SubID
	lastReq int
	lastTry int // of intrusions

	next    int         // the next event
	waiting []int       // returned by the dispatcher: to be dispatched before others
	fate    map[int]end // what became of events
	again   map[int]bool
	failed  []int // of the dispatch in progress: could not be weighed

	taken, kept, sent, dropped, discarded int64

	marks []*mark

	calls  []call
	open   bool // the outlet may be used
	broken *violation
	log    []string
	trace  []string
	skip   map[int]bool // operations that were refused elsewhere
	// refused are the operations that were refused here.
	refused map[int]bool
}

// end is what became of an event.
type end uint8

const (
	unknown end = iota // not taken yet, or kept
	wasSent
	wasDiscarded
)

type subscriber struct {
	id      stage.SubID
	request stage.Request[int]
	refused bool
	gone    bool

	room     int64 // of one that is charged
	waits    bool  // it was refused an event
	admitted []int // charged and not sent

	asked, got int64
	given      int64 // by a multicast
	skipped    int64 // filtered and lagged
	sent       []int
	last       int // the latest event
	batches    [][2][]int
}

type mark struct {
	number int
	at     int // the events before it
	passed bool
}

// call is one use of the outlet.
type call struct {
	what   string
	id     stage.SubID
	events []int
	n      int
	mark   any
}

// play carries out operations on a fresh dispatcher until a rule is broken.
func (c *config) play(make stage.DispatcherFactory[int], ops []op, skip map[int]bool) (p *player) {
	p = &player{
		c: c, subs: map[stage.SubID]*subscriber{}, fate: map[int]end{}, again: map[int]bool{}, refused: map[int]bool{}, skip: skip,
	}
	defer func() {
		if v := recover(); v != nil {
			p.fail("D0", "it panicked: %v\n%s", v, debug.Stack())
		}
	}()
	d, err := make()
	if err != nil || d == nil {
		p.fail("D0", "it could not be made: %v", err)
		return p
	}
	p.d = d
	p.q, _ = d.(stage.QueueingDispatcher[int])
	p.b, _ = d.(stage.BudgetDispatcher[int])
	_, p.m = d.(stage.Multicaster)
	for i, o := range ops {
		p.do(i, o)
		if p.broken == nil {
			p.audit()
		}
		if p.broken != nil {
			return p
		}
	}
	p.sealed()
	return p
}

// fail notes the first violation.
func (p *player) fail(rule, format string, args ...any) {
	if p.broken == nil {
		p.broken = &violation{rule: rule, text: fmt.Sprintf(format, args...), log: p.log}
	}
}

// note says what is being done; result what came of it.
func (p *player) note(format string, args ...any) {
	p.log = append(p.log, fmt.Sprintf(format, args...))
}

func (p *player) result(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.trace = append(p.trace, text)
	p.log[len(p.log)-1] += ": " + text
}

func (p *player) pick(o op) *subscriber {
	if len(p.live) == 0 {
		return nil
	}
	return p.live[o.who%len(p.live)]
}

func (p *player) do(i int, o op) {
	s := p.pick(o)
	switch o.kind {
	case opSubscribe:
		if len(p.live) < 12 {
			r := p.c.request(p.lastReq)
			p.lastReq++
			p.subscribe(i, r)
		}
	case opIntrude:
		p.intrude(i, o, s)
	case opAsk:
		if s == nil {
			return
		}
		p.note("Ask(%d, %d)", s.id, o.n)
		s.asked = add(s.asked, o.n)
		p.d.Ask(s.id, o.n)
		p.result("live %d", p.d.Live())
	case opStray:
		p.stray(o, s)
	case opDispatch:
		p.dispatch(int(o.n))
	case opCancel:
		if s != nil {
			p.cancel(s, int(o.n))
		}
	case opFlush:
		p.flush()
	case opMark:
		p.mark()
	case opRoom:
		if s != nil {
			p.makeRoom(s, o.n)
		}
	}
}

// subscribe adds a subscriber; an error must change nothing.
func (p *player) subscribe(i int, r stage.Request[int]) {
	p.lastID++
	r.Charged = r.Charged && p.b != nil // the producer refuses it itself
	s := &subscriber{id: p.lastID, request: r, last: -1}
	if p.skip[i] {
		return
	}
	p.note("Subscribe(%d, %s)", s.id, describe(r))
	live, queued, deliverable := p.figures()
	err := p.d.Subscribe(s.id, r)
	p.subs[s.id] = s
	if err == nil {
		p.live = append(p.live, s)
		p.result("live %d", p.d.Live())
		return
	}
	s.refused, s.gone = true, true
	p.refused[i] = true
	p.log[len(p.log)-1] += fmt.Sprintf(": refused, %v", err)
	if l, q, d := p.figures(); l != live || q != queued || d != deliverable {
		p.fail("D6", "a refused subscription changed Live from %d to %d, Queued from %d to %d, Deliverable from %d to %d", live, l, queued, q, deliverable, d)
	}
	if p.d.Subscribe(s.id, r) == nil {
		p.fail("D6", "the same subscription was refused and then accepted")
	}
}

// intrude subscribes with a request that may well be refused.
func (p *player) intrude(i int, o op, s *subscriber) {
	p.lastTry++
	r := stage.Request[int]{Consumer: -p.lastTry}
	switch o.n % 6 {
	case 0:
		type nothing struct{}
		r.Key = nothing{}
	case 1:
		r.Key = -1 // one that no partition has
	case 2:
		r = p.c.request(p.lastReq)
		r.Consumer = -p.lastTry
		r.Where = func(n int) bool { return n%3 != 0 }
	case 3:
		r = p.c.request(p.lastReq)
		r.Consumer = -p.lastTry
		r.Lag = 2
	case 4:
		r.Key = []int{1} // cannot be compared
	default:
		if s == nil {
			return
		}
		r = s.request // the same consumer once more
	}
	if len(p.live) < 12 {
		p.subscribe(i, r)
	}
}

// stray does what must have no effect.
func (p *player) stray(o op, s *subscriber) {
	live, queued, deliverable := p.figures()
	unchanged := func(what string) {
		if l, q, d := p.figures(); l != live || q != queued || d != deliverable {
			p.provoke()
			p.fail("D3", "%s changed Live from %d to %d, Queued from %d to %d, Deliverable from %d to %d", what, live, l, queued, q, deliverable, d)
		}
	}
	if s != nil && o.n%2 == 0 {
		p.note("Ask(%d, 0) and Ask(%d, -3)", s.id, s.id)
		p.d.Ask(s.id, 0)
		p.d.Ask(s.id, -3)
		unchanged("an ask for less than 1")
		return
	}
	id := p.lastID + 1000
	for _, other := range p.subs {
		if other.gone && !other.refused && other.id < id {
			id = other.id
		}
	}
	p.note("Ask(%d, 5) for one that is not subscribed", id)
	p.d.Ask(id, 5)
	unchanged("the ask of a stranger")
	p.note("Cancel(%d) of one that is not subscribed", id)
	p.d.Cancel(id)
	unchanged("the cancel of a stranger")
}

// provoke has a dispatcher that has demand which it cannot have show whom it would send events to: that says more.
func (p *player) provoke() {
	if p.broken == nil {
		n := min(p.d.Live(), 1000)
		events := make([]int, 0, max(n, 0))
		for range n {
			events = append(events, p.next)
			p.next++
		}
		p.hand(events)
	}
}

func (p *player) figures() (live int64, queued, deliverable int) {
	live = p.d.Live()
	if p.q != nil {
		queued, deliverable = p.q.Queued(), p.q.Deliverable()
	}
	return live, queued, deliverable
}

// dispatch gives n new events, behind those that wait, as a producer does: what waits is given only as far as Live
// says, and is taken then.
func (p *player) dispatch(n int) {
	p.serve()
	events := make([]int, 0, n+3)
	for range n {
		events = append(events, p.next)
		p.next++
	}
	if len(p.waiting) == 0 {
		p.waiting = p.hand(events)
	} else {
		p.waiting = append(p.waiting, events...)
	}
	p.serve()
}

// serve dispatches what waits and is asked for.
func (p *player) serve() {
	for p.broken == nil && len(p.waiting) > 0 {
		n := int(min(p.d.Live(), int64(len(p.waiting))))
		if n <= 0 {
			return
		}
		first := p.waiting[:n:n]
		p.waiting = p.waiting[n:]
		if rest := p.hand(first); len(rest) > 0 {
			if !p.somebodyWaits() {
				p.fail("D3", "it returned %d events although it said that it takes them", len(rest))
			}
			p.waiting = append(rest, p.waiting...)
		}
	}
}

// hand calls Dispatch.
func (p *player) hand(events []int) []int {
	live := p.d.Live()
	p.note("Dispatch(%s)", short(events))
	before := slices.Clone(events)
	p.begin()
	rest := p.d.Dispatch(events, outlet{p})
	p.open = false
	taken := len(events) - len(rest)
	switch {
	case !slices.Equal(before, events):
		p.fail("D4", "it changed the slice that it was given")
	case taken < 0 || !slices.Equal(rest, events[taken:]):
		p.fail("D4", "it returned %v, which is not the end of what it was given", rest)
	}
	if p.broken != nil {
		return nil
	}
	p.taken += int64(taken)
	rest = slices.Clone(rest)
	p.account(before[:taken], rest)
	if int64(taken) < min(live, int64(len(events))) && !p.somebodyWaits() {
		p.fail("D3", "Live was %d, and it took %d of %d events", live, taken, len(events))
	}
	p.result("%s; %d rest, live %d", p.said(), len(rest), p.d.Live())
	if now := p.d.Live(); len(rest) > 0 && now > 0 {
		p.fail("D3", "it returned %d events and then says that it would take %d", len(rest), now)
	}
	return rest
}

// begin opens the outlet.
func (p *player) begin() { p.open, p.calls, p.failed = true, nil, nil }

// cancel ends a subscription; the last n events that it was sent come back.
func (p *player) cancel(s *subscriber, n int) {
	n = min(n, len(s.sent))
	back := slices.Clone(s.sent[len(s.sent)-n:])
	p.note("Cancel(%d), HandBack(%s)", s.id, short(back))
	p.leave(s)
	p.d.Cancel(s.id)
	if n == 0 {
		p.result("live %d", p.d.Live())
		return
	}
	_, queued, _ := p.figures()
	again, lost := p.d.HandBack(s.request, back)
	_, now, _ := p.figures()
	kept := now - queued
	if len(again)+lost+kept != len(back) || lost < 0 || kept < 0 {
		p.fail("D4", "of %d events handed back it returned %d, keeps %d more and says that %d are lost", len(back), len(again), kept, lost)
		return
	}
	for i, at := 0, 0; i < len(again); i++ {
		found := slices.Index(back[at:], again[i])
		if found < 0 {
			p.fail("D4", "it gave back %v of the events %v", again, back)
			return
		}
		at += found + 1
	}
	p.kept += int64(kept)
	for _, event := range back {
		p.again[event] = true
		p.fate[event] = unknown
	}
	p.waiting = append(slices.Clone(again), p.waiting...)
	p.result("%d again, %d lost, %d kept, live %d", len(again), lost, kept, p.d.Live())
}

// leave takes s off the subscribers.
func (p *player) leave(s *subscriber) {
	s.gone = true
	p.live = slices.DeleteFunc(p.live, func(other *subscriber) bool { return other == s })
}

// flush calls Flush.
func (p *player) flush() {
	p.note("Flush()")
	if p.q != nil {
		p.begin()
		p.q.Flush(outlet{p})
		p.open = false
		p.account(nil, nil)
	}
	p.result("%s; live %d", p.said(), p.d.Live())
	if p.broken == nil {
		p.serve()
		p.audit() // what is lost is not only missing
		p.progress()
	}
}

// mark calls Mark.
func (p *player) mark() {
	if p.q == nil {
		return
	}
	m := &mark{number: len(p.marks) + 1, at: p.next}
	if len(p.waiting) > 0 {
		return // a producer marks what has been dispatched
	}
	p.note("Mark(%d)", m.number)
	p.marks = append(p.marks, m)
	m.passed = p.q.Mark(m)
	p.result("%t", m.passed)
}

// add adds demand, up to the largest number.
func add(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func describe(r stage.Request[int]) string {
	text := fmt.Sprintf("consumer %v", r.Consumer)
	if r.Where != nil {
		text += ", Where"
	}
	if r.Key != nil {
		text += fmt.Sprintf(", key %v", r.Key)
	}
	if r.Charged {
		text += ", charged"
	}
	if r.Lag != 0 {
		text += fmt.Sprintf(", Lag %d", r.Lag)
	}
	return text
}

// short prints many events as a range.
func short(events []int) string {
	if n := len(events); n > 6 && events[n-1]-events[0] == n-1 {
		return fmt.Sprintf("[%d..%d]", events[0], events[n-1])
	}
	return fmt.Sprint(events)
}
