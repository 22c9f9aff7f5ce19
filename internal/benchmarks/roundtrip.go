package main

import (
	"context"

	"github.com/go-genstage/genstage/stage"
)

// roundTrip is W6: max demand 1, so that one event is on its way at a time.
func roundTrip() *work {
	return &work{
		sinks: 1, check: allInOrder,
		contestants: []contestant{
			{"ours", func(j *job) error {
				p, c := j.producer(), j.sinks[0].consumer()
				c.SubscribeTo(p, stage.MaxDemand(1), stage.MinDemand(0))
				return stage.Run(context.Background(), p, c)
			}},
			{"loop", func(j *job) error {
				for e, ok := j.one(); ok; e, ok = j.one() {
					j.sinks[0].one(e)
				}
				return nil
			}},
			{"round trip", func(j *job) error { // an ask there, an event back, over unbuffered channels
				ask, events := make(chan int), make(chan []int)
				go func() { // ends with ask
					defer close(events)
					for n := range ask {
						events <- j.batch(n)
					}
				}()
				for range j.n {
					ask <- 1
					j.sinks[0].batch(<-events)
				}
				close(ask)
				<-events
				return nil
			}},
			{"bare", func(j *job) error { return bareLine(j, 0, 1) }},
			{"one way", func(j *job) error { // an unbuffered channel: nobody asks
				events := make(chan []int)
				go func() { // ends with its events
					defer close(events)
					for range j.n {
						events <- j.batch(1)
					}
				}()
				for e := range events {
					j.sinks[0].batch(e)
				}
				return nil
			}},
		},
		reaches: []reach{{name: "ours", than: "round trip", most: 1.35}},
	}
}
