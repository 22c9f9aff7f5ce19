package stagetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-genstage/genstage/stage"
)

// outlet writes down what a dispatcher does with its Outlet.
type outlet struct{ p *player }

func (o outlet) add(c call) {
	if !o.p.open {
		o.p.fail("D4", "%s: the Outlet was used after Dispatch or Flush had returned", c.what)
	}
	o.p.calls = append(o.p.calls, c)
}

func (o outlet) Send(id stage.SubID, events []int) { o.add(call{what: "Send", id: id, events: events}) }
func (o outlet) Filtered(id stage.SubID, n int)    { o.add(call{what: "Filtered", id: id, n: n}) }
func (o outlet) Lagged(id stage.SubID, n int)      { o.add(call{what: "Lagged", id: id, n: n}) }
func (o outlet) Dropped(n int, _ error)            { o.add(call{what: "Dropped", n: n}) }
func (o outlet) Discarded(events []int)            { o.add(call{what: "Discarded", events: events}) }
func (o outlet) Refuse(id stage.SubID, _ error)    { o.add(call{what: "Refuse", id: id}) }
func (o outlet) Due(m any)                         { o.add(call{what: "Due", mark: m}) }

// said puts the calls of one Dispatch into words.
func (p *player) said() string {
	var words []string
	for _, c := range p.calls {
		switch {
		case c.mark != nil:
			words = append(words, "Due")
		case c.what == "Send":
			words = append(words, fmt.Sprintf("%d gets %s", c.id, short(c.events)))
		case c.events != nil:
			words = append(words, fmt.Sprintf("%s %s", c.what, short(c.events)))
		default:
			words = append(words, fmt.Sprintf("%s %d %d", c.what, c.id, c.n))
		}
	}
	return strings.Join(words, ", ")
}

// account books the calls of one Dispatch or Flush. taken are the events that it took, rest those that it returned.
func (p *player) account(taken, rest []int) {
	there := slices.Clone(p.live)
	expected := map[stage.SubID][]int{} // of a multicast
	got := map[stage.SubID][]int{}
	if p.m {
		for _, s := range there {
			s.given += int64(len(taken) - len(p.failed))
			for _, event := range taken {
				if slices.Contains(p.failed, event) {
					continue
				}
				if s.request.Where == nil || s.request.Where(event) {
					expected[s.id] = append(expected[s.id], event)
				}
			}
		}
	}
	for _, c := range p.calls {
		if p.broken != nil {
			return
		}
		s := p.subs[c.id]
		switch c.what {
		case "Send", "Filtered", "Lagged", "Refuse":
			switch {
			case s != nil && s.refused:
				p.fail("D6", "%s for %d, whose subscription was refused", c.what, c.id)
			case s == nil || s.gone:
				p.fail("D1", "%s for %d, which is not subscribed", c.what, c.id)
			}
			if p.broken != nil {
				return
			}
		}
		switch c.what {
		case "Send":
			p.send(s, c.events, rest)
			got[s.id] = append(got[s.id], c.events...)
		case "Filtered", "Lagged":
			if c.n < 1 || !p.m {
				p.fail("D4", "%s reports %d events", c.what, c.n)
			}
			s.skipped += int64(c.n)
		case "Dropped":
			if c.n < 1 {
				p.fail("D4", "Dropped reports %d events", c.n)
			}
			p.dropped += int64(c.n)
		case "Discarded":
			p.discard(c.events)
		case "Refuse":
			p.leave(s)
		case "Due":
			p.due(c.mark)
		}
	}
	p.charged()
	for _, s := range there {
		if p.m && !s.gone && s.request.Lag == 0 && !slices.Equal(got[s.id], expected[s.id]) {
			p.fail("D4", "subscriber %d was sent %v of a batch of which it wants %v", s.id, got[s.id], expected[s.id])
		}
	}
}

