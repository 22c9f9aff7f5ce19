package stage

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
)

// handle is what every kind of stage has: its name, its options, and which run it is in. It
// outlives runs.
type handle struct {
	kind   string // set by the constructor, read-only after
	conf   config // set by the constructor, read-only after
	newRun func(ctx context.Context, s *scope) controller

	mu       sync.Mutex
	run      controller // guarded by mu; nil when not running
	runs     int        // guarded by mu
	ended    *ending    // guarded by mu: how the last run ended; nil while running
	partOf   runID      // guarded by mu: what the last run that has begun belongs to
	faulty   error      // guarded by mu: the first fault of wiring, which Run has to report; nil: none
	last     *Stats     // guarded by mu: of the last run that has ended; nil for none
	watchers []func()   // guarded by mu: told when a run has ended
	earlier  *Earlier   // guarded by mu: the sum over the runs before the last; nil for none. What it points to stays

	tenure  *tenure                 // guarded by mu: what a supervisor says of the last run; nil for none
	waiters interface{ forsaken() } // of a stage that emits: its outPort; set by the constructor, read-only after

	served     runID                // guarded by mu: in which it has last had subscribers, or was passed by
	expected   map[*handle]struct{} // guarded by mu: consumers that a restart of one of the two does not part
	expectedAt map[*handle]struct{} // guarded by mu: producers that expect this one

	begins, ends atomic.Int64 // runs that have begun, and ended; written under mu
	returning    atomic.Bool  // it has ended, and a supervisor will run it again; written under mu
	completed    bool         // guarded by mu: the last run ended by completion

	stuck stuckCalls // what was abandoned

	sources []*handle // guarded by wiring: declared and live upstreams
	feeders []*handle // guarded by wiring: of a queue, what FedBy was given
}

// wiring guards the graph of who subscribes to whom. It is held for a walk up that graph when a
// subscription is made or ends, and across nothing that waits.
var wiring sync.Mutex

// init fills in a handle; skip counts the callers up to the user's line.
func (h *handle) init(kind string, skip int) {
	h.kind = kind
	h.conf.name = kind + " " + callSite(skip+1)
	h.conf.bufferSize, h.conf.grace = DefaultBufferSize, DefaultGrace
	if kind == kindProducerConsumer {
		h.conf.bufferSize = Unlimited
	}
}

const (
	kindProducer         = "producer"
	kindProducerConsumer = "producer-consumer"
	kindConsumer         = "consumer"

	kindConsumerSupervisor = "consumer-supervisor"
)

// callSite returns "file.go:12" of the caller that skip says; 0 is the function that asks.
func callSite(skip int) string {
	_, file, line, ok := runtime.Caller(skip + 1)
	if !ok {
		return "?"
	}
	return fmt.Sprintf("%s:%d", filepath.Base(file), line)
}

// Name is [Producer.Name] of every kind; h may be nil.
func (h *handle) Name() string {
	if h == nil {
		return ""
	}
	return h.conf.name
}

// Run is [Producer.Run] of every kind; h may be nil.
func (h *handle) Run(ctx context.Context) error {
	if !h.made() {
		return unmade("Run")
	}
	if ctx.Err() != nil {
		return &Error{Stage: h.conf.name, Err: cause(ctx)}
	}
	s := &scope{label: h.conf.name, alone: true, launch: &launch{}, done: make(chan struct{})}
	return s.run(ctx, []member{h})
}

// Stop is [Producer.Stop] of every kind; h may be nil.
func (h *handle) Stop(ctx context.Context) error {
	if !h.made() {
		return unmade("Stop")
	}
	run, runs := h.current()
	return stopCurrent(ctx, h.conf.name, run, runs, func(*handle) bool { return false })
}

// Abort is [Producer.Abort] of every kind; h may be nil.
func (h *handle) Abort(cause error) {
	if !h.made() {
		return
	}
	run, _ := h.current()
	abortCurrent(h.conf.name, run, cause)
}

// Stats is [Producer.Stats] of every kind; h may be nil.
func (h *handle) Stats() Stats {
	if h == nil {
		return Stats{}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run != nil {
		return h.run.stats()
	}
	var s Stats // StateNotRun
	if h.last != nil {
		s = *h.last // as it was when the run ended
	}
	s.At = time.Now()
	s.Stage, s.Kind, s.Runs = h.conf.name, h.kind, h.runs
	h.stuck.show(&s)
	return s
}

// made reports whether a constructor made the stage; h may be nil.
func (h *handle) made() bool { return h != nil && h.newRun != nil }

// errUnmade is the answer of a stage that no constructor made.
var errUnmade = fmt.Errorf("%w: nil, or no constructor made it (%w)", ErrInvalidStage, ErrNotRunning)

func unmade(what string) error { return fmt.Errorf("stage: %s: %w", what, errUnmade) }

func (h *handle) current() (run controller, runs int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.run, h.runs
}

// gone reports whether h does not run, but has, and did not complete.
func (h *handle) gone() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.run == nil && h.runs > 0 && !h.completed
}

// fault keeps an error of wiring for the next Run; on a running stage it ends the run.
func (h *handle) fault(err error) {
	h.mu.Lock()
	h.remember(err)
	run := h.run
	h.mu.Unlock()
	if run != nil {
		run.abort(endedBy(h.conf.name, err, h.tenureNow()))
	}
}

