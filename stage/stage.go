package stage

import (
	"context"
)

// Stage is a [Producer] (also a [Queue]), a [ProducerConsumer], a [Consumer], a [ConsumerSupervisor], or a
// [Pipeline] or [Supervisor] of them: something that runs, ends and says how it is. It is made by the constructors of
// this package only. A struct that embeds one stands for it: a pipeline or supervisor runs the one within, and calls no
// method that the struct has put in the place of one of these.
type Stage interface {
	// Name returns the stage's name.
	Name() string
	// Run runs it and blocks until it has ended; see the concrete type.
	Run(ctx context.Context) error
	// Stop drains it and blocks until it has ended.
	Stop(ctx context.Context) error
	// Abort ends it without draining and does not block.
	Abort(cause error)
	// Stats tells what it has done.
	Stats() Stats

	member
	itself() Stage // nil for a nil one; realOf is how to ask
}

// realOf returns the stage of this package that s is: of a struct that embeds one, that one. It returns nil if there is none.
func realOf(s Stage) (real Stage) {
	if s == nil {
		return nil
	}
	defer func() {
		if recover() != nil { // a struct that is nil, or in which the stage is
			real = nil
		}
	}()
	return s.itself()
}

// member is what the launcher needs of a stage (scope.go).
type member interface {
	open(ctx context.Context, s *scope) error // begins a run, which joins s
	members() []*handle
	showStuck(Stats) Stats // of a run that has ended: with what is stuck in it now
}

// controller is one run of a member, as the launcher, the handle and the pipeline see it.
type controller interface {
	initialize(turn func()) *ending // runs OnInit; blocks until it has returned; how it failed, else nil; turn is the launcher's (internal/hop)
	connect()                       // makes the declared subscriptions
	awaitConnected()                // blocks until all of them are answered or wait, or the run has ended
	release()                       // demand callbacks may begin
	abort(e *ending)                // never blocks
	stop(inside func(*handle) bool) // begins to drain; never blocks
	keptBy() *tenure                // what a supervisor says of the run; nil for none
	finished() <-chan struct{}      // closed when the run has ended
	end() *ending                   // after finished
	stats() Stats                   // at any time
	stuck() []Stuck                 // callbacks and children that have not returned; at any time
	awaits(goroutine uint64) bool   // whether callbacks of the run are called there, or it is a child's: the run's end waits for it
}

// Run runs the stages as one pipeline, blocks until every one has ended, and returns what
// [Pipeline.Run] says: nil when all came to their end. It is short for NewPipeline(stages...).Run(ctx).
// The end of ctx aborts; [RunUntil] drains then.
func Run(ctx context.Context, stages ...Stage) error {
	return newPipeline(stages).Run(ctx)
}

// All turns a slice of one kind of stage into one of [Stage], for [Run] and [NewPipeline]:
//
//	stage.Run(ctx, append(stage.All(workers...), source)...)
func All[S Stage](stages ...S) []Stage {
	all := make([]Stage, len(stages))
	for i, s := range stages {
		all[i] = s
	}
	return all
}
