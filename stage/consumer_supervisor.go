package stage

import (
	"context"
	"fmt"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
)

// ConsumerSupervisor starts a child, a goroutine of its own, for each event that it receives. Make
// one with [NewConsumerSupervisor] or [StartWith]. It must not be copied.
//
// # Demand
//
// A child takes up a slot from its start to its end. [MaxDemand] is the number of slots of a
// subscription: never more of its children run at once, and by default 1000. Each subscription has
// its own: with three producers and max 20 there may be 60 children.
//
// The supervisor first asks for max. Then it asks again when [MinDemand] children have ended since
// the last ask, for as many as have ended. With min 0, the default here, it asks at each end, and
// all slots stay full as long as the producer has events. A larger min makes for fewer and larger
// asks, at the price of slots that stay free until so many have ended. With max 20, a producer that
// answers at once, and children that end one after the other in even time:
//
//	min    asks for    running: at the lowest    on average
//	  0           1                        19            20
//	  5           5                        15            18
//	 10          10                        10          15.5
//	 15          15                         5            13
//	 19          19                         1            11
//
// In words: the lowest is max-min (with min 0 max-1), for the moment until the producer answers; the average is
// about max less half of min. GenStage's documentation promises that min is the lowest number of
// children that run. Its code, whose rule this is, never kept that, except for min = max/2.
//
// # Children
//
// The event of a child is in hand ([InputStats]) until the child has ended. It is handled when the
// child has returned nil (or [ErrDone], which means no more than that here), and failed when it
// returned an error, panicked, or called [runtime.Goexit], and is not started again. [Restart],
// [MaxRestarts], [MaxAttempts] and [Backoff] say whether it is; by default it never is. A failure
// that ends a child for good goes to OnDeadLetter, or else to the log; only what exceeds
// MaxRestarts ends the supervisor.
//
// A child's context ends when the child has returned, when it is stopped ([ConsumerSupervisor.StopChild]),
// and with the run. It carries results home by [ConsumerSupervisor.Do], which runs a function on
// the supervisor's goroutine.
//
// # The end
//
// Children outlive the subscription that their event came over; their ends then ask nothing. The
// supervisor completes when its input is complete and its children have ended; Stop waits for
// them, restarts included. When the run fails or is aborted, the contexts of the children end, Run
// waits for them to return, and their events are counted lost, except those of children that
// returned nil. Those that don't return within [Grace] are abandoned, and their events count as late.
type ConsumerSupervisor[In any] struct {
	handle
	in   inPort[In]
	def  definition[In, none] // guarded by handle.mu
	spec childSpec[In]        // guarded by handle.mu
}

// NewConsumerSupervisor makes a consumer supervisor whose children run the function, each on a
// goroutine of its own: child is called many times at once and must be safe for that.
//
// NewConsumerSupervisor panics if the function is nil.
func NewConsumerSupervisor[In any](child func(ctx context.Context, event In) error, opts ...ConsumerSupervisorOption) *ConsumerSupervisor[In] {
	if child == nil {
		panic("stage: NewConsumerSupervisor: nil callback")
	}
	return newConsumerSupervisor(childSpec[In]{run: child}, opts)
}

// StartWith makes a consumer supervisor whose children have a start phase: start is called for one
// event after the other, as a callback of the stage, and returns what the child then runs on a
// goroutine of its own. What may be refused, or needs the stage's state, belongs there. It must be
// short: while it runs the stage does nothing else. It is called again for each restart.
//
// When start returns an error or panics, the child is refused: it counts as ended at once, the
// event as failed, and neither restarts it ([Restart] is for children that have run). When it
// returns neither a function nor an error, the child declines: it has ended, and the event is
// handled. A start that fails when a child is started again counts as one more restart, and is
// tried again.
//
// The context is the child's: it ends when the child has ended or start has refused.
//
// StartWith panics if the function is nil.
func StartWith[In any](start func(ctx context.Context, event In) (run func(ctx context.Context) error, err error), opts ...ConsumerSupervisorOption) *ConsumerSupervisor[In] {
	if start == nil {
		panic("stage: StartWith: nil callback")
	}
	return newConsumerSupervisor(childSpec[In]{start: start}, opts)
}

