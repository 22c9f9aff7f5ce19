package main

import (
	"fmt"
	"sync/atomic"
)

// batchSize is how many events a batch has: what a consumer with max demand 1000 and min demand 500 asks for.
const batchSize = 500

// job is one run of one contestant: the events that it has to move, and who receives them. The events are
// the numbers from 1 to n.
type job struct {
	n     int
	next  int // the last number made; owned by whoever makes events
	sinks []sink
	tasks tasks
}

func newJob(n, sinks int) *job { return &job{n: n, sinks: make([]sink, sinks)} }

// one makes an event; false: there is none left.
func (j *job) one() (int, bool) {
	if j.next == j.n {
		return 0, false
	}
	j.next++
	return j.next, true
}

// batch makes up to size events in a fresh slice, which is empty at the end.
func (j *job) batch(size int) []int {
	events := make([]int, min(size, j.n-j.next))
	first := j.next + 1
	for i := range events {
		events[i] = first + i
	}
	j.next += len(events)
	return events
}

// sink receives events on one goroutine, and looks at each. Two of them don't share a cache line.
type sink struct {
	count, sum, last, disorder int
	_                          [64]byte
}

func (s *sink) one(event int) {
	if event <= s.last {
		s.disorder++
	}
	s.last = event
	s.sum += event
	s.count++
}

func (s *sink) batch(events []int) {
	last, sum, disorder := s.last, s.sum, s.disorder
	for _, e := range events {
		if e <= last {
			disorder++
		}
		last = e
		sum += e
	}
	s.last, s.sum, s.disorder = last, sum, disorder
	s.count += len(events)
}

// tasks receives events on any goroutine.
type tasks struct {
	count, sum   atomic.Int64
	running, top atomic.Int64 // at once, now and at most
}

// do is a trivial task.
func (t *tasks) do(event int) {
	if n := t.running.Add(1); n > t.top.Load() {
		t.top.Store(n) // a lower one may win a race: it only makes the check milder
	}
	t.sum.Add(int64(event))
	t.count.Add(1)
	t.running.Add(-1)
}

// check says what a work must have done with the events; it is the harness's, not the contestant's.
type check func(*job) error

// wantSum is the sum of the numbers 1 to n.
func wantSum(n int) int { return n * (n + 1) / 2 }

func (s *sink) check(who string, count, sum int) error {
	switch {
	case s.count != count:
		return fmt.Errorf("%s received %d events of %d", who, s.count, count)
	case s.sum != sum:
		return fmt.Errorf("%s: the sum of the events is %d, not %d", who, s.sum, sum)
	case s.disorder > 0:
		return fmt.Errorf("%s: %d events were not in order", who, s.disorder)
	}
	return nil
}

// allInOrder: every sink has received all events.
func allInOrder(j *job) error {
	for i := range j.sinks {
		if err := j.sinks[i].check(fmt.Sprintf("consumer %d", i), j.n, wantSum(j.n)); err != nil {
			return err
		}
	}
	return nil
}

// eachOnce: every event was received by one of the sinks, by each of them in order.
func eachOnce(j *job) error {
	var all sink
	for i := range j.sinks {
		all.count += j.sinks[i].count
		all.sum += j.sinks[i].sum
		all.disorder += j.sinks[i].disorder
	}
	return all.check("the consumers together", j.n, wantSum(j.n))
}

// byRemainder: of k sinks, the one with number i has received the events that leave i when divided by k.
func byRemainder(j *job) error {
	for i := range j.sinks {
		k := len(j.sinks)
		first := i
		if i == 0 {
			first = k
		}
		count := 0
		if j.n >= first {
			count = (j.n-first)/k + 1
		}
		sum := count*first + k*count*(count-1)/2
		if err := j.sinks[i].check(fmt.Sprintf("partition %d", i), count, sum); err != nil {
			return err
		}
	}
	return nil
}

// atMost: every event was a task, and no more than limit ran at once.
func atMost(limit int64) check {
	return func(j *job) error {
		s := sink{count: int(j.tasks.count.Load()), sum: int(j.tasks.sum.Load())}
		if top := j.tasks.top.Load(); top > limit {
			return fmt.Errorf("%d tasks at once, of at most %d", top, limit)
		}
		return s.check("the tasks", j.n, wantSum(j.n))
	}
}
