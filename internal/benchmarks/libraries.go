package main

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/ThreeDotsLabs/watermill"
	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/ThreeDotsLabs/watermill/pubsub/gochannel"
	"github.com/samber/ro"
	"github.com/sourcegraph/conc/pool"
	"github.com/sourcegraph/conc/stream"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// The libraries that one might take instead, each as its documentation shows it, for the works that it has a
// word for.

// roSource emits the events of the job.
func roSource(j *job) ro.Observable[int] {
	return ro.NewObservable(func(to ro.Observer[int]) ro.Teardown {
		for e, ok := j.one(); ok; e, ok = j.one() {
			to.Next(e)
		}
		to.Complete()
		return nil
	})
}

// roInto gives what an observable emits to a sink, and its failure to failed.
func roInto(from ro.Observable[int], s *sink, failed *error) ro.Subscription {
	return from.Subscribe(ro.NewObserver(s.one, func(err error) { *failed = err }, func() {}))
}

// roLine has a goroutine for each stage: ObserveOn.
func roLine(j *job, relays int) error {
	from := roSource(j)
	for range relays + 1 {
		from = ro.Pipe1(from, ro.ObserveOn[int](2*batchSize))
	}
	var failed error
	roInto(from, &j.sinks[0], &failed).Wait()
	return failed
}

func publish(to *gochannel.GoChannel, topic string, e int) error {
	return to.Publish(topic, message.NewMessage(watermill.NewUUID(), strconv.AppendInt(nil, int64(e), 10)))
}

// receive gives count messages to a sink. A gochannel has no end of its own.
func receive(from <-chan *message.Message, count int, s *sink) error {
	for range count {
		m := <-from
		e, err := strconv.Atoi(string(m.Payload))
		if err != nil {
			return err
		}
		s.one(e)
		m.Ack()
	}
	return nil
}

// watermillAll publishes each event on the topic that it belongs to; every sink receives one topic. A published
// event waits until it is acknowledged: otherwise a gochannel does not keep the order.
func watermillAll(j *job, topic func(e int) string, topicOf func(sink int) string, countOf func(sink int) int) error {
	channel := gochannel.NewGoChannel(gochannel.Config{OutputChannelBuffer: 2 * batchSize, BlockPublishUntilSubscriberAck: true}, watermill.NopLogger{})
	defer channel.Close()
	var group errgroup.Group
	for i := range j.sinks {
		messages, err := channel.Subscribe(context.Background(), topicOf(i))
		if err != nil {
			return err
		}
		group.Go(func() error { return receive(messages, countOf(i), &j.sinks[i]) })
	}
	for e, ok := j.one(); ok; e, ok = j.one() {
		if err := publish(channel, topic(e), e); err != nil {
			return err
		}
	}
	return group.Wait()
}

