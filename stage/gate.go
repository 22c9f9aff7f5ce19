package stage

import "sync/atomic"

// gate opens once, for all who wait for that. It makes a channel only while somebody waits: a run has several gates, and most of its
// life nobody is at any. The zero gate is closed.
type gate struct {
	ch atomic.Pointer[chan struct{}] // for those who wait; opened; nil: nobody waits
}

// opened is what a gate has instead of a channel when it is open. It is compared, never used.
var opened = new(chan struct{})

// open opens the gate; again is as well. It never blocks. Safe for concurrent use, as the methods below are.
func (g *gate) open() {
	if ch := g.ch.Swap(opened); ch != nil && ch != opened {
		close(*ch)
	}
}

func (g *gate) isOpen() bool { return g.ch.Load() == opened }

// wait blocks until the gate is open.
func (g *gate) wait() {
	ch := g.ch.Load()
	for ch == nil {
		made := make(chan struct{})
		g.ch.CompareAndSwap(nil, &made)
		ch = g.ch.Load()
	}
	if ch != opened {
		<-*ch
	}
}
