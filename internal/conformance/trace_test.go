package conformance

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
)

// trace is what was done, step by step. In a file of GenStage's there is more in it; what is read
// here is what is compared.
type trace struct {
	Name  string      `json:"name"`
	Steps []traceStep `json:"steps"`
}

type traceStep struct {
	Step   int               `json:"step"`
	Do     string            `json:"do"`
	Result any               `json:"result,omitempty"`
	Stages map[string]*entry `json:"stages"`
}

// entry is what one stage did since the step before.
type entry struct {
	Records       []record   `json:"records,omitempty"`
	Exit          string     `json:"exit,omitempty"`
	ChildrenEnded []childEnd `json:"children_ended,omitempty"`
	State         *state     `json:"state,omitempty"`
}

// record is one callback.
type record map[string]any

type childEnd struct {
	Event  event  `json:"event"`
	Reason string `json:"reason"`
}

// state is the part of a stage's state that users can see.
type state struct {
	Buffered *int64 `json:"buffered,omitempty"`
}

// difference is the first place where two traces are not the same.
type difference struct {
	step       int
	where      string // "result", or a stage and what of it
	want, have string
}

func (d *difference) String() string {
	return fmt.Sprintf("step %d, %s\n\tGenStage: %s\n\there:     %s", d.step, d.where, d.want, d.have)
}

// compare returns the first difference between what GenStage did and what was played, nil if
// there is none. What a step did not compare in one of them is not compared: a stage that has
// ended or is blocked has no state.
func compare(want, have *trace) *difference {
	for i, w := range want.Steps {
		if i >= len(have.Steps) {
			break
		}
		if d := compareStep(w, have.Steps[i]); d != nil {
			return d
		}
	}
	return nil
}

func compareStep(want, have traceStep) *difference {
	if w, h := text(want.Result), text(have.Result); w != h {
		return &difference{want.Step, "result", w, h}
	}
	names := slices.Sorted(maps.Keys(want.Stages))
	for name := range have.Stages {
		if want.Stages[name] == nil {
			names = append(names, name)
		}
	}
	for _, name := range names {
		w, h := want.Stages[name], have.Stages[name]
		if w == nil {
			w = &entry{}
		}
		if h == nil {
			h = &entry{}
		}
		for _, part := range []struct {
			what       string
			want, have any
		}{
			{"records", w.Records, h.Records},
			{"exit", w.Exit, h.Exit},
			{"children_ended", w.ChildrenEnded, h.ChildrenEnded},
			{"buffered", w.buffered(h), h.buffered(w)},
		} {
			if w, h := text(part.want), text(part.have); w != h {
				return &difference{want.Step, name + " " + part.what, w, h}
			}
		}
	}
	return nil
}

// buffered returns the buffered count if both sides have one.
func (e *entry) buffered(other *entry) any {
	if e.State == nil || e.State.Buffered == nil || other.State == nil || other.State.Buffered == nil {
		return nil
	}
	return *e.State.Buffered
}

// text is the form in which values are compared.
func text(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return err.Error()
	}
	return string(data)
}
