package flow

import (
	"errors"
	"fmt"
	"strings"
)

// plan is what a flow will start, as a plain value: its steps, each behind those that it is fed by. It is
// made anew for each run, and a flow that stands in it twice is planned twice.
type plan struct {
	steps []*step
}

// step is a source, stages of the user's, a layer or the end, and the stages that run for it.
type step struct {
	number int // from 1
	title  string
	source port // it or layer; neither for the end
	layer  *node
	stages int
	inputs []inlet
	max    int // what each of its stages asks of each stage before it
	min    int
	parts  int     // how many partitions the step that it feeds has
	share  sharing // how its results are shared among the stages of that step
}

// inlet is where a step is fed from.
type inlet struct {
	from  *step
	share sharing
}

// planOf returns the plan of a flow whose last layers an end subscribes to.
func planOf(last []input, end options) (*plan, error) {
	p := &plan{}
	l := layer{opts: end, inputs: last}
	s := &step{title: end.name, stages: 1, max: l.maxDemand(), min: l.minDemand(), parts: 1}
	err := errors.Join(append(end.check(), p.feed(s, l))...)
	p.add(s)
	return p, err
}

// add numbers a step whose inputs are in the plan.
func (p *plan) add(s *step) {
	s.number = len(p.steps) + 1
	p.steps = append(p.steps, s)
}

// feed plans what a step subscribes to.
func (p *plan) feed(s *step, l layer) error {
	var errs []error
	for _, in := range l.inputs {
		from, err := p.step(in)
		errs = append(errs, err)
		if from.layer != nil {
			from.share, from.parts = l.share, s.stages
		}
		s.inputs = append(s.inputs, inlet{from: from, share: from.share})
	}
	return errors.Join(errs...)
}

// step plans one input.
func (p *plan) step(in input) (*step, error) {
	if in.source != nil {
		l := in.source.fedBy()
		s := &step{source: in.source, title: in.source.String(), stages: in.source.stages(), max: l.maxDemand(), min: l.minDemand(), parts: 1}
		err := errors.Join(append(l.opts.check(), p.feed(s, l))...)
		p.add(s)
		return s, err
	}
	l := in.from.layer
	s := &step{layer: in.from, title: l.title(), stages: l.stages(), max: l.maxDemand(), min: l.minDemand(), parts: 1}
	err := l.check()
	if err != nil {
		err = fmt.Errorf("flow: layer %q: %w", s.title, err)
	}
	err = errors.Join(err, p.feed(s, l))
	p.add(s)
	return s, err
}

// name is what the stage of a step with that index is called.
func (s *step) name(index int) string {
	title := s.title
	if s.layer == nil || s.layer.opts.name == "" {
		title = fmt.Sprintf("%d:%s", s.number, s.title)
	}
	if s.stages == 1 {
		return title
	}
	return fmt.Sprintf("%s/%d", title, index)
}

// reorders says whether the step has a collector and a sorter beside its stages.
func (s *step) reorders() bool { return s.layer != nil && s.layer.reorders() }

// entrances is how many of its stages subscribe, exits how many emit.
func (s *step) entrances() int {
	if s.reorders() || s.source != nil {
		return 1
	}
	return s.stages
}

func (s *step) exits() int {
	if s.reorders() {
		return 1
	}
	return s.stages
}

// String lists the steps as Explain shows them.
func (p *plan) String() string {
	var b strings.Builder
	stages, subscriptions := 0, 0
	for _, s := range p.steps {
		n, more := s.count()
		stages += n
		subscriptions += more
		fmt.Fprintf(&b, "%d. %s: %s%s\n", s.number, s.title, count(s.stages, "stage"), s.remark())
		for _, in := range s.inputs {
			n := in.from.exits() * s.entrances()
			subscriptions += n
			fmt.Fprintf(&b, "   from %d, %s: %s, %s\n", in.from.number, in.share, count(n, "subscription"), s.asks())
		}
	}
	fmt.Fprintf(&b, "in all %s, %s\n", count(stages, "stage"), count(subscriptions, "subscription"))
	return b.String()
}

// count returns how many stages a step has, and how many subscriptions between them.
func (s *step) count() (stages, subscriptions int) {
	switch {
	case s.reorders():
		return s.stages + 2, 2 * s.stages
	case s.source != nil && len(s.inputs) > 0:
		return s.stages + 1, s.stages
	}
	return s.stages, 0
}

func (s *step) remark() string {
	switch {
	case s.reorders():
		return fmt.Sprintf(", between a collector and a sorter, at most %d events under way", s.layer.reorderWindow())
	case s.source != nil && len(s.inputs) > 0:
		return ", behind one that hands over to them"
	}
	return ""
}

// asks says what each subscription of the step asks for.
func (s *step) asks() string {
	if s.reorders() {
		return fmt.Sprintf("%d asked at first, then as many as are in order", s.reorderShare())
	}
	return fmt.Sprintf("max %d, min %d", s.max, s.min)
}

// String says it as Explain does.
func (s sharing) String() string {
	switch s {
	case byKey:
		return "by key"
	case toAll:
		return "all to each"
	}
	return "on demand"
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
