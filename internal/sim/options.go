package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-genstage/genstage/stage"
)

// Mode says what a run is to show.
type Mode uint8

const (
	// Safety: faults all the time, and nothing forbidden may happen.
	Safety Mode = iota
	// Liveness: faults end, and then everything must come to its end in a minute.
	Liveness
)

func (m Mode) String() string { return [...]string{"safety", "liveness"}[m] }

// Layout says who runs the stages.
type Layout uint8

// The layouts: all in one pipeline, some of them in a pipeline of their own within it, each by itself, or all below a
// supervisor.
const (
	Together Layout = iota
	Nested
	Apart
	Supervised
)

func (l Layout) String() string { return [...]string{"together", "nested", "apart", "supervised"}[l] }

// Ending says how the run is ended.
type Ending uint8

// The endings. Natural waits until the sources have nothing more.
const (
	Natural Ending = iota
	Stop
	Abort
	CancelContext
)

func (e Ending) String() string { return [...]string{"natural", "stop", "abort", "cancel"}[e] }

// Options are what a seed expands to.
type Options struct {
	Seed     uint64
	Mode     Mode
	Layout   Layout
	Schedule Schedule
	Ending   Ending
	Observed bool // messages are watched; else only callbacks and Stats
	Faults   int  // a callback fails once in so many times; 0: never
	Naps     int  // a callback sleeps once in so many times
	Stuck    int  // a callback sleeps for long once in so many times, whatever its context says; 0: never
	Grace    time.Duration
	Meddlers int            // goroutines that do things from outside
	Steps    int            // how many each of them does
	Storm    time.Duration  // from the beginning to the ending, or to the end of faults
	Nested   int            // how many stages the inner pipeline has
	Again    bool           // when all has ended, it is run once more
	Groups   []GroupOptions // of a supervised layout: the first one is the supervisor of all
	Budgets  []BudgetOptions
	Stages   []StageOptions
	Inputs   []InputOptions // of all stages; the label of a subscription is its index
}

// GroupOptions are those of a supervisor, or of a pipeline below one.
type GroupOptions struct {
	Parent      int // the group that it is a member of; of the first one -1
	Mode        stage.RestartMode
	Pipeline    bool // and no supervisor
	Strategy    stage.Strategy
	Restarts    int
	Within      time.Duration
	Pause, Most time.Duration // 0: none
}

// StageOptions are those of one stage.
type StageOptions struct {
	Kind         Kind
	Events       int // of a source
	Most         int // in one callback, of a source that returns fewer than asked
	Room         int // of a queue or a channel
	Buffer       int
	KeepFirst    bool
	Dispatch     Dispatch
	Parts        int // of a partition dispatcher
	Accumulating bool
	KeepRunning  bool
	Factor       int  // events out for one in, of an expanding stage
	Stays        bool // OnComplete returns nil, and done is told later
	Alternate    bool // a second form of the kind: FedBy, StartWith, …
	Inputs       []int

	Group int // of a supervised layout
	Mode  stage.RestartMode
	Fresh bool // each run is of another stage
}

// InputOptions are those of one subscription.
type InputOptions struct {
	From, To int
	Max, Min int
	Manual   bool
	Cancel   stage.CancelMode
	Where    int // keeps what this does not divide; 0: all
	Part     int
	Lag      int
	Policy   stage.LagPolicy

	Budget    int  // the number of it, from 1; 0: none
	Duplicate bool // AllowDuplicate
}

// Kind says what a stage is.
type Kind uint8

// The kinds: sources, relays, sinks.
const (
	Slice Kind = iota
	Sequence
	Callback
	Endless
	Short
	Retry
	Poll
	Queue
	Channel
	Lines
	Identity
	Filter
	Expand
	Reduce
	Expander
	Limiter
	Automatic
	Manual
	Each
	Children
	kinds
)

var kindNames = [kinds]string{
	"slice", "sequence", "callback", "endless", "short", "retry", "poll", "queue", "channel", "lines",
	"identity", "filter", "expand", "reduce", "expander", "limiter", "automatic", "manual", "each", "children",
}

func (k Kind) String() string { return kindNames[k] }

func (k Kind) source() bool { return k < Identity }
func (k Kind) sink() bool   { return k >= Automatic }

// Dispatch names a dispatcher.
type Dispatch uint8

// The dispatchers.
const (
	Demand Dispatch = iota
	Shuffle
	Broadcast
	Partition
)

func (d Dispatch) String() string {
	return [...]string{"demand", "shuffle", "broadcast", "partition"}[d]
}

