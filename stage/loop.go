package stage

import (
	"errors"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
)

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
