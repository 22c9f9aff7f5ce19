package conformance

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// children steers the children of a consumer supervisor.
type children struct {
	a   *actor
	sup *stage.ConsumerSupervisor[event]

	mu    sync.Mutex
	live  map[event][]chan string // guarded by mu: what tells a running child how to end
	tries map[event]int           // guarded by mu: how often the child of a flaky event was started
}

// makeSupervisor makes the stage of kind consumer_supervisor. It has no callbacks but the start of a child.
func (a *actor) makeSupervisor() {
	k := &children{a: a, live: map[event][]chan string{}, tries: map[event]int{}}
	mode := stage.RestartTemporary
	if a.spec.Child.Restart == "transient" {
		mode = stage.RestartTransient
	}
	within := time.Duration(deref(a.spec.MaxSeconds, 60)) * time.Second
	k.sup = stage.StartWith(k.start, stage.Name(a.name), quiet, stage.OnInit(a.onInit), stage.Observe(a.observe),
		stage.Restart(mode), stage.MaxRestarts(deref(a.spec.MaxRestarts, stage.DefaultMaxRestarts), within))
	a.children, a.run = k, k.sup
	a.subscribe, a.declare = k.sup.Subscribe, k.sup.SubscribeTo
	a.do = func(ctx context.Context, fn func(context.Context) ([]event, error)) error {
		return k.sup.Do(ctx, a.mute(fn))
	}
	a.tell = func(fn func(context.Context) ([]event, error)) error { return k.sup.Tell(a.mute(fn)) }
	a.tellAfter = a.tell
}

// start is the start phase of a child.
func (k *children) start(_ context.Context, e event) (func(context.Context) error, error) {
	result := k.startResult(e)
	k.a.record(record{"cb": "child_start", "event": e, "result": result})
	switch result {
	case "error":
		return nil, reason("error:refused")
	case "ignore":
		return nil, nil
	case "crash":
		panic(reason("error:crash"))
	}
	wait := func() {}
	if k.a.spec.Child.Mode == "auto" {
		wait = k.a.w.turn() // they end one by one, in order
	}
	how := make(chan string, 1)
	k.mu.Lock()
	defer k.mu.Unlock()
	k.live[e] = append(k.live[e], how)
	return func(ctx context.Context) error { return k.child(ctx, e, how, wait) }, nil
}

// startResult says how the start of a child goes: strings steer it.
func (k *children) startResult(e event) string {
	s, _ := e.(string)
	for _, how := range []string{"error", "ignore", "crash"} {
		if strings.HasPrefix(s, how) {
			return how
		}
	}
	if times, flaky := cutPrefix(s, "flaky:"); flaky {
		k.mu.Lock()
		defer k.mu.Unlock()
		k.tries[e]++
		if n, _ := strconv.Atoi(times); k.tries[e] > 1 && k.tries[e] <= 1+n {
			return "error"
		}
	}
	return "ok"
}

// child runs until it is told how to end, or its context ends.
func (k *children) child(ctx context.Context, e event, how <-chan string, wait func()) error {
	end := "shutdown"
	if k.a.spec.Child.Shutdown == "brutal_kill" {
		end = "killed"
	}
	if k.a.spec.Child.Mode == "auto" {
		wait()
		end = "normal"
	} else {
		select {
		case end = <-how:
		case <-ctx.Done():
		}
	}
	k.ended(e, how, end)
	if end == "normal" {
		return nil
	}
	return cause(end)
}

// ended notes the end of a child.
func (k *children) ended(e event, how <-chan string, end string) {
	k.mu.Lock()
	k.live[e] = slices.DeleteFunc(k.live[e], func(other chan string) bool { return other == how })
	k.mu.Unlock()
	k.a.mu.Lock()
	k.a.ended = append(k.a.ended, childEnd{e, end})
	k.a.mu.Unlock()
	if to := k.a.spec.Child.Notify; to != "" && end == "normal" {
		k.a.w.actors[to].info(map[string]any{"done": e})
	}
}

// doChild does a step that is about children.
func (a *actor) doChild(s step) any {
	k := a.children
	switch s.Do {
	case "child_exit":
		k.tellToEnd(s.Event, s.Reason)
		return nil
	case "child_kill":
		k.tellToEnd(s.Event, "killed")
		return nil
	}
	if a.isDead() {
		return exited("noproc")
	}
	switch s.Do {
	case "count_children":
		n := k.sup.Counts()
		return map[string]any{"specs": 1, "supervisors": 0, "active": n.Active, "workers": n.Active + n.Restarting}
	case "terminate_child":
		return k.terminate(s.Event)
	}
	id, err := k.sup.StartChild(a.w.ctx, s.Event)
	switch {
	case err != nil:
		return failed(reasonOfCall(err))
	case id == 0:
		return "ignore"
	}
	return "ok"
}

// tellToEnd has the child of an event end; of several the one that began first.
func (k *children) tellToEnd(e event, end string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if len(k.live[e]) > 0 {
		k.live[e][0] <- end // has room for one, and nobody tells it twice within a step
	}
}

// terminate stops the child of an event.
func (k *children) terminate(e event) any {
	for _, child := range k.sup.Children() {
		if child.Event != e {
			continue
		}
		if err := k.sup.StopChild(k.a.w.ctx, child.ID); err != nil {
			return failed(reasonOfCall(err))
		}
		return "ok"
	}
	return failed("not_found")
}

// byEvent sorts the ends of children by event: they have no order in time.
func byEvent(ended []childEnd) []childEnd {
	slices.SortStableFunc(ended, func(x, y childEnd) int { return strings.Compare(text(x.Event), text(y.Event)) })
	return ended
}
