package sim

import (
	"context"
	"errors"
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// BudgetOptions are those of one budget.
type BudgetOptions struct {
	Limit   int64
	Weights int // the weight of an event is from 1 to that; 0: nothing weighs, each is 1
	Heavy   int // one in so many is heavier than the limit; 0: none
	Bad     int // weighing one in so many fails; 0: none
}

// budget is one of them at work.
type budget struct {
	*stage.Budget
	o         BudgetOptions
	corrected bool // Adjust or SetLimit has been called
	copied    bool // a broadcast is charged: one event is several
}

// budgets draws budgets, and who is charged to them. All sinks share: what is begun there waits for nobody. A relay has
// its own, since what it holds waits for sinks.
func (o *Options) budgets(d draw) {
	if d.below(3) > 0 {
		return
	}
	for range 1 + d.below(2) {
		o.Budgets = append(o.Budgets, d.budget())
	}
	shared := len(o.Budgets)
	for i := range o.Stages {
		own := 0
		for _, at := range o.Stages[i].Inputs {
			in := &o.Inputs[at]
			switch {
			case in.Lag > 0: // is refused
			case o.Stages[i].Kind.sink():
				in.Budget = d.below(shared+2) % (shared + 1)
			case own > 0:
				in.Budget = own
			case d.once(3):
				o.Budgets = append(o.Budgets, d.budget())
				own = len(o.Budgets)
				in.Budget = own
			}
		}
	}
}

func (d draw) budget() BudgetOptions {
	return BudgetOptions{
		Limit: int64([]int{1, 1 + d.below(10), 20 + d.below(100)}[d.below(3)]), Weights: []int{0, 1, 5}[d.below(3)],
		Heavy: []int{0, 11}[d.below(2)], Bad: []int{0, 0, 13}[d.below(3)],
	}
}

func (w *world) makeBudgets() {
	for _, o := range w.o.Budgets {
		w.budgets = append(w.budgets, &budget{Budget: stage.NewBudget(o.Limit), o: o})
	}
}

// charge has a source charged.
func (w *world) charge(in InputOptions, src stage.Source[event]) stage.Source[event] {
	b := w.budgets[in.Budget-1]
	b.copied = b.copied || w.nodes[in.From].o.Dispatch == Broadcast
	if b.o.Weights == 0 {
		return stage.Charge(src, b.Budget, nil)
	}
	return stage.Charge(src, b.Budget, func(e event) int64 {
		switch {
		case b.o.Bad > 0 && e.N%b.o.Bad == 0:
			w.reach(WeighFailed)
			if e.N%2 == 0 {
				panic(planted)
			}
			return -1
		case b.o.Heavy > 0 && e.N%b.o.Heavy == 0:
			return 2*b.o.Limit + 1
		}
		return int64(e.N % (b.o.Weights + 1)) // 0 counts as 1
	})
}

// blocked returns the labels of subscriptions that wait for room.
func (w *world) blocked() map[string]bool {
	if len(w.budgets) == 0 {
		return nil
	}
	all := map[string]bool{}
	for _, b := range w.budgets {
		for _, u := range b.Stats().Waiters {
			all[u.Label] = true
		}
	}
	return all
}

// within holds the budgets against who has what, when nothing moves.
func (w *world) within() {
	for i, b := range w.budgets {
		s := b.Stats()
		var weight, events int64
		for _, u := range s.Holders {
			weight += u.Weight
			events += u.Events
			w.holds(u)
		}
		if len(s.Waiters) > 0 {
			w.reach(BudgetWaited)
		}
		switch {
		case s.Used < weight || s.Used > weight && !w.inside(): // else a producer may not know of its grant yet
			w.violate("budget %d: %d are in use, its holders have %d", i, s.Used, weight)
		case s.Used > s.Limit && events == 0: // granted
		case s.Used > s.Limit && events == 1:
			w.reach(WentAlone)
		case s.Used > s.Limit && (b.corrected || b.copied):
			w.reach(Overdrawn)
		case s.Used > s.Limit:
			w.violate("budget %d: %d are in use of %d, by %d events", i, s.Used, s.Limit, events)
		}
		if len(s.Waiters) > 0 && (s.Used == 0 || s.Used+s.Waiters[0].Weight <= s.Limit) {
			w.violate("budget %d: %d are in use of %d, and %+v waits", i, s.Used, s.Limit, s.Waiters[0])
		}
	}
}

// holds compares what a subscription is charged with what its consumer has not finished.
func (w *world) holds(use stage.BudgetUse) {
	made := 0 // subscriptions with that label: an earlier one may have what is held
	for _, t := range w.order {
		if t.sub.Label() == use.Label {
			made++
		}
	}
	for _, n := range w.nodes {
		if n.name != use.Consumer || n.inside != "" || made > 1 {
			continue
		}
		for _, u := range n.stage.Stats().Upstreams {
			has := u.Sent - u.Finished // and those whose children failed
			if u.Label == use.Label && u.Refused == 0 && u.Sent > 0 && has != use.Events && (n.o.Kind != Children || has < use.Events) {
				w.violate("%s is charged for %d events of %s, and has %d", n.name, use.Events, use.Producer, has)
			}
		}
	}
}

// leavesCharged notes that a stage fails with events that are charged.
func (n *node) leavesCharged(reason error) {
	for _, b := range n.w.budgets {
		for _, u := range b.Stats().Holders {
			if u.Consumer == n.name && reason != nil {
				n.w.reach(HolderFailed)
			}
		}
	}
}

// paid holds the budgets against there being nobody who has anything.
func (w *world) paid() {
	for i, b := range w.budgets {
		if s := b.Stats(); s.Used != 0 || len(s.Holders)+len(s.Waiters) > 0 {
			w.violate("budget %d: all has ended, and there is %+v", i, s)
		}
	}
}

// limit changes the limit of a budget.
func (w *world) limit(who string) {
	if len(w.budgets) == 0 {
		return
	}
	b := pick(w, w.budgets)
	to := int64(1 + w.below(int(2*b.o.Limit)))
	w.trace.add(who, "sets a limit of %d to %d", b.o.Limit, to)
	b.corrected = true
	if to < b.Stats().Used {
		w.reach(LimitCut)
	}
	w.answered(who, b.SetLimit(to))
}

// adjust corrects what an event weighs.
func (w *world) adjust(who string) {
	t := w.some()
	if t == nil || t.in.Budget == 0 {
		return
	}
	b := w.budgets[t.in.Budget-1]
	b.corrected = true
	err := t.sub.Adjust(int64(w.below(int(2 * b.o.Limit))))
	w.trace.add(who, "corrects what %s has of %s%s", t.to.name, t.from.name, said(err))
	if err == nil {
		w.reach(Adjusted)
	}
	w.answered(who, err)
}

// adjustOwn has a child correct what its event weighs.
func (n *node) adjustOwn(ctx context.Context) {
	charge := stage.ChargeFrom(ctx)
	if charge == nil || !n.w.once(4) {
		return
	}
	for _, b := range n.w.budgets {
		b.corrected = true
	}
	err := charge.Adjust(int64(n.w.below(20)))
	if err != nil && !errors.Is(err, stage.ErrEnded) {
		n.w.violate("%s: a child corrects its charge: %v", n.name, err)
	}
	n.w.reach(Adjusted)
}

// String prints the options.
func (o BudgetOptions) String() string {
	return fmt.Sprintf("budget of %d, weights to %d, heavy 1/%d, bad 1/%d", o.Limit, o.Weights, o.Heavy, o.Bad)
}
