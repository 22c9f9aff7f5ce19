package stage

import (
	"context"
	"log/slog"
	"runtime/debug"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
)

// Observe has fn called with every message of the protocol that this stage sends, at the moment
// of sending: a trace of demand and events. The sender waits until fn has returned, or failed: a
// panic in it ends the stage. Asks are sent by any goroutine: fn must be safe for concurrent use
// and must not block. Given several times, each fn is called. Without Observe nothing is spent on it; with it the stage has
// a second goroutine, and each message costs two switches between them.
func Observe(fn func(Message)) Option {
	return anyOption(func(c *config) {
		if fn == nil {
			c.fault("Observe(nil)")
			return
		}
		c.observe = append(c.observe, fn)
	})
}

// ObserveCallbacks has fn called when a function of the user's begins, and again when it has ended, with the
// time it took and what came of it: enough to fill a metrics library from. It is called on the goroutine of
// the callback and as a part of it: what it takes is not in Took, but the stage waits, and a panic in it counts
// as one of the callback. The children of a consumer supervisor are callbacks as well, and run at the same time:
// for their sake, and if several stages share it, fn must be safe for concurrent use. Given several times, each
// fn is called.
//
// The clock is read twice for each callback. Without ObserveCallbacks (and [Profile]) nothing is spent on it.
func ObserveCallbacks(fn func(Callback)) Option {
	return anyOption(func(c *config) {
		if fn == nil {
			c.fault("ObserveCallbacks(nil)")
			return
		}
		c.watch = append(c.watch, fn)
	})
}

// LogTo has every message that the stage sends, and the beginning and end of each callback, logged at
// [slog.LevelDebug]. It is [Observe] and [ObserveCallbacks] with a function that logs, costs what they cost
// whether or not the logger has that level enabled, and, like them, a handler that panics ends the stage.
// (What a stage reports by itself goes to [Logger].)
func LogTo(logger *slog.Logger) Option {
	return anyOption(func(c *config) {
		if logger == nil {
			c.fault("LogTo(nil)")
			return
		}
		c.observe = append(c.observe, func(m Message) { logMessage(logger, m) })
		c.watch = append(c.watch, func(cb Callback) { logCallback(logger, cb) })
	})
}

// logMessage writes what is set: who, to whom, how many, why.
func logMessage(logger *slog.Logger, m Message) {
	attrs := []slog.Attr{
		slog.String("message", m.Kind.String()), slog.String("from", m.From), slog.String("to", m.To),
	}
	if m.N != 0 {
		attrs = append(attrs, slog.Int64("n", m.N))
	}
	if m.Reason != nil {
		attrs = append(attrs, slog.Any("reason", m.Reason))
	}
	logger.LogAttrs(context.Background(), slog.LevelDebug, "stage: message", attrs...)
}

func logCallback(logger *slog.Logger, c Callback) {
	attrs := []slog.Attr{slog.String("stage", c.Stage), slog.String("callback", c.Name)}
	if c.Child != 0 {
		attrs = append(attrs, slog.Uint64("child", uint64(c.Child)))
	}
	if c.Sub != nil {
		attrs = append(attrs, slog.String("producer", c.Sub.Producer()), slog.String("consumer", c.Sub.Consumer()))
	}
	if c.N != 0 {
		attrs = append(attrs, slog.Int("n", c.N))
	}
	if !c.Ended {
		logger.LogAttrs(context.Background(), slog.LevelDebug, "stage: callback begins", attrs...)
		return
	}
	attrs = append(attrs, slog.Duration("took", c.Took))
	if c.Emitted != 0 {
		attrs = append(attrs, slog.Int("emitted", c.Emitted))
	}
	if c.Err != nil {
		attrs = append(attrs, slog.Any("error", c.Err))
	}
	logger.LogAttrs(context.Background(), slog.LevelDebug, "stage: callback ended", attrs...)
}

// Callback is one call of a function of the user's, as [ObserveCallbacks] shows it: when it begins, and again,
// with Ended, when it has ended. A sequence ([FromSeq], [NewExpander]) is one callback for each batch that is
// pulled of it.
type Callback struct {
	Stage string
	Name  string        // as in [PanicError]: "demand", "events", "OnInit", "Do"; "start" and "child" of a consumer supervisor
	Child ChildID       // of "start" and "child"; else 0
	Sub   *Subscription // which it is about; nil for none
	N     int           // how many events it is given; how many "demand" is asked for
	Began time.Time

	Ended   bool
	Took    time.Duration // 0 before it has ended, as the others
	Emitted int           // how many events it returned
	Err     error         // what it returned, [ErrDone] as well; a [*PanicError] if it panicked
}

// callAbout is what only the caller of a callback knows of it. It is filled in only for who watches.
type callAbout struct {
	sub  *Subscription
	n    int
	ours bool // it is no function of the user's
}

// describe says what the next callback is about.
func (c *core) describe(n int, sub *Subscription) {
	if c.watching {
		c.about = callAbout{n: n, sub: sub}
	}
}

// unwatched says that the next callback is no function of the user's.
func (c *core) unwatched() { c.about = callAbout{ours: true} }

// watchedCallback is fn, the callback cb of the stage within that of outer, with those who watch around it.
func (c *core) watchedCallback(cb, outer callbackName, fn func() error) error {
	about := c.about
	c.about = callAbout{}
	if about.ours {
		return fn()
	}
	b := Callback{Name: callbackNames[cb], N: about.n, Sub: about.sub}
	defer c.profile.begin(c.context(), b.Name, callbackNames[outer]).end()
	return c.watched(b, &c.results, &c.trace, fn)
}

// watched calls fn with the observers of callbacks around it. What panics, or calls Goexit, goes on its way, with
// the stack of its beginning in trace.
func (c *core) watched(b Callback, emitted *int, trace *[]byte, fn func() error) (err error) {
	watchers := c.h.conf.watch
	if len(watchers) == 0 {
		return fn()
	}
	b.Stage, b.Began = c.name(), time.Now()
	for _, watch := range watchers {
		watch(b)
	}
	end := func(err error) {
		b.Ended, b.Took, b.Emitted, b.Err = true, time.Since(b.Began), *emitted, err
		for _, watch := range watchers {
			watch(b)
		}
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		value, stack := recover(), *trace
		if stack == nil {
			stack = debug.Stack()
		}
		*trace = nil // for an observer that panics
		end(c.recovered(value, b.Name, stack))
		*trace = stack
		if value != nil {
			panic(value)
		}
	}()
	err = fn()
	returned = true
	if part, ok := err.(*begunOnly); ok {
		end(part.err)
	} else {
		end(err)
	}
	return err
}

func (c *core) observing() bool { return len(c.h.conf.observe) > 0 }

// observe reports a message of this stage, which the stage goroutine sends, before it is sent. When an observer fails,
// the message is sent nevertheless, and the stage ends.
func (c *core) observe(m Message) { c.observeFrom(true, m) }

// observeAnywhere is observe on any goroutine.
func (c *core) observeAnywhere(m Message) {
	if c.observing() {
		c.observeFrom(c.runsOn(goid.Current()), m)
	}
}

func (c *core) observeFrom(onStage bool, m Message) {
	if !c.observing() {
		return
	}
	m.At = time.Now()
	for _, observe := range c.h.conf.observe {
		err := c.apart("Observe", onStage, &c.observerGone, func() { observe(m) })
		switch {
		case err == nil || c.callback.Load()&abandoned != 0:
		case onStage && c.verdict != nil:
			c.survive(err)
		default:
			c.abort(endedBy(c.name(), err, c.scope.tenure))
		}
	}
}
