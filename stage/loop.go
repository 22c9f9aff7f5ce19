package stage

import (
	"context"
	"errors"
	"iter"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
	"github.com/go-genstage/genstage/internal/hop"
	"github.com/go-genstage/genstage/internal/mailbox"
)

// none is what a producer consumes and a consumer emits.
type none struct{}

// definition is what a stage is made of, whatever its kind: the functions of its user. A run
// works on a copy. What a kind does not have is nil.
type definition[In, Out any] struct {
	in  *inPort[In]
	out *outPort[Out]

	produce    func() (demand demandFunc[Out], release func()) // per run
	newFeed    func(run *core, wake func()) feed[Out]          // per run; instead of produce
	events     func(context.Context, []In, *Subscription) ([]Out, error)
	expand     func(context.Context, []In, *Subscription) iter.Seq2[Out, error] // instead of events
	onCancel   func(context.Context, *Subscription, Cancellation) ([]Out, error)
	onComplete func(context.Context) ([]Out, error)
	onDiscard  func(context.Context, []Out)
	child      *childSpec[In] // of a consumer supervisor; it stands in for events
	onDemand   func(context.Context, int) ([]Out, int, error)

	dispatcher      DispatcherFactory[Out] // nil: Demand
	dispatchOptions []DispatchOption
}

type demandFunc[Out any] func(ctx context.Context, demand int) ([]Out, error)

// run is one run of a stage: one goroutine, one mailbox, one state. Its own fields, and those of intake
// and outlet, are owned by the stage goroutine where nothing else is said; core and tally say so
// themselves.
type run[In, Out any] struct {
	core
	box mailbox.Box[message[In]]
	def definition[In, Out]

	earlier *Earlier // the runs before this one; nil for none; read-only

	batch []message[In] // taken from the mailbox, worked from next on
	next  int
	later []message[In] // came before OnInit; at the end: was in the mailbox when it closed, and is not answered

	initialized bool // OnInit has returned without a failure
	draining    bool // Stop was called
	stopping    bool // Stop: subscriptions are being cancelled
	refusing    bool // the mailbox has closed, and what is in later is being answered
	finishing   bool // done: only what was emitted is still delivered, and held events waited for
	concluding  int  // how far conclude has come

	calling *call[Out]    // the Do or Tell in progress
	kids    *children[In] // of a consumer supervisor, else nil; set before the run begins

	connected gate // opens when all declared subscriptions are answered or wait, or the run has ended

	intake[In]
	outlet[Out]
	tally
}

// newRun makes the run and starts its goroutine, which waits for its phases. The caller holds h.mu.
func newRun[In, Out any](ctx context.Context, s *scope, h *handle, def definition[In, Out]) *run[In, Out] {
	r := &run[In, Out]{def: def}
	r.core.h, r.core.scope, r.core.done = h, s, make(chan struct{})
	r.number, r.whole = h.runs, r
	r.earlier = h.earlier
	r.running.Store(true)
	ctx, r.cancel = context.WithCancelCause(ctx)
	r.base = ctx
	if r.watching = h.conf.profile || len(h.conf.watch) > 0; h.conf.profile {
		r.startProfile()
	}
	if len(h.conf.observe) > 0 {
		r.attendant = &attendant{}
	}
	r.hop = hop.Join(ctx, h.conf.name)
	r.box.Init()
	if def.out != nil {
		r.openOutlet()
		r.inheritSubscribers()
		r.openFeed()
	}
	if def.child != nil {
		r.kids = newChildren(&r.core, &r.tally, r.box.Post, def.child)
	}
	go r.main(false) // ends with the run; everyone who waits for the run waits for it, through done
	return r
}

// main is the stage goroutine. When a callback calls Goexit the goroutine is lost, and a new one
// takes over where it was: guard has left a verdict, so the run ends. The same way goes what
// panics outside a callback: a dispatcher of the user's, a broken invariant of ours. When a callback is
// abandoned the watchdog takes over (takenOver), and this goroutine ends when that callback has returned.
func (r *run[In, Out]) main(second bool) {
	me, returned := goid.Current(), false
	defer func() {
		r.onGo.CompareAndSwap(me, 0) // goid's rule; unless another has taken over
		if returned || !second && r.callback.Load()&abandoned != 0 {
			return
		}
		value := recover()
		err := r.recovered(value, "Dispatcher", debug.Stack())
		if r.fail(err); value != nil {
			r.survive(err) // a panic while the run ends is not hidden by a clean end
		}
		r.forgetDispatcher() // nothing is dispatched any more
		go r.main(second)
	}()
	r.onGo.Store(me)
	r.turn()
	r.profile.mark("")
	for r.verdict == nil {
		r.step()
	}
	r.conclude()
	returned = true
}

func (r *run[In, Out]) ring() { r.box.Ring() }

