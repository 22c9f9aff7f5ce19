package sim

import (
	"fmt"
	"runtime"

	"github.com/go-genstage/genstage/stage"
)

// fault fails in the place of a callback, now and then.
func (n *node) fault(what string) error {
	w := n.w
	if w.calm || w.o.Faults == 0 || !w.once(w.o.Faults) {
		return nil
	}
	kind := w.below(9)
	w.trace.add(n.name, "fault %d in %s", kind, what)
	w.disturbed = true
	silent := what == "OnTerminate" || what == "OnDiscard" // they return no error
	switch {
	case kind == 0:
		w.reach(Panicked)
		panic(planted)
	case kind == 1:
		w.reach(Exited)
		runtime.Goexit()
	case silent:
		return nil
	case kind <= 3:
		n.done = true
		if what == "events" {
			w.reach(DoneInEvents)
		}
		return stage.ErrDone
	case kind == 4:
		return stage.ErrShutdown
	case kind <= 6 && (what == "OnSubscribe" || what == "OnConsumer"):
		return fmt.Errorf("for no reason: %w", stage.ErrRefused)
	}
	if what == "events" {
		w.reach(FailedInEvents)
	}
	return errBoom
}
