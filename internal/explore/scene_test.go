package explore_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/explore"
	"github.com/go-genstage/genstage/internal/hop"
	"github.com/go-genstage/genstage/internal/hop/hoptest"
	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
)

var errBoom = errors.New("boom")

// faultName is that of a goroutine that may come in at any point.
const faultName = "fault"

func free(name string) bool { return name == faultName }

// play is one producer and two consumers, real ones, each run alone, and what may happen to them. What they do is a
// function of choices.
type play struct {
	events    int
	max       int
	dispatch  stage.DispatcherFactory[int]
	all       bool  // each event goes to every consumer
	keys      []int // by consumer; nil: no partitions
	fromStart bool  // the choices begin with the first message, not when all have subscribed
	pulled    bool  // the source answers what it is asked, and has events for nobody among its events
	after     bool  // behind each event two calls are told with TellAfter
	unbounded bool  // the consumers ask for as much as there is, twice

	cancel, abort bool // the first consumer's subscription, the consumer, at any point
	fails         bool // a callback of the first consumer may, once
	restart       bool // it runs again then
}

// scene is one run of a play. Nothing in it is guarded: one goroutine at a time is at work.
type scene struct {
	play
	*hoptest.Scheduler
	choices *explore.Choices
	ctx     context.Context

	begun      bool // the schedule is chosen
	failed     bool // the fault has come
	producer   *stage.Producer[int]
	consumers  []*stage.Consumer[int]
	subs       []*stage.Subscription // by consumer, nil for none
	got        [][]int               // by consumer: events begun
	next       int                   // the event that comes next, from 1 on
	owed       int                   // asked of the source and not emitted
	nobodys    int                   // events for nobody
	told       []int                 // calls made that were told with TellAfter
	lost       int64                 // of runs that have ended
	violations []string
}

// act plays once, and returns what must not be.
func (p play) act(t *testing.T, c *explore.Choices) (violations []string) {
	synctest.Test(t, func(t *testing.T) {
		s := &scene{play: p, choices: c, begun: p.fromStart}
		s.Scheduler = hoptest.New(s.choose)
		ctx, cancel := context.WithCancel(t.Context())
		s.ctx = hop.With(ctx, s.Scheduler)
		s.build()
		s.Go("run of the producer", func() { _ = s.producer.Run(s.ctx) })
		for i := range s.consumers {
			name := fmt.Sprintf("run of consumer %d", i)
			s.Go(name, func() { s.keepRunning(name, i) })
		}
		s.Go("source", s.source)
		s.Go("end", func() {
			s.Sleep("end", time.Hour) // until nobody can do anything
			s.atRest()
			cancel()
		})
		if err := s.Run(); err != nil {
			s.violated("%v", err)
		}
		cancel()
		s.violations = append(s.violations, stagetest.Faults(s.stats()...)...)
		violations = s.violations
	})
	return violations
}

func (s *scene) violated(format string, args ...any) {
	s.violations = append(s.violations, fmt.Sprintf(format, args...))
}

// choose hands out the next turn; until the choices begin, to whoever joined first.
func (s *scene) choose(waiting []string) int {
	if s.begun {
		return s.choices.Turn(waiting, free)
	}
	return max(0, slices.IndexFunc(waiting, func(name string) bool { return !free(name) }))
}

func (s *scene) stats() []stage.Stats {
	stats := []stage.Stats{s.producer.Stats()}
	for _, c := range s.consumers {
		stats = append(stats, c.Stats())
	}
	return stats
}

func (s *scene) build() {
	s.next = 1
	options := []stage.ProducerOption{stage.Name("producer"), stage.Logger(slog.New(slog.DiscardHandler))}
	if s.pulled {
		options = append(options, stage.Retry())
	}
	s.producer = stage.NewProducer(s.asked, options...)
	if s.dispatch != nil {
		s.producer.DispatchWith(s.dispatch)
	}
	s.got, s.subs = make([][]int, 2), make([]*stage.Subscription, 2)
	for i := range 2 {
		c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error { return s.handle(i, events) },
			stage.Name(fmt.Sprintf("consumer %d", i)),
			stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
				s.subs[i] = sub
				if s.unbounded {
					return errors.Join(sub.Ask(math.MaxInt), sub.Ask(math.MaxInt))
				}
				return nil
			}),
			stage.OnTerminate(func(error) { s.subs[i] = nil }))
		c.OnCancel(func(context.Context, *stage.Subscription, stage.Cancellation) error {
			s.subs[i] = nil
			return nil
		})
		var src stage.Source[int] = s.producer
		if s.keys != nil {
			src = stage.Partition(src, s.keys[i])
		}
		demand := stage.MaxDemand(s.max)
		if s.unbounded {
			demand = stage.Manual()
		}
		c.SubscribeTo(src, demand, stage.Cancel(stage.CancelTemporary))
		s.consumers = append(s.consumers, c)
	}
}

// handle is the events callback.
func (s *scene) handle(i int, events []int) error {
	s.got[i] = append(s.got[i], events...)
	if i == 0 && s.fails && !s.failed && s.choices.Choose(2) == 1 {
		s.failed = true
		return errBoom
	}
	return nil
}

