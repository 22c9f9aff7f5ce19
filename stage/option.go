package stage

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/go-genstage/genstage/internal/buffer"
)

// Options are grouped by the kind of stage they fit, so that one given to the wrong kind does
// not compile. A value out of range is reported by Run, as an error that wraps
// [ErrInvalidOption] and names the option.
type (
	// ProducerOption is an option of [NewProducer] and of the ready-made producers.
	ProducerOption interface{ forProducer(*config) }
	// ConsumerOption is an option of [NewConsumer] and of the ready-made consumers.
	ConsumerOption interface{ forConsumer(*config) }
	// ProducerConsumerOption is an option of [NewProducerConsumer].
	ProducerConsumerOption interface{ forProducerConsumer(*config) }

	// ConsumerSupervisorOption is an option of [NewConsumerSupervisor] and [StartWith].
	ConsumerSupervisorOption interface{ forConsumerSupervisor(*config) }

	// Option fits every kind of stage.
	Option interface {
		ProducerOption
		ConsumerOption
		ProducerConsumerOption
		ConsumerSupervisorOption
	}
	// OutputOption fits the stages that emit: producers and producer-consumers.
	OutputOption interface {
		ProducerOption
		ProducerConsumerOption
	}
	// InputOption fits the stages that consume: consumers, producer-consumers and consumer
	// supervisors.
	InputOption interface {
		ConsumerOption
		ProducerConsumerOption
		ConsumerSupervisorOption
	}
)

type (
	anyOption      func(*config)
	outputOption   func(*config)
	inputOption    func(*config)
	producerOption func(*config)

	consumerSupervisorOption func(*config)
	commonOption             struct{ anyOption }
	intensityOption          func(*config)
)

func (o anyOption) forProducer(c *config)           { o(c) }
func (o anyOption) forConsumer(c *config)           { o(c) }
func (o anyOption) forProducerConsumer(c *config)   { o(c) }
func (o anyOption) forConsumerSupervisor(c *config) { o(c) }

func (o outputOption) forProducer(c *config)         { o(c) }
func (o outputOption) forProducerConsumer(c *config) { o(c) }

func (o inputOption) forConsumer(c *config)           { o(c) }
func (o inputOption) forProducerConsumer(c *config)   { o(c) }
func (o inputOption) forConsumerSupervisor(c *config) { o(c) }

func (o producerOption) forProducer(c *config) { o(c) }

func (o consumerSupervisorOption) forConsumerSupervisor(c *config) { o(c) }

func (o commonOption) forSupervisor(c *config) { o.anyOption(c) }

func (o intensityOption) forConsumerSupervisor(c *config) { o(c) }
func (o intensityOption) forSupervisor(c *config)         { o(c) }

// config is what the options of one stage came to: set by the constructor, read-only after.
type config struct {
	name         string
	bufferSize   int // -1: unlimited
	bufferKeep   buffer.Keep
	keepRunning  bool
	accumulating bool
	retry        bool
	repeat       bool // the demand callback is called again at once while it finds something
	profile      bool
	strategy     Strategy // of a supervisor
	poll         *pollPolicy
	children     *childPolicy // of what starts something again; else nil
	maxLine      int          // of Lines; 0: another producer

	onInit         func(context.Context) error
	onTerminate    func(error)
	onSubscribe    func(context.Context, *Subscription) error
	onConsumer     func(context.Context, *Subscription) error
	onConsumerGone func(context.Context, *Subscription, Cancellation) error
	observe        []func(Message)
	watch          []func(Callback)
	logger         *slog.Logger
	grace          time.Duration

	unsound error // the first option out of range; nil: none
}

func (c *config) fault(format string, args ...any) {
	if c.unsound == nil {
		c.unsound = fmt.Errorf("%w: %s", ErrInvalidOption, fmt.Sprintf(format, args...))
	}
}

// Name names the stage, in errors, logs and Stats. By default the name is the kind of the stage
// and the file and line where it was made. It must not be empty.
func Name(name string) CommonOption {
	return commonOption{func(c *config) {
		if name == "" {
			c.fault("Name(%q): must not be empty", name)
			return
		}
		c.name = name
	}}
}

// OnInit is called on the stage's goroutine at the beginning of each run, before anything else
// of the stage: here its state is made anew. An error ends the run before any event, and with it
// the pipeline, whose Run returns it; one that wraps [ErrShutdown] is no failure, but a clean end. With
// [ErrDone] this stage alone ends, normally. By default there is nothing to do.
func OnInit(fn func(ctx context.Context) error) Option {
	return anyOption(func(c *config) {
		if fn == nil {
			c.fault("OnInit(nil)")
		}
		c.onInit = fn
	})
}

// OnTerminate is called on the stage's goroutine when the run ends, after the last callback and
// before the neighbours are told, whatever the end: also after a panic. It is not called when
// OnInit failed. reason is what Run of this stage alone would return; nil is a normal end. It
// gets no context, since that of the run may have ended: clean-up that waits needs its own limit.
func OnTerminate(fn func(reason error)) Option {
	return anyOption(func(c *config) {
		if fn == nil {
			c.fault("OnTerminate(nil)")
		}
		c.onTerminate = fn
	})
}