// OptionsOf returns the options of a seed.
func OptionsOf(seed uint64, mode Mode) Options {
	d := draw{rand.New(rand.NewPCG(seed, uint64(mode)))}
	o := Options{
		Seed: seed, Mode: mode,
		Layout:   []Layout{Together, Together, Nested, Apart, Supervised, Supervised}[d.below(6)],
		Schedule: Schedule(d.below(int(schedules))),
		Observed: d.below(4) > 0,
		Faults:   []int{0, 40, 100, 400}[d.below(4)],
		Naps:     1 + d.below(8),
		Meddlers: d.below(5),
		Steps:    5 + d.below(25),
		Storm:    time.Duration(20+d.below(180)) * time.Millisecond,
		Ending:   []Ending{Natural, Natural, Stop, Stop, Abort, CancelContext}[d.below(6)],
	}
	if mode == Liveness {
		o.Ending = []Ending{Natural, Stop}[d.below(2)]
	}
	for range 1 + d.below(4) {
		o.Stages = append(o.Stages, d.source())
	}
	for range d.below(4) {
		o.addRelay(d)
	}
	for range 1 + d.below(8) {
		o.addSink(d)
	}
	o.completeInputs(d)
	o.Nested = 1 + d.below(len(o.Stages))
	o.Again = d.once(5) && o.Ending != CancelContext
	if o.Layout == Supervised {
		o.supervise(d)
	}
	o.budgets(d)
	o.Grace = stage.DefaultGrace
	if d.once(5) {
		o.Stuck, o.Grace = 20+d.below(100), time.Duration(10+d.below(30))*time.Millisecond
	}
	for i := range o.Stages {
		s := &o.Stages[i]
		if s.KeepRunning && o.Ending == Natural {
			s.KeepRunning = false // nothing would end it
		}
		if s.Kind == Lines {
			s.Accumulating = false // it is no producer
		}
		if s.Kind == Slice && (o.Again || o.Layout == Supervised) {
			s.Kind = Sequence // a slice is the same events in each run
		}
	}
	return o
}

// supervise draws supervisors, and who keeps whom.
func (o *Options) supervise(d draw) {
	for i := range 1 + d.below(4) {
		g := GroupOptions{
			Parent: d.below(max(1, i)), Mode: d.mode(o, false), Pipeline: i > 0 && d.once(4), Strategy: stage.Strategy(d.below(3)),
			Restarts: []int{0, 2, 5, 100}[d.below(4)], Within: []time.Duration{5 * time.Millisecond, time.Second}[d.below(2)],
		}
		if o.Ending == Natural { // there must be an end of it
			g.Within = time.Hour
		}
		for i > 0 && o.Groups[g.Parent].Pipeline && d.once(2) {
			g.Parent = d.below(i)
		}
		if i == 0 {
			g.Parent = -1
		}
		if d.once(2) {
			g.Pause = time.Duration(1+d.below(8)) * time.Millisecond
			g.Most = g.Pause * time.Duration(1+d.below(4))
		}
		o.Groups = append(o.Groups, g)
		if o.Ending == Natural && o.lives(i) > 1000 {
			o.Groups[i].Restarts = 0
		}
	}
	for i := range o.Stages {
		s := &o.Stages[i]
		s.Group, s.Mode = d.below(len(o.Groups)), d.mode(o, s.Kind.sink())
		s.Fresh = s.Kind.sink() && d.once(4) && !o.Groups[s.Group].Pipeline
	}
}

// lives is how often a member of a group can begin. One may fail each time, as one that lags does: then all of them have to be
// over within the minute in which a run must end.
func (o *Options) lives(group int) int {
	lives := 1
	for ; group >= 0; group = o.Groups[group].Parent {
		if g := o.Groups[group]; !g.Pipeline {
			lives *= g.Restarts + 1
		}
	}
	return lives
}

// mode draws how a member is restarted; mostly after a failure. One that always is would end by no completion, and the
// consumers of a temporary one would be started again and again.
func (d draw) mode(o *Options, sink bool) stage.RestartMode {
	switch d.below(5) {
	case 0:
		if sink || o.Ending != Natural {
			return stage.RestartTemporary
		}
	case 1:
		if o.Ending != Natural {
			return stage.RestartPermanent
		}
	}
	return stage.RestartTransient
}

// draw draws options.
type draw struct{ *rand.Rand }

func (d draw) below(n int) int { return d.IntN(n) }
func (d draw) once(n int) bool { return d.IntN(n) == 0 }

func (d draw) source() StageOptions {
	s := StageOptions{
		Kind: Kind(d.below(int(Identity))), Events: d.below(200), Most: 1 + d.below(20), Room: 1 + d.below(20),
		Accumulating: d.once(8), KeepRunning: d.once(8), Alternate: d.once(2),
	}
	if d.once(6) {
		s.Events = d.below(3)
	}
	d.output(&s)
	return s
}

// output draws what emitting stages have.
func (d draw) output(s *StageOptions) {
	s.Buffer = []int{0, 1, d.below(50), 10_000}[d.below(4)]
	s.KeepFirst = d.once(2)
	s.Dispatch = Dispatch(d.below(4))
	s.Parts = 1 + d.below(3)
}

func (o *Options) addRelay(d draw) {
	s := StageOptions{
		Kind: Identity + Kind(d.below(int(Automatic-Identity))), Factor: 1 + d.below(4), Most: 1 + d.below(10),
		KeepRunning: d.once(10), Stays: d.once(3),
	}
	d.output(&s)
	if d.once(2) {
		s.Buffer = stage.Unlimited
	}
	o.Stages = append(o.Stages, s)
	o.subscribe(d, len(o.Stages)-1, 2)
}