// keepRunning runs a consumer, and again after the fault if the play says so.
func (s *scene) keepRunning(name string, i int) {
	for {
		var err error
		s.Block(name, func() { err = s.consumers[i].Run(s.ctx) })
		if !s.restart || !errors.Is(err, errBoom) {
			return
		}
		s.lost += s.consumers[i].Stats().Input.Lost
	}
}

// asked is the demand callback.
func (s *scene) asked(_ context.Context, demand int) ([]int, error) {
	most := 2 * s.max
	if s.all {
		most = s.max
	}
	if s.owed += demand; s.owed > most && !s.pulled && !s.unbounded {
		s.violated("%d events are asked of the source, where the consumers ask for %d at most", s.owed, most)
	}
	if s.pulled && s.begun {
		return s.emit(min(demand, s.events+1-s.next))
	}
	return nil, nil
}

// emit returns the next n events, and that this is all behind the last.
func (s *scene) emit(n int) (events []int, err error) {
	for range n {
		events = append(events, s.next)
		if s.keys != nil && !slices.Contains(s.keys, s.next%3) {
			s.nobodys++
		}
		s.next++
	}
	s.owed = max(0, s.owed-n)
	if s.next > s.events {
		err = stage.ErrDone
	}
	return events, err
}

// source has the producer emit one event after the other.
func (s *scene) source() {
	if !s.fromStart {
		s.Sleep("source", time.Second)
		s.begun = true
	}
	if s.cancel {
		s.Go(faultName, s.cancelFirst)
	}
	if s.abort {
		s.Go(faultName, s.abortFirst)
	}
	if s.pulled {
		s.producer.Wake()
		return
	}
	for e := 1; e <= s.events; e++ {
		s.tell(s.producer.Tell, func() ([]int, error) { return s.emit(1) })
		for k := range 2 {
			if s.after && e < s.events { // behind the last there is none: it is done
				s.tell(s.producer.TellAfter, func() ([]int, error) {
					s.told = append(s.told, 2*e+k)
					return nil, nil
				})
			}
		}
		s.Block("source", func() {})
	}
}

// tell tells the producer something, as soon as it runs.
func (s *scene) tell(how func(func(context.Context) ([]int, error)) error, fn func() ([]int, error)) {
	for how(func(context.Context) ([]int, error) { return fn() }) != nil {
		s.Sleep("source", time.Millisecond)
	}
}

// cancelFirst cancels the first consumer's subscription.
func (s *scene) cancelFirst() {
	s.failed = true
	if sub := s.subs[0]; sub != nil {
		_ = sub.Cancel(nil)
	}
}

// abortFirst aborts the first consumer.
func (s *scene) abortFirst() {
	s.failed = true
	s.consumers[0].Abort(errBoom)
}

// atRest checks what must have been reached where nobody can go on.
func (s *scene) atRest() {
	stats := s.stats()
	s.violations = append(s.violations, stagetest.Faults(stats...)...)
	producer, out := stats[0], stats[0].Output
	if producer.Running && len(producer.Downstreams) > 0 && (s.keys == nil || out.Buffered == 0) {
		s.violated("the producer does not complete: %+v", producer)
	}
	for i, c := range stats[1:] {
		if len(c.Upstreams) > 0 && !producer.Running {
			s.violated("consumer %d is not told: %+v", i, c)
		}
		if c.Running {
			s.lost += c.Input.Lost
		}
	}
	if n := 2 * (s.events - 1); s.after && (len(s.told) != n || !slices.IsSorted(s.told)) {
		s.violated("of %d calls told these were made: %v", n, s.told)
	}
	s.inOrder(out.TakenBack == 0)
	if !s.all {
		s.allThere(out)
	}
}

// inOrder: no consumer gets an event twice and, unless some were handed back, each gets them in order.
func (s *scene) inOrder(noneBack bool) {
	for i, got := range s.got {
		sorted := slices.Sorted(slices.Values(got))
		if noneBack && !slices.Equal(got, sorted) || len(slices.Compact(sorted)) != len(got) {
			s.violated("order: consumer %d got %v", i, got)
		}
		for _, e := range got {
			if s.keys != nil && e%3 != s.keys[i] {
				s.violated("consumer %d got event %d of another partition", i, e)
			}
		}
		if s.all && !s.failed && len(got) != s.events {
			s.violated("consumer %d got %v of %d events", i, got, s.events)
		}
	}
}

// allThere: each event went to one consumer, or waits.
func (s *scene) allThere(out stage.OutputStats) {
	all := slices.Sorted(slices.Values(slices.Concat(s.got...)))
	if len(slices.Compact(slices.Clone(all))) != len(all) {
		s.violated("twice: %v", s.got)
	}
	lost := s.lost + out.Lost
	if n := int64(len(all)+s.nobodys) + out.Buffered + lost; n != int64(s.events) {
		s.violated("%d events of %d are accounted for: %v, buffered %d, lost %d", n, s.events, s.got, out.Buffered, lost)
	}
	if lost > 0 && !s.cancel && s.keys == nil {
		s.violated("%d events are lost", lost)
	}
}
