package main

import "sync"

// The bare protocol: the stages of a line, written by hand for it. They ask, send no more than was asked, and have
// the same max and min demand, and that is all: no books, no guard around callbacks, no way to end, to subscribe or to look in
// while they run. What ours takes beyond it is the price of those; what it takes beyond a channel is the price of
// asking. So it has a mailbox of its own, and not that of the stages: what these gain or lose there shows.

// letter is an ask for n events, or a batch.
type letter struct {
	n      int
	events []int
	last   bool // no batch comes behind it
}

// letters is the mailbox of one stage: a lock, a slice that is swapped, and a bell.
type letters struct {
	bell  chan struct{}
	mu    sync.Mutex
	queue []letter // guarded by mu
}

func newLetters() *letters { return &letters{bell: make(chan struct{}, 1)} }

func (b *letters) post(l letter) {
	b.mu.Lock()
	b.queue = append(b.queue, l)
	first := len(b.queue) == 1
	b.mu.Unlock()
	if first {
		select {
		case b.bell <- struct{}{}:
		default:
		}
	}
}

// take waits for letters. spare is what it returned before.
func (b *letters) take(spare []letter) []letter {
	clear(spare)
	for {
		<-b.bell
		b.mu.Lock()
		taken := b.queue
		b.queue = spare[:0]
		b.mu.Unlock()
		if len(taken) > 0 {
			return taken
		}
	}
}

// window asks above for up to most events, and again when half of them are handled.
type window struct {
	above      *letters
	most, open int
}

func (w *window) ask() {
	w.above.post(letter{n: w.most - w.open})
	w.open = w.most
}

// chunks handles a batch piece by piece.
func (w *window) chunks(l letter, handle func(events []int, last bool)) {
	for events := l.events; len(events) > 0; {
		n := min(len(events), max(1, w.most/2))
		handle(events[:n:n], l.last && n == len(events))
		events = events[n:]
		if w.open -= n; w.open <= w.most/2 {
			w.ask()
		}
	}
}

// bareLine is a line of stages with that max demand, and half of it as min.
func bareLine(j *job, relays, most int) error {
	above, inbox := newLetters(), newLetters()
	go bareProducer(j, above, inbox)
	for range relays {
		below := newLetters()
		go bareRelay(&window{above: above, most: most}, inbox, below)
		above, inbox = inbox, below
	}
	bareConsumer(&window{above: above, most: most}, inbox, &j.sinks[0])
	return nil
}

// bareProducer ends with the events of its job.
func bareProducer(j *job, inbox, below *letters) {
	for taken := []letter(nil); j.next < j.n; {
		taken = inbox.take(taken)
		for _, ask := range taken {
			if events := j.batch(ask.n); len(events) > 0 {
				below.post(letter{events: events, last: j.next == j.n})
			}
		}
	}
}

// bareRelay passes on what comes from above while there is demand from below. It ends with the last of it.
func bareRelay(w *window, inbox, below *letters) {
	var taken, waiting []letter
	wanted, done := 0, false
	pass := func(events []int, last bool) {
		below.post(letter{events: events, last: last})
		wanted -= len(events)
		done = last
	}
	for w.ask(); !done; {
		taken = inbox.take(taken)
		for _, l := range taken {
			if wanted += l.n; l.n == 0 {
				waiting = append(waiting, l)
			}
		}
		begun := 0
		for ; begun < len(waiting) && wanted > 0; begun++ {
			w.chunks(waiting[begun], pass)
		}
		waiting = append(waiting[:0], waiting[begun:]...)
	}
}

// bareConsumer returns when it has had the last batch.
func bareConsumer(w *window, inbox *letters, s *sink) {
	done := false
	handle := func(events []int, last bool) {
		s.batch(events)
		done = last
	}
	var taken []letter
	for w.ask(); !done; {
		taken = inbox.take(taken)
		for _, l := range taken {
			w.chunks(l, handle)
		}
	}
}