// send books one batch for one subscriber.
func (p *player) send(s *subscriber, events, rest []int) {
	switch {
	case len(events) == 0:
		p.fail("D4", "an empty slice was sent to %d", s.id)
		return
	case cap(events) != len(events):
		p.fail("D7", "a slice of %d events with room for %d was sent to %d", len(events), cap(events), s.id)
	}
	s.batches = append(s.batches, [2][]int{events, slices.Clone(events)})
	s.got += int64(len(events))
	if s.got > s.asked {
		p.fail("D2", "%d has been sent %d events, it asked for %d", s.id, s.got, s.asked)
	}
	for _, event := range events {
		p.chargedFor(s, event)
		switch {
		case event < 0 || event >= p.next:
			p.fail("D4", "%d was sent %d, an event that was never given", s.id, event)
		case slices.Contains(rest, event):
			p.fail("D4", "%d was sent %d, which was returned as well", s.id, event)
		case p.m && slices.Contains(s.sent[max(0, len(s.sent)-1000):], event):
			p.fail("D4", "%d was sent %d twice", s.id, event)
		case !p.m && p.fate[event] == wasSent:
			p.fail("D4", "%d was sent %d, which somebody has got already", s.id, event)
		case p.fate[event] == wasDiscarded:
			p.fail("D4", "%d was sent %d, which was discarded", s.id, event)
		case event <= s.last && !p.again[event]:
			p.fail("D5", "%d was sent %d after %d", s.id, event, s.last)
		}
		if !p.m {
			p.fate[event] = wasSent
			for _, m := range p.marks {
				if m.passed && event < m.at && !p.again[event] {
					p.fail("D5", "%d was sent %d after mark %d had been passed, which stands behind it", s.id, event, m.number)
				}
			}
		}
		if !p.again[event] {
			s.last = max(s.last, event)
		}
		s.sent = append(s.sent, event)
	}
	if !p.m {
		p.sent += int64(len(events))
	}
}

func (p *player) discard(events []int) {
	for _, event := range events {
		if event < 0 || event >= p.next || p.fate[event] != unknown {
			p.fail("D4", "%d was discarded, which it did not have", event)
		}
		p.fate[event] = wasDiscarded
	}
	p.discarded += int64(len(events))
}

func (p *player) due(given any) {
	m, ok := given.(*mark)
	switch {
	case !ok:
		p.fail("D5", "Due was called with %v, which is no mark", given)
	case m.passed:
		p.fail("D5", "mark %d was passed twice", m.number)
	default:
		m.passed = true
		for _, earlier := range p.marks[:m.number-1] {
			if !earlier.passed && earlier.at == m.at {
				p.fail("D5", "mark %d was passed before mark %d", m.number, earlier.number)
			}
		}
	}
}

// audit checks what holds after every operation.
func (p *player) audit() {
	live, queued, deliverable := p.figures()
	var most, sum int64 // of open demand
	for _, s := range p.live {
		most, sum = max(most, s.openDemand()), add(sum, s.openDemand())
	}
	if p.m {
		sum = most
	}
	switch {
	case live < 0:
		p.fail("D3", "Live is %d", live)
	case live > sum:
		p.provoke()
		p.fail("D3", "Live is %d, but only %d events are asked for and not sent", live, sum)
	case queued < 0 || deliverable < 0:
		p.fail("D4", "Queued is %d, Deliverable %d", queued, deliverable)
	case !p.m && deliverable > queued:
		p.fail("D4", "Deliverable is %d, but Queued %d", deliverable, queued)
	}
	if !p.m {
		if went := p.sent + p.dropped + p.discarded + int64(queued); p.taken+p.kept != went {
			p.fail("D4", "it has taken %d events and kept %d of those handed back; %d were sent, %d dropped, %d discarded, and it keeps %d",
				p.taken, p.kept, p.sent, p.dropped, p.discarded, queued)
		}
		if queued == 0 {
			for _, m := range p.marks {
				if !m.passed {
					p.fail("D5", "it keeps no events, but mark %d", m.number)
				}
			}
		}
		return
	}
	var waits int64
	for _, s := range p.live {
		w := s.given - s.got - s.skipped
		if w < 0 || w > int64(s.request.Lag) {
			p.fail("D4", "%d events were given to subscriber %d: it was sent %d, and %d were reported", s.given, s.id, s.got, s.skipped)
		}
		waits += w
	}
	if waits != int64(deliverable) {
		p.fail("D4", "Deliverable is %d, but %d events wait for subscribers", deliverable, waits)
	}
}

// progress checks, after Flush, that events are taken when everybody has open demand.
func (p *player) progress() {
	for _, s := range p.live {
		if s.openDemand() == 0 || s.waits {
			return
		}
	}
	if len(p.live) > 0 && p.d.Live() == 0 {
		p.fail("D3", "Live is 0, but every subscriber has asked for more than it was sent")
	}
}

// openDemand is what s has asked for and was not sent.
func (s *subscriber) openDemand() int64 {
	if s.asked == add(s.asked, 1) {
		return s.asked // without end
	}
	return s.asked - s.got
}

// sealed checks at the end that no slice changed after it had been sent.
func (p *player) sealed() {
	for _, s := range p.subs {
		for _, b := range s.batches {
			if !slices.Equal(b[0], b[1]) {
				p.fail("D4", "the slice %v that was sent to %d is %v now", b[1], s.id, b[0])
				return
			}
		}
	}
}
