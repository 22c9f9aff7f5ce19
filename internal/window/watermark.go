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
	mark    mark        // newest event less the disorder
	waiting func() bool // has it sent what has not been added yet? nil if that is not known
}

// watermark joins the marks of several sources into one, which never goes back: the smallest of all, or what the foremost of them had come to the
// idle time ago. So a source that is silent holds the others back for so long and no longer, and one that speaks again in time is not overtaken,
// however long everything was silent before.
type watermark struct {
	disorder time.Duration
	idle     time.Duration // 0: sources hold the others back for ever

	sources []*Source
	top     mark // highest mark that any source has had
	at      mark
	holds   []hold // what top was, in order; those beyond at, and some that are not
}

// hold is a mark that is held back by sources behind it.
type hold struct {
	mark  mark
	since time.Time // when the first of the marks was reached that it stands for
	until time.Time
}

// grain is into how many parts the idle time is divided: marks of one part are held back together, by the last of them.
const grain = 64

func (w *watermark) add(waiting func() bool) *Source {
	s := &Source{waiting: waiting}
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

// observe notes that s has come to an event time.
func (w *watermark) observe(s *Source, at, now time.Time) {
	m := mark{at: at.Add(-w.disorder), set: true}
	if !s.mark.before(m) {
		return
	}
	last := !w.at.before(s.mark) // it may be s that holds the others back
	s.mark = m
	ahead := w.top.before(m)
	if ahead {
		w.top = m
	}
	if last {
		w.join()
	}
	if ahead && w.idle > 0 && w.at.before(m) {
		w.hold(m, now)
	}
}

// hold has a mark wait for the sources behind it.
func (w *watermark) hold(m mark, now time.Time) {
	until := now.Add(w.idle)
	if n := len(w.holds); n > 0 && now.Sub(w.holds[n-1].since) < w.idle/grain {
		w.holds[n-1].mark, w.holds[n-1].until = m, until
		return
	}
	w.holds = append(w.holds, hold{mark: m, since: now, until: until})
}

// elapse lets go of the marks that have been held back for long enough. A source behind one whose events wait to be added has not been silent: it is
// given the time again.
func (w *watermark) elapse(now time.Time) {
	for {
		until, ok := w.next()
		if !ok || now.Before(until) {
			return
		}
		m := w.holds[0].mark
		if slices.ContainsFunc(w.sources, func(s *Source) bool { return s.mark.before(m) && s.waiting != nil && s.waiting() }) {
			w.holds[0].until = now.Add(w.idle)
			return
		}
		w.at = m
	}
}

// next returns until when the first mark is held back if no source speaks; false if none is.
func (w *watermark) next() (until time.Time, ok bool) {
	for len(w.holds) > 0 && !w.at.before(w.holds[0].mark) {
		w.holds = w.holds[1:]
	}
	if len(w.holds) == 0 {
		w.holds = nil
		return until, false
	}
	return w.holds[0].until, true
}

// join moves the watermark on to where the sources allow it.
func (w *watermark) join() {
	m := w.top
	for _, s := range w.sources {
		if s.mark.before(m) {
			m = s.mark
		}
	}
	if w.at.before(m) {
		w.at = m
	}
}
