package stage

import (
	"context"
	"fmt"
	"slices"

	"github.com/go-genstage/genstage/internal/budget"
)

// tab is what one subscription has been charged. Its two sides share it: the producer's stage charges, the consumer's
// returns. A nil tab, of a subscription without budget, does nothing.
type tab struct {
	b    *Budget                 // read-only
	sub  *Subscription           // read-only
	wake func(sub *Subscription) // tells the producer that there may be room; set before the subscription is accepted

	// guarded by b.mu
	waiter  budget.Waiter
	charges weights // of events that are not finished, the oldest first; those with children are not among them
	sum     int64   // of charges, and of children
	events  int64   // how many those are
	listed  bool    // in b.tabs
	closed  bool    // the consumer's run has ended
}

// newTab returns the tab of a subscription; nil if there is no budget.
func newTab(b *Budget, sub *Subscription) *tab {
	if b == nil {
		return nil
	}
	t := &tab{b: b, sub: sub}
	t.waiter.Owner = t
	return t
}

// unlockAndWake unlocks mu and tells the producers of those that were granted.
func (b *Budget) unlockAndWake(granted []*budget.Waiter) {
	if len(granted) == 0 {
		b.mu.Unlock()
		return
	}
	var few [4]*tab
	tabs := few[:0]
	for _, w := range granted {
		tabs = append(tabs, w.Owner.(*tab))
	}
	b.mu.Unlock()
	for _, t := range tabs {
		t.wake(t.sub)
	}
}

// charge charges one event to t, or has t wait. Nothing is charged to a consumer that has ended: what is sent to it
// comes back.
func (t *tab) charge(weight int64) bool {
	t.b.mu.Lock()
	ok, granted := t.admit(budget.Clamp(weight))
	if ok {
		t.put(weight)
	}
	t.b.unlockAndWake(granted)
	return ok
}

// chargeAll charges one event to several tabs, with a weight for each, or to none of them.
func chargeAll(tabs []*tab, weighs []int64) bool {
	for i, t := range tabs {
		if firstOf(tabs, t.b) < i {
			continue
		}
		if !t.b.chargeOwn(tabs, weighs) {
			for _, other := range tabs {
				if firstOf(tabs, other.b) < i {
					other.giveBack(1)
				}
			}
			return false
		}
	}
	return true
}

// firstOf returns the index of the first tab of b.
func firstOf(tabs []*tab, b *Budget) int {
	return slices.IndexFunc(tabs, func(t *tab) bool { return t.b == b })
}

// chargeOwn is chargeAll for those of the tabs that are b's: the first of them stands, and waits, for all.
func (b *Budget) chargeOwn(tabs []*tab, weighs []int64) bool {
	b.mu.Lock()
	var first *tab
	sum := int64(0)
	for k, t := range tabs {
		if t.b == b && !t.closed {
			if first == nil {
				first = t
			}
			sum += budget.Clamp(weighs[k])
		}
	}
	if first == nil {
		b.mu.Unlock()
		return true
	}
	ok, granted := first.admit(sum)
	if ok {
		for k, t := range tabs {
			if t.b == b {
				t.put(weighs[k])
			}
		}
	}
	b.unlockAndWake(granted)
	return ok
}

// admit asks the ledger. The caller holds b.mu.
func (t *tab) admit(weight int64) (ok bool, granted []*budget.Waiter) {
	if t.closed {
		return true, nil
	}
	return t.b.ledger.Admit(&t.waiter, weight)
}

// put notes a charge that the ledger has admitted. The caller holds b.mu.
func (t *tab) put(weight int64) {
	if t.closed {
		return
	}
	weight = budget.Clamp(weight)
	t.charges.push(weight)
	t.sum += weight
	t.events++
	if !t.listed {
		t.listed = true
		t.b.tabs[t] = struct{}{}
	}
}

// pay returns the weight of n events to the budget. The caller holds b.mu.
func (t *tab) pay(n, weight int64) []*budget.Waiter {
	t.events -= n
	t.sum -= weight
	return t.b.ledger.Release(weight)
}

// finish returns the charges of the n oldest events.
func (t *tab) finish(n int64) {
	if t == nil || n <= 0 {
		return
	}
	t.b.mu.Lock()
	n = min(n, int64(t.charges.len()))
	t.b.unlockAndWake(t.pay(n, t.charges.popFront(int(n))))
}

// giveBack returns the charges of the n events that were charged last: they go back to the producer.
func (t *tab) giveBack(n int64) {
	if t == nil || n <= 0 {
		return
	}
	t.b.mu.Lock()
	n = min(n, int64(t.charges.len()))
	t.b.unlockAndWake(t.pay(n, t.charges.popBack(int(n))))
}

// leave ends the wait of t, and gives back a grant that was not used.
func (t *tab) leave() {
	if t == nil {
		return
	}
	t.b.mu.Lock()
	t.b.unlockAndWake(t.b.ledger.Leave(&t.waiter))
}

