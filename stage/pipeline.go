package stage

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/go-genstage/genstage/internal/goid"
)

const kindPipeline = "pipeline"

// Pipeline runs stages together: it starts them in order, ends them together, and is a [Stage]
// itself, so pipelines nest. Make one with [NewPipeline]. It must not be copied.
//
// A failure of one member reaches its neighbours through their subscriptions, by cancel mode,
// and ends the pipeline: the other members are aborted with it as the cause, and Run returns it.
// The exception is a failed stage that has subscribers, all of them temporary: it is logged and
// the rest goes on. A producer or producer-consumer whose subscribers have all gone is ended
// (see [KeepRunning]); a consumer whose subscriptions have all ended completes.
type Pipeline struct {
	// set before run, read-only after
	name   string
	given  []Stage // what NewPipeline was given
	stages []Stage // the same, as realOf returns them
	fault  error

	mu   sync.Mutex
	run  *scope // guarded by mu; nil when not running
	runs int    // guarded by mu
	last Stats  // guarded by mu
}

// NewPipeline makes a pipeline of the stages, which start in this order. A nil stage, or one
// that stands in it twice, is reported by Run.
func NewPipeline(stages ...Stage) *Pipeline { return newPipeline(stages) }

// newPipeline must be called by the exported function directly, for the call site.
func newPipeline(stages []Stage) *Pipeline {
	p := &Pipeline{name: kindPipeline + " " + callSite(2), given: slices.Clone(stages)}
	seen := map[*handle]bool{}
	for i, s := range stages {
		real := realOf(s)
		switch {
		case real == nil:
			p.fault = fmt.Errorf("%w: stage %d of the pipeline is nil", ErrInvalidStage, i)
			return p
		case slices.Contains(p.stages, real): // it may have no members yet
			p.fault = fmt.Errorf("%w: %q stands in the pipeline twice", ErrInvalidStage, real.Name())
			return p
		}
		p.stages = append(p.stages, real)
		for _, h := range real.members() {
			if seen[h] {
				p.fault = fmt.Errorf("%w: %q stands in the pipeline twice", ErrInvalidStage, h.conf.name)
				return p
			}
			seen[h] = true
		}
	}
	return p
}

// Named names the pipeline, in errors, logs and Stats, and returns it:
//
//	ingest := stage.NewPipeline(source, workers, sink).Named("ingest")
//
// By default the name is "pipeline" and the file and line where it was made. It must not be empty. Call it before Run.
func (p *Pipeline) Named(name string) *Pipeline {
	switch {
	case p == nil: // it will be reported by whoever runs it
	case name != "":
		p.name = name
	case p.fault == nil:
		p.fault = fmt.Errorf("%w: the name of %s is empty", ErrInvalidOption, p.name)
	}
	return p
}

// Name returns the pipeline's name; see [Pipeline.Named].
func (p *Pipeline) Name() string {
	if p == nil {
		return ""
	}
	return p.name
}

// Stages returns the stages it was made of, in order.
func (p *Pipeline) Stages() []Stage {
	if p == nil {
		return nil
	}
	return slices.Clone(p.given)
}

func (p *Pipeline) itself() Stage {
	if p == nil {
		return nil
	}
	return p
}

// Run runs all stages and blocks until every one has ended. Every mailbox opens; OnInit of all
// runs, in order; the declared subscriptions are made; only when all are answered do the demand
// callbacks begin. A failing OnInit ends the pipeline before any event; one that returns [ErrShutdown] ends it cleanly.
//
// It returns nil when the stages have come to their end by completion, by Stop, or as a callback
// other than OnInit returned [ErrShutdown]; the first failure, or what OnInit returned, wrapped once in an [Error]
// that names its stage; or, after Abort or the end of ctx, an error that wraps the cause. It returns [ErrRunning] when it, or a member, runs
// already.
func (p *Pipeline) Run(ctx context.Context) error {
	s, err := p.ready(ctx)
	if err != nil {
		return err
	}
	return s.run(ctx, asMembers(p.stages))
}

