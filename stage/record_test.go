package stage

import "fmt"

// record is an outlet that writes down what it is told, in order.
type record struct {
	sent      map[SubID][]int
	filtered  map[SubID]int
	lagged    map[SubID]int
	refused   map[SubID]error
	discarded []int
	dropped   int
	faults    []error
	due       []any
}

func newRecord() *record {
	return &record{sent: map[SubID][]int{}, filtered: map[SubID]int{}, lagged: map[SubID]int{}, refused: map[SubID]error{}}
}

// forget makes it as new.
func (r *record) forget() {
	clear(r.sent)
	clear(r.filtered)
	clear(r.lagged)
	clear(r.refused)
	r.discarded, r.dropped, r.faults, r.due = nil, 0, nil, nil
}

func (r *record) Send(id SubID, events []int) {
	if len(events) == 0 || len(events) != cap(events) {
		panic(fmt.Sprintf("%d events with room for %d are sent", len(events), cap(events)))
	}
	r.sent[id] = append(r.sent[id], events...)
}
func (r *record) Filtered(id SubID, n int)     { r.filtered[id] += n }
func (r *record) Lagged(id SubID, n int)       { r.lagged[id] += n }
func (r *record) Discarded(events []int)       { r.discarded = append(r.discarded, events...) }
func (r *record) Refuse(id SubID, err error)   { r.refused[id] = err }
func (r *record) Admit(int, []SubID) Admission { panic("admit") }
func (r *record) Due(mark any)                 { r.due = append(r.due, mark) }
func (r *record) Dropped(n int, fault error) {
	r.dropped += n
	if fault != nil {
		r.faults = append(r.faults, fault)
	}
}
