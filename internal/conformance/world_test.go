package conformance

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// world is one scenario being played.
type world struct {
	sc     *scenario
	ctx    context.Context
	cancel context.CancelFunc

	// owned by the goroutine that plays
	actors    map[string]*actor
	order     []*actor
	cut       bool             // the rest of the scenario cannot be said here
	finals    map[string]final // at the end of the scenario
	ownerless int              // the first step after which events wait for a partition without subscriber; 0: none

	mu       sync.Mutex
	links    map[string]*link // guarded by mu: by the id that the scenario gives them
	typed    []string         // guarded by mu: what did not compile here and was answered by the player
	lastTurn time.Time        // guarded by mu: when the last of them goes on
}

// link is one subscription of the scenario.
type link struct {
	id       string
	to       string
	opts     subOpts
	consumer *actor
	sub      *stage.Subscription // guarded by world.mu; nil until one side has seen it
	accepted atomic.Int64        // calls of OnSubscribe
}

// accept notes a call of OnSubscribe: there is one for each subscription that a producer has accepted.
func (l *link) accept() {
	if l.accepted.Add(1) > 1 {
		panic("OnSubscribe was called twice for " + l.id)
	}
}

// play does the scenario, step by step, and returns what the stages did. It must be called in a
// synctest bubble.
func play(sc *scenario) (*trace, *world) {
	w := &world{sc: sc, actors: map[string]*actor{}, links: map[string]*link{}}
	w.ctx, w.cancel = context.WithCancel(context.Background())
	t := &trace{Name: sc.Name}
	var started []any
	for i := range sc.Stages {
		started = append(started, w.start(sc.Stages[i]))
	}
	t.Steps = append(t.Steps, traceStep{Do: "start", Result: started, Stages: w.entries()})
	for i, s := range sc.Steps {
		result := w.perform(s)
		if w.cut {
			break
		}
		t.Steps = append(t.Steps, traceStep{Step: i + 1, Do: s.Do, Result: result, Stages: w.entries()})
		if w.ownerless == 0 && slices.ContainsFunc(w.order, (*actor).keepsForNobody) {
			w.ownerless = i + 1
		}
	}
	w.end()
	return t, w
}

// end ends what still runs, and with it every call that has not returned.
func (w *world) end() {
	w.finals = map[string]final{}
	for _, a := range w.order {
		w.finals[a.name] = a.run.Stats()
	}
	for _, a := range w.order {
		a.leave()
	}
	w.cancel()
	for _, a := range w.order {
		<-a.over
	}
	synctest.Wait()
}

// settle returns when every stage is idle.
func (w *world) settle() {
	for {
		synctest.Wait()
		w.mu.Lock()
		left := time.Until(w.lastTurn)
		w.mu.Unlock()
		if left <= 0 {
			return
		}
		time.Sleep(left)
	}
}

// pause lets a handler take a moment of the bubble's clock, which goes on when everything else is
// idle: what the stage has said so far is answered before it says more, so that each ask is seen
// by itself. (Asks that come together are one demand here and two in GenStage. The traces hold
// for any timing, so this one is as good as another.)
func (w *world) pause() { w.turn()() }

// turn reserves the next moment, and returns what waits for it.
func (w *world) turn() (wait func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	turn := time.Now()
	if turn.Before(w.lastTurn) {
		turn = w.lastTurn
	}
	turn = turn.Add(time.Nanosecond) // nobody else's
	w.lastTurn = turn
	return func() { time.Sleep(time.Until(turn)) }
}

// entries returns what each stage did since they were last asked for.
func (w *world) entries() map[string]*entry {
	all := map[string]*entry{}
	for _, a := range w.order {
		if e := a.take(); e != nil {
			all[a.name] = e
		}
	}
	return all
}

// saysByType notes that something does not compile here.
func (w *world) saysByType(what string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.typed = append(w.typed, what)
}

// link returns the subscription with an id, nil if there is none.
func (w *world) link(id string) *link {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.links[id]
}

// connect notes a subscription before it is made.
func (w *world) connect(id, to string, opts subOpts, consumer *actor) {
	if opts == nil {
		opts = subOpts{}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.links[id] = &link{id: id, to: to, opts: opts, consumer: consumer}
}

// saw notes what the library calls a subscription, and returns the link.
func (w *world) saw(sub *stage.Subscription) *link {
	w.mu.Lock()
	defer w.mu.Unlock()
	l := w.links[sub.Label()]
	l.sub = sub
	return l
}

// subOf returns the live value of a subscription, nil if neither side has seen it.
func (w *world) subOf(l *link) *stage.Subscription {
	w.mu.Lock()
	defer w.mu.Unlock()
	return l.sub
}
