package stage

import (
	"context"
	"iter"

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
