package stage

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
)

// core is the part of a run that has no types: who it is, its context, and the guard around
// every function of the user's.
type core struct {
	h      *handle                 // read-only
	number int                     // read-only: which run of the handle it is
	scope  *scope                  // read-only
	base   context.Context         // read-only: of this run; callbacks get what context makes of it
	cancel context.CancelCauseFunc // read-only
	hop    func()                  // read-only: waits for the turn of the stage goroutine (internal/hop); nil but in simulations

	whole typed // read-only: the run that this is part of

	aborting  atomic.Pointer[ending] // set once, by whoever aborts
	callback  atomic.Uint32          // the callback in progress, as a callbackName; 0: none; the fence (abandon.go)
	onGo      atomic.Uint64          // the stage goroutine, as goid tells it, until it ends
	aside     atomic.Uint64          // the goroutine that does what the stage goroutine waits for; 0: none
	pumping   atomic.Uint64          // the goroutine that reads for the stage; 0: none
	heldNow   atomic.Int64           // events held, over all subscriptions
	releasing atomic.Int64           // calls of Release in progress, by any goroutine
	handled   atomic.Int64           // events finished

	doing   atomic.Uint64             // what it does, and since when (state.go); written by the stage goroutine
	looked  atomic.Pointer[time.Time] // when somebody first took Stats; nil: nobody has
	pushing atomic.Pointer[handle]    // the queue in whose Push the callback in progress waits; written by the stage goroutine

	waits wait // guarded by calls: the Do that the callback in progress is in
	ready gate // opens when OnInit has returned or the run has ended

	watch         watchdog
	stuckCallback errand  // the callback that was abandoned
	allStuck      []Stuck // guarded by h.stuck.mu: what was abandoned in this run

	attendant *attendant // of a stage that is observed, else nil

	observerGone, loggerGone atomic.Bool // it was abandoned, and is not called any more

	// owned by the stage goroutine, and by what runs aside
	verdict *ending   // non-nil when the run is to end
	trace   []byte    // stack of a function that failed on a coroutine, or while it was watched
	results int       // events that the callback in progress has returned
	about   callAbout // the callback that begins next, or is in progress

	profile  *profile // read-only; nil: none
	watching bool     // callbacks are observed or profiled; read-only

	// owned by the stage goroutine
	shut       bool    // a callback was abandoned: no other is called
	unnamed    *ending // the verdict, but for what was abandoned
	namedStuck int     // how many of allStuck the verdict names

	done    chan struct{} // closed when the run has ended
	endedAs *ending       // written under tally.mu, before done is closed
	endedAt time.Time     // written with endedAs
}

// typed is what a core needs of its run that has types.
type typed interface {
	ring()                                                    // wakes the stage goroutine
	takenOver()                                               // goes on with the run without the callback that was abandoned
	returnedLate(cb callbackName, results int, failure error) // told by that callback
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
	inStart
	inDeadLetter
	inDispatcher
)

var callbackNames = [...]string{
	inNone: "", inDemand: "demand", inEvents: "events", inInit: "OnInit", inTerminate: "OnTerminate",
	inSubscribe: "OnSubscribe", inConsumer: "OnConsumer", inConsumerGone: "OnConsumerGone",
	inCancel: "OnCancel", inComplete: "OnComplete", inDiscard: "OnDiscard", inDo: "Do",
	inStart: startCallback, inDeadLetter: "OnDeadLetter", inDispatcher: "Dispatcher",
}

// errAborted is what guard returns instead of calling after Abort.
var errAborted = errors.New("stage: aborted before the callback began")

// guard calls fn as the callback cb. A panic becomes a [PanicError]; Goexit becomes one too, but
// unwinds the goroutine nevertheless: then guard has left the verdict, and a new goroutine goes
// on with it (run.main). After an abort only OnTerminate is called.
//
// Between the two changes of callback the run may be taken away from this goroutine, when Grace is over: then
// guard does not return. So fn must not touch what changes in a run, neither before nor after the user's function,
// but for results.
func (c *core) guard(cb callbackName, fn func() error) (err error) {
	c.begins(cb)
	before := c.callback.Swap(uint32(cb))
	if c.aborting.Load() != nil && cb != inTerminate {
		if !c.callback.CompareAndSwap(uint32(cb), before) { // the watchdog has taken it for begun
			c.whole.returnedLate(cb, 0, nil)
			runtime.Goexit()
		}
		return errAborted
	}
	c.results = 0
	returned := false
	defer func() {
		inTime := c.callback.CompareAndSwap(uint32(cb), before)
		if returned && inTime {
			return
		}
		value := recover()
		stack := c.trace
		if c.trace = nil; stack == nil {
			stack = debug.Stack()
		}
		if !returned {
			err = c.recovered(value, callbackNames[cb], stack)
		}
		if !inTime {
			c.whole.returnedLate(cb, c.results, err)
			runtime.Goexit()
		}
		switch {
		case value != nil: // the caller acts on it
		case cb == inTerminate:
			c.survive(err)
		default:
			c.fail(err)
		}
	}()
	if c.watching {
		err = c.watchedCallback(cb, callbackName(before), fn)
	} else {
		err = fn()
	}
	err = sound(err)
	returned = true
	return err
}