func (o *Options) addSink(d draw) {
	s := StageOptions{Kind: Automatic + Kind(d.below(int(kinds-Automatic))), Stays: d.once(4), Alternate: d.once(2)}
	o.Stages = append(o.Stages, s)
	o.subscribe(d, len(o.Stages)-1, 3)
}

// subscribe draws sources for a stage, among those before it.
func (o *Options) subscribe(d draw, to, most int) {
	var sources []int
	for i, s := range o.Stages[:to] {
		if !s.Kind.sink() {
			sources = append(sources, i)
		}
	}
	d.Rand.Shuffle(len(sources), func(i, j int) { sources[i], sources[j] = sources[j], sources[i] })
	for _, from := range sources[:1+d.below(min(most, len(sources)))] {
		o.addInput(d.input(o, from, to))
		if d.once(8) && o.Stages[from].Dispatch != Broadcast {
			again := d.input(o, from, to)
			again.Duplicate = true
			o.addInput(again)
		}
	}
}

func (o *Options) addInput(in InputOptions) {
	o.Stages[in.To].Inputs = append(o.Stages[in.To].Inputs, len(o.Inputs))
	o.Inputs = append(o.Inputs, in)
}

// completeInputs has the last sink subscribe to whom nobody does.
func (o *Options) completeInputs(d draw) {
	served := map[int]bool{}
	for _, in := range o.Inputs {
		served[in.From] = true
	}
	last := len(o.Stages) - 1
	for i, s := range o.Stages {
		if !s.Kind.sink() && !served[i] {
			o.addInput(d.input(o, i, last))
		}
	}
}

// input draws one subscription.
func (d draw) input(o *Options, from, to int) InputOptions {
	most := []int{1, 2, 1 + d.below(8), 1 + d.below(64)}[d.below(4)]
	in := InputOptions{From: from, To: to, Max: most, Min: d.below(most), Cancel: stage.CancelMode(d.below(3))}
	if d.once(2) {
		in.Cancel = stage.CancelPermanent
	}
	switch kind := o.Stages[to].Kind; {
	case kind == Manual, kind == Identity && d.once(6):
		in.Manual = true
	}
	switch src := o.Stages[from]; src.Dispatch {
	case Broadcast:
		if d.once(3) {
			in.Where = 1 + d.below(4)
		}
		if d.once(5) {
			in.Lag, in.Policy = 1+d.below(10), stage.LagPolicy(d.below(2))
		}
	case Partition:
		in.Part = d.below(src.Parts)
		if d.once(20) && o.Layout != Supervised { // it would be started again for it, and again
			in.Part = src.Parts // there is none
		}
	}
	return in
}

// String prints the options, a stage per line.
func (o Options) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d %v: %v, schedule %v, ending %v after %v, faults 1/%d, naps 1/%d, %d meddlers × %d, observed %t, again %t, stuck 1/%d, grace %v\n",
		o.Seed, o.Mode, o.Layout, o.Schedule, o.Ending, o.Storm, o.Faults, o.Naps, o.Meddlers, o.Steps, o.Observed, o.Again, o.Stuck, o.Grace)
	for i, g := range o.Groups {
		fmt.Fprintf(&b, "  group %d in %d: mode %d pipeline %t %v, %d restarts in %v, pause %v to %v\n",
			i, g.Parent, g.Mode, g.Pipeline, g.Strategy, g.Restarts, g.Within, g.Pause, g.Most)
	}
	for i, budget := range o.Budgets {
		fmt.Fprintf(&b, "  %d: %v\n", i+1, budget)
	}
	for i, s := range o.Stages {
		fmt.Fprintf(&b, "  %s", o.name(i))
		switch {
		case s.Kind.source():
			fmt.Fprintf(&b, " events %d most %d room %d", s.Events, s.Most, s.Room)
		case !s.Kind.sink():
			fmt.Fprintf(&b, " factor %d most %d", s.Factor, s.Most)
		}
		if !s.Kind.sink() {
			fmt.Fprintf(&b, " buffer %d first %t %v/%d accumulating %t keep running %t", s.Buffer, s.KeepFirst, s.Dispatch, s.Parts, s.Accumulating, s.KeepRunning)
		}
		if o.Layout == Supervised {
			fmt.Fprintf(&b, " group %d mode %d fresh %t", s.Group, s.Mode, s.Fresh)
		}
		fmt.Fprintf(&b, " stays %t alternate %t\n", s.Stays, s.Alternate)
		for _, at := range s.Inputs {
			in := o.Inputs[at]
			fmt.Fprintf(&b, "    ← %s max %d min %d manual %t cancel %d", o.name(in.From), in.Max, in.Min, in.Manual, in.Cancel)
			fmt.Fprintf(&b, " where %d part %d lag %d/%d budget %d duplicate %t\n", in.Where, in.Part, in.Lag, in.Policy, in.Budget, in.Duplicate)
		}
	}
	return b.String()
}

func (o Options) name(i int) string { return fmt.Sprintf("%d-%v", i, o.Stages[i].Kind) }
