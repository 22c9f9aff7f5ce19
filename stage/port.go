package stage

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-genstage/genstage/internal/goid"
	"github.com/go-genstage/genstage/internal/hop"
)

// Source is what a consumer can subscribe to: a [Producer], a [Queue] or a [ProducerConsumer] of T, or a
// part of one ([Where], [Partition]). It is made by this package only; a struct that embeds one stands for it.
type Source[T any] interface {
	// Name returns the name of the stage.
	Name() string

	port() *outPort[T]
	request() Request[T]
}

// portOf returns where to subscribe to a source; nil if there is none.
func portOf[T any](src Source[T]) (port *outPort[T]) {
	if src == nil {
		return nil
	}
	defer func() {
		if recover() != nil { // a struct of the user's that is nil, or in which the source is
			port = nil
		}
	}()
	return src.port()
}

// outPort is the typed side of a stage that emits: where subscribers of T meet its runs.
type outPort[T any] struct {
	h *handle

	serve   func(*edge[T]) bool // guarded by h.mu: posts to the current run; nil when there is none
	waiting []*edge[T]          // guarded by h.mu: declared subscriptions for when it runs
}

// attached is what became of a subscription on its way to the producer.
type attached uint8

const (
	attachedToRun   attached = iota // the run will answer
	attachedWaiting                 // for a run to come
	attachedDone                    // the last run completed: nothing will come
	attachedOver                    // its run within the same call of Run has ended: none will come
	attachedNone                    // no run, and the subscription does not wait
)

// attach hands e to the current run, or lets it wait for the next one.
func (p *outPort[T]) attach(e *edge[T]) attached {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	switch {
	case p.serve != nil && p.serve(e):
		return attachedToRun
	case !e.waits:
		return attachedNone
	case p.h.run != nil || p.h.ended == nil || p.h.comesBackLocked(e.kept):
	case p.h.completed:
		return attachedDone
	case p.h.partOf == e.in || e.until:
		return attachedOver
	}
	p.waiting = append(p.waiting, e)
	e.Subscription.waiting.Store(true)
	return attachedWaiting
}

// passedBy hands e, which will be left at once, to the current run, or has the next one within the same call of Run count
// it as a subscriber that it had. It reports whether there is a run that will answer.
func (p *outPort[T]) passedBy(e *edge[T]) bool {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	if p.serve != nil && p.serve(e) {
		return true
	}
	if p.h.partOf == e.in {
		p.h.served = e.in
	}
	return false
}

// detach takes a waiting subscription back; false if it does not wait (any more).
func (p *outPort[T]) detach(e *edge[T]) bool {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	for i, w := range p.waiting {
		if w == e {
			p.waiting = append(p.waiting[:i], p.waiting[i+1:]...)
			return true
		}
	}
	return false
}

// awaited reports whether a declared subscription waits for a run, or a consumer is expected that a supervisor
// restarts, or that has outlived a restart of this stage.
func (p *outPort[T]) awaited() bool {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	return len(p.waiting) > 0 || len(p.h.expected) > 0
}

// opened connects those that wait to the run that begins. The caller holds h.mu.
func (p *outPort[T]) opened(serve func(*edge[T]) bool) {
	p.serve = serve
	for _, e := range p.waiting {
		e.Subscription.waiting.Store(false)
		serve(e)
	}
	p.waiting = nil
}

// closed forgets the run that has ended, and tells those that wait in vain.
func (p *outPort[T]) closed(final Stats, e *ending) {
	p.h.mu.Lock()
	p.h.closedLocked(final, e)
	p.serve = nil
	vain := p.inVain()
	p.h.mu.Unlock()
	p.tellWaiting(vain, e)
}

// forsaken tells those that wait in vain, now that no supervisor will run the stage again.
func (p *outPort[T]) forsaken() {
	p.h.mu.Lock()
	var vain []*edge[T]
	e := p.h.ended
	if e != nil {
		vain = p.inVain()
	}
	p.h.mu.Unlock()
	p.tellWaiting(vain, e)
}

