// Package hoptest is the schedule of simulations: in a testing/synctest bubble it lets one goroutine at a
// time go on, and somebody chooses which.
//
// It knows goroutines and turns; it must not know stages, nor by what the choice is made: a seeded random
// number, or one step of an enumeration.
package hoptest

import (
	"cmp"
	"errors"
	"slices"
	"sync"
	"testing/synctest"
	"time"
)

// ErrStuck is returned by [Scheduler.Run] when goroutines are left and nothing has happened for Patience.
var ErrStuck = errors.New("hoptest: nothing happens any more")

// ErrGivenUp is returned by [Scheduler.Run] when the choice is that nobody goes on.
var ErrGivenUp = errors.New("hoptest: given up")

// Scheduler implements hop.Schedule. Make one with [New], in the bubble. Every goroutine of a simulation asks it
// for turns: those of the library by the seam, those of the simulation by [Scheduler.Go] and [Scheduler.Block].
type Scheduler struct {
	choose func(waiting []string) int

	// Idle is called when everything is blocked and nobody waits for a turn, before time moves. Nothing
	// else runs meanwhile. nil: there is nothing to look at. Set before Run.
	Idle func()
	// Patience is how long, in the bubble's time, nothing may happen. By default a day. Set before Run.
	Patience time.Duration
	// Random draws from 0 to below-1 what the library draws at random. nil: always 0. Set before Run.
	Random func(below int64) int64

	bell chan struct{} // somebody waits

	mu      sync.Mutex
	joined  int     // guarded by mu
	waiting []*gate // guarded by mu
	going   int     // guarded by mu: goroutines of Go that have not ended
}

// gate is where one goroutine waits for its turns.
type gate struct {
	name   string
	number int // in order of Join
	open   chan struct{}
}

// New returns a scheduler that has choose say who goes on, among at least one that waits: the index of a name, or a
// negative number for nobody, which ends Run.
// They come in the order in which they joined, whatever the order in which they came to wait. The slice is
// valid during the call only.
func New(choose func(waiting []string) int) *Scheduler {
	return &Scheduler{choose: choose, Patience: 24 * time.Hour, bell: make(chan struct{}, 1)}
}

// Draw draws a number for the library.
func (s *Scheduler) Draw(below int64) int64 {
	if s.Random == nil {
		return 0
	}
	return s.Random(below)
}

// Join has a goroutine take part. It must be called by who is at work, not by one that has just been woken
// by a timer or a channel: the order of the calls is part of the schedule.
func (s *Scheduler) Join(name string) (wait func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.joined++
	g := &gate{name: name, number: s.joined, open: make(chan struct{})}
	return func() { s.wait(g) }
}

func (s *Scheduler) wait(g *gate) {
	s.mu.Lock()
	at, _ := slices.BinarySearchFunc(s.waiting, g, func(a, b *gate) int { return cmp.Compare(a.number, b.number) })
	s.waiting = slices.Insert(s.waiting, at, g)
	s.mu.Unlock()
	select {
	case s.bell <- struct{}{}:
	default: // has rung
	}
	<-g.open
}

// Go starts a goroutine of the simulation, which begins at its first turn. Run waits for it.
func (s *Scheduler) Go(name string, fn func()) {
	wait := s.Join(name)
	s.mu.Lock()
	s.going++
	s.mu.Unlock()
	go func() { // ends with fn; Run waits for it
		defer func() {
			s.mu.Lock()
			s.going--
			s.mu.Unlock()
		}()
		wait()
		fn()
	}()
}

// Block calls fn, which may block, and then waits for a turn: what follows is done by nobody else at once.
func (s *Scheduler) Block(name string, fn func()) {
	wait := s.Join(name)
	fn()
	wait()
}

// Sleep is time.Sleep and then a turn.
func (s *Scheduler) Sleep(name string, d time.Duration) {
	s.Block(name, func() { time.Sleep(d) })
}

// Run hands out turns on the calling goroutine until all of Go have ended and nobody waits, or returns
// [ErrStuck].
func (s *Scheduler) Run() error {
	var names []string
	for {
		synctest.Wait()
		select {
		case <-s.bell: // of those that are waiting now
		default:
		}
		s.mu.Lock()
		names = names[:0]
		for _, g := range s.waiting {
			names = append(names, g.name)
		}
		going := s.going
		s.mu.Unlock()
		switch {
		case len(names) > 0:
			i := s.choose(names)
			if i < 0 {
				return ErrGivenUp
			}
			s.release(i)
			continue
		case s.Idle != nil:
			s.Idle()
		}
		if going == 0 {
			return nil
		}
		if !s.pass() {
			return ErrStuck
		}
	}
}

// release lets the i-th of those that wait go on.
func (s *Scheduler) release(i int) {
	s.mu.Lock()
	g := s.waiting[i]
	s.waiting = slices.Delete(s.waiting, i, i+1)
	s.mu.Unlock()
	g.open <- struct{}{}
}

// pass lets time move until somebody waits; false if nobody comes.
func (s *Scheduler) pass() bool {
	patience := time.NewTimer(s.Patience)
	defer patience.Stop()
	select {
	case <-s.bell:
		return true
	case <-patience.C:
		return false
	}
}

// Left returns how many goroutines of Go have not ended.
func (s *Scheduler) Left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.going
}