// recovered makes the error for what recover returned: nil only after Goexit, since panic(nil)
// recovers as *runtime.PanicNilError.
func (c *core) recovered(value any, callback string, stack []byte) error {
	if value == nil {
		value = ErrGoexit
	}
	return &PanicError{Value: value, Stack: stack, Stage: c.name(), Callback: callback}
}

// fail makes err the run's verdict, unless there is one. An abort that came before counts, not
// what the callback in progress made of it; nor what it made of the end of Run's context, of
// which the callback may know before the launcher does. But a clean end hides no panic.
func (c *core) fail(err error) {
	if c.verdict != nil {
		return
	}
	if c.aborting.Load() == nil && c.base.Err() != nil {
		c.scope.root().contextEnded(c.context())
	}
	if c.verdict = c.aborting.Load(); c.verdict == nil {
		c.verdict = endedBy(c.name(), err, c.scope.tenure)
		return
	}
	var panicked *PanicError
	if errors.As(err, &panicked) {
		c.survive(err)
	}
}

// survive makes a panic the reason of an end that was clean until then.
func (c *core) survive(err error) {
	if err != nil && c.verdict.clean {
		c.verdict = endedBy(c.name(), err, c.scope.tenure)
	}
}

func (c *core) name() string { return c.h.conf.name }

// turn waits until a simulation lets the stage goroutine go on.
func (c *core) turn() {
	if c.hop != nil {
		c.hop()
	}
}

// log reports what nobody asked for. A handler that fails ends nothing.
func (c *core) log(level slog.Level, msg string, args ...any) { c.logFrom(true, level, msg, args...) }

// logFrom is log, on the stage goroutine or on another one.
func (c *core) logFrom(onStage bool, level slog.Level, msg string, args ...any) {
	logger := c.h.conf.logger
	if logger == nil {
		logger = slog.Default()
	}
	_ = c.apart("Logger", onStage, &c.loggerGone, func() { logger.Log(context.Background(), level, msg, args...) })
}

// abort makes the run end as e says, unless another end came first.
func (c *core) abort(e *ending) {
	if c.aborting.CompareAndSwap(nil, e) {
		c.arm()
		c.cancel(e.reason)
		c.whole.ring()
	}
}

// releaseHeld is told by Release, and by Hold with a negative number.
func (c *core) releaseHeld(n int64) {
	if n > 0 {
		c.handled.Add(n)
	}
	if c.heldNow.Add(-n) == 0 {
		c.whole.ring()
	}
}

// beginRelease and endRelease stand around the steps of a Release: the last Stats of a run are not
// taken while one is in progress.
func (c *core) beginRelease() { c.releasing.Add(1) }
func (c *core) endRelease()   { c.releasing.Add(-1) }

// awaitReleases waits for the calls of Release that have taken something off what is held; those
// that come later find nothing held any more.
func (c *core) awaitReleases() {
	for c.releasing.Load() > 0 {
		runtime.Gosched() // a few instructions of another goroutine
	}
}

func (c *core) runsOn(goroutine uint64) bool {
	return c.onGo.Load() == goroutine || c.aside.Load() == goroutine || c.pumping.Load() == goroutine
}

func (c *core) finished() <-chan struct{} { return c.done }

func (c *core) keptBy() *tenure { return c.scope.tenure }

// callerOf returns the run whose stage goroutine is calling with a context of its callbacks, nil
// for any other caller: a goroutine that a callback started is not the stage.
func callerOf(ctx context.Context) *core {
	c, _ := ctx.Value(coreKey{}).(*core)
	if c == nil || !c.runsOn(goid.Current()) {
		return nil
	}
	return c
}