// newConsumerSupervisor must be called by the exported constructor directly, for the call site.
func newConsumerSupervisor[In any](spec childSpec[In], opts []ConsumerSupervisorOption) *ConsumerSupervisor[In] {
	s := &ConsumerSupervisor[In]{spec: spec}
	s.init(kindConsumerSupervisor, 2)
	s.conf.children = &childPolicy{}
	for _, o := range opts {
		if o == nil {
			s.conf.fault("a nil ConsumerSupervisorOption")
			continue
		}
		o.forConsumerSupervisor(&s.conf)
	}
	s.conf.children.complete(&s.conf)
	s.in.h = &s.handle
	s.def = definition[In, none]{in: &s.in}
	s.newRun = func(ctx context.Context, sc *scope) controller {
		def, spec := s.def, s.spec
		def.child = &spec
		return newRun(ctx, sc, &s.handle, def)
	}
	return s
}

func (s *ConsumerSupervisor[In]) itself() Stage {
	if s == nil {
		return nil
	}
	return s
}

// Name returns the stage's name. Safe for concurrent use.
func (s *ConsumerSupervisor[In]) Name() string { return s.self().Name() }

// Run runs the stage alone and blocks until the run has ended; see [Producer.Run].
func (s *ConsumerSupervisor[In]) Run(ctx context.Context) error { return s.self().Run(ctx) }

// Stop has the stage drain and blocks until it has ended; see [Producer.Stop].
func (s *ConsumerSupervisor[In]) Stop(ctx context.Context) error { return s.self().Stop(ctx) }

// Abort ends the run without draining; see [Producer.Abort].
func (s *ConsumerSupervisor[In]) Abort(cause error) { s.self().Abort(cause) }

// Stats returns what the stage has done; see [Producer.Stats].
func (s *ConsumerSupervisor[In]) Stats() Stats { return s.self().Stats() }

// self returns the handle; nil for a nil stage.
func (s *ConsumerSupervisor[In]) self() *handle {
	if s == nil {
		return nil
	}
	return &s.handle
}

// SubscribeTo declares a subscription; see [Consumer.SubscribeTo]. Here [MaxDemand] is the most
// children, [MinDemand] how many must end before it asks again (0 by default), and [Manual] is
// refused.
func (s *ConsumerSupervisor[In]) SubscribeTo(src Source[In], opts ...SubscribeOption) {
	if s == nil {
		return
	}
	subscribeToOn[In, none](&s.in, src, opts)
}

// Subscribe makes a subscription now; see [Consumer.Subscribe].
func (s *ConsumerSupervisor[In]) Subscribe(ctx context.Context, src Source[In], opts ...SubscribeOption) (*Subscription, error) {
	return subscribeOn[In, none](ctx, s.self(), src, opts)
}

// Resubscribe replaces a subscription; see [Consumer.Resubscribe]. Children of the old one live on,
// beside those of the new one.
func (s *ConsumerSupervisor[In]) Resubscribe(ctx context.Context, old *Subscription, reason error, src Source[In], opts ...SubscribeOption) (*Subscription, error) {
	return resubscribeOn[In, none](ctx, s.self(), old, reason, src, opts)
}

// OnCancel has fn called when a subscription has ended, as [Consumer.OnCancel]. Children whose
// events came over it may still run.
func (s *ConsumerSupervisor[In]) OnCancel(fn func(ctx context.Context, sub *Subscription, end Cancellation) error) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.def.onCancel = nil; fn == nil {
		return
	}
	s.def.onCancel = func(ctx context.Context, sub *Subscription, end Cancellation) ([]none, error) {
		return nil, fn(ctx, sub, end)
	}
}

// OnComplete has fn called once per run when all input is complete and all children have ended, as
// [Consumer.OnComplete].
func (s *ConsumerSupervisor[In]) OnComplete(fn func(ctx context.Context) error) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.def.onComplete = withoutEvents[none](fn)
}