// remember keeps an error of wiring, if it is the first. The caller holds mu.
func (h *handle) remember(err error) {
	if h.faulty == nil {
		h.faulty = err
	}
}

func (h *handle) showStuck(s Stats) Stats {
	h.stuck.show(&s)
	return s
}

// members makes a handle a member of its own run.
func (h *handle) members() []*handle { return []*handle{h} }

func (h *handle) open(ctx context.Context, s *scope) error {
	run, err := h.begin(ctx, s)
	if err == nil {
		s.joins(run)
	}
	return err
}

// begin makes a run, whose mailbox is open.
func (h *handle) begin(ctx context.Context, s *scope) (controller, error) {
	if h.newRun == nil {
		return nil, fmt.Errorf("%w: one that no constructor made, as NewProducer", ErrInvalidStage)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.run != nil {
		err := ErrRunning
		if h.run.awaits(goid.Current()) {
			err = ErrSelfCall
		}
		return nil, &Error{Stage: h.conf.name, Err: err}
	}
	if h.conf.unsound != nil {
		return nil, &Error{Stage: h.conf.name, Err: h.conf.unsound}
	}
	if h.faulty != nil {
		return nil, &Error{Stage: h.conf.name, Err: h.faulty}
	}
	if stuck := h.stuck.list(); len(stuck) > 0 {
		return nil, &Error{Stage: h.conf.name, Err: &StuckError{Stuck: stuck}}
	}
	h.runs++
	h.begins.Add(1)
	h.completed, h.ended, h.partOf = false, nil, s.id()
	if h.last != nil {
		last, sum := *h.last, Earlier{}
		h.stuck.show(&last)
		if h.earlier != nil {
			sum = *h.earlier
		}
		sum.add(last)
		h.earlier = &sum
	}
	h.tenure = s.tenure
	h.returning.Store(false)
	h.run = h.newRun(ctx, s)
	return h.run, nil
}

// closed is told by the run when it has ended.
func (h *handle) closed(final Stats, e *ending) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closedLocked(final, e)
}

func (h *handle) closedLocked(final Stats, e *ending) {
	h.run, h.completed, h.last = nil, e.completed, &final
	h.ended = e
	h.returning.Store(h.comesBackLocked(nil))
	h.ends.Add(1)
}

// lastEnd returns how the last run ended.
func (h *handle) lastEnd() *ending {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended == nil {
		return &ending{clean: true} // it runs again by now
	}
	return h.ended
}

// onEnd has fn called when a run has ended, on its goroutine, before anybody who waits for that
// end. It must not block.
func (h *handle) onEnd(fn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.watchers = append(h.watchers, fn)
}

// tellEnd tells the watchers, when closed has returned.
func (h *handle) tellEnd() {
	h.mu.Lock()
	watchers := h.watchers[:len(h.watchers):len(h.watchers)]
	h.mu.Unlock()
	for _, fn := range watchers {
		fn()
	}
}

// hasEnded reports whether a run has ended, beyond past of them, and none has begun since, nor will as far as a
// supervisor knows.
func (h *handle) hasEnded(past int64) bool {
	ends := h.ends.Load()
	return ends > past && ends == h.begins.Load() && !h.returning.Load()
}

// addFeeder records that h is fed by another stage.
func (h *handle) addFeeder(feeder *handle) {
	wiring.Lock()
	defer wiring.Unlock()
	h.feeders = append(h.feeders, feeder)
}

// drainsBehind reports whether h gets events of queue's, so that it drains only behind it.
func (h *handle) drainsBehind(queue *handle) bool {
	wiring.Lock()
	defer wiring.Unlock()
	return h.isBehind(queue, true, map[*handle]bool{})
}

// isBehind reports whether h is target or lies downstream of it; with acrossQueues, what a stage pushes into a
// queue counts as well. The caller holds wiring.
func (h *handle) isBehind(target *handle, acrossQueues bool, seen map[*handle]bool) bool {
	if h == target {
		return true
	}
	if seen[h] {
		return false
	}
	seen[h] = true
	behind := func(up *handle) bool { return up.isBehind(target, acrossQueues, seen) }
	return slices.ContainsFunc(h.sources, behind) || acrossQueues && slices.ContainsFunc(h.feeders, behind)
}

// addSource records that h consumes from src, unless that closes a ring.
func (h *handle) addSource(src *handle) error {
	wiring.Lock()
	defer wiring.Unlock()
	if h == src {
		return fmt.Errorf("%w: %q subscribes to itself", ErrCycle, h.conf.name)
	}
	if src.isBehind(h, false, map[*handle]bool{}) {
		return fmt.Errorf("%w: %q is upstream of %q", ErrCycle, h.conf.name, src.conf.name)
	}
	h.sources = append(h.sources, src)
	return nil
}

// removeSource takes back one addSource.
func (h *handle) removeSource(src *handle) {
	wiring.Lock()
	defer wiring.Unlock()
	for i, s := range h.sources {
		if s == src {
			h.sources = append(h.sources[:i], h.sources[i+1:]...)
			return
		}
	}
}
