package conformance

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// row is a difference on purpose: docs/genstage.md has a section of that name, with what GenStage does, what we
// do, and why. A scenario that differs is explained by rows, or by being marked as a quirk or with the area
// stalled-buffer, or it fails.
type row struct {
	name string

	// level makes both sides equal where the row says that they are not. Everything else is still compared.
	level func(p *played)
	// explains says whether a difference, and what follows from it, is due to the row.
	explains func(p *played, d *difference) bool
}

// TestDocumented: every row, and every scenario that differs, stands in docs/genstage.md.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/genstage.md")
	require.NoError(t, err)
	for _, r := range append(rows, row{name: "stalled-buffer"}, row{name: "quirk"}) {
		require.Contains(t, string(page), "\n### "+r.name+"\n")
	}
	goldens, err := filepath.Glob(filepath.Join(oursDir, "*.json"))
	require.NoError(t, err)
	for _, file := range goldens {
		require.Contains(t, string(page), "`"+strings.TrimSuffix(filepath.Base(file), ".json")+"`")
	}
}

// played is a scenario that has been played, with all that a row may look at. The traces are copies.
type played struct {
	sc         *scenario
	w          *world
	want, have *trace
}

var rows = []row{
	{name: "killed", level: levelKilled},
	{name: "empty-delivery", level: levelEmpty},
	{name: "stream-end", level: levelStreamEnd},
	{name: "ordered-info", level: levelInfo},

	{name: "overtaken", explains: explainsOvertaken},
	{name: "hand-back", explains: func(p *played, _ *difference) bool {
		return p.w.sum(func(f final) int64 { return f.Output.TakenBack }) > 0
	}},
	{name: "dropped", explains: func(p *played, _ *difference) bool {
		return p.w.sum(func(f final) int64 { return f.Output.Dropped }) > 0
	}},
	{name: "no-owner", explains: func(p *played, d *difference) bool { return p.w.ownerless > 0 && d.step >= p.w.ownerless }},
	{name: "bad-partition", explains: explainsBadPartition},
	{name: "chunks", explains: explainsChunks},
	{name: "completion", explains: explainsCompletion},
	{name: "ask-automatic", explains: explainsAskAutomatic},
	{name: "third-subscription", explains: explainsThird},
	{name: "supervisor-min", explains: explainsSupervisorMin},
	{name: "no-buffer", explains: explainsNoBuffer},
	{name: "declared-waits", explains: explainsDeclared},
}

// documented names the rows that explain why the scenario differs; none if it may not.
func documented(p *played) (names []string) {
	d := compare(p.want, p.have)
	for i := 0; i < len(rows) && d != nil; i++ {
		if rows[i].level == nil {
			continue
		}
		levelled := p.copy()
		rows[i].level(levelled)
		if rest := compare(levelled.want, levelled.have); rest == nil || rest.step > d.step {
			names, d, i = append(names, rows[i].name), rest, -1 // once more: each hides others
			*p = *levelled
		}
	}
	if d == nil {
		return names
	}
	switch {
	case p.sc.has("stalled-buffer"):
		return append(names, "stalled-buffer")
	case p.sc.Quirk:
		return append(names, "quirk")
	}
	for _, r := range rows {
		if r.explains != nil && r.explains(p, d) {
			return append(names, r.name)
		}
	}
	return nil
}

// copy returns p with traces of its own.
func (p *played) copy() *played {
	c := *p
	for _, t := range []**trace{&c.want, &c.have} {
		another, err := reread[*trace](*t)
		if err != nil {
			panic(err)
		}
		*t = another
	}
	return &c
}

// each calls fn for every entry that both sides have.
func (p *played) each(fn func(name string, want, have *entry)) {
	for i := range p.want.Steps {
		if i >= len(p.have.Steps) {
			return
		}
		for name, want := range p.want.Steps[i].Stages {
			if have := p.have.Steps[i].Stages[name]; have != nil {
				fn(name, want, have)
			}
		}
	}
}

// without returns the records for which drop is false.
func without(records []record, drop func(record) bool) []record {
	kept := slices.DeleteFunc(slices.Clone(records), drop)
	if len(kept) == 0 {
		return nil
	}
	return kept
}

// levelKilled drops OnTerminate of a killed stage.
func levelKilled(p *played) {
	p.each(func(_ string, want, have *entry) {
		if want.Exit == "killed" && have.Exit == "killed" {
			have.Records = without(have.Records, func(r record) bool { return r["cb"] == "terminate" })
		}
	})
}

// levelEmpty drops deliveries without an event, which a selector leaves.
func levelEmpty(p *played) {
	p.each(func(_ string, want, _ *entry) {
		want.Records = without(want.Records, func(r record) bool {
			list, isList := r["events"].([]any)
			return r["cb"] == "events" && isList && len(list) == 0
		})
	})
}

// levelStreamEnd lets a stream whose producers ended normally end without an error.
func levelStreamEnd(p *played) {
	for i := range p.want.Steps {
		want, isMap := p.want.Steps[i].Result.(map[string]any)
		if i >= len(p.have.Steps) || !isMap || want["exit"] != "normal@close_stream" {
			continue
		}
		if have, _ := p.have.Steps[i].Result.(map[string]any); have["taken"] != nil {
			p.want.Steps[i].Result = have
		}
	}
}

// about is the step of a difference.
func (p *played) about(d *difference) *step {
	if d.step == 0 {
		return &step{Do: "start"}
	}
	return &p.sc.Steps[d.step-1]
}