// errgroupLine is the pipeline of errgroup's documentation: channels, and a group that waits.
func errgroupLine(j *job, relays int) error {
	group, ctx := errgroup.WithContext(context.Background())
	send := func(to chan<- int, e int) error {
		select {
		case to <- e:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	last := make(chan int, 2*batchSize)
	first := last
	group.Go(func() error {
		defer close(first)
		for e, ok := j.one(); ok; e, ok = j.one() {
			if err := send(first, e); err != nil {
				return err
			}
		}
		return nil
	})
	for range relays {
		from, to := last, make(chan int, 2*batchSize)
		group.Go(func() error {
			defer close(to)
			for e := range from {
				if err := send(to, e); err != nil {
					return err
				}
			}
			return nil
		})
		last = to
	}
	group.Go(func() error {
		for e := range last {
			j.sinks[0].one(e)
		}
		return nil
	})
	return group.Wait()
}

// lineLibraries are the contestants of W1, W2 and W9 that are not hand-written.
func lineLibraries(relays int) []contestant {
	all := []contestant{
		{"ro, ObserveOn", func(j *job) error { return roLine(j, relays) }},
		{"errgroup", func(j *job) error { return errgroupLine(j, relays) }},
	}
	if relays > 2 {
		return all
	}
	all = append(all, contestant{"conc, stream", func(j *job) error { // a task for each event, whose results stay in order
		s := stream.New().WithMaxGoroutines(relays + 2)
		for e, ok := j.one(); ok; e, ok = j.one() {
			s.Go(func() stream.Callback { return func() { j.sinks[0].one(e) } })
		}
		s.Wait()
		return nil
	}})
	if relays == 0 {
		all = append(all, contestant{"watermill, gochannel", func(j *job) error {
			same := func(int) string { return "events" }
			return watermillAll(j, same, same, func(int) int { return j.n })
		}})
	}
	return all
}

// shareLibraries are those of W3.
func shareLibraries() []contestant {
	return []contestant{{"errgroup", func(j *job) error {
		ch := make(chan int, 2*batchSize*len(j.sinks))
		var group errgroup.Group
		for i := range j.sinks {
			group.Go(func() error {
				for e := range ch {
					j.sinks[i].one(e)
				}
				return nil
			})
		}
		for e, ok := j.one(); ok; e, ok = j.one() {
			ch <- e
		}
		close(ch)
		return group.Wait()
	}}}
}

// roFan subscribes each sink to its part of a subject, on a goroutine of its own.
func roFan(j *job, part func(i int, all ro.Observable[int]) ro.Observable[int]) error {
	subject := ro.NewPublishSubject[int]()
	failures := make([]error, len(j.sinks))
	var ready, all sync.WaitGroup
	for i := range j.sinks {
		ready.Add(1)
		signal := ro.NewObservable(func(to ro.Observer[int]) ro.Teardown {
			sub := part(i, subject).Subscribe(to)
			ready.Done()
			sub.Wait()
			return nil
		})
		all.Go(func() { // ends with the subject
			roInto(ro.Pipe1(signal, ro.ObserveOn[int](2*batchSize)), &j.sinks[i], &failures[i]).Wait()
		})
	}
	ready.Wait()
	for e, ok := j.one(); ok; e, ok = j.one() {
		subject.Next(e)
	}
	subject.Complete()
	all.Wait()
	for _, err := range failures {
		if err != nil {
			return err
		}
	}
	return nil
}

// broadcastLibraries are those of W4.
func broadcastLibraries() []contestant {
	return []contestant{
		{"ro, subject", func(j *job) error {
			return roFan(j, func(_ int, all ro.Observable[int]) ro.Observable[int] { return all })
		}},
		{"watermill, gochannel", func(j *job) error {
			same := func(int) string { return "events" }
			return watermillAll(j, same, same, func(int) int { return j.n })
		}},
	}
}

// partitionLibraries are those of W5.
func partitionLibraries() []contestant {
	return []contestant{
		{"ro, subject and Filter", func(j *job) error {
			return roFan(j, func(i int, all ro.Observable[int]) ro.Observable[int] {
				return ro.Pipe1(all, ro.Filter(func(e int) bool { return e%4 == i }))
			})
		}},
		{"watermill, gochannel", func(j *job) error {
			topic := func(e int) string { return fmt.Sprintf("events.%d", e%4) }
			return watermillAll(j, topic, topic, func(i int) int { return (j.n + 4 - (i+3)%4 - 1) / 4 })
		}},
	}
}

// taskLibraries are those of W7.
func taskLibraries() []contestant {
	return []contestant{
		{"errgroup, SetLimit", func(j *job) error {
			var group errgroup.Group
			group.SetLimit(atOnce)
			for e, ok := j.one(); ok; e, ok = j.one() {
				group.Go(func() error {
					j.tasks.do(e)
					return nil
				})
			}
			return group.Wait()
		}},
		{"x/sync semaphore", func(j *job) error {
			slots := semaphore.NewWeighted(atOnce)
			for e, ok := j.one(); ok; e, ok = j.one() {
				if err := slots.Acquire(context.Background(), 1); err != nil {
					return err
				}
				go func() { // ends with its task; the last Acquire waits for it
					defer slots.Release(1)
					j.tasks.do(e)
				}()
			}
			return slots.Acquire(context.Background(), atOnce)
		}},
		{"conc, pool", func(j *job) error {
			p := pool.New().WithMaxGoroutines(atOnce)
			for e, ok := j.one(); ok; e, ok = j.one() {
				p.Go(func() { j.tasks.do(e) })
			}
			p.Wait()
			return nil
		}},
	}
}