// OnDeadLetter has fn called on the stage's goroutine with each event whose child has failed for
// good while the supervisor goes on: a temporary child at once, a transient one after
// [MaxAttempts], and one that was refused by its start. attempts is how often it was started,
// cause the last failure. Without fn they are logged. It is not called for children that were
// stopped. Call it before Run; the last call counts.
func (s *ConsumerSupervisor[In]) OnDeadLetter(fn func(ctx context.Context, event In, attempts int, cause error)) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spec.onDeadLetter = fn
}

// Do runs fn on the stage's goroutine, between two callbacks, and returns when fn has returned;
// see [Producer.Do]. Children may call it. When the run is about to end and waits for its
// children, fn is not called and Do returns [ErrEnded].
func (s *ConsumerSupervisor[In]) Do(ctx context.Context, fn func(context.Context) error) error {
	return doOn[In](ctx, s.self(), "Do", false, withoutEvents[none](fn))
}

// Tell is Do without waiting; see [Producer.Tell].
func (s *ConsumerSupervisor[In]) Tell(fn func(context.Context) error) error {
	return tellOn[In](s.self(), "Tell", false, withoutEvents[none](fn))
}

// StartChild starts a child for an event that nobody has sent, outside all demand: it takes up no
// slot and asks nothing when it ends. In all else it is a child as any other. It blocks until the
// child runs and returns its number; 0 if its start has declined; and the error if that has
// refused, or if the stage does not run, is about to end ([ErrEnded]), or calls it from a callback
// ([ErrSelfCall]). If ctx ends first it returns the cause, and the child is not started.
func (s *ConsumerSupervisor[In]) StartChild(ctx context.Context, event In) (ChildID, error) {
	r, err := runOf[In, none](s.self(), "StartChild")
	if err != nil {
		return 0, err
	}
	var id ChildID
	var refused error
	err = r.do(ctx, "StartChild", &call[none]{ours: true, fn: func(context.Context) ([]none, error) {
		if refused = ErrEnded; !r.finishing {
			id, refused = r.kids.beginByHand(event)
		}
		return nil, nil
	}})
	if err == nil && refused != nil {
		err = r.refusal("StartChild", refused)
	}
	return id, err
}

// StopChild ends the context of a child and waits until the child has returned. Its slot comes
// free, as at any end, and it is not started again, whatever it returned: nil counts its event as
// handled, an error as failed, without OnDeadLetter. It returns [ErrNoChild] when there is no such
// child (any more), [ErrStuck] when the run ended and the child was abandoned, the context's cause when ctx ends first (the child has been told nevertheless),
// and [ErrSelfCall] from a callback of the stage, or the child itself. Safe for concurrent use.
func (s *ConsumerSupervisor[In]) StopChild(ctx context.Context, id ChildID) error {
	r, err := runOf[In, none](s.self(), "StopChild")
	if err != nil {
		return err
	}
	if r.runsOn(goid.Current()) {
		return r.refusal("StopChild", ErrSelfCall)
	}
	if err := r.kids.stop(ctx, id); err != nil {
		return r.refusal("StopChild", fmt.Errorf("child %d: %w", id, err))
	}
	return nil
}

// Children returns the children that have not ended, the oldest first; none when the stage does
// not run. Safe for concurrent use.
func (s *ConsumerSupervisor[In]) Children() []ChildInfo[In] {
	r, err := runOf[In, none](s.self(), "Children")
	if err != nil {
		return nil
	}
	return r.kids.list()
}

// Counts returns how many children there are, and have been in this run or, if the stage does not
// run, in its last one. Stats has the same in Children. Safe for concurrent use.
func (s *ConsumerSupervisor[In]) Counts() ChildCounts { return s.Stats().Children }

// ChildInfo tells about a child that has not ended.
type ChildInfo[In any] struct {
	ID         ChildID
	Event      In
	Started    time.Time // its first attempt
	Restarts   int       // how often it was started again, or is about to be
	Restarting bool      // it has failed and waits for its next attempt
}

// ChildCounts counts the children of one run: Started = Active + Restarting + Ended.
type ChildCounts struct {
	Active     int64 // they run
	Restarting int64 // they have failed and wait for their next attempt
	Started    int64 // all there have been, those refused by their start included; restarts don't count
	Ended      int64 // for good
}
