package conformance

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// scenario is one file of the scenarios folder.
type scenario struct {
	Name, Note, Level string
	Areas             []string
	Quirk             bool
	Stages            []stageSpec
	Steps             []step
}

func (s *scenario) has(area string) bool { return slices.Contains(s.Areas, area) }

// event is what flows: an int, or a string where a supervisor's children are steered by it.
type event = any

// events is a list of them, or a range with both ends included.
type events []event

func (l *events) UnmarshalJSON(data []byte) error {
	var span struct{ Range []int }
	if json.Unmarshal(data, &span) == nil && span.Range != nil {
		*l = between(span.Range[0], span.Range[1])
		return nil
	}
	var list []event
	if err := json.Unmarshal(data, &list); err != nil {
		return err
	}
	*l = events{}
	for _, e := range list {
		*l = append(*l, whole(e))
	}
	return nil
}

// between returns the integers from first to last, both included.
func between(first, last int) events {
	list := events{}
	for e := first; e <= last; e++ {
		list = append(list, e)
	}
	return list
}

// whole makes an int of a JSON number and leaves everything else alone.
func whole(e event) event {
	if f, ok := e.(float64); ok {
		return int(f)
	}
	return e
}

// stageSpec is one stage of a scenario.
type stageSpec struct {
	Name, Kind    string
	Demand        string
	BufferSize    any             `json:"buffer_size"`
	BufferKeep    string          `json:"buffer_keep"`
	UnknownOption any             `json:"unknown_option"`
	LogDiscarded  any             `json:"log_discarded"` // there is no default log to be declined
	OnCancel      json.RawMessage `json:"on_cancel"`
	OnSubscribe   onSubscribe     `json:"on_subscribe"`
	SubscribeTo   []declared      `json:"subscribe_to"`
	Dispatcher    *dispatcherSpec
	Mode, Init    string
	Gated         bool
	Behaviour     behaviour
	Child         childSpec
	MaxRestarts   *int `json:"max_restarts"`
	MaxSeconds    *int `json:"max_seconds"`
	Source        *sourceSpec
}

type onSubscribe struct {
	ProducerMode string `json:"producer_mode"`
	ProducerStop string `json:"producer_stop"`
	ConsumerStop string `json:"consumer_stop"`
}

type declared struct {
	ID, To string
	Opts   subOpts
}

type dispatcherSpec struct {
	Type       string
	MaxDemand  int  `json:"max_demand"`
	Shuffle    bool `json:"shuffle"`
	Partitions any
	Hash       *hashSpec
}

type hashSpec struct {
	Mod, Add int
	Names    []string
	None     *predicate
}

type childSpec struct {
	Restart, Mode, Notify string
	Shutdown              any
}

type sourceSpec struct {
	Range       []int
	List, Cycle events
}

// behaviour is what the callbacks of a stage do.
type behaviour struct {
	Policy string

	Start, K, Size int
	Limit          *int
	Items          events
	AtEnd          string `json:"at_end"`
	Reason, Tag    string

	Mul  *int
	Add  int
	Keep *predicate
	Base *int
	N    int
	Ask  *int

	Notify         *struct{ Stage string }
	Handoff        *handoff
	StopAfter      int   `json:"stop_after"`
	CrashOn        event `json:"crash_on"`
	BadReturnOn    event `json:"bad_return_on"`
	AskOnSubscribe int   `json:"ask_on_subscribe"`
}

type handoff struct {
	Stage   string
	K, Base int
}

// step is one step; Stage is a name or, for start, a whole stage.
type step struct {
	Do                string
	ID, Consumer, To  string
	Opts              subOpts
	Async             bool
	Replaces, Reason  string
	Sub, By, Via, Tag string
	Mode, Probe       string
	N                 *int
	Stage             json.RawMessage
	Events            events
	Msg               any
	Event             event
	From              []streamFrom
	Take              *int
	Steps             []step

	raw string // as it stands in the file
}

type streamFrom struct {
	Stage, ID string
	Opts      subOpts
}

func (s *step) UnmarshalJSON(data []byte) error {
	type plain step
	if err := json.Unmarshal(data, (*plain)(s)); err != nil {
		return err
	}
	s.Event, s.raw = whole(s.Event), string(data)
	return nil
}

// stage returns the name of the stage that the step is about.
func (s *step) stage() string {
	var name string
	if json.Unmarshal(s.Stage, &name) != nil {
		return s.spec().Name
	}
	return name
}

// spec returns the stage of a start step.
func (s *step) spec() stageSpec {
	spec, err := reread[stageSpec](s.Stage)
	if err != nil {
		panic(err)
	}
	return spec
}

// n returns the count of a step that may leave it out.
func (s *step) n() int { return deref(s.N, 1) }

func deref(n *int, otherwise int) int {
	if n == nil {
		return otherwise
	}
	return *n
}

// subOpts are the options of a subscription as the scenario gives them.
type subOpts map[string]any

// predicate is a condition on an integer event.
type predicate struct {
	Mod   []int
	Gt    *int
	Lt    *int
	In    []int
	Not   *predicate
	Const *bool
}

func (p *predicate) holds(e event) bool {
	n, isInt := e.(int)
	switch {
	case p == nil:
		return false
	case p.Const != nil:
		return *p.Const
	case p.Not != nil:
		return !p.Not.holds(e)
	case !isInt:
		return false
	case p.Mod != nil:
		return mod(n, p.Mod[0]) == p.Mod[1]
	case p.Gt != nil:
		return n > *p.Gt
	case p.Lt != nil:
		return n < *p.Lt
	}
	return slices.Contains(p.In, n)
}

// mod is the remainder that is never negative.
func mod(n, m int) int { return ((n % m) + m) % m }

// reread decodes a value that came out of JSON into a more precise type.
func reread[T any](value any) (T, error) {
	var t T
	data, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(data, &t)
	}
	return t, err
}

// load reads one JSON file into a new T.
func load[T any](folder, name string) (*T, error) {
	data, err := os.ReadFile(filepath.Join(folder, name+".json"))
	if err != nil {
		return nil, err
	}
	t := new(T)
	if err := json.Unmarshal(data, t); err != nil {
		return nil, fmt.Errorf("%s/%s.json: %w", folder, name, err)
	}
	return t, nil
}
