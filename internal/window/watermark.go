package window

import (
	"slices"
	"time"
)

// mark is a point in event time. The zero value lies before all time.
type mark struct {
	at  time.Time
	set bool
}

// reached reports whether m is at t or after it.
func (m mark) reached(t time.Time) bool { return m.set && !m.at.Before(t) }

// before reports whether m lies before n.
func (m mark) before(n mark) bool { return n.set && (!m.set || m.at.Before(n.at)) }

// Source is one of the streams that meet in a window, with a watermark of its own. [Engine.AddSource] makes one.
type Source struct {
	mark    mark      // newest event less the disorder
	seen    time.Time // processing time of the last event, or when it was added
	idle    bool
	waiting func() bool // has it sent what has not been added yet? nil if that is not known
}

// watermark joins the marks of several sources into one, which never goes back: the smallest of all that are not idle. Once no source is left
// that is not, it is the highest that any source has had, so that it does not matter who fell silent first.
type watermark struct {
	disorder time.Duration
	idle     time.Duration // 0: no source is ever idle

	sources []*Source
	top     mark // highest mark that any source has had
	at      mark
	due     time.Time // no source becomes idle before that time; zero if not known
}

func (w *watermark) add(waiting func() bool, now time.Time) *Source {
	s := &Source{seen: now, waiting: waiting}
	w.sources = append(w.sources, s)
	return s
}

// end removes s: its end does not hold the others back.
func (w *watermark) end(s *Source) {
	if i := slices.Index(w.sources, s); i >= 0 {
		w.sources = slices.Delete(w.sources, i, i+1)
		w.join()
	}
}

// observe notes an event of s.
func (w *watermark) observe(s *Source, at, now time.Time) {
	s.seen, s.idle = now, false
	m := mark{at: at.Add(-w.disorder), set: true}
	if !s.mark.before(m) {
		return
	}
	held := !w.at.before(s.mark) // s may be the one that holds the others back
	s.mark = m
	if w.top.before(m) {
		w.top = m
	}
	if held {
		w.join()
	}
}

// elapse marks the sources idle that have been silent for too long.
func (w *watermark) elapse(now time.Time) {
	if w.idle == 0 || len(w.sources) == 0 || now.Before(w.due) {
		return
	}
	for _, s := range w.sources {
		if now.Before(s.seen.Add(w.idle)) {
			continue
		}
		if s.idle = s.waiting == nil || !s.waiting(); !s.idle {
			s.seen = now // it is its receiver that has not come to it
		}
	}
	w.due, _ = w.next() // events and new sources only make it later
	w.join()
}

// next returns when the next source becomes idle if none speaks; false if none does.
func (w *watermark) next() (due time.Time, ok bool) {
	if w.idle == 0 {
		return due, false
	}
	for _, s := range w.sources {
		if at := s.seen.Add(w.idle); !s.idle && (!ok || at.Before(due)) {
			due, ok = at, true
		}
	}
	return due, ok
}

// join moves the watermark on to where the sources allow it.
func (w *watermark) join() {
	m, active := w.top, false
	for _, s := range w.sources {
		if s.idle {
			continue
		}
		if !active || s.mark.before(m) {
			m, active = s.mark, true
		}
	}
	if w.at.before(m) {
		w.at = m
	}
}

// pass moves the watermark on to at, if it is not there yet.
func (w *watermark) pass(at time.Time) {
	if m := (mark{at: at, set: true}); w.at.before(m) {
		w.at = m
	}
}
