package stage

import (
	"errors"
	"math"
	"time"
)

// What a stage asks of its source: a producer of its demand callback, a producer-consumer with OnDemand of
// that. It is asked for the live demand, less what it owes and what waits.

// open returns how many events are asked for and on no one's way.
func (r *run[In, Out]) open() int64 {
	return r.disp.Live() - r.owed - int64(r.buf.Len())
}

// mayAsk reports whether there is something to ask for, and nothing against it.
func (r *run[In, Out]) mayAsk() bool { return r.toAsk() > 0 }

// toAsk returns how many events may be asked for now; 0 if something is against it.
func (r *run[In, Out]) toAsk() int64 {
	if !r.released || r.finishing || r.verdict != nil || r.timer != nil {
		return 0
	}
	return max(0, r.open())
}

// askSource asks once; if more is open afterwards, the mailbox comes first.
func (r *run[In, Out]) askSource() {
	if r.feed != nil {
		if r.released && !r.finishing && r.verdict == nil {
			r.follow()
		}
		return
	}
	want := r.toAsk()
	if want == 0 {
		return
	}
	r.owed += want
	if r.accumulating {
		r.keep(kept[Out]{demand: want})
		return
	}
	r.callSource(want)
	r.serveBuffer()
	r.again = r.again || r.mayAsk()
}

// callSource calls the demand callback, or OnDemand.
func (r *run[In, Out]) callSource(want int64) {
	var out []Out
	var pass int
	n := int(min(want, math.MaxInt))
	if r.describe(n, nil); r.looked.Load() != nil {
		r.publishOwed() // it may be in the callback for long
	}
	err := r.guard(inDemand, func() (err error) {
		if r.demand != nil {
			out, err = r.demand(r.context(), n)
		} else {
			out, pass, err = r.def.onDemand(r.context(), n)
		}
		r.results = len(out)
		return err
	})
	r.granted += int64(max(0, min(pass, n-len(out))))
	if err != nil && !errors.Is(err, ErrDone) {
		r.fail(err)
		return
	}
	r.emitAsked(out)
	if err != nil {
		r.finish()
		r.serveBuffer()
		return
	}
	if r.h.conf.repeat && len(out) > 0 {
		r.owed, r.pause = 0, 0
	} else if poll := r.h.conf.poll; poll != nil {
		r.pause = min(max(2*r.pause, poll.min), poll.max)
		r.timer = time.NewTimer(r.pause)
	}
}

// emitAsked emits what a demand callback or OnDemand returned: of what was granted to the input, nothing.
func (r *run[In, Out]) emitAsked(out []Out) {
	granted := r.granted
	r.emit(out)
	r.granted = granted
}
