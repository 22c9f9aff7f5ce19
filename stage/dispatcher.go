package stage

import "fmt"

// SubID names a subscriber to a [Dispatcher]. A producer never gives the same
// one to two subscribers of a run.
type SubID uint64

// Dispatcher decides which subscriber gets which event. It is a plain value:
// it knows what each subscriber has asked for, has no goroutine, lock, clock or
// channel, and does not know the producer's state. The producer calls it from
// one goroutine and makes a fresh one for each run ([Producer.DispatchWith]).
//
// What a producer relies on (rules D1 to D7 of docs/protocol.md; a producer checks D1 to D3
// as it goes, and a dispatcher that breaks one ends it):
//
//   - D1: Only subscribers are sent events.
//   - D2: No subscriber is sent more events than it asked for.
//   - D3: Dispatch takes Live events if it is given as many, and returns rest
//     only when Live is 0.
//   - D4: Each event that is taken is sent, kept ([QueueingDispatcher]) or
//     reported to [Outlet], once; never twice to one subscriber.
//   - D5: Each subscriber is sent its events in the order in which they were
//     given.
//   - D6: An error of Subscribe changes nothing.
//   - D7: A slice that is sent has cap equal to len.
//   - D14: What a charged subscriber is sent was admitted before ([BudgetDispatcher]).
//
// Besides [Demand], [Broadcast] and [PartitionBy], one can write others; package
// stagetest holds them against these rules.
type Dispatcher[T any] interface {
	// Subscribe adds a subscriber that has asked for nothing yet. An error
	// refuses it: the subscriber gets the error, the producer goes on.
	Subscribe(id SubID, r Request[T]) error

	// Cancel removes a subscriber, and with it whatever it asked for and was
	// not sent. An unknown id is ignored.
	Cancel(id SubID)

	// Ask adds n to what a subscriber may be sent, up to math.MaxInt64. An
	// unknown id is ignored, and so is n < 1.
	Ask(id SubID, n int64)

	// HandBack takes events that a subscriber, which has been cancelled by then,
	// did not begin. It returns those that the producer is to dispatch again, in
	// front of everything else; it keeps or drops the others, and says how many
	// are lost.
	HandBack(r Request[T], events []T) (again []T, lost int)

	// Dispatch hands out events in order through out, each time a slice that
	// has cap == len, and returns those behind the last one it took: nobody has
	// demand for them. It keeps out no longer than until it returns.
	Dispatch(events []T, out Outlet[T]) (rest []T)

	// Live returns how many further events Dispatch would take now, up to
	// math.MaxInt64. The producer asks its source for as many.
	Live() int64
}

// QueueingDispatcher is a [Dispatcher] that keeps events for subscribers which
// have no demand at the moment.
type QueueingDispatcher[T any] interface {
	Dispatcher[T]

	// Queued returns how many events it keeps, each counted once.
	Queued() int

	// Deliverable returns how many events it keeps for subscribers that are there:
	// a producer that is done waits for them to be sent.
	Deliverable() int

	// Flush sends what it keeps and now has demand for.
	Flush(out Outlet[T])

	// Mark reports true if everything that was dispatched so far has been sent.
	// Else it keeps the mark, and gives it to out.Due when that is so.
	Mark(mark any) bool
}

// Multicaster is a [Dispatcher] that gives each event to every subscriber. The method is never called: that
// it is there tells the producer how to count what was dispatched ([OutputStats].Copies), and package
// stagetest what to expect.
type Multicaster interface{ Multicast() }

// BudgetDispatcher is a [Dispatcher] for subscribers that are charged ([Charge], [Request].Charged). Before it
// sends one of them an event it asks [Outlet].Admit. Any other dispatcher refuses them.
type BudgetDispatcher[T any] interface {
	Dispatcher[T]

	// Wake ends the wait of a subscriber that was refused an event: there may be room in its budget now. What it
	// had asked for, and has asked for since, is its demand again.
	Wake(id SubID)

	// Blocked returns the open demand of those that wait, up to math.MaxInt64. It is not part of Live.
	Blocked() int64
}

// Admission is the answer of a budget to an event.
type Admission uint8

const (
	// Admitted: the event has been charged, and must be sent now.
	Admitted Admission = iota
	// Refused: there is no room. The subscriber waits, and counts as having no demand until Wake.
	Refused
	// Failed: the event could not be weighed. It has been counted as dropped and must not be sent to anybody; it
	// uses up no demand.
	Failed
)

