package sim

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/go-genstage/genstage/internal/hop/hoptest"
	"github.com/go-genstage/genstage/stage"
)

// event is what flows: the n-th event that a stage has emitted.
type event struct{ From, N int }

// world is one run of a simulation. All of it is owned by who is at work: the goroutine whose turn it is, or the
// scheduler when nothing moves.
type world struct {
	o      Options
	sched  *hoptest.Scheduler
	rng    *rand.Rand
	ctx    context.Context // of runs and calls
	cancel context.CancelCauseFunc
	trace  trace
	states *States

	nodes   []*node
	inputs  []InputOptions // those of the options, and of subscriptions made later
	ties    map[*stage.Subscription]*tie
	order   []*tie // as they came to be known
	runs    []*running
	groups  []*group // of a supervised layout
	budgets []*budget
	loops   map[int]*node // by their subscription
	former  []*node       // of factories: those before the present ones
	tick    int           // counts beginnings and ends of lives

	calm       bool // faults have ended
	started    bool // a source has been asked
	disturbed  bool // something has failed, was cancelled, stopped or aborted
	ending     bool // the director has begun to end it
	over       bool // all runs have returned
	stopping   bool // Stop was called on everything
	aborted    bool // Abort of everything has returned
	second     bool // it is the second run of everything
	byHand     int  // children started by hand
	atWork     int  // children in progress
	violations []string
}

// node is one stage, with what the simulation can do to it and has seen of it. What a kind cannot do is nil.
type node struct {
	w     *world
	index int
	name  string
	o     *StageOptions

	stage stage.Stage
	extra stage.Stage // the reader before a source of lines
	out   stage.Source[event]
	in    subscriber
	emits emitter
	says  mute
	modes accumulator
	wakes waker
	queue *stage.Queue[event]
	kids  *stage.ConsumerSupervisor[event]
	ch    chan event

	next  int // the number of the last event stamped
	owed  int // of a short source: asked and not emitted
	sum   int // of a reducer
	asked int // of a source that is asked for everything once: asked and not emitted

	after, afterDone int // DoAfter and TellAfter: the number of the last one posted, and of the last one done
	stall            chan struct{}

	member int   // of a group: its position
	keptIn int   // the run of its supervisor in which it began last
	before *life // the run before this one

	inside       string // the callback in progress
	life         *life  // the run in progress, or the last one
	accumulating bool
	earlyMode    bool // Accumulate was called between two lives
	earlyStop    bool // Stop was called before a life
	replays      bool // it has accumulated: what was emitted first is not what is sent first
	done         bool // a callback has returned ErrDone, or the source has nothing more
	stopped      bool // Stop has been called
	fed          bool // of a queue or channel: closed
	quiet        bool // it has ended, and was looked at since

	sent      map[int]bool   // sent to somebody, when messages are watched
	begun     map[int]bool   // begun by somebody; of a broadcast, by anybody
	attempted map[event]bool // of a consumer supervisor: its children
	void      map[int]bool   // returned by a callback that was abandoned
	lastFresh map[int]int    // by partition: the last event sent for the first time
}

type (
	subscriber interface {
		SubscribeTo(src stage.Source[event], opts ...stage.SubscribeOption)
		Subscribe(ctx context.Context, src stage.Source[event], opts ...stage.SubscribeOption) (*stage.Subscription, error)
		Resubscribe(ctx context.Context, old *stage.Subscription, reason error, src stage.Source[event], opts ...stage.SubscribeOption) (*stage.Subscription, error)
	}
	emitter interface {
		Do(ctx context.Context, fn func(context.Context) ([]event, error)) error
		DoAfter(ctx context.Context, fn func(context.Context) ([]event, error)) error
		Tell(fn func(context.Context) ([]event, error)) error
		TellAfter(fn func(context.Context) ([]event, error)) error
	}
	mute interface {
		Do(ctx context.Context, fn func(context.Context) error) error
		Tell(fn func(context.Context) error) error
	}
	accumulator interface {
		Accumulate() error
		Forward() error
	}
	waker interface{ Wake() error }
)

// life is one run of a stage, as its callbacks have seen it.
type life struct {
	began, over int // ticks
	terminated  bool
	abandoned   bool         // a callback was, and has returned
	dead        bool         // OnInit failed: nothing follows
	aborted     bool         // Abort has returned
	emitted     int64        // returned by callbacks
	begun       int64        // given to the events callback
	discarded   int64        // given to OnDiscard
	said        map[int]bool // of which declared subscriptions OnSubscribe or OnCancel was told
}

// running is one call of Run.
type running struct {
	name string
	run  stage.Stage
	err  error
	over bool
	done chan struct{}
}

// What the simulation does wrong on purpose.
var (
	errBoom      = errors.New("boom")
	errCancelled = errors.New("the context was cancelled")
	errPanicked  = errors.New("a panic, or Goexit")
)

const planted = "a planted panic"

var quiet = stage.Logger(slog.New(slog.NewTextHandler(io.Discard, nil)))

func (w *world) below(n int) int { return w.rng.IntN(n) }
func (w *world) once(n int) bool { return w.rng.IntN(n) == 0 }

// pick returns one of list.
func pick[T any](w *world, list []T) T { return list[w.below(len(list))] }

// violate notes that something forbidden has happened.
func (w *world) violate(format string, args ...any) {
	what := fmt.Sprintf(format, args...)
	w.trace.add("VIOLATION", "%s", what)
	w.violations = append(w.violations, fmt.Sprintf("at %v: %s", time.Since(w.trace.begin), what))
}

func (w *world) reach(s State) { w.states[s]++ }

// sleep lets time pass, and then waits for a turn.
func (w *world) sleep(who string, most int) {
	w.sched.Sleep(who, time.Duration(w.below(most+1))*time.Millisecond)
}

// nap sleeps now and then.
func (n *node) nap() {
	if n.w.once(n.w.o.Naps) {
		n.w.sleep(n.name+" asleep", 6)
	}
}

// block calls what may block, for a goroutine of the simulation.
func (w *world) block(who string, fn func()) { w.sched.Block(who, fn) }

// stamp makes the next events of a node.
func (n *node) stamp(count int) []event {
	events := make([]event, count)
	for i := range events {
		n.next++
		events[i] = event{n.index, n.next}
	}
	return events
}
