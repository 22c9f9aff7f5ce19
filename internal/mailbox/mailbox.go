// Package mailbox holds what other goroutines have posted to one reader.
//
// It knows order, closing and how to wake the reader. It must not know what a
// message means: how many messages can pile up is bounded by the demand that
// the reader itself gave, and that is decided elsewhere.
package mailbox

import "sync"

// keptStorage is the capacity from which Take lets go of storage that was
// mostly empty, so that one burst does not hold its memory for ever.
const keptStorage = 1024

// Box is an unbounded queue with any number of senders and one reader. Posting
// costs an uncontended lock and an append; the reader takes everything at once
// by swapping slices and parks on a channel of one slot in between:
//
//	var batch []M
//	for {
//		<-box.Bell()
//		batch = box.Take(batch)
//		for _, m := range batch {
//			handle(m)
//		}
//	}
//
// The zero Box must be given a bell by [Box.Init] before it is used. A Box is
// embedded by value and must not be copied.
type Box[M any] struct {
	bell chan struct{} // made by Init, read-only after

	mu     sync.Mutex // guards what follows; never held across a send
	queue  []M
	wakes  uint64
	rung   bool // one of the messages in queue has rung
	rests  int  // how many messages of PostQuiet the reader does not want to be woken by
	closed bool
}

// Init makes the bell. It is called once, before anything else.
func (b *Box[M]) Init() {
	b.bell = make(chan struct{}, 1)
}

// Post appends m behind everything posted so far and wakes the reader if it
// may be parked. It never blocks. Post reports false once the box is closed: m
// is then not kept. Safe for concurrent use; what one goroutine posts stays in
// its order.
func (b *Box[M]) Post(m M) bool { return b.post(m, false) }

// PostQuiet is [Box.Post] of a message that does not wake a reader which rests
// ([Box.Rest]): it is taken with the one that does.
func (b *Box[M]) PostQuiet(m M) bool { return b.post(m, true) }

func (b *Box[M]) post(m M, quiet bool) bool {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return false
	}
	b.queue = append(b.queue, m)
	// One of the messages that a Take finds rings, the first that is to. If the reader takes it
	// before the bell rings, the bell brings one Take that finds nothing; a message is never
	// left without one, but for those that are to wait for another.
	ring := !b.rung
	if ring && quiet && b.rests > 0 {
		b.rests--
		ring = false
	}
	if ring {
		b.rung = true
		if len(b.bell) == 0 {
			b.wakes++
		}
	}
	b.mu.Unlock()
	if ring {
		b.Ring()
	}
	return true
}

// Rest says that the reader, which has taken everything and is going to park, does not want to be
// woken by the next n messages that [Box.PostQuiet] posts. It holds until the next Take. Only the reader calls Rest.
func (b *Box[M]) Rest(n int) {
	b.mu.Lock()
	b.rests = n
	b.mu.Unlock()
}

// Ring wakes the reader without a message. It never blocks; rings that the
// reader has not answered yet are one. Safe for concurrent use.
func (b *Box[M]) Ring() {
	select {
	case b.bell <- struct{}{}:
	default:
	}
}

// Take returns everything posted since the last Take, oldest first, with
// length 0 if there is nothing. It does not block. spare is a slice that the
// reader is done with, as a rule the one Take returned before: it is cleared
// over its length and becomes the storage for what comes next. nil will do.
// Only the reader calls Take.
func (b *Box[M]) Take(spare []M) []M {
	clear(spare) // the messages are handled: do not keep alive what they point to
	if cap(spare) > keptStorage && len(spare) < cap(spare)/4 {
		spare = nil
	}
	b.mu.Lock()
	taken := b.queue
	b.queue, b.rung, b.rests = spare[:0], false, 0
	b.mu.Unlock()
	return taken
}

// Bell is where the reader parks. A receive means no more than look again:
// there may be a message, a [Box.Ring], or nothing that has not been taken
// already.
func (b *Box[M]) Bell() <-chan struct{} {
	return b.bell
}

// Close makes every later [Box.Post] report false and returns what was posted
// and not taken, oldest first. After the first call it returns nil. It does
// not ring. Safe for concurrent use.
func (b *Box[M]) Close() []M {
	b.mu.Lock()
	left := b.queue
	b.queue, b.closed = nil, true
	b.mu.Unlock()
	if len(left) == 0 {
		return nil
	}
	return left
}

// Len returns the number of messages posted and not taken. Safe for concurrent
// use.
func (b *Box[M]) Len() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.queue)
}

// Wakes returns how often a message was posted that a silent bell had to be rung
// for: at most once for each message, and once for all those posted while the
// reader was not yet back. Safe for concurrent use.
func (b *Box[M]) Wakes() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.wakes
}
