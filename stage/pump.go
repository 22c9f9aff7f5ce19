package stage

import (
	"sync"

	"github.com/go-genstage/genstage/internal/goid"
	"github.com/go-genstage/genstage/internal/hop"
)

// pump is a feed that reads on a goroutine of its own, since reading blocks. It draws events only
// while some are open, and no more than are. What it has drawn when the run ends stays in the well
// for the next one.
type pump[T any] struct {
	run  *core         // read-only
	wake func()        // read-only
	well well[T]       // read-only
	bell chan struct{} // rung when more may be drawn
	quit chan struct{} // closed when nothing more is wanted
	done chan struct{} // closed when the goroutine has ended
	read errand        // the goroutine

	begun, stopped bool // owned by the stage goroutine

	mu    sync.Mutex
	allow int   // guarded by mu: how many more may be drawn
	ready []T   // guarded by mu: drawn, not emitted
	err   error // guarded by mu: nothing more comes behind ready
}

// well is what a pump draws from. It outlives the pump: its methods are called on the goroutine of
// one after the other, putBack when that has ended.
type well[T any] interface {
	draw(n int) ([]T, error) // at most n events that are there; an error comes behind them
	fill()                   // blocks until there may be more to draw
	putBack(events []T)      // in front of all
}

func newPump[T any](run *core, wake func(), w well[T]) *pump[T] {
	return &pump[T]{
		run: run, wake: wake, well: w,
		bell: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}),
	}
}

func (p *pump[T]) take(open int) ([]T, error) {
	p.mu.Lock()
	n := min(open, len(p.ready))
	events := p.ready[:n:n]
	p.ready = p.ready[n:]
	p.allow = max(0, open-n-len(p.ready))
	more, left, err := p.allow > 0, len(p.ready), p.err
	p.mu.Unlock()
	switch {
	case left > 0:
		return events, nil
	case err != nil:
		return events, err
	case p.stopped:
		return events, ErrDone
	case more && !p.begun:
		p.begun = true
		go p.pump(hop.Join(p.run.context(), "pump")) // ends with the run; end waits for it
	case more:
		select {
		case p.bell <- struct{}{}:
		default:
		}
	}
	return events, nil
}

// pump is the goroutine.
func (p *pump[T]) pump(turn func()) {
	p.run.pumping.Store(goid.Current())
	returned := false
	defer func() {
		failed := p.run.failure(returned, recover(), "Read")
		if failed != nil {
			p.put(nil, failed)
		}
		p.run.pumping.Store(0)
		if !p.read.back() {
			p.keep()
			p.run.backLate(&p.read, "Read", 0, failed)
			return
		}
		close(p.done)
	}()
	for {
		n := p.allowance(turn)
		if n == 0 {
			break
		}
		events, err := p.well.draw(min(n, maxPull))
		if len(events) == 0 && err == nil {
			p.well.fill()
			continue
		}
		p.put(events, err)
		if err != nil {
			break
		}
	}
	returned = true
}

// allowance waits until something may be drawn, and returns how much; 0 when nothing is wanted any
// more.
func (p *pump[T]) allowance(turn func()) int {
	for {
		if turn != nil {
			turn()
		}
		select {
		case <-p.quit:
			return 0
		default:
		}
		p.mu.Lock()
		n := p.allow
		p.mu.Unlock()
		if n > 0 {
			return n
		}
		select {
		case <-p.bell:
		case <-p.quit:
			return 0
		}
	}
}

// put hands events to the stage.
func (p *pump[T]) put(events []T, err error) {
	p.mu.Lock()
	p.ready = append(p.ready, events...)
	p.allow = max(0, p.allow-len(events))
	p.err = err
	p.mu.Unlock()
	p.wake()
}

func (p *pump[T]) stop(func(*handle) bool) {
	if !p.stopped {
		p.stopped = true
		close(p.quit)
	}
}

func (p *pump[T]) end() (lost int) {
	p.stop(nil)
	if !p.begun || p.run.await(&p.read, p.done, Stuck{Callback: "Read"}) {
		p.keep() // else the goroutine does, when it is back
	}
	return 0
}

// keep leaves what was drawn for the next run.
func (p *pump[T]) keep() {
	if len(p.ready) > 0 {
		p.well.putBack(p.ready)
	}
}

func (p *pump[T]) waiting() int  { return 0 }
func (p *pump[T]) patient() bool { return false }