// inVain takes out those that wait in vain. If a supervisor will run the stage again, nobody does. Else, when the
// last run completed, those that wait are complete too; and otherwise those wait on that don't belong to the same
// call of Run, within which no other run will come. The caller holds h.mu, and the stage does not run.
func (p *outPort[T]) inVain() (vain []*edge[T]) {
	var waiting []*edge[T]
	for _, w := range p.waiting {
		if !p.h.comesBackLocked(w.kept) && (p.h.completed || w.in == p.h.partOf || w.until) {
			vain = append(vain, w)
		} else {
			waiting = append(waiting, w)
		}
	}
	p.waiting = waiting
	return vain
}

// tellWaiting tells those that wait in vain that the last run has ended.
func (p *outPort[T]) tellWaiting(vain []*edge[T], e *ending) {
	for _, w := range vain {
		if e.completed {
			w.inbox.Post(message[T]{kind: msgComplete, sub: &w.Subscription})
		} else {
			w.inbox.Post(message[T]{kind: msgProducerDown, sub: &w.Subscription, arg: e})
		}
	}
}

// inPort is the typed side of a stage that consumes: what it subscribes to in every run.
type inPort[T any] struct {
	h        *handle
	declared []declaration[T] // guarded by h.mu
}

// list returns what is declared now.
func (p *inPort[T]) list() []declaration[T] {
	p.h.mu.Lock()
	defer p.h.mu.Unlock()
	return p.declared[:len(p.declared):len(p.declared)]
}

// declares reports whether the stage subscribes to src in every run.
func (p *inPort[T]) declares(src *outPort[T]) bool {
	return slices.ContainsFunc(p.list(), func(d declaration[T]) bool { return d.source == src })
}

// declaration is one SubscribeTo.
type declaration[T any] struct {
	source  *outPort[T]
	request Request[T]
	options subscribeConfig
	site    string // of the call of SubscribeTo
	index   int    // in declared
}

// subscribeTo declares a subscription; faults are kept for Run. It returns false on a fault.
func (p *inPort[T]) subscribeTo(src Source[T], opts []SubscribeOption, site string) (declaration[T], bool) {
	d, err := declare(p.h, src, opts)
	if err == nil && !d.options.allowDuplicate {
		p.h.mu.Lock()
		for _, other := range p.declared {
			if other.source == d.source {
				err = fmt.Errorf("%w: to %q; AllowDuplicate permits it", ErrAlreadySubscribed, d.source.h.conf.name)
			}
		}
		p.h.mu.Unlock()
	}
	if err == nil {
		err = p.h.addSource(d.source.h)
	}
	if err != nil {
		p.h.fault(fmt.Errorf("%s: SubscribeTo: %w", site, err))
		return d, false
	}
	p.h.mu.Lock()
	d.site, d.index = site, len(p.declared)
	p.declared = append(p.declared, d)
	p.h.mu.Unlock()
	return d, true
}

// declare checks a source and its options.
func declare[T any](h *handle, src Source[T], opts []SubscribeOption) (declaration[T], error) {
	var d declaration[T]
	d.source = portOf(src)
	if d.source == nil || d.source.h == nil {
		return d, fmt.Errorf("%w: the source is nil, or no constructor made it", ErrInvalidStage)
	}
	if d.source.h == h {
		return d, fmt.Errorf("%w: %q subscribes to itself", ErrCycle, h.conf.name)
	}
	if d.request = src.request(); d.request.fault != nil {
		return d, d.request.fault
	}
	c := &d.options
	c.max = DefaultMaxDemand
	for _, o := range opts {
		if o == nil {
			return d, fmt.Errorf("%w: a nil SubscribeOption", ErrInvalidOption)
		}
		o(c)
	}
	if c.max < 1 {
		return d, fmt.Errorf("%w: MaxDemand(%d): must be at least 1", ErrInvalidOption, c.max)
	}
	supervisor := h.kind == kindConsumerSupervisor
	if !c.minSet && !supervisor {
		c.min = c.max / 2
	}
	if c.manual && supervisor {
		return d, fmt.Errorf("%w: Manual: a consumer supervisor asks as its children end", ErrInvalidOption)
	}
	if c.min < 0 || c.min >= c.max {
		return d, fmt.Errorf("%w: MinDemand(%d): must be from 0 to %d, one less than max demand", ErrInvalidOption, c.min, c.max-1)
	}
	if c.lagSet && (c.lag < 1 || c.lagPolicy > LagDisconnect) {
		return d, fmt.Errorf("%w: Lag(%d, %d): must be at least 1, with one of the policies", ErrInvalidOption, c.lag, c.lagPolicy)
	}
	d.request.Lag, d.request.Policy = c.lag, c.lagPolicy
	if c.mode > CancelTemporary {
		return d, fmt.Errorf("%w: Cancel(%d): no such mode", ErrInvalidOption, c.mode)
	}
	return d, nil
}

