package explore

import (
	"fmt"

	"github.com/go-genstage/genstage/stage"
)

// world is a state of all stages of a plan. It is a [Model].
type world struct {
	plan  *Plan
	nodes []*node // the producer, the one in the middle if there is one, the consumers

	next int    // the event that the source emits next, from 1 on
	back []bool // by event: it was handed back, and keeps no order any more

	pushes, cancels, crashes int // that may still come
	stopped                  bool
	fault                    error // the first violation of the move in progress
}

// New returns the first state of a plan.
func New(p *Plan) Model {
	w := &world{
		plan: p, next: 1, back: make([]bool, p.Events+1),
		pushes: p.Pushes, cancels: p.Cancels, crashes: p.Crashes,
	}
	last := w.add("producer", nil, &outlet{})
	if p.Middle {
		middle := w.add("middle", &intake{source: last}, &outlet{})
		last.open(func() (stage.Dispatcher[int], error) { return stage.Demand[int]() })
		last = middle
	}
	for i := range p.Consumers {
		w.add(fmt.Sprintf("consumer %d", i), &intake{source: last, place: i}, nil)
	}
	if p.Beside {
		w.add("beside", &intake{source: w.nodes[0]}, nil)
	}
	last.open(p.Dispatch)
	w.nodes[0].life = running
	return w
}

func (w *world) add(name string, in *intake, out *outlet) *node {
	n := &node{w: w, name: name, in: in, out: out}
	w.nodes = append(w.nodes, n)
	return n
}

func (w *world) violated(format string, args ...any) {
	if w.fault == nil {
		w.fault = fmt.Errorf(format, args...)
	}
}

// Moves implements [Model].
func (w *world) Moves() (moves []Move) {
	for i, n := range w.nodes {
		add := func(fault bool, what string, k int) {
			moves = append(moves, Move{What: what, Who: i, By: n.name, N: k, Fault: fault})
		}
		switch n.life {
		case unborn:
			add(false, "start", 0)
		case failing, completing, leaving:
			add(false, "end", 0)
		case over:
			if n.in != nil && n.out == nil && w.plan.Restart && n.in.failed {
				add(false, "restart", 0)
			}
		default:
			switch {
			case n.in != nil && len(n.in.hand) > 0:
				add(false, "handle", 0)
			case len(n.box) > 0:
				add(false, "receive", 0)
			}
			if n.in == nil && n.life == running {
				w.sourceMoves(n, add)
			}
			if n.in != nil {
				w.faultMoves(n, add)
			}
		}
	}
	if w.plan.Stop && !w.stopped {
		moves = append(moves, Move{What: "stop", Who: -1, Fault: true})
	}
	return moves
}

// sourceMoves adds what the source may do: answer, now or later, in parts or at once.
func (w *world) sourceMoves(n *node, add func(bool, string, int)) {
	left := w.plan.Events + 1 - w.next
	if answer := int(min(n.out.owed, int64(left))); answer > 0 {
		add(false, "emit", 1)
		if answer > 1 {
			add(false, "emit", answer)
		}
	}
	if w.pushes > 0 && left > 0 && n.out.owed == 0 {
		add(true, "push", 1)
	}
}

func (w *world) faultMoves(n *node, add func(bool, string, int)) {
	if w.crashes > 0 {
		add(true, "fail", 0)
	}
	if s := n.in.current(); w.cancels > 0 && n.out == nil && s != nil && s.state == subActive {
		add(true, "cancel", 0)
	}
}

// Make implements [Model].
func (w *world) Make(m Move) error {
	if m.Who < 0 {
		w.stop()
	} else {
		w.nodes[m.Who].move(m.What, m.N)
	}
	w.check()
	return w.fault
}

func (n *node) move(name string, k int) {
	switch name {
	case "start", "restart":
		n.start()
	case "handle":
		n.handleChunk()
		n.settle()
	case "receive":
		m := n.box[0]
		n.box = n.box[1:]
		n.receive(m)
		n.settle()
	case "end":
		n.conclude()
	case "emit", "push":
		n.answer(k, name == "push")
	case "fail":
		n.w.crashes--
		n.fail()
	case "cancel":
		n.w.cancels--
		s := n.in.current()
		s.cancels = true
		s.up(message{kind: stage.MessageCancel})
	default:
		panic("explore: no move " + name)
	}
}

// stop has the source end and the others run down, as Stop of a pipeline does.
func (w *world) stop() {
	w.stopped = true
	for _, n := range w.nodes {
		n.post(message{kind: msgStop})
	}
}

// answer is the source's: k events that it was asked for, or not.
func (n *node) answer(k int, push bool) {
	w := n.w
	if push {
		w.pushes--
	}
	events := make([]int, k)
	for i := range events {
		events[i] = w.next
		w.next++
	}
	n.emit(events)
	if w.next > w.plan.Events && w.plan.Ends {
		n.finish()
	}
	n.settle()
}
