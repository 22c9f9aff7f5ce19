package stage

import (
	"context"
	"runtime/pprof"
	"runtime/trace"
)

// Profile marks what the stage does for the tools of Go. In profiles its goroutines, those of its children and
// those that its callbacks start carry the labels "stage", with its name, and, while one is called, "callback",
// with the name as in [Callback]. In execution traces each run of the stage is a task of the type that its name
// says, with a region for each callback. The context of callbacks carries the label "stage", and the task.
//
// It costs some ten nanoseconds for each callback while nothing is traced. A run that began before the tracing
// has regions and no task.
func Profile() Option {
	return anyOption(func(c *config) { c.profile = true })
}

// profile is what a run with [Profile] puts on goroutines. All of it is read-only after the beginning of the run.
type profile struct {
	labels map[string]context.Context // of the name of a callback; "": between two
	task   *trace.Task
}

// startProfile begins the task of the run, and puts it and the label into the context of callbacks.
func (c *core) startProfile() {
	var task *trace.Task
	c.base, task = trace.NewTask(c.base, c.name())
	c.base = pprof.WithLabels(c.base, pprof.Labels("stage", c.name()))
	p := &profile{task: task, labels: map[string]context.Context{"": c.base}}
	for _, name := range append(callbackNames[1:], childCallback) {
		p.labels[name] = pprof.WithLabels(c.base, pprof.Labels("callback", name))
	}
	c.profile = p
}

// section is a part of what a goroutine does, with its labels and its region.
type section struct {
	p      *profile
	region *trace.Region
	outer  string
}

// begin marks the calling goroutine, until end is called there. It may be called on a nil profile.
func (p *profile) begin(ctx context.Context, callback, outer string) section {
	if p == nil {
		return section{}
	}
	p.mark(callback)
	return section{p, trace.StartRegion(ctx, callback), outer}
}

func (s section) end() {
	if s.p != nil {
		s.region.End()
		s.p.mark(s.outer)
	}
}

// mark sets the labels of the calling goroutine.
func (p *profile) mark(callback string) {
	if p != nil {
		pprof.SetGoroutineLabels(p.labels[callback])
	}
}

// end ends the task of the run.
func (p *profile) end() {
	if p != nil {
		p.task.End()
	}
}
