package stage

import (
	"fmt"
	"math"
	"sync"

	"github.com/go-genstage/genstage/internal/budget"
)

// MaxBudget is the largest limit of a [Budget], in its units.
const MaxBudget = 1 << 48

var _ [0]struct{} = [MaxBudget - budget.Max]struct{}{} // they are one

// Budget is one limit over any number of subscriptions, of any consumers to any producers: on the number of
// events that are at work, or on their weight, in bytes or whatever one counts. Make one with [NewBudget], and
// subscribe to [Charge](source, budget, weigh).
//
// An event is charged when it is dispatched, and its charge is returned when it is finished: when the callback
// has returned, the child has ended, or what was held is released (the oldest first); also when it comes back
// without having been begun, and when the consumer's run ends, however it ends. What does not fit is not
// dispatched: the subscription waits its turn, and counts as having no demand meanwhile, so that other
// subscribers of the producer are served.
//
// The turn: subscriptions wait in order, each of them once. What is light enough to fit may pass one that is too
// heavy, for one limit's worth of weight in all; then that one is next, whatever comes. An event heavier than the
// whole limit is dispatched alone. When corrections ([Subscription.Adjust], [ChargedEvent.Adjust], [Budget.SetLimit]) have made
// what is in use exceed the limit, nothing more is dispatched until that is paid back.
//
// A consumer that holds events of a budget must not wait for others of the same budget: give each layer of a
// pipeline its own.
//
// All methods are safe for concurrent use and never block. A Budget must not be copied. An event costs two short
// locks more than without one.
type Budget struct {
	fault error // of the constructor; read-only

	mu     sync.Mutex // never held across a callback or a send
	ledger budget.Ledger
	tabs   map[*tab]struct{} // guarded by mu: of subscriptions that have had a charge, and may have
}

// NewBudget makes a budget of limit units, from 1 to [MaxBudget]; another is reported by subscribing.
func NewBudget(limit int64) *Budget {
	b := &Budget{ledger: budget.New(limit), tabs: map[*tab]struct{}{}}
	if limit < 1 || limit > MaxBudget {
		b.fault = fmt.Errorf("%w: NewBudget(%d): must be from 1 to %d", ErrInvalidOption, limit, int64(MaxBudget))
	}
	return b
}

// SetLimit changes the limit. What is in use stays so; those that fit now are served. It returns an error that wraps
// [ErrInvalidOption], and changes nothing, for a limit that is not from 1 to [MaxBudget].
func (b *Budget) SetLimit(limit int64) error {
	if b == nil || b.tabs == nil {
		return fmt.Errorf("%w: SetLimit: a Budget that is nil, or that NewBudget did not make", ErrInvalidOption)
	}
	if limit < 1 || limit > MaxBudget {
		return fmt.Errorf("%w: SetLimit(%d): must be from 1 to %d", ErrInvalidOption, limit, int64(MaxBudget))
	}
	b.mu.Lock()
	b.unlockAndWake(b.ledger.SetLimit(limit))
	return nil
}

// Charge makes a source whose events are charged to a budget, by what weigh says of each, or 1 for each if weigh
// is nil. weigh is called on the producer's goroutine when an event is about to be dispatched, and again if it has
// to wait: it must be quick, give the same for the same event, and change nothing. A weight of 0 counts as 1. An event for which it
// panics or returns less than 0 is for nobody: it is dropped and counted ([OutputStats].Dropped), and the first one of a
// run logged.
//
// A subscription has one budget: a Charge of a Charge, and a Charge with [Lag], are refused. So is a Charge from a dispatcher of the
// user's that is no [BudgetDispatcher]. Of a [Broadcast] an event is dispatched when it fits for all its charged
// subscribers at once. Charge panics if the budget is nil.
func Charge[T any](src Source[T], b *Budget, weigh func(event T) int64) Source[T] {
	if b == nil {
		panic("stage: Charge: nil budget")
	}
	return decorate(src, func(r *Request[T]) {
		switch {
		case r.budget != nil:
			r.fault = fmt.Errorf("%w: Charge: the source is charged already", ErrInvalidOption)
		case b.fault != nil:
			r.fault = b.fault
		}
		r.Charged, r.budget, r.weigh = true, b, weigh
	})
}

// What the producer's stage does.

// Admit asks the budgets of subscribers for room for one event. It implements [Outlet].
func (r *run[In, Out]) Admit(event Out, ids []SubID) Admission {
	r.tabs, r.weighs = r.tabs[:0], r.weighs[:0]
	for _, id := range ids {
		e := r.edges[id]
		if e == nil || e.tab == nil {
			continue
		}
		weight, err := r.weigh(e, event)
		if err != nil {
			r.Dropped(1, err)
			return Failed
		}
		r.tabs, r.weighs = append(r.tabs, e.tab), append(r.weighs, weight)
	}
	ok := true
	switch len(r.tabs) {
	case 0:
	case 1:
		ok = r.tabs[0].charge(r.weighs[0])
	default:
		ok = chargeAll(r.tabs, r.weighs)
	}
	if !ok {
		return Refused
	}
	return Admitted
}

// weigh asks the user's function what an event weighs: as all of the user's, it may not return.
func (r *run[In, Out]) weigh(e *edge[Out], event Out) (weight int64, err error) {
	if e.request.weigh == nil {
		return 1, nil
	}
	f := fence{&r.core}
	defer f.leave(f.enter())
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("stage: Charge: weigh panicked: %v", v)
		}
	}()
	if weight = e.request.weigh(event); weight < 0 {
		err = fmt.Errorf("stage: Charge: weigh returned %d: must be at least 0", weight)
	}
	return weight, err
}

// giveBackRoom ends a step: what was granted to subscribers in it, and found no event, is others' again.
func (r *run[In, Out]) giveBackRoom() {
	for _, e := range r.roomy {
		e.tab.giveUpGrant()
	}
	clear(r.roomy)
	r.roomy = r.roomy[:0]
}

// spare has the buffer keep, beyond its size, what has been asked for and waits only for room in a budget.
func (r *run[In, Out]) spare() {
	if r.budgeting != nil {
		r.buf.Spare(int(min(r.budgeting.Blocked(), math.MaxInt/2)))
	}
}

// BudgetStats tells who has what of a [Budget], at one moment.
type BudgetStats struct {
	Limit, Used int64       // in units; Used may exceed Limit: an event that goes alone, corrections
	Holders     []BudgetUse // subscriptions with charges, in no order
	Waiters     []BudgetUse // subscriptions that wait, the next one first; they may have charges too
}

// BudgetUse is the part that one subscription has in a [Budget].
type BudgetUse struct {
	Producer, Consumer, Label string

	Events int64 // charged and not finished
	Weight int64 // of those; of a waiter, of the event that it waits with
}

// Stats tells who holds what, and who waits.
func (b *Budget) Stats() BudgetStats {
	if b == nil {
		return BudgetStats{}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	s := BudgetStats{Limit: b.ledger.Limit(), Used: b.ledger.Used()}
	for t := range b.tabs {
		if t.events > 0 {
			s.Holders = append(s.Holders, t.use(t.sum))
		}
	}
	for _, w := range b.ledger.Waiting() {
		t := w.Owner.(*tab)
		s.Waiters = append(s.Waiters, t.use(w.Weight()))
	}
	return s
}

func (t *tab) use(weight int64) BudgetUse {
	return BudgetUse{Producer: t.sub.Producer(), Consumer: t.sub.Consumer(), Label: t.sub.Label(), Events: t.events, Weight: weight}
}