// spec is the stage that a difference is about.
func (p *played) spec(d *difference) *stageSpec {
	name, _, _ := strings.Cut(d.where, " ")
	if a := p.w.actors[name]; a != nil {
		return &a.spec
	}
	return &stageSpec{}
}

func (s *stageSpec) dispatches(by string) bool { return s.Dispatcher != nil && s.Dispatcher.Type == by }

// explainsOvertaken: GenStage delivers events in another order than they were emitted in.
func explainsOvertaken(p *played, _ *difference) bool {
	for id, list := range deliveries(p.want) {
		if from := p.w.sourceOf(id); from != nil && !inOrder(list, from.shifted()) {
			return true
		}
	}
	return false
}

// explainsBadPartition: a subscription that brings GenStage's producer down.
func explainsBadPartition(p *played, d *difference) bool {
	s := p.about(d)
	if s.Do != "subscribe" && s.Do != "resubscribe" {
		return false
	}
	to := p.w.actors[s.To]
	exit := p.want.Steps[d.step].Stages[s.To]
	return to != nil && exit != nil && exit.Exit == "error:bad_argument"
}

// levelInfo drops the ordered infos of stages where they may come at another time: behind the queue of a
// producer-consumer or of a partition, and while a producer accumulates.
func levelInfo(p *played) {
	for name, a := range p.w.actors {
		accumulates := a.spec.Demand == "accumulate" || p.sets(name, "accumulate")
		if a.spec.Kind != "producer_consumer" && !a.spec.dispatches("partition") && !accumulates {
			continue
		}
		ordered := map[string]bool{}
		for _, s := range p.sc.Steps {
			if strings.HasSuffix(s.Do, "sync_info") && s.stage() == name {
				ordered[text(s.Msg)] = true
			}
		}
		p.each(func(of string, want, have *entry) {
			if of != name {
				return
			}
			isOrdered := func(r record) bool { return r["cb"] == "info" && ordered[text(r["msg"])] }
			want.Records, have.Records = without(want.Records, isOrdered), without(have.Records, isOrdered)
		})
	}
}

// sets says whether a step sets the mode of a stage.
func (p *played) sets(name, mode string) bool {
	return slices.ContainsFunc(p.sc.Steps, func(s step) bool {
		return s.Do == "set_demand" && s.stage() == name && s.Mode == mode
	})
}

// explainsChunks: GenStage handles what is queued of a lost upstream in one batch.
func explainsChunks(p *played, d *difference) bool {
	for _, e := range p.want.Steps[d.step].Stages {
		for _, r := range e.Records {
			list, _ := r["events"].([]any)
			id, _ := r["sub"].(string)
			l := p.w.link(id)
			if len(list) == 0 || l == nil || l.consumer == nil || l.consumer.isManual(l.opts) || l.consumer.spec.Kind != "producer_consumer" {
				continue
			}
			if most := l.opts.max() - l.opts.min(); len(list) > most {
				return true
			}
		}
	}
	return false
}

// max and min are the limits of an automatic subscription.
func (o subOpts) max() int { return o.number("max_demand", 1000) }
func (o subOpts) min() int { return o.number("min_demand", o.max()/2) }

func (o subOpts) number(name string, otherwise int) int {
	if n, ok := o[name].(float64); ok {
		return int(n)
	}
	return otherwise
}

// explainsCompletion: a stage with several permanent upstreams goes on when one of them has ended normally, and
// one that is told to stop normally delivers first what waits.
func explainsCompletion(p *played, d *difference) bool {
	name := p.spec(d).Name
	want := p.want.Steps[d.step].Stages[name]
	if want == nil || want.Exit != "normal" {
		return false
	}
	if s := p.about(d); s.Do == "stop_self" && s.stage() == name {
		return true
	}
	permanent := 0
	for _, l := range p.w.links {
		if mode := l.opts["cancel"]; l.consumer != nil && l.consumer.name == name && (mode == nil || mode == "permanent") {
			permanent++
		}
	}
	return permanent > 1
}

// explainsAskAutomatic: an ask over an automatic subscription.
func explainsAskAutomatic(p *played, d *difference) bool {
	s := p.about(d)
	l := p.w.link(s.Sub)
	return s.Do == "ask" && l != nil && !l.consumer.isManual(l.opts)
}

// explainsThird: a broadcast that refused a pair accepts it the next time.
func explainsThird(p *played, d *difference) bool {
	s := p.about(d)
	if to := p.w.actors[s.To]; s.Do != "subscribe" || to == nil || !to.spec.dispatches("broadcast") {
		return false
	}
	before := 0
	for _, earlier := range p.sc.Steps[:d.step-1] {
		if earlier.Do == "subscribe" && earlier.Consumer == s.Consumer && earlier.To == s.To {
			before++
		}
	}
	return before > 1
}

// explainsSupervisorMin: a supervisor's default for min is 0 here.
func explainsSupervisorMin(p *played, _ *difference) bool {
	for _, l := range p.w.links {
		if l.consumer != nil && l.consumer.children != nil && l.opts["min_demand"] == nil {
			return true
		}
	}
	return false
}

// explainsNoBuffer: a buffer of size 0.
func explainsNoBuffer(p *played, d *difference) bool {
	return d.step == 0 && slices.ContainsFunc(p.sc.Stages, func(s stageSpec) bool { return s.BufferSize == float64(0) })
}

// explainsDeclared: a subscription that a stage is made with waits for its source, and a bad option in it is
// reported by Run.
func explainsDeclared(p *played, d *difference) bool {
	return d.step == 0 && slices.ContainsFunc(p.sc.Stages, func(s stageSpec) bool { return len(s.SubscribeTo) > 0 })
}