// Request is what a subscriber brings along for the dispatcher.
type Request[T any] struct {
	Consumer any          // the consumer's identity: equal for two subscriptions of one stage
	Where    func(T) bool // of [Where]; nil: all events
	Key      any          // of [Partition]; nil: none was named
	Lag      int          // of [Lag]: how many events may be kept for it; 0: none, everyone waits
	Policy   LagPolicy    // of [Lag]
	Charged  bool         // of [Charge]: see [BudgetDispatcher]

	budget *Budget       // of Charge; nil: none
	weigh  func(T) int64 // of Charge; nil: each event weighs 1
	fault  error         // of a decorator, for who subscribes
	late   bool          // of HandBack: the events are younger than others that came back from this consumer
}

// Outlet is where a [Dispatcher] sends events and reports what became of the
// others. Its methods must not be called but from Dispatch and Flush.
type Outlet[T any] interface {
	// Send sends events to a subscriber.
	Send(id SubID, events []T)
	// Filtered reports n events that the subscriber's Where rejected.
	Filtered(id SubID, n int)
	// Lagged reports n events that the subscriber will not get, as it is too slow.
	Lagged(id SubID, n int)
	// Dropped reports n events that are for nobody. An error says that this is a fault; the
	// first one of a run is logged.
	Dropped(n int, fault error)
	// Discarded reports events that there is no room to keep.
	Discarded(events []T)
	// Refuse ends a subscription with an error. The dispatcher has forgotten it.
	Refuse(id SubID, err error)
	// Due gives back a mark; see [QueueingDispatcher].
	Due(mark any)
	// Admit asks the budgets of charged subscribers whether the event may be sent to all of them now, and charges
	// it to them if so. Others must not be among ids.
	Admit(event T, ids []SubID) Admission
}

// DispatchOption is an option of [Producer.DispatchWith].
type DispatchOption func(*dispatchConfig)

// dispatchConfig is what the options of a dispatcher came to.
type dispatchConfig struct {
	seed        uint64
	shuffle     bool
	expectedMax int64
	bufferSize  int // of the stage; a queue without owner is bounded by it
	keepFirst   bool
	faults      []error
}

func (c *dispatchConfig) fault(format string, args ...any) {
	c.faults = append(c.faults, fmt.Errorf("%w: %s", ErrInvalidOption, fmt.Sprintf(format, args...)))
}

// DispatcherFactory is what [Producer.DispatchWith] takes: [Demand], [Broadcast], what [PartitionBy] and
// [PartitionWith] return, or a function of the user's. It is called by DispatchWith, for its error
// alone, and then once for each run, on the stage's goroutine. Options are opaque: a function of the
// user's passes opts on to a dispatcher of this package that it builds upon, or ignores them.
type DispatcherFactory[T any] func(opts ...DispatchOption) (Dispatcher[T], error)

// errNoDispatcher is a fault of a DispatcherFactory.
var errNoDispatcher = fmt.Errorf("%w: the function has made no dispatcher", ErrInvalidOption)

// configure applies options.
func configure(opts []DispatchOption) (dispatchConfig, error) {
	c := dispatchConfig{bufferSize: Unlimited}
	for _, o := range opts {
		if o == nil {
			c.fault("a nil DispatchOption")
			continue
		}
		o(&c)
	}
	if len(c.faults) > 0 {
		return c, c.faults[0]
	}
	return c, nil
}

// Shuffle has [Demand] serve subscribers with equal demand in a random order,
// which is a function of seed, at the first dispatch: not the one that
// subscribed first is always served first.
func Shuffle(seed uint64) DispatchOption {
	return func(c *dispatchConfig) { c.seed, c.shuffle = seed, true }
}

// ExpectedMax has the producer log, once per subscription, that a subscriber
// asked for more than n at once: it may take all events, and others none. By
// default nothing is expected.
func ExpectedMax(n int) DispatchOption {
	return func(c *dispatchConfig) {
		if n < 1 {
			c.fault("ExpectedMax(%d): must be at least 1", n)
		}
		c.expectedMax = int64(n)
	}
}

// stageBuffer tells a dispatcher the buffer options of its stage.
func stageBuffer(size int, keepFirst bool) DispatchOption {
	return func(c *dispatchConfig) { c.bufferSize, c.keepFirst = size, keepFirst }
}
