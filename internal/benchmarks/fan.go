package main

import (
	"context"
	"sync"

	"github.com/go-genstage/genstage/stage"
)

// Works in which several consumers take the events of one producer: W3, W4 and W5.

// ourFan wires each sink of the job to its part of the producer.
func ourFan(j *job, p *stage.Producer[int], part func(i int) stage.Source[int]) error {
	stages := []stage.Stage{p}
	for i := range j.sinks {
		c := j.sinks[i].consumer()
		c.SubscribeTo(part(i), stage.MaxDemand(2*batchSize), stage.MinDemand(batchSize))
		stages = append(stages, c)
	}
	return stage.Run(context.Background(), stages...)
}

// receivers has one goroutine for each sink receive of its channel; wait returns when all have ended.
func receivers[T any](j *job, ch func(i int) <-chan T, take func(*sink, T)) (wait func()) {
	var all sync.WaitGroup
	for i := range j.sinks {
		all.Go(func() { // ends with its channel
			for x := range ch(i) {
				take(&j.sinks[i], x)
			}
		})
	}
	return all.Wait
}

// channels makes one channel for each sink.
func channels[T any](j *job, room int) (all []chan T, each func(i int) <-chan T) {
	for range j.sinks {
		all = append(all, make(chan T, room))
	}
	return all, func(i int) <-chan T { return all[i] }
}

func closeAll[T any](all []chan T) {
	for _, ch := range all {
		close(ch)
	}
}

// share is W3: each event goes to one of four.
func share() *work {
	return &work{
		sinks: 4, check: eachOnce,
		contestants: []contestant{
			{"ours", func(j *job) error {
				p := j.producer()
				return ourFan(j, p, func(int) stage.Source[int] { return p })
			}},
			{"loop", func(j *job) error {
				for i := 0; ; i++ {
					events := j.batch(batchSize)
					if len(events) == 0 {
						return nil
					}
					j.sinks[i%len(j.sinks)].batch(events)
				}
			}},
			{"batch", func(j *job) error {
				ch := make(chan []int, 2*len(j.sinks))
				wait := receivers(j, func(int) <-chan []int { return ch }, (*sink).batch)
				for events := j.batch(batchSize); len(events) > 0; events = j.batch(batchSize) {
					ch <- events
				}
				close(ch)
				wait()
				return nil
			}},
			{"chan", func(j *job) error {
				ch := make(chan int, 2*batchSize*len(j.sinks))
				wait := receivers(j, func(int) <-chan int { return ch }, (*sink).one)
				for e, ok := j.one(); ok; e, ok = j.one() {
					ch <- e
				}
				close(ch)
				wait()
				return nil
			}},
		},
	}
}

// broadcast is W4: each event goes to all four.
func broadcast() *work {
	return &work{
		sinks: 4, check: allInOrder,
		contestants: []contestant{
			{"ours", func(j *job) error {
				p := j.producer()
				p.DispatchWith(stage.Broadcast)
				return ourFan(j, p, func(int) stage.Source[int] { return p })
			}},
			{"loop", func(j *job) error {
				for events := j.batch(batchSize); len(events) > 0; events = j.batch(batchSize) {
					for i := range j.sinks {
						j.sinks[i].batch(events)
					}
				}
				return nil
			}},
			{"batch", func(j *job) error {
				all, each := channels[[]int](j, 2)
				wait := receivers(j, each, (*sink).batch)
				for events := j.batch(batchSize); len(events) > 0; events = j.batch(batchSize) {
					for _, ch := range all {
						ch <- events
					}
				}
				closeAll(all)
				wait()
				return nil
			}},
			{"chan", func(j *job) error {
				all, each := channels[int](j, 2*batchSize)
				wait := receivers(j, each, (*sink).one)
				for e, ok := j.one(); ok; e, ok = j.one() {
					for _, ch := range all {
						ch <- e
					}
				}
				closeAll(all)
				wait()
				return nil
			}},
		},
	}
}

// partition is W5: each event goes to the one that its remainder names.
func partition() *work {
	return &work{
		sinks: 4, check: byRemainder,
		contestants: []contestant{
			{"ours", func(j *job) error {
				p := j.producer()
				p.DispatchWith(stage.PartitionBy(func(e int) int { return e % 4 }, 0, 1, 2, 3))
				return ourFan(j, p, func(i int) stage.Source[int] { return stage.Partition(p, i) })
			}},
			{"loop", func(j *job) error {
				for events := j.batch(batchSize); len(events) > 0; events = j.batch(batchSize) {
					for _, e := range events {
						j.sinks[e%4].one(e)
					}
				}
				return nil
			}},
			{"batch", batchPartition},
			{"chan", func(j *job) error {
				all, each := channels[int](j, 2*batchSize)
				wait := receivers(j, each, (*sink).one)
				for e, ok := j.one(); ok; e, ok = j.one() {
					all[e%4] <- e
				}
				closeAll(all)
				wait()
				return nil
			}},
		},
	}
}

// batchPartition collects a fresh slice for each partition, and sends it when it is full.
func batchPartition(j *job) error {
	all, each := channels[[]int](j, 2)
	wait := receivers(j, each, (*sink).batch)
	parts := make([][]int, len(all))
	for events := j.batch(batchSize); len(events) > 0; events = j.batch(batchSize) {
		for _, e := range events {
			i := e % 4
			if parts[i] == nil {
				parts[i] = make([]int, 0, batchSize)
			}
			if parts[i] = append(parts[i], e); len(parts[i]) == batchSize {
				all[i] <- parts[i]
				parts[i] = nil
			}
		}
	}
	for i, rest := range parts {
		if len(rest) > 0 {
			all[i] <- rest
		}
	}
	closeAll(all)
	wait()
	return nil
}
