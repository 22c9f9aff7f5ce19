package main

import (
	"context"

	"github.com/go-genstage/genstage/stage"
)

// Works in which every event goes through one line of stages: W1, W2 and W9.

// producer makes the producer of a job.
func (j *job) producer() *stage.Producer[int] {
	return stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		events := j.batch(demand)
		if j.next == j.n {
			return events, stage.ErrDone
		}
		return events, nil
	})
}

// consumer makes a consumer that gives its events to the sink.
func (s *sink) consumer() *stage.Consumer[int] {
	return stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
		s.batch(events)
		return nil
	})
}

// relay makes a producer-consumer that passes on what it gets.
func relay() *stage.ProducerConsumer[int, int] {
	return stage.NewProducerConsumer(func(_ context.Context, events []int, _ *stage.Subscription) ([]int, error) {
		return events, nil
	})
}

// line is a chain of a producer, so many relays and a consumer.
func line(relays int) *work {
	return &work{
		sinks: 1, check: allInOrder,
		contestants: []contestant{
			{"ours", func(j *job) error { return ourLine(j, relays) }},
			{"loop", func(j *job) error { return loopLine(j, relays) }},
			{"batch", func(j *job) error { return batchLine(j, relays, 2) }},
			{"batch 1", func(j *job) error { return batchLine(j, relays, 1) }},
			{"bare", func(j *job) error { return bareLine(j, relays, 2*batchSize) }},
			{"chan", func(j *job) error { return chanLine(j, relays) }},
		},
	}
}

func ourLine(j *job, relays int) error {
	p := j.producer()
	stages, last := []stage.Stage{p}, stage.Source[int](p)
	for range relays {
		pc := relay()
		pc.SubscribeTo(last, stage.MaxDemand(2*batchSize), stage.MinDemand(batchSize))
		stages, last = append(stages, pc), pc
	}
	c := j.sinks[0].consumer()
	c.SubscribeTo(last, stage.MaxDemand(2*batchSize), stage.MinDemand(batchSize))
	return stage.Run(context.Background(), append(stages, c)...)
}

// loopLine is one goroutine that calls one function after the other, batch by batch.
func loopLine(j *job, relays int) error {
	same := func(events []int) []int { return events }
	for events := j.batch(batchSize); len(events) > 0; events = j.batch(batchSize) {
		for range relays {
			events = same(events)
		}
		j.sinks[0].batch(events)
	}
	return nil
}

// batchLine sends fresh slices over channels with so much room. With room for one, and one in the hand of who
// receives, as many events are sent and not handled as our stages ask for; with room for two, one batch more.
func batchLine(j *job, relays, room int) error {
	first := make(chan []int, room)
	go func() { // ends with its events
		defer close(first)
		for events := j.batch(batchSize); len(events) > 0; events = j.batch(batchSize) {
			first <- events
		}
	}()
	last := first
	for range relays {
		from, to := last, make(chan []int, room)
		go func() { // ends with from
			defer close(to)
			for events := range from {
				to <- events
			}
		}()
		last = to
	}
	for events := range last {
		j.sinks[0].batch(events)
	}
	return nil
}

// chanLine sends each event by itself, over channels with room for as many as our stages ask for.
func chanLine(j *job, relays int) error {
	first := make(chan int, 2*batchSize)
	go func() { // ends with its events
		defer close(first)
		for e, ok := j.one(); ok; e, ok = j.one() {
			first <- e
		}
	}()
	last := first
	for range relays {
		from, to := last, make(chan int, 2*batchSize)
		go func() { // ends with from
			defer close(to)
			for e := range from {
				to <- e
			}
		}()
		last = to
	}
	for e := range last {
		j.sinks[0].one(e)
	}
	return nil
}
