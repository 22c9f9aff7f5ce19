package stage

import "math"

// feed is where the events of a producer come from when they come by themselves: pushed into a
// [Queue], sent on a channel, or read by a goroutine beside the stage's. The stage does not call
// it for a number of events that it then owes; it tells the feed what is open whenever that
// changes, also when it has become less. There is one for each run.
type feed[T any] interface {
	// take returns at most open events, the most that subscribers wait for now. It does not
	// block: when there are more, it wakes the stage (what newFeed was given). With an error the
	// feed has nothing more behind the events beside it. On the stage goroutine.
	take(open int) ([]T, error)

	// stop has the feed bring in nothing more: take goes on with what is there, then returns
	// ErrDone. inside says what else is being stopped; nil: nothing. On the stage goroutine.
	stop(inside func(*handle) bool)

	// end is called once when the run has ended, and blocks until the feed's goroutine, if it
	// has one, has too, or is abandoned. It returns how many events are lost. On the stage goroutine.
	end() (lost int)

	// waiting returns how many events wait in the feed as if the stage had emitted them. Safe for
	// concurrent use.
	waiting() int

	// patient reports whether the stage is to wait when its subscribers have all gone (R2). On
	// the stage goroutine.
	patient() bool
}

// openFeed makes the feed of a run, if the producer has one. It is called before the run's
// goroutine exists.
func (r *run[In, Out]) openFeed() {
	if r.def.newFeed == nil {
		return
	}
	r.feed = r.def.newFeed(&r.core, func() {
		if !r.woken.Swap(true) {
			r.box.Post(message[In]{kind: msgWake})
		}
	})
	r.inlet, _ = r.feed.(*inlet[Out])
	r.news = true // it may have ended already
}

// follow tells the feed what is open, and emits what it has.
func (r *run[In, Out]) follow() {
	open := r.feedOpen()
	if open == r.fedOpen && !r.news {
		return
	}
	r.news = false
	out, err := r.feed.take(int(min(open, math.MaxInt)))
	r.emit(out)
	r.fedOpen = open - int64(len(out))
	switch {
	case err != nil:
		r.fedAll = true
		r.ends(err)
	case len(out) >= maxPull: // there may be more; the mailbox comes first
		r.news, r.again = true, true
	case len(out) == 0 && r.hadConsumer:
		r.checkAbandoned() // it may have become impatient
	}
	r.serveBuffer()
	// A dispatcher that dropped events gave their demand back: the feed has to hear of it.
	r.again = r.again || r.feedOpen() != r.fedOpen && r.verdict == nil && !r.finishing
}

// feedOpen is how many events subscribers wait for now, as far as demand is forwarded.
func (r *run[In, Out]) feedOpen() int64 {
	if r.accumulating {
		return 0
	}
	return max(0, r.disp.Live()-int64(r.buf.Len()))
}

// stopFeed begins to drain a producer that has a feed; the feed's last event ends it.
func (r *run[In, Out]) stopFeed(inside func(*handle) bool) {
	r.feed.stop(inside)
	r.news, r.again = true, true
}

// closeFeed ends the feed with the run.
func (r *run[In, Out]) closeFeed() {
	if r.feed == nil {
		return
	}
	if !r.verdict.completed {
		r.cancel(r.endCause())
		r.arm()
	}
	lost := int64(r.feed.end())
	r.emitted.Add(lost)
	r.outputLost.Add(lost)
}

// inlet is a feed that the stage goroutine receives itself: while events are open, it parks on
// the channel too. So no event is ever between the channel and the stage.
type inlet[T any] struct {
	ch <-chan T

	// owned by the stage goroutine
	first []T // received while parked, to go before what take finds
	ended bool
}

// parkOn returns the channel to park on; nil when nothing may be received.
func (r *run[In, Out]) parkOn() <-chan Out {
	if r.inlet == nil || r.inlet.ended || r.fedOpen == 0 || r.finishing || r.accumulating {
		return nil
	}
	return r.inlet.ch
}

// came takes what the stage received while parked. What was open then still is.
func (r *run[In, Out]) came(event Out, ok bool) {
	if ok {
		r.inlet.first = append(r.inlet.first, event)
	} else {
		r.inlet.ended = true
	}
	r.news = true
	r.askSource()
}

func (c *inlet[T]) take(open int) ([]T, error) {
	events := c.first
	c.first = nil
	for len(events) < min(open, maxPull) && !c.ended {
		select {
		case event, ok := <-c.ch:
			if ok {
				events = append(events, event)
			} else {
				c.ended = true
			}
			continue
		default:
		}
		break
	}
	if c.ended {
		return events, ErrDone
	}
	return events, nil
}

func (c *inlet[T]) stop(func(*handle) bool) { c.ended = true }
func (c *inlet[T]) end() int                { return len(c.first) }
func (c *inlet[T]) waiting() int            { return 0 }
func (c *inlet[T]) patient() bool           { return false }