// Logger sets where the stage reports what no call returns: events that are discarded or dropped, a
// failure that its pipeline survives, a child that is given up, a callback that is abandoned, a subscriber that
// exceeds [ExpectedMax]; of a [Supervisor]: every restart. By default [slog.Default] at that moment. A handler that panics ends nothing.
func Logger(logger *slog.Logger) CommonOption {
	return commonOption{func(c *config) {
		if logger == nil {
			c.fault("Logger(nil)")
		}
		c.logger = logger
	}}
}

// DefaultGrace is how long a function may go on without [Grace].
const DefaultGrace = 5 * time.Second

// Grace sets how long the stage waits for a function that does not return although its context has ended: at
// [Producer.Abort], when the deadline of Stop has passed, or with the context of Run. By default 5 s; d must be
// more than 0. OnTerminate, which may begin later, has as long from its beginning.
//
// What has not returned by then is abandoned, since nothing in Go can end it. It is named in the error of Run (a
// [*StuckError]), in [Stats].Stuck and in the log; the events in its hand count as late; what it returns later
// goes nowhere ([OutputStats].LateResults). No other callback of the stage is called, OnTerminate included: they
// may share state with it. (Children of a consumer supervisor, Observe, the log handler and the reader of [Lines] run
// apart: OnTerminate is called in spite of them.) The neighbours are told that the stage has ended, and Run returns. Until the function
// has returned, Run of this stage is [ErrStuck].
//
// Of a [Supervisor] it is for the functions of [Supervisor.AddFunc] and the log handler; members have their own.
func Grace(d time.Duration) CommonOption {
	return commonOption{func(c *config) {
		if d <= 0 {
			c.fault("Grace(%v): must be more than 0", d)
			return
		}
		c.grace = d
	}}
}

// Unlimited is the [BufferSize] of a buffer without bound.
const Unlimited = -1

// DefaultBufferSize is the buffer size of a producer without [BufferSize].
const DefaultBufferSize = 10_000

// BufferSize bounds, in events, what was emitted and not yet asked for. At least 0, which keeps none, or
// [Unlimited]: that is the default of a producer-consumer, whose input is bounded by its own demand;
// a producer's default is 10,000. What does not fit is discarded by [KeepLast] or [KeepFirst],
// counted, given to OnDiscard and logged once per episode.
func BufferSize(n int) OutputOption {
	return outputOption(func(c *config) {
		if n < Unlimited {
			c.fault("BufferSize(%d): must be at least 0, or Unlimited", n)
			return
		}
		c.bufferSize = n
	})
}

// KeepLast makes a full buffer discard its oldest events. It is the default.
func KeepLast() OutputOption {
	return outputOption(func(c *config) { c.bufferKeep = buffer.KeepLast })
}

// KeepFirst makes a full buffer discard the events that come last.
func KeepFirst() OutputOption {
	return outputOption(func(c *config) { c.bufferKeep = buffer.KeepFirst })
}

// KeepRunning exempts the stage from the pipeline's rule that a producer whose subscribers have
// all gone is ended: it waits for the next one.
func KeepRunning() OutputOption {
	return outputOption(func(c *config) { c.keepRunning = true })
}

// Accumulating has every run of the producer begin in the mode that [Producer.Accumulate] sets, so that
// all consumers can subscribe before the first event. [Producer.Forward] begins.
func Accumulating() ProducerOption {
	return producerOption(func(c *config) { c.accumulating = true })
}

// Retry has the demand callback called again after [Producer.Wake], with all the demand that is
// open. Without it a producer that returned fewer events than asked owes the rest, and is not
// asked for it again: it emits the rest by Do or Tell. Retry spares it that memory: the callback
// returns what there is, and Wake says that there is more. On a ready-made producer it means nothing
// ([Poll] has it already).
func Retry() ProducerOption {
	return producerOption(func(c *config) { c.retry = true })
}

// OnSubscribe is called on the consumer's goroutine each time a producer has accepted a
// subscription of this stage, in every run anew, before any event of it. From here on it may
// [Subscription.Ask], and with [Manual] makes the first ask here. (There is nothing to [Subscription.Hold]
// yet.) An error ends the stage, [ErrDone] normally; one that wraps [ErrRefused] ends this
// subscription only. By default there is nothing to do.
func OnSubscribe(fn func(ctx context.Context, sub *Subscription) error) InputOption {
	return inputOption(func(c *config) {
		if fn == nil {
			c.fault("OnSubscribe(nil)")
		}
		c.onSubscribe = fn
	})
}

// OnConsumer is called on the producer's goroutine when a consumer subscribes, before it gets
// anything. An error ends the stage, [ErrDone] normally; one that wraps [ErrRefused] refuses this
// subscriber only, which gets it as the reason. By default everyone is accepted.
func OnConsumer(fn func(ctx context.Context, sub *Subscription) error) OutputOption {
	return outputOption(func(c *config) {
		if fn == nil {
			c.fault("OnConsumer(nil)")
		}
		c.onConsumer = fn
	})
}

// OnConsumerGone is called on the producer's goroutine when a subscriber has cancelled or ended.
// Events that it had not begun have been put back by then. It is not called for the subscribers
// that a completing producer leaves behind. An error ends the stage, [ErrDone] normally.
func OnConsumerGone(fn func(ctx context.Context, sub *Subscription, c Cancellation) error) OutputOption {
	return outputOption(func(c *config) {
		if fn == nil {
			c.fault("OnConsumerGone(nil)")
		}
		c.onConsumerGone = fn
	})
}

// pollPolicy is how long a [Poll] waits after an empty answer.
type pollPolicy struct{ min, max time.Duration }
