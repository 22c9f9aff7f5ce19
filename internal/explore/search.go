package explore

import (
	"fmt"
	"strings"
)

// Model is one state of something that moves. The implementation is a pointer to a plain value, which [Search]
// copies with [Clone] and tells apart with [Fingerprint].
type Model interface {
	// Moves returns what can happen next, in an order that is a function of the state.
	Moves() []Move
	// Make makes one of them. An error is a violation.
	Make(m Move) error
	// AtRest is asked where no move is left but faults: whether the model may stay like that.
	AtRest() error
}

// Move is one thing that can happen.
type Move struct {
	What  string
	Who   int    // which of those that can make it
	By    string // its name, for the reader; may be empty
	N     int    // how much; 0 where that means nothing
	Fault bool   // it need not happen
}

// String returns the move as a line of a path.
func (m Move) String() string {
	s := m.What
	if m.By != "" {
		s = m.By + ": " + s
	}
	if m.N != 0 {
		s += fmt.Sprintf(" %d", m.N)
	}
	return s
}

// Report is what a search found.
type Report struct {
	States, Transitions, Depth int

	Violation error  // nil if there is none
	Path      []Move // that led to it
	Cut       bool   // there were more states than allowed: not all have been seen
}

// String returns the result in a line, and the path to a violation below it.
func (r Report) String() string {
	s := fmt.Sprintf("%d states, %d transitions, depth %d", r.States, r.Transitions, r.Depth)
	if r.Cut {
		s += ", not all"
	}
	if r.Violation == nil {
		return s
	}
	var path strings.Builder
	for _, m := range r.Path {
		fmt.Fprintf(&path, "\n\t%s", m)
	}
	return fmt.Sprintf("%s: %v%s", s, r.Violation, path.String())
}

// Search visits every state that can be reached from start, depth first, each once, and stops at the first
// violation or when there are more than limit states (0: no limit). A cycle is a violation too: so a search that
// finds none has shown that every run comes to rest.
//
// States are told apart by 64 bits: among 10 million, the chance that two are taken for one is 3 in a million.
func Search(start Model, limit int) Report {
	s := search{limit: limit, seen: map[uint64]bool{}}
	s.visit(start)
	return s.Report
}

type search struct {
	Report
	limit int
	seen  map[uint64]bool // true while the search is below it
	path  []Move
}

// visit reports whether the search goes on.
func (s *search) visit(m Model) bool {
	state := Fingerprint(m)
	if below, known := s.seen[state]; known {
		if below {
			return s.violated(fmt.Errorf("it comes back to a state it was in, and may go round for ever"))
		}
		return true
	}
	if s.States++; s.limit > 0 && s.States > s.limit {
		s.Cut = true
		return false
	}
	s.Depth = max(s.Depth, len(s.path))
	s.seen[state] = true
	moves, rests := m.Moves(), true
	for i, move := range moves {
		rests = rests && move.Fault
		s.Transitions++
		next := m
		if i < len(moves)-1 || rests { // the last one may use m itself up
			next = Clone(m)
		}
		s.path = append(s.path, move)
		if err := next.Make(move); err != nil {
			return s.violated(err)
		}
		if !s.visit(next) {
			return false
		}
		s.path = s.path[:len(s.path)-1]
	}
	s.seen[state] = false
	if rests {
		if err := m.AtRest(); err != nil {
			return s.violated(fmt.Errorf("at rest: %w", err))
		}
	}
	return true
}

func (s *search) violated(err error) bool {
	s.Violation, s.Path = err, append([]Move(nil), s.path...)
	return false
}