// subscribeToOn is SubscribeTo of all kinds that consume; the exported method must call it directly, for the
// call site.
func subscribeToOn[In, Out any](in *inPort[In], src Source[In], opts []SubscribeOption) {
	if in.h == nil {
		return // no constructor made it, as Run will say
	}
	d, ok := in.subscribeTo(src, opts, callSite(2))
	if !ok {
		return
	}
	if r, err := runOf[In, Out](in.h, "SubscribeTo"); err == nil {
		e := r.newEdge(d)
		e.waits = true
		r.box.Post(message[In]{kind: msgSubscribeTo, arg: e})
	}
}

// subscribeOn is Subscribe of all kinds that consume.
func subscribeOn[In, Out any](ctx context.Context, h *handle, src Source[In], opts []SubscribeOption) (*Subscription, error) {
	return resubscribeOn[In, Out](ctx, h, nil, nil, src, opts)
}

// resubscribeOn is Resubscribe of all kinds that consume, and Subscribe without an old subscription.
func resubscribeOn[In, Out any](ctx context.Context, h *handle, old *Subscription, reason error, src Source[In], opts []SubscribeOption) (*Subscription, error) {
	what := "Subscribe"
	if old != nil {
		what = "Resubscribe"
	}
	r, err := runOf[In, Out](h, what)
	if err != nil {
		return nil, err
	}
	if r.runsOn(goid.Current()) {
		return nil, r.refusal(what, ErrSelfCall)
	}
	if old != nil {
		if its, ok := old.consumer.(*run[In, Out]); !ok || its.h != h {
			return nil, r.refusal(what, fmt.Errorf("%w: the subscription to replace is of %q", ErrInvalidOption, old.Consumer()))
		}
	}
	if ctx.Err() != nil {
		return nil, cause(ctx)
	}
	d, err := declare(h, src, opts)
	if err == nil {
		if run, _ := d.source.h.current(); run != nil && run.awaits(goid.Current()) {
			err = ErrSelfCall // it must accept, and is the one that waits
		} else {
			err = h.addSource(d.source.h)
		}
	}
	if err != nil {
		return nil, r.refusal(what, err)
	}
	e := r.newEdge(d)
	e.dynamic, e.reply = true, make(chan error, 1)
	e.replaces, e.replacing = old, sound(reason)
	if !r.box.Post(message[In]{kind: msgSubscribeTo, arg: e}) {
		h.removeSource(d.source.h)
		return nil, r.refusal(what, ErrEnded)
	}
	turn := func() {}
	if r.hop != nil {
		turn = hop.Turn(r.context(), what)
	}
	select {
	case err = <-e.reply:
	case <-ctx.Done():
		turn()
		if e.replied.CompareAndSwap(0, replyUnwanted) {
			return nil, cause(ctx)
		}
		err = <-e.reply
	}
	if err != nil {
		return nil, r.refusal(what, fmt.Errorf("to %q: %w", e.Producer(), err))
	}
	return &e.Subscription, nil
}
