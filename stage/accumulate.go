package stage

// Demand modes of a producer: it forwards demand to its callback and events to its consumers, or accumulates
// both, in order, until it is told to forward.

// kept is one thing that an accumulating producer keeps back: demand, events or a call.
type kept[Out any] struct {
	demand int64
	events []Out
	call   *call[Out]
}

// keep puts something behind what is kept back.
func (r *run[In, Out]) keep(k kept[Out]) {
	r.kept = append(r.kept, k)
	r.keptEvents.Add(int64(len(k.events)))
}

// keptDemand is how much of the demand has been kept back.
func (r *run[In, Out]) keptDemand() (n int64) {
	for _, k := range r.kept {
		n += k.demand
	}
	return n
}

// setMode changes the mode; forwarding replays what was kept back, behind what was buffered before.
func (r *run[In, Out]) setMode(accumulate bool) {
	if r.accumulating == accumulate || r.verdict != nil {
		return
	}
	r.accumulating = accumulate
	r.forwarding.Store(!accumulate)
	if accumulate {
		return
	}
	r.serveBuffer()
	for len(r.kept) > 0 && r.verdict == nil && !r.accumulating {
		k := r.kept[0]
		r.kept[0] = kept[Out]{}
		r.kept = r.kept[1:]
		r.keptEvents.Add(-int64(len(k.events)))
		switch {
		case k.call != nil:
			r.behindBuffer(k.call)
		case len(k.events) > 0:
			r.place(k.events)
		case r.disp.Live() == 0: // those who asked have left, or have been served from what was kept
			r.owed = max(0, r.owed-k.demand)
		case !r.finishing && r.timer == nil: // else all that is open is asked for when the pause is over
			r.callSource(k.demand)
		}
		r.serveBuffer()
	}
	if len(r.kept) == 0 {
		r.kept = nil
	}
}

// dropKept counts what is kept back at the end of the run as lost.
func (r *run[In, Out]) dropKept() {
	for _, k := range r.kept {
		r.outputLost.Add(int64(len(k.events)))
		if k.call != nil {
			r.drop(k.call)
		}
	}
	r.kept = nil
	r.keptEvents.Store(0)
	r.spokenFor.Store(0)
}
