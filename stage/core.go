package stage

import (
	"context"
	"errors"
	"log/slog"
	"runtime/debug"
	"sync/atomic"

	"github.com/go-genstage/genstage/internal/goid"
)

// core is the part of a run that has no types: who it is, its context, and the guard around
// every function of the user's.
type core struct {
	h      *handle                 // read-only
	scope  *scope                  // read-only
	ctx    context.Context         // read-only: of this run, given to callbacks
	cancel context.CancelCauseFunc // read-only
	ring   func()                  // read-only: wakes the stage goroutine

	aborting atomic.Pointer[ending] // set once, by whoever aborts
	callback atomic.Uint32          // the callback in progress, as a callbackName; 0: none
	onGo     atomic.Uint64          // number of the stage goroutine
	heldNow  atomic.Int64           // events held, over all subscriptions
	handled  atomic.Int64           // events finished

	waitsFor *core // guarded by calls: the stage whose Do the callback in progress waits for

	verdict *ending // owned by the stage goroutine: non-nil when the run is to end

	done    chan struct{} // closed when the run has ended
	endedAs *ending       // written under tally.mu, before done is closed
}

// callbackName is a function of the user's that a stage calls.
type callbackName uint32

const (
	inNone callbackName = iota
	inDemand
	inEvents
	inInit
	inTerminate
	inSubscribe
	inConsumer
	inConsumerGone
	inCancel
	inComplete
	inDiscard
	inDo
)

var callbackNames = [...]string{
	inNone: "", inDemand: "demand", inEvents: "events", inInit: "OnInit", inTerminate: "OnTerminate",
	inSubscribe: "OnSubscribe", inConsumer: "OnConsumer", inConsumerGone: "OnConsumerGone",
	inCancel: "OnCancel", inComplete: "OnComplete", inDiscard: "OnDiscard", inDo: "Do",
}

// errAborted is what guard returns instead of calling after Abort.
var errAborted = errors.New("stage: aborted before the callback began")

// guard calls fn as the callback cb. A panic becomes a [PanicError]; Goexit becomes one too, but
// unwinds the goroutine nevertheless: then guard has left the verdict, and a new goroutine goes
// on with it (run.main). After an abort only OnTerminate is called.
func (c *core) guard(cb callbackName, fn func() error) (err error) {
	before := c.callback.Swap(uint32(cb))
	if c.aborting.Load() != nil && cb != inTerminate {
		c.callback.Store(before)
		return errAborted
	}
	returned := false
	defer func() {
		c.callback.Store(before)
		if returned {
			return
		}
		value := recover()
		err = c.recovered(value, callbackNames[cb])
		if value == nil {
			c.fail(err)
		}
	}()
	err = fn()
	returned = true
	return err
}

// recovered makes the error for what recover returned: nil only after Goexit, since panic(nil)
// recovers as *runtime.PanicNilError.
func (c *core) recovered(value any, callback string) error {
	if value == nil {
		value = ErrGoexit
	}
	return &PanicError{Value: value, Stack: debug.Stack(), Stage: c.name(), Callback: callback}
}

// fail makes err the run's verdict, unless there is one.
func (c *core) fail(err error) {
	switch {
	case c.verdict != nil:
	case errors.Is(err, errAborted):
		c.verdict = c.aborting.Load()
	default:
		c.verdict = endedBy(c.name(), err)
	}
}

func (c *core) name() string { return c.h.conf.name }

func (c *core) observing() func(Message) { return c.h.conf.observe }

// observe reports a message that this stage sends.
func (c *core) observe(m Message) {
	if observe := c.h.conf.observe; observe != nil {
		observe(m)
	}
}

func (c *core) logger() *slog.Logger {
	if c.h.conf.logger != nil {
		return c.h.conf.logger
	}
	return slog.Default()
}

// abort makes the run end as e says, unless another end came first.
func (c *core) abort(e *ending) {
	if c.aborting.CompareAndSwap(nil, e) {
		c.cancel(e.reason)
		c.ring()
	}
}

// releaseHeld is told by Release, and by Hold with a negative number.
func (c *core) releaseHeld(n int64) {
	if n > 0 {
		c.handled.Add(n)
	}
	if c.heldNow.Add(-n) == 0 {
		c.ring()
	}
}

func (c *core) runsOn(goroutine uint64) bool { return c.onGo.Load() == goroutine }

func (c *core) finished() <-chan struct{} { return c.done }

// coreKey finds the run in the context of its callbacks.
type coreKey struct{}

// callerOf returns the run whose stage goroutine is calling with a context of its callbacks, nil
// for any other caller: a goroutine that a callback started is not the stage.
func callerOf(ctx context.Context) *core {
	c, _ := ctx.Value(coreKey{}).(*core)
	if c == nil || c.onGo.Load() != goid.Current() {
		return nil
	}
	return c
}