// ready makes the run that is about to begin. From then on it can be stopped.
func (p *Pipeline) ready(ctx context.Context) (*scope, error) {
	if p == nil {
		return nil, unmade("Run")
	}
	if p.fault != nil {
		return nil, p.fault
	}
	if ctx.Err() != nil {
		return nil, &Error{Stage: p.name, Err: cause(ctx)}
	}
	s := &scope{label: p.name, launch: &launch{}, done: make(chan struct{})}
	return s, p.begin(s)
}

// begin makes s the current run.
func (p *Pipeline) begin(s *scope) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		if p.run.awaits(goid.Current()) {
			return fmt.Errorf("%s: Run: %w", p.name, ErrSelfCall)
		}
		return fmt.Errorf("%s: Run: %w", p.name, ErrRunning)
	}
	p.run = s
	p.runs++
	s.number = p.runs
	s.onOver = func() { p.over(s) }
	return nil
}

// over forgets the run that has ended.
func (p *Pipeline) over(s *scope) {
	last := s.stats()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run == s {
		p.run, p.last = nil, last
	}
}

// Stop drains the pipeline from its sources: producers are asked no more, subscriptions to
// stages outside are cancelled, and completion runs down. It blocks until every stage has ended
// and returns nil, or a [*StopError] when ctx ended first (the pipeline is aborted then) or a
// stage failed meanwhile. It returns [ErrNotRunning] if the pipeline was never run, nil if it
// has ended, and [ErrSelfCall] from a callback of a member.
func (p *Pipeline) Stop(ctx context.Context) error {
	if p == nil {
		return unmade("Stop")
	}
	inside := map[*handle]bool{}
	for _, h := range p.members() {
		inside[h] = true
	}
	run, runs := p.current()
	return stopCurrent(ctx, p.name, run, runs, func(h *handle) bool { return inside[h] })
}

func (p *Pipeline) current() (run controller, runs int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.run != nil {
		run = p.run
	}
	return run, p.runs
}

// Abort ends every stage without draining; see [Producer.Abort]. A nil cause stands for
// [ErrShutdown]. It never blocks and may be called from any goroutine.
func (p *Pipeline) Abort(cause error) {
	if p == nil {
		return
	}
	run, _ := p.current()
	abortCurrent(p.name, run, cause)
}

// Stats returns the Stats of the members, in order, in Members.
func (p *Pipeline) Stats() Stats {
	if p == nil {
		return Stats{}
	}
	p.mu.Lock()
	run, last, runs := p.run, p.last, p.runs
	p.mu.Unlock()
	if run != nil {
		last = run.stats()
	} else if len(last.Members) == len(p.stages) {
		last.Members = slices.Clone(last.Members)
		for i, s := range p.stages {
			last.Members[i] = s.showStuck(last.Members[i])
		}
	}
	last.At = time.Now()
	last.Stage, last.Kind, last.Runs = p.name, kindPipeline, runs
	return last
}

// showStuck brings Stats of an ended run up to date: what was abandoned may have returned.
func (p *Pipeline) showStuck(s Stats) Stats {
	if now := p.Stats(); now.Runs == s.Runs {
		return now
	}
	return s
}

func (p *Pipeline) members() []*handle {
	var all []*handle
	for _, s := range p.stages {
		all = append(all, s.members()...)
	}
	return all
}

// open makes the pipeline a member of another one.
func (p *Pipeline) open(ctx context.Context, parent *scope) error {
	if p.fault != nil {
		return p.fault
	}
	s := &scope{label: p.name, parent: parent, tenure: parent.tenure, launch: parent.launch, done: make(chan struct{})}
	if err := p.begin(s); err != nil {
		return err
	}
	parent.joins(s)
	return s.open(ctx, asMembers(p.stages))
}

func asMembers(stages []Stage) []member {
	ms := make([]member, len(stages))
	for i, s := range stages {
		ms[i] = s
	}
	return ms
}
