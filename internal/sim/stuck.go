package sim

import (
	"errors"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// hang sleeps for long, whatever becomes of the stage meanwhile: when that is aborted, Grace may be over before.
func (n *node) hang(what string) {
	w := n.w
	if w.o.Stuck == 0 || w.calm || w.ending || what == "start" || !w.once(w.o.Stuck) {
		return
	}
	w.trace.add(n.name, "hangs in %s", what)
	w.sleep(n.name+" hangs", 150)
}

// late notes whether the callback that is about to return was abandoned.
func (n *node) late(what string) {
	w := n.w
	if w.o.Stuck == 0 {
		return
	}
	for _, s := range n.stage.Stats().Stuck {
		if s.Callback != "child" {
			n.life.abandoned = true
		}
	}
	if n.life.abandoned {
		w.trace.add(n.name, "%s returns, and was abandoned", what)
		w.reach(CallbackAbandoned)
	}
}

// isStuck reports whether a run has ended without the callback that is in progress.
func (n *node) isStuck() bool { return n.inside != "" && len(n.stage.Stats().Stuck) > 0 }

// settled waits until everything that was abandoned has returned.
func (w *world) settled() {
	for range 100 {
		busy := w.atWork > 0
		for _, n := range append(w.former, w.nodes...) {
			busy = busy || n.inside != ""
		}
		if !busy {
			return
		}
		w.sched.Sleep("director", 10*time.Millisecond)
	}
	w.violate("a callback does not return")
}

// refusedStuck notes that a stage could not be started again, since it had not returned.
func (w *world) refusedStuck() {
	for _, g := range w.groups {
		if s := g.stage.Stats(); errors.Is(s.Failure, stage.ErrStuck) {
			w.reach(StartedStuck)
		}
	}
}