// step handles one message, or waits for one.
func (r *run[In, Out]) step() {
	if e := r.aborting.Load(); e != nil {
		r.verdict = e
		return
	}
	if r.next == len(r.batch) {
		if !r.take() {
			return
		}
	} else {
		r.turn()
	}
	m := r.batch[r.next]
	r.next++
	r.receive(m)
	if m.kind == msgAsk && r.next < len(r.batch) && r.batch[r.next].kind == msgAsk {
		return // asks that have come together count as one
	}
	r.settle()
}

// take gets what the mailbox has. If there is nothing it waits for the bell, and returns false.
func (r *run[In, Out]) take() bool {
	clear(r.batch) // they are handled: do not keep alive what they point to while it waits
	r.batch, r.next = r.batch[:0], 0
	if !r.again {
		r.park()
	}
	r.again = false
	r.turn()
	r.batch = r.box.Take(r.batch)
	switch {
	case r.aborting.Load() != nil: // while it was parked: what came behind that must not end it otherwise
		return false
	case len(r.batch) > 0:
		return true
	}
	r.settle() // the bell rang without a message: held events were released, or a timer fired
	return false
}

// park waits for the bell, the poll timer or the channel of FromChannel. Nothing else blocks a running
// stage but the functions of its user. The mailbox comes first.
func (r *run[In, Out]) park() {
	if len(r.box.Bell()) > 0 {
		<-r.box.Bell()
		return
	}
	if n := r.asksThatCanWait(); n > 0 {
		r.box.Rest(n)
	}
	r.rest(r.waits()) // behind what may call a dispatcher of the user's
	if r.def.out != nil {
		r.publishOwed()
	}
	wanted := r.parkOn()
	if r.timer == nil && wanted == nil {
		<-r.box.Bell()
		r.gather()
		return
	}
	var tick <-chan time.Time
	if r.timer != nil {
		tick = r.timer.C
	}
	select {
	case <-r.box.Bell():
	case <-tick:
		r.timer = nil
		r.owed = 0 // not wake: the pause goes on doubling
	case event, ok := <-wanted:
		r.turn()
		r.came(event, ok)
	}
}

// gather lets who is ready to run go first: the children of a consumer supervisor, the subscribers of a producer. The end of a child
// wakes the stage goroutine before all others, so that each of many short ones would cost a wake-up here and, by what is asked, one of
// the producer; and an ask does before the other subscribers have asked.
func (r *run[In, Out]) gather() {
	if r.kids != nil || r.sending != nil && len(r.edges) > 1 {
		runtime.Gosched()
	}
}

// receive handles one message.
func (r *run[In, Out]) receive(m message[In]) {
	if !r.initialized && m.kind != msgInit {
		r.later = append(r.later, m)
		return
	}
	switch m.kind {
	case msgEvents:
		r.arrived(m.sub, m.events)
	case msgAsk:
		r.asked(m.sub)
	case msgCall:
		r.called(m.arg.(*call[Out]))

	case msgSubscribe:
		r.subscribed(m.arg.(*edge[Out]))
	case msgCancel, msgConsumerDown:
		r.consumerGone(m)
	case msgHandBack:
		r.lateHandBack(m.sub.typed.(*edge[Out]), m.arg.([]Out))
	case msgBegunAll:
		r.begunAll(m.sub, m.n)

	case msgAccepted:
		r.accepted(m.sub)
	case msgThatIsAll, msgComplete, msgRefused, msgCancelled, msgProducerDown:
		r.upstreamSaid(m)

	case msgWake:
		r.woken.Store(false)
		r.news = true
		r.wake()
	case msgSubscribeTo:
		r.subscribeTo(m.arg.(*edge[In]))
	case msgSetDemand:
		r.setDemand(m.sub, m.arg.([2]int))
	case msgMode:
		r.setMode(m.n == modeAccumulate)
	case msgRoom:
		r.roomFor(m.sub)
	case msgChild:
		r.kids.home(m.arg.(*child[In]))
	case msgRecheck:
		r.servedBefore = true // or one was to come
		r.missSubscribers()
	case msgStop:
		r.draining = true
		r.stopNow(m.arg.(func(*handle) bool))
		if r.servedBefore {
			r.missSubscribers()
		}

	case msgInit:
		r.callInit()
	case msgConnect:
		r.connectDeclared()
	case msgRelease:
		r.released = true
		if r.hadConsumer {
			r.checkAbandoned()
		}
	}
}