// giveUpGrant gives back a grant that was not used.
func (t *tab) giveUpGrant() {
	t.b.mu.Lock()
	if !t.waiter.Granted() {
		t.b.mu.Unlock()
		return
	}
	t.b.unlockAndWake(t.b.ledger.Leave(&t.waiter))
}

// close returns everything, since the consumer's run has ended.
func (t *tab) close() {
	if t == nil {
		return
	}
	t.b.mu.Lock()
	t.closed = true
	t.charges = weights{}
	granted := slices.Clone(t.b.ledger.Leave(&t.waiter))
	granted = append(granted, t.pay(t.events, t.sum)...)
	delete(t.b.tabs, t)
	t.b.unlockAndWake(granted)
}

// closeEmpty closes t if it has no charges, and none can come, and reports whether it did.
func (t *tab) closeEmpty() bool {
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	if t.events > 0 {
		return false
	}
	t.closed = true
	delete(t.b.tabs, t)
	return true
}

// adjust corrects the weight of the oldest event.
func (t *tab) adjust(units int64) error {
	switch {
	case t == nil:
		return fmt.Errorf("%w: Adjust: the subscription is charged to no budget", ErrInvalidOption)
	case units < 0:
		return fmt.Errorf("%w: Adjust(%d): must be at least 0", ErrInvalidOption, units)
	}
	t.b.mu.Lock()
	if t.closed || t.charges.len() == 0 {
		t.b.mu.Unlock()
		return ErrEnded
	}
	oldest := t.charges.front()
	old := *oldest
	now := budget.Clamp(units)
	granted := t.b.ledger.Correct(old, now)
	*oldest = now
	t.sum += now - old
	t.b.unlockAndWake(granted)
	return nil
}

// weights is a queue of charges.
type weights struct {
	all  []int64
	head int
}

func (w *weights) len() int      { return len(w.all) - w.head }
func (w *weights) front() *int64 { return &w.all[w.head] }
func (w *weights) push(n int64) {
	if w.head > len(w.all)/2 { // it moves up by more than it has left
		w.all = w.all[:copy(w.all, w.all[w.head:])]
		w.head = 0
	}
	w.all = append(w.all, n)
}

// popFront takes off the n oldest, and returns their sum.
func (w *weights) popFront(n int) (sum int64) {
	for _, weight := range w.all[w.head : w.head+n] {
		sum += weight
	}
	w.head += n
	return sum
}

// popBack takes off the n newest, and returns their sum.
func (w *weights) popBack(n int) (sum int64) {
	for _, weight := range w.all[len(w.all)-n:] {
		sum += weight
	}
	w.all = w.all[:len(w.all)-n]
	return sum
}

// ChargedEvent is what the event of one child of a [ConsumerSupervisor] is charged: see [ChargeFrom].
type ChargedEvent struct {
	t      *tab
	weight int64 // guarded by t.b.mu; -1: returned
}

// chargeKey finds the ChargedEvent in the context of a child.
type chargeKey struct{}

// ChargeFrom returns what the child with this context was charged for its event; nil if nothing, as its
// subscription has no budget.
func ChargeFrom(ctx context.Context) *ChargedEvent {
	c, _ := ctx.Value(chargeKey{}).(*ChargedEvent)
	return c
}

// Adjust sets what the child's event weighs, once that is known better than Charge could. It may
// exceed the limit: then nothing more is dispatched until that is paid back. 0 counts as 1. It returns [ErrEnded] when the child has
// ended, and an error that wraps [ErrInvalidOption] for less than 0 and on a nil ChargedEvent; then nothing changes. It
// never blocks. Safe for concurrent use.
func (c *ChargedEvent) Adjust(units int64) error {
	switch {
	case c == nil:
		return fmt.Errorf("%w: Adjust: the event is charged to no budget", ErrInvalidOption)
	case units < 0:
		return fmt.Errorf("%w: Adjust(%d): must be at least 0", ErrInvalidOption, units)
	}
	t := c.t
	t.b.mu.Lock()
	if t.closed || c.weight < 0 {
		t.b.mu.Unlock()
		return ErrEnded
	}
	now := budget.Clamp(units)
	granted := t.b.ledger.Correct(c.weight, now)
	t.sum += now - c.weight
	c.weight = now
	t.b.unlockAndWake(granted)
	return nil
}

// take moves the charge of the oldest event to a child; nil if there is none.
func (t *tab) take() *ChargedEvent {
	if t == nil {
		return nil
	}
	t.b.mu.Lock()
	defer t.b.mu.Unlock()
	if t.charges.len() == 0 {
		return nil
	}
	return &ChargedEvent{t: t, weight: t.charges.popFront(1)}
}

// settle returns the charge of a child.
func (c *ChargedEvent) settle() {
	if c == nil {
		return
	}
	t := c.t
	t.b.mu.Lock()
	if t.closed || c.weight < 0 {
		t.b.mu.Unlock()
		return
	}
	weight := c.weight
	c.weight = -1
	t.b.unlockAndWake(t.pay(1, weight))
}
