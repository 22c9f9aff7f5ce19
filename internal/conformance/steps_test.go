package conformance

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/go-genstage/genstage/stage"
)

// perform does a step and returns its result when every stage is idle.
func (w *world) perform(s step) any {
	if s.Do == "start" {
		return w.start(s.spec())
	}
	done := make(chan any, 1)
	go func() { done <- w.do(s) }() // ends with its call, at the latest in world.end
	w.settle()
	select {
	case result := <-done:
		return result
	default:
		return unanswered(s)
	}
}

// unanswered is the result of a call that has not returned although nothing more happens. GenStage
// answers a subscription when its request is sent, not when it is accepted.
func unanswered(s step) any {
	if s.Do == "subscribe" && !s.Async || s.Do == "resubscribe" {
		return "ok"
	}
	if s.Do == "together" || s.Async {
		return nil
	}
	return "pending"
}

// do does one step.
func (w *world) do(s step) any {
	switch {
	case s.Do == "together":
		for _, inner := range s.Steps {
			go w.do(inner) // ends with its call, at the latest in world.end
			w.pause()      // one at a time: as good a timing as any other
		}
		return nil
	case strings.HasPrefix(s.Do, "wire_"):
		return w.doWire(s)
	}
	switch s.Do {
	case "subscribe", "resubscribe", "ask", "cancel":
		return w.doSubscription(s)
	case "stream":
		return w.doStream(s)
	case "start":
		w.begin(s.spec()) // together with others: nobody waits for it
		return nil
	}
	a := w.actors[s.stage()]
	if a == nil {
		panic("no stage " + s.stage())
	}
	switch s.Do {
	case "set_demand", "get_demand":
		return a.doMode(s)
	case "child_exit", "child_kill", "terminate_child", "start_child", "count_children":
		return a.doChild(s)
	}
	return a.doStage(s)
}

// doStage does a step that is about one stage.
func (a *actor) doStage(s step) any {
	switch s.Do {
	case "emit":
		return a.emitVia(s.Via, s.Events)
	case "enqueue":
		_ = a.tell(func(context.Context) ([]event, error) { // void when the stage has ended
			a.policy.items = append(a.policy.items, s.Events...)
			out, last := a.policy.serve()
			if last {
				a.finished()
			}
			return out, nil
		})
	case "flush":
		_ = a.tell(func(context.Context) (out []event, err error) {
			out, a.policy.items = a.policy.items, nil
			return out, nil
		})
	case "stop":
		if a.isDead() {
			return exited("noproc")
		}
		a.run.Abort(cause(s.Reason))
		return "ok"
	case "stop_self":
		_ = a.tell(func(context.Context) ([]event, error) { return nil, answered(s.Reason) })
	case "crash":
		_ = a.tell(func(context.Context) ([]event, error) { panic(reason("error:" + s.Tag)) })
	case "kill":
		a.run.Abort(stage.ErrKilled)
	case "info":
		a.info(s.Msg)
	case "sync_info", "async_info":
		if a.children != nil {
			return "ok"
		}
		if a.tellAfter(a.informed(s.Msg)) != nil && s.Do == "sync_info" {
			return exited("noproc")
		}
		return "ok"
	case "buffered":
		switch {
		case a.isDead():
			return exited("noproc")
		case a.buffered == nil:
			a.w.saysByType("the buffered count of a " + a.spec.Kind)
			return 0
		}
		return a.buffered()
	case "gate":
		for range s.n() {
			a.gates <- struct{}{}
		}
	default:
		panic("unknown step " + s.Do)
	}
	return nil
}

// emitVia has the stage emit from a cast, a call or an info.
func (a *actor) emitVia(via string, list events) any {
	out := slices.Clone(list)
	fn := func(context.Context) ([]event, error) { return out, nil }
	if via != "call" {
		_ = a.tell(fn) // void when the stage has ended
		return nil
	}
	if err := a.do(a.w.ctx, fn); err != nil {
		return exited(reasonOfCall(err))
	}
	return "ok"
}

// reasonOfCall is what a caller is told when its call failed.
func reasonOfCall(err error) string {
	if errors.Is(err, stage.ErrEnded) || errors.Is(err, stage.ErrNotRunning) {
		return "noproc"
	}
	return reasonOf(err)
}