// settle does what has become possible, after every message, and after the last of asks that have come together.
func (r *run[In, Out]) settle() {
	if !r.initialized || r.verdict != nil {
		return
	}
	if r.def.out != nil {
		r.serveBuffer()
	}
	if r.def.onDemand != nil {
		r.askSource() // before the input: it says how much of that may be begun
	}
	if r.def.in != nil {
		if r.queueHead < len(r.queue) || r.expansion != nil {
			r.workQueue()
		}
		r.checkInput()
	}
	switch {
	case r.def.produce != nil || r.feed != nil:
		r.askSource()
	case r.def.onDemand != nil:
		r.again = r.again || r.mayAsk()
	}
	if r.finishing && r.verdict == nil && r.heldNow.Load() == 0 && r.expansion == nil {
		r.checkDelivered()
	}
	if r.def.out != nil {
		if len(r.roomy) > 0 {
			r.giveBackRoom()
		}
		r.publish()
	}
	if r.parted && r.verdict == nil { // else leave will say
		r.part()
	}
}

// callInit runs OnInit, and makes the state that a ready-made producer has per run.
func (r *run[In, Out]) callInit() {
	if err := r.makeDispatcher(); err != nil {
		r.fail(err)
		return
	}
	if r.def.produce != nil {
		r.demand, r.releaseDemand = r.def.produce()
	}
	if init := r.h.conf.onInit; init != nil {
		r.inits(true)
		defer r.inits(false)
		if err := r.guard(inInit, func() error { return init(r.context()) }); err != nil && !errors.Is(err, ErrDone) {
			r.fail(err)
			return
		} else if err != nil {
			r.finish()
		}
	}
	r.initialized = true
	r.batch, r.next, r.later = append(r.later, r.batch[r.next:]...), 0, nil
	r.ready.open()
}

// ends acts on what a callback returned, and reports whether the stage goes on to its end.
func (r *run[In, Out]) ends(err error) bool {
	switch {
	case err == nil:
		return false
	case errors.Is(err, ErrDone):
		r.finish()
	default:
		r.fail(err)
	}
	return true
}

// finish ends the stage normally: no callback gets input any more, upstreams are left, and what
// was emitted is delivered.
func (r *run[In, Out]) finish() {
	if r.finishing || r.verdict != nil {
		return
	}
	if r.feed != nil && !r.fedAll {
		r.stopFeed(nil) // what it has comes first
		return
	}
	if r.def.out == nil && r.heldNow.Load() == 0 { // nothing to wait for
		r.verdict = &ending{clean: true, completed: true}
		return
	}
	r.finishing = true
	r.stopTimer()
	if r.def.in != nil {
		r.leaveUpstreams(&ending{clean: true, completed: true})
	}
}

// checkDelivered ends the run when it is finishing, holds nothing and all it emitted has arrived.
func (r *run[In, Out]) checkDelivered() {
	switch {
	case r.def.out == nil || r.allBegun():
		r.verdict = &ending{clean: true, completed: true}
	case r.verdict == nil && len(r.edges) == 0 && r.hadConsumer: // what it waits for may have been emitted since they left
		r.checkAbandoned()
	}
}

// stopNow begins to drain.
func (r *run[In, Out]) stopNow(inside func(*handle) bool) {
	switch {
	case r.def.produce != nil:
		r.finish()
		r.setMode(false)
	case r.feed != nil:
		r.stopFeed(inside)
		r.setMode(false)
	case !r.declaredMade: // a source may have something already
		r.stopEarly = inside
	default:
		r.cancelOutside(inside)
	}
}

// The launcher's phases.

func (r *run[In, Out]) initialize(func()) *ending {
	r.box.Post(message[In]{kind: msgInit})
	r.ready.wait()
	select {
	case <-r.done:
		if r.endedAs.reason != nil {
			return r.endedAs
		}
	default:
	}
	return nil
}

func (r *run[In, Out]) connect()        { r.box.Post(message[In]{kind: msgConnect}) }
func (r *run[In, Out]) awaitConnected() { r.connected.wait() }
func (r *run[In, Out]) release()        { r.box.Post(message[In]{kind: msgRelease}) }
func (r *run[In, Out]) end() *ending    { return r.endedAs }

// awaits: the run does not end before that goroutine goes on.
func (r *run[In, Out]) awaits(goroutine uint64) bool {
	return r.runsOn(goroutine) || r.kids != nil && r.kids.runOn(goroutine)
}

// stuck names what has not returned at this moment.
func (r *run[In, Out]) stuck() []Stuck {
	var list []Stuck
	if callback := r.inProgressNow(); callback != "" && callback != startCallback { // a start is its child's
		list = append(list, Stuck{Stage: r.name(), Callback: callback})
	}
	if r.kids != nil {
		list = append(list, r.kids.stuck()...)
	}
	return list
}

func (r *run[In, Out]) stop(inside func(*handle) bool) {
	r.box.Post(message[In]{kind: msgStop, arg: inside})
}

// wake has the demand callback called again with all that is open: but for what an accumulating producer is
// going to ask of it, and for what OnDemand has passed on.
func (r *run[In, Out]) wake() {
	r.owed = r.granted + r.keptDemand()
	r.pause = 0
	r.stopTimer()
}

func (r *run[In, Out]) stopTimer() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}
