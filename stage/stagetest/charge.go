package stagetest

import (
	"slices"

	"github.com/go-genstage/genstage/stage"
)

// Rule D14: a subscriber that is charged is sent what Admit admitted for it, in the same Dispatch or Flush, and nothing else; one
// that was refused an event is not asked again before Wake (of a multicaster: before any Wake).

// Admit plays the budgets: each charged subscriber has one of its own, with room for some events.
func (o outlet) Admit(event int, ids []stage.SubID) stage.Admission {
	p := o.p
	if !p.open {
		p.fail("D14", "Admit was called after Dispatch or Flush had returned")
	}
	var room []*subscriber
	for _, id := range ids {
		s := p.subs[id]
		switch {
		case s == nil || s.gone || !s.request.Charged:
			p.fail("D14", "Admit was asked for %d, which is not subscribed, or not charged", id)
			return stage.Refused
		case s.waits && !p.m:
			p.fail("D14", "Admit was asked for %d, which was refused an event and waits", id)
			return stage.Refused
		}
		room = append(room, s)
	}
	if event%19 == 18 {
		p.dropped++
		p.failed = append(p.failed, event)
		return stage.Failed
	}
	for _, s := range room {
		if s.waits || s.room == 0 {
			s.waits = true
			return stage.Refused
		}
	}
	for _, s := range room {
		s.room--
		s.admitted = append(s.admitted, event)
	}
	return stage.Admitted
}

// makeRoom lets n more events of a subscriber pass.
func (p *player) makeRoom(s *subscriber, n int64) {
	if !s.request.Charged {
		return
	}
	p.note("room for %d events of %d, Wake(%d)", n, s.id, s.id)
	s.room += n
	s.waits = false
	p.b.Wake(s.id)
	p.result("live %d, blocked %d", p.d.Live(), p.b.Blocked())
	p.flush()
}

// somebodyWaits reports whether a budget has refused something.
func (p *player) somebodyWaits() bool {
	return slices.ContainsFunc(p.live, func(s *subscriber) bool { return s.waits })
}

// chargedFor checks that an event that is sent was admitted, if it had to be.
func (p *player) chargedFor(s *subscriber, event int) {
	if !s.request.Charged {
		return
	}
	at := slices.Index(s.admitted, event)
	if at < 0 {
		p.fail("D14", "%d was sent %d, for which its budget was not asked", s.id, event)
		return
	}
	s.admitted = slices.Delete(s.admitted, at, at+1)
}

// charged checks that nothing was admitted and not sent.
func (p *player) charged() {
	for _, s := range p.live {
		if len(s.admitted) > 0 && p.broken == nil {
			p.fail("D14", "%v was admitted for %d, and not sent", s.admitted, s.id)
		}
	}
}
