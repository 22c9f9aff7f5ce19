package flow

// event is what crosses the edges inside a flow: a value's place in a block. The stages of all
// layers can thus be of one type, and a value is not boxed.
type event struct {
	in   *block
	at   int32 // the place
	part int32 // the partition that the sender has chosen; 0 where there are none
}

// block is the values that a stage emitted together. It is not modified once its events are out.
type block struct {
	values any  // a []T; in an ordered layer a parcel, whose event stands for all of it
	once   bool // who reads a value takes it out, so that the block does not keep it alive
}

// column collects the values that a stage emits, and makes events of them.
type column[T any] struct {
	route  func(v T) int32 // the partition of a value; nil where there are none
	values []T
	last   int // how many there were the last time
}

func (c *column[T]) put(v T) {
	if c.values == nil {
		c.values = make([]T, 0, max(c.last, 8))
	}
	c.values = append(c.values, v)
}

// take returns the events of what was put since the last take.
func (c *column[T]) take() []event {
	values := c.values
	c.values, c.last = nil, len(values)
	if len(values) == 0 {
		return nil
	}
	events := eventsOf(&block{values: values}, len(values))
	if c.route != nil {
		for i, v := range values {
			events[i].part = c.route(v)
		}
	}
	return events
}

// eventsOf returns the events of a block of n values.
func eventsOf(b *block, n int) []event {
	events := make([]event, n)
	for i := range events {
		events[i] = event{in: b, at: int32(i)}
	}
	return events
}

// single makes an event of one value, where values go out one by one. The values
// share blocks nevertheless: a place is written once, before its event is out.
type single[T any] struct {
	shared bool // several read an event
	route  func(v T) int32
	room   []T // what is left of the block
	at     int32
	in     *block
}

// singles is how many values share a block then.
const singles = 256

func (s *single[T]) event(v T) event {
	if len(s.room) == 0 {
		s.room = make([]T, singles)
		s.in, s.at = &block{values: s.room, once: !s.shared}, 0
	}
	s.room[0] = v
	s.room = s.room[1:]
	e := event{in: s.in, at: s.at}
	s.at++
	if s.route != nil {
		e.part = s.route(v)
	}
	return e
}

// each returns what hands the input of a stage, values of a source or events, to the front of the
// chain one by one, until that wants no more.
//
//go:noinline
func each[T any](into func(v T) bool) func(input any) {
	return func(input any) {
		switch input := input.(type) {
		case []T:
			for _, v := range input {
				if !into(v) {
					return
				}
			}
		case []event:
			eachEvent(input, into)
		}
	}
}

func eachEvent[T any](events []event, into func(v T) bool) {
	var in *block
	var values []T
	for _, e := range events {
		if e.in != in {
			in = e.in
			values = in.values.([]T)
		}
		v := values[e.at]
		if in.once {
			var none T
			values[e.at] = none
		}
		if !into(v) {
			return
		}
	}
}
