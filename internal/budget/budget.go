// Package budget says what may begin under a limit that many share.
//
// It knows weights, who waits and in which order. It must not know what is weighed, nor how a waiter is
// told: a [Ledger] is a plain value without goroutine, lock, clock or channel, and its owner guards it.
package budget

// Max is the largest limit.
const Max = 1 << 48

// Clamp returns what a weight counts as: one beyond Max as Max+1, more than any limit, one below 1 as 1. A [Ledger] takes
// clamped weights, and sums of some thousands of them.
func Clamp(weight int64) int64 { return min(max(weight, 1), Max+1) }

// Ledger admits weights as long as their sum is within a limit. What does not fit waits, in order, and is
// granted its weight when there is room for it.
//
//   - Lighter ones may pass a waiter that does not fit, for one limit's worth of weight in all. Then it
//     reserves: nothing more is admitted before it.
//   - A weight above the limit is admitted when nothing else is in use: alone.
//   - When corrections have made what is in use exceed the limit (overdraft), nothing is admitted until
//     that is paid back.
//
// After each operation nobody waits who could be granted.
type Ledger struct {
	limit, used int64
	queue       []*Waiter
	granted     []*Waiter // by the operation in progress
}

// Waiter is one that asks for weights, one at a time: it waits at most once. The zero Waiter is ready.
type Waiter struct {
	Owner any // whose it is; the ledger does not look at it

	weight  int64 // that it waits for, or was granted
	passed  int64 // what was admitted before it meanwhile
	waiting bool
	granted bool
}

// New returns a ledger with a limit from 1 to [Max].
func New(limit int64) Ledger { return Ledger{limit: limit} }

// Limit returns the limit.
func (l *Ledger) Limit() int64 { return l.limit }

// Used returns the sum of what is admitted and granted.
func (l *Ledger) Used() int64 { return l.used }

// Waiting returns those that wait, in order. It must not be kept.
func (l *Ledger) Waiting() []*Waiter { return l.queue }

// Weight returns what the waiter waits for or was granted.
func (w *Waiter) Weight() int64 { return w.weight }

// Granted reports whether it has a grant that it has not used.
func (w *Waiter) Granted() bool { return w.granted }

// fits reports whether a weight has room now.
func (l *Ledger) fits(weight int64) bool {
	if weight > l.limit {
		return l.used == 0
	}
	return weight <= l.limit-l.used
}

// mayPass reports whether a weight may be admitted before all that wait: the first of them has been passed most.
func (l *Ledger) mayPass(weight int64) bool {
	return len(l.queue) == 0 || weight <= l.limit-l.queue[0].passed
}

// Admit asks for a weight. True: it is in use from now on; a grant of w is used up for it. False: w waits for it,
// in front of all if it had a grant of another weight. It returns those that are granted theirs by that, as
// [Ledger.Release] does.
func (l *Ledger) Admit(w *Waiter, weight int64) (ok bool, granted []*Waiter) {
	switch {
	case w.granted: // its turn has come, whatever it asks for now
		w.granted = false
		l.used -= w.weight
		if l.fits(weight) {
			l.used += weight
			less := weight < w.weight
			*w = Waiter{Owner: w.Owner}
			if less {
				granted = l.grant()
			}
			return true, granted
		}
		w.weight, w.waiting = weight, true
		if len(l.queue) > 0 { // the first has been passed most
			w.passed = max(w.passed, l.queue[0].passed)
		}
		l.queue = append([]*Waiter{w}, l.queue...)
		return false, l.grant()
	case w.waiting:
		w.weight = weight
		return false, l.grant()
	case l.fits(weight) && l.mayPass(weight):
		l.take(weight, len(l.queue))
		return true, nil
	}
	w.weight, w.passed, w.waiting = weight, 0, true
	l.queue = append(l.queue, w)
	return false, nil
}

// take puts a weight in use, before the first n of those that wait.
func (l *Ledger) take(weight int64, n int) {
	l.used += weight
	for _, q := range l.queue[:n] {
		q.passed = min(q.passed+weight, Max+1)
	}
}

// Release takes a weight out of use. It returns those that are granted theirs by that; the slice is valid until
// the next operation.
func (l *Ledger) Release(weight int64) []*Waiter {
	l.used -= weight
	return l.grant()
}

// Correct replaces a weight in use by another, which may exceed the limit. It returns as Release.
func (l *Ledger) Correct(old, weight int64) []*Waiter {
	l.used += weight - old
	return l.grant()
}

// SetLimit changes the limit, from 1 to [Max]. It returns as Release.
func (l *Ledger) SetLimit(limit int64) []*Waiter {
	l.limit = limit
	return l.grant()
}

// Leave ends a wait, and gives a grant back that was not used. It returns as Release.
func (l *Ledger) Leave(w *Waiter) []*Waiter {
	switch {
	case w.granted:
		l.used -= w.weight
	case w.waiting:
		for i, q := range l.queue {
			if q == w {
				l.queue = append(l.queue[:i], l.queue[i+1:]...)
				break
			}
		}
	default:
		return nil
	}
	*w = Waiter{Owner: w.Owner}
	return l.grant()
}

// grant grants what has room, in order.
func (l *Ledger) grant() []*Waiter {
	clear(l.granted)
	l.granted = l.granted[:0]
	stay := 0
	for i, q := range l.queue {
		before := l.queue[:stay]
		passes := len(before) == 0 || q.weight <= l.limit-before[0].passed
		if !passes || !l.fits(q.weight) {
			l.queue[stay] = q
			stay++
			if l.used >= l.limit { // there is room for nobody
				stay += copy(l.queue[stay:], l.queue[i+1:])
				break
			}
			continue
		}
		l.take(q.weight, stay)
		q.waiting, q.granted = false, true
		l.granted = append(l.granted, q)
	}
	clear(l.queue[stay:])
	l.queue = l.queue[:stay]
	return l.granted
}
