package sim

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/hop"
	"github.com/go-genstage/genstage/internal/hop/hoptest"
	"github.com/go-genstage/genstage/stage"
)

// Result is what one seed showed.
type Result struct {
	Options    Options
	Hash       uint64 // of the trace
	Violations []string
	States     States
}

// Run runs one seed in a bubble of its own. write is given each line of the trace; nil: nobody is.
func Run(t *testing.T, o Options, write func(line string)) (result Result) {
	result.Options = o
	defer func() {
		if v := recover(); v != nil { // goroutines are left in the bubble, or something panics outside of callbacks
			result.Violations = append(result.Violations, fmt.Sprint(v))
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		w := &world{o: o, states: &result.States, rng: rand.New(rand.NewPCG(o.Seed, 1<<32))}
		w.trace = trace{begin: time.Now(), write: write}
		choose, turns := o.Schedule.chooser(rand.New(rand.NewPCG(o.Seed, 1<<33))), 0
		w.sched = hoptest.New(func(waiting []string) int {
			if turns++; turns > mostTurns {
				return -1
			}
			i := choose(waiting)
			w.trace.turn(waiting[i])
			return i
		})
		w.sched.Idle, w.sched.Random = w.quiescent, w.rng.Int64N
		w.run()
		result.Hash, result.Violations = w.trace.sum, w.violations
	})
	return result
}

// mostTurns is many more than any seed needs: beyond, somebody goes round and round.
const mostTurns = 2_000_000

// run is the whole life of a world.
func (w *world) run() {
	ctx, cancel := context.WithCancelCause(hop.With(context.Background(), w.sched))
	w.ctx, w.cancel = ctx, cancel
	defer cancel(nil)
	w.build()
	w.sched.Go("director", w.direct)
	if err := w.sched.Run(); err != nil {
		w.violate("%v: %d goroutines", err, w.sched.Left())
		return
	}
	w.atEnd()
}

// direct begins everything, and ends it.
func (w *world) direct() {
	w.begin()
	w.sched.Sleep("director", w.o.Storm)
	if w.finish() && w.o.Again {
		w.repeat()
	}
	w.over = true
	w.settled()
}

// finish ends the runs, and reports whether that has worked.
func (w *world) finish() bool {
	w.ending = true
	for _, n := range w.nodes {
		n.release("director")
		n.forward("director")
	}
	if w.o.Mode == Liveness {
		w.calm = true
	}
	w.end()
	ended := w.wait(time.Minute)
	if !ended && w.waitsForAPart() {
		w.trace.add("director", "stops who waits for a part of a pipeline")
		w.disturbed = true
		w.stop()
		ended = w.wait(time.Minute)
	}
	if !ended {
		w.violate("the runs do not end: %v; %v", w.classify(), w.leftovers())
		w.giveUp()
		return false
	}
	return true
}

// begin starts runs, those who feed and wake, and meddlers.
func (w *world) begin() {
	var stages []stage.Stage
	for _, n := range w.nodes {
		stages = append(stages, n.stage)
		if n.extra != nil {
			stages = append(stages, n.extra)
		}
		if w.second {
			continue // who feeds and wakes goes on
		}
		n.feeders()
		if n.o.Kind == Retry || n.o.Kind == Limiter {
			w.sched.Go(n.name+" waker", n.wake)
		}
	}
	w.rng.Shuffle(len(stages), func(i, j int) { stages[i], stages[j] = stages[j], stages[i] })
	switch w.o.Layout {
	case Together:
		w.start("pipeline", stage.NewPipeline(stages...))
	case Nested:
		inner := stage.NewPipeline(stages[:w.o.Nested:w.o.Nested]...)
		w.start("pipeline", stage.NewPipeline(append(stages[w.o.Nested:len(stages):len(stages)], inner)...))
	case Apart:
		for _, s := range stages {
			w.start(s.Name(), s)
		}
	case Supervised:
		if w.groups == nil {
			w.supervise()
		}
		w.start("supervisor", w.groups[0].stage)
	}
	for i := range w.o.Meddlers {
		who := fmt.Sprintf("meddler %d", i)
		w.sched.Go(who, func() { w.meddle(who) })
	}
}

// start runs a stage or a pipeline on a goroutine of its own.
func (w *world) start(name string, s stage.Stage) {
	r := &running{name: name, run: s, done: make(chan struct{})}
	w.runs = append(w.runs, r)
	w.sched.Go("run "+name, func() {
		w.block("run "+name, func() { r.err = s.Run(w.ctx) })
		r.over = true
		w.trace.add("run "+name, "returns%s", said(r.err))
		close(r.done)
	})
}

// end ends the runs as the options say.
func (w *world) end() {
	switch w.o.Ending {
	case Natural:
		if w.o.Layout != Apart {
			w.trace.add("director", "waits")
			return
		}
		fallthrough // by itself, not every stage ends
	case Stop:
		w.trace.add("director", "stops")
		w.stop()
	case Abort:
		w.trace.add("director", "aborts")
		w.disturbed = true
		for _, n := range w.nodes {
			if n.inside != "" {
				w.reach(AbortDuringCallback)
			}
		}
		for _, r := range w.runs {
			r.run.Abort(errBoom)
			for _, n := range w.nodes {
				if w.o.Layout != Apart || n.stage == r.run {
					n.aborted()
				}
			}
		}
		w.aborted = true
	case CancelContext:
		w.trace.add("director", "cancels the context")
		w.disturbed = true
		w.reach(ContextCancelled)
		w.cancel(errCancelled)
	}
}

// stop stops the runs, sources first.
func (w *world) stop() {
	if w.stopping = true; w.o.Layout != Apart {
		w.stopRun(w.runs[0])
		return
	}
	for _, n := range w.nodes {
		for _, r := range w.runs {
			if r.run == n.stage || n.extra != nil && r.run == n.extra {
				w.stopRun(r)
			}
		}
	}
}

func (w *world) stopRun(r *running) {
	for _, n := range w.nodes {
		if w.o.Layout != Apart || n.stage == r.run {
			n.stops()
			if n.stage.Stats().Output.Buffered > 0 {
				w.reach(StopWithBuffer)
			}
		}
	}
	ctx, cancel := context.WithTimeout(hop.With(context.Background(), w.sched), time.Minute)
	defer cancel()
	var err error
	w.block("director", func() { err = r.run.Stop(ctx) })
	w.trace.add("director", "has stopped %s%s", r.name, said(err))
	if ctx.Err() == nil {
		return
	}
	w.disturbed = true // it has aborted
	if !w.mayLinger(r) {
		w.violate("Stop of %s: %v", r.name, err)
	}
}

// wait waits for all runs, at most so long.
func (w *world) wait(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for _, r := range w.runs {
		late := false
		w.block("director", func() {
			select {
			case <-r.done:
			case <-timer.C:
				late = true
			}
		})
		if late {
			return false
		}
	}
	return true
}

// giveUp ends what does not end.
func (w *world) giveUp() {
	w.calm = true
	for _, r := range w.runs {
		r.run.Abort(errBoom)
	}
	if !w.wait(time.Minute) {
		w.violate("the runs do not end after Abort either")
	}
}
