package main

import (
	"context"
	"fmt"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// The curves of W12. A contestant "batch N" sends slices of N events; "ours N" asks for 2N and again at N, so that its
// batches are as large.

// worker does about that much work for each event, without waiting for anything.
type worker struct{ turns int }

// newWorker finds out how many turns take d.
func newWorker(d time.Duration) worker {
	const trial = 1 << 20
	began := time.Now()
	if (worker{trial}).do(1) != 1 { // looked at, or the compiler might leave it out
		panic("the trial has another result than its event")
	}
	return worker{int(trial * float64(d) / float64(time.Since(began)))}
}

// do returns e, in a way that takes its time.
func (w worker) do(e int) int {
	x := uint64(e)
	for range w.turns {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	if x == 0 && e != 0 {
		return 0 // never: the steps can be undone
	}
	return e
}

// demandCurve has two contestants for each size of a batch; each event takes work.
func demandCurve(work worker, sizes ...int) []contestant {
	var all []contestant
	for _, size := range sizes {
		all = append(all,
			contestant{fmt.Sprintf("ours %d", size), func(j *job) error {
				p := j.producer()
				c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
					for _, e := range events {
						j.sinks[0].one(work.do(e))
					}
					return nil
				})
				c.SubscribeTo(p, stage.MaxDemand(2*size), stage.MinDemand(size))
				return stage.Run(context.Background(), p, c)
			}},
			contestant{fmt.Sprintf("batch %d", size), func(j *job) error {
				ch := make(chan []int, 2)
				go func() { // ends with its events
					defer close(ch)
					for events := j.batch(size); len(events) > 0; events = j.batch(size) {
						ch <- events
					}
				}()
				for events := range ch {
					for _, e := range events {
						j.sinks[0].one(work.do(e))
					}
				}
				return nil
			}})
	}
	return all
}

// payloads has two contestants for events that are values of type T, which number makes of the numbers of the job.
func payloads[T any](name string, number func(int) T, back func(*T) int) []contestant {
	fresh := func(j *job, n int) []T {
		numbers := min(n, j.n-j.next)
		events := make([]T, numbers)
		for i := range events {
			j.next++
			events[i] = number(j.next)
		}
		return events
	}
	take := func(j *job, events []T) {
		for i := range events {
			j.sinks[0].one(back(&events[i]))
		}
	}
	return []contestant{
		{"ours " + name, func(j *job) error {
			p := stage.NewProducer(func(_ context.Context, demand int) ([]T, error) {
				events := fresh(j, demand)
				if j.next == j.n {
					return events, stage.ErrDone
				}
				return events, nil
			})
			c := stage.NewConsumer(func(_ context.Context, events []T, _ *stage.Subscription) error {
				take(j, events)
				return nil
			})
			c.SubscribeTo(p, stage.MaxDemand(2*batchSize), stage.MinDemand(batchSize))
			return stage.Run(context.Background(), p, c)
		}},
		{"batch " + name, func(j *job) error {
			ch := make(chan []T, 2)
			go func() { // ends with its events
				defer close(ch)
				for events := fresh(j, batchSize); len(events) > 0; events = fresh(j, batchSize) {
					ch <- events
				}
			}()
			for events := range ch {
				take(j, events)
			}
			return nil
		}},
	}
}

// pairs is a work whose contestants are compared two by two.
func pairs(contestants []contestant) *work {
	return &work{sinks: 1, check: allInOrder, contestants: contestants, paired: true}
}

func curves() []*work {
	demand := pairs(demandCurve(worker{}, 1, 10, 100, 1000, 10_000))
	demand.id, demand.title = "W12a", "batches of 1 to 10,000 events, no work"
	busy := pairs(demandCurve(newWorker(time.Microsecond), 1, 10, 100, 1000))
	busy.id, busy.title = "W12b", "batches of 1 to 1,000 events, 1 µs of work for each event"
	var sizes []contestant
	sizes = append(sizes, payloads("8 B", func(n int) int { return n }, func(e *int) int { return *e })...)
	sizes = append(sizes, payloads("64 B", func(n int) [8]int { return [8]int{n} }, func(e *[8]int) int { return e[0] })...)
	sizes = append(sizes, payloads("1024 B", func(n int) [128]int { return [128]int{n} }, func(e *[128]int) int { return e[0] })...)
	large := pairs(sizes)
	large.id, large.title = "W12c", "events of 8, 64 and 1024 bytes, in batches of 500"
	return []*work{demand, busy, large}
}
