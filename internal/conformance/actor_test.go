package conformance

import (
	"context"
	"log/slog"
	"sync"

	"github.com/go-genstage/genstage/stage"
)

// actor is one stage of a scenario: the library's stage, and what its callbacks have been seen
// to do.
type actor struct {
	w    *world
	name string
	spec stageSpec

	// set by the kind's constructor, read-only after; nil for what the kind does not have
	run       stage.Stage
	source    stage.Source[event]
	subscribe func(context.Context, stage.Source[event], ...stage.SubscribeOption) (*stage.Subscription, error)
	replace   func(context.Context, *stage.Subscription, error, stage.Source[event], ...stage.SubscribeOption) (*stage.Subscription, error)
	declare   func(stage.Source[event], ...stage.SubscribeOption)
	do        func(context.Context, func(context.Context) ([]event, error)) error
	tell      func(func(context.Context) ([]event, error)) error
	tellAfter func(func(context.Context) ([]event, error)) error
	buffered  func() int64 // in the stage's own buffer
	modes     *modes
	children  *children
	probe     *probe
	queueing  stage.QueueingDispatcher[event] // of a partition dispatcher; looked at while the stage is idle
	gates     chan struct{}

	policy

	over chan struct{} // closed when Run has returned

	mu      sync.Mutex
	records []record   // guarded by mu
	ended   []childEnd // guarded by mu
	exit    string     // guarded by mu: told once
	dead    bool       // guarded by mu
	blocked bool       // guarded by mu: waits at its gate
	failure error      // guarded by mu: what Run returned
	emitted []event    // guarded by mu: all that it has, in order
}

// quiet keeps the log away: what it says is compared by nobody.
var quiet = stage.Logger(slog.New(slog.DiscardHandler))

// record notes a callback.
func (a *actor) record(r record) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.records = append(a.records, r)
}

// take returns what is new, nil if there is nothing to be said about the stage at all.
func (a *actor) take() *entry {
	a.mu.Lock()
	defer a.mu.Unlock()
	e := &entry{Records: a.records, Exit: a.exit, ChildrenEnded: byEvent(a.ended)}
	a.records, a.exit, a.ended = nil, "", nil
	if a.buffered != nil && !a.dead && !a.blocked {
		n := a.buffered()
		e.State = &state{Buffered: &n}
	}
	if e.Records == nil && e.Exit == "" && e.ChildrenEnded == nil && e.State == nil {
		return nil
	}
	return e
}

func (a *actor) isDead() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.dead
}

// launch runs the stage, alone, in a goroutine that ends with it; world.end waits for it.
func (a *actor) launch() {
	go func() {
		defer close(a.over)
		err := a.run.Run(a.w.ctx)
		a.mu.Lock()
		defer a.mu.Unlock()
		a.dead, a.exit, a.failure = true, reasonOf(err), err
	}()
}

// leave ends the stage at the end of the scenario.
func (a *actor) leave() {
	a.run.Abort(stage.ErrShutdown)
	if a.probe != nil {
		a.probe.leave()
	}
}

// start makes and runs a stage, and returns the result of starting it.
func (w *world) start(spec stageSpec) any {
	a, refused := w.begin(spec)
	if refused {
		return failed("error:bad_opts")
	}
	w.settle()
	if !a.isDead() {
		return "ok"
	}
	delete(w.actors, a.name)
	w.order = w.order[:len(w.order)-1]
	if spec.Init == "ignore" {
		return "ignore"
	}
	return failed(reasonOf(a.failure))
}

// begin makes a stage and runs it, unless it does not compile here.
func (w *world) begin(spec stageSpec) (a *actor, refused bool) {
	a = &actor{w: w, name: spec.Name, spec: spec, over: make(chan struct{}), gates: make(chan struct{}, 1<<20)}
	if refused := a.refusedByType(); refused != "" {
		w.saysByType(refused)
		return nil, true
	}
	a.policy.init(spec.Behaviour)
	switch spec.Kind {
	case "producer":
		a.makeProducer()
	case "enumerable":
		a.makeEnumerable()
	case "producer_consumer":
		a.makeProducerConsumer()
	case "consumer":
		a.makeConsumer()
	case "consumer_supervisor":
		a.makeSupervisor()
	case "probe":
		a.makeProbe()
	default:
		panic("unknown kind " + spec.Kind)
	}
	w.actors[a.name] = a
	w.order = append(w.order, a)
	for _, d := range spec.SubscribeTo {
		w.connect(d.ID, d.To, d.Opts, a)
		src, err := w.sourceFor(d.To, d.Opts)
		if err != nil {
			panic(err)
		}
		a.declare(src, a.options(d.ID, d.Opts)...)
	}
	a.launch()
	return a, false
}

// refusedByType says which option of the stage does not compile here, "" if none.
func (a *actor) refusedByType() string {
	emits := a.spec.Kind == "producer" || a.spec.Kind == "producer_consumer"
	size, isNumber := a.spec.BufferSize.(float64)
	switch {
	case a.spec.UnknownOption != nil:
		return "an unknown option"
	case a.spec.BufferSize != nil && !emits:
		return "BufferSize on a " + a.spec.Kind
	case a.spec.BufferSize != nil && !(isNumber && size == float64(int(size))) && a.spec.BufferSize != "infinity":
		return "a buffer size that is no number"
	case a.spec.BufferKeep != "" && !emits:
		return "KeepFirst or KeepLast on a " + a.spec.Kind
	case a.spec.BufferKeep != "" && a.spec.BufferKeep != "last" && a.spec.BufferKeep != "first":
		return "a third way to keep"
	case a.spec.Demand != "" && a.spec.Kind != "producer" && a.spec.Kind != "enumerable":
		return "Accumulating on a " + a.spec.Kind
	case a.spec.Demand != "" && a.spec.Demand != "forward" && a.spec.Demand != "accumulate":
		return "a third demand mode"
	case a.spec.Dispatcher != nil && !emits && a.spec.Kind != "enumerable":
		return "DispatchWith on a " + a.spec.Kind
	case a.spec.Kind == "consumer_supervisor" && a.spec.Child.Restart == "permanent":
		return "permanent children"
	}
	return ""
}

// failed is the result of a step that was refused.
func failed(reason string) any { return map[string]any{"error": reason} }

// exited is the result of a call whose stage has ended.
func exited(reason string) any { return map[string]any{"exit": reason} }
