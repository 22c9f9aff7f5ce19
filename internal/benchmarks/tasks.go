package main

import (
	"context"
	"sync"

	"github.com/go-genstage/genstage/stage"
)

// atOnce is how many tasks of W7 may run at the same time.
const atOnce = 20

// supervise is W7: a trivial task for each event, 20 at once.
func supervise() *work {
	return &work{
		check: atMost(atOnce), unit: "task",
		contestants: []contestant{
			{"ours", func(j *job) error {
				p := j.producer()
				c := stage.NewConsumerSupervisor(func(_ context.Context, event int) error {
					j.tasks.do(event)
					return nil
				})
				c.SubscribeTo(p, stage.MaxDemand(atOnce), stage.MinDemand(0))
				return stage.Run(context.Background(), p, c)
			}},
			{"loop", func(j *job) error {
				for e, ok := j.one(); ok; e, ok = j.one() {
					j.tasks.do(e)
				}
				return nil
			}},
			{"goroutine per task", func(j *job) error { // behind a semaphore
				slots := make(chan struct{}, atOnce)
				var all sync.WaitGroup
				for e, ok := j.one(); ok; e, ok = j.one() {
					slots <- struct{}{}
					all.Go(func() { // ends with its task
						defer func() { <-slots }()
						j.tasks.do(e)
					})
				}
				all.Wait()
				return nil
			}},
			{"20 workers", func(j *job) error { // no goroutine per task: what a task costs at the least
				events := make(chan int)
				var all sync.WaitGroup
				for range atOnce {
					all.Go(func() { // ends with events
						for e := range events {
							j.tasks.do(e)
						}
					})
				}
				for e, ok := j.one(); ok; e, ok = j.one() {
					events <- e
				}
				close(events)
				all.Wait()
				return nil
			}},
		},
		reaches: []reach{{name: "ours", than: "goroutine per task", most: 1}},
	}
}
