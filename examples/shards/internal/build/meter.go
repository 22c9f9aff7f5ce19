package build

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Meter counts what a build does, from outside the library: stores tell it of bodies, owners of results and shards. All
// methods are safe for concurrent use. Times are from the begin of the run.
type Meter struct {
	mu sync.Mutex // guards everything below

	trace      *json.Encoder // nil for none
	traceErr   error
	begun      time.Time
	makespan   time.Duration
	builders   int
	slots      int
	budget     int64 // of shards, in bytes; 0 for none
	now        level // shards, slots and bodies at the moment
	top        level // the most of each at any moment
	waiting    int   // pieces that shards in progress need, and whose body is not open
	changed    time.Time
	busySum    float64 // slot-seconds while at least as many pieces waited as there are slots
	busyTime   float64 // seconds of that
	shards     map[string]*shardTimes
	finished   []shardTimes
	transit    int64
	topTransit int64
	totals     totals
	ownerTime  time.Duration // that owners took to ingest
	gathering  time.Duration // of all shards, from begun to complete
	failures   []Failure
	wanted     int // shards of the last listing, less those that nobody asked for
	listErrors int
	connected  int
	shardBytes int64 // that owners hold
	topShards  int64
	inFlight   curve // of slots
	inTransit  curve
}

type level struct{ shards, slots, bodies int }

// shardTimes is what the lower bound needs of one build of a shard.
type shardTimes struct {
	sum, longest, persist time.Duration
	taken, persistFrom    time.Time
}

type totals struct {
	built, failed, fetched, reused       int
	bytesRead, valuesRaw, valuesAsStored int64
}

// Failure is a shard that could not be built, and why.
type Failure struct {
	Shard string `json:"shard"`
	Error string `json:"error"`
}

// traceLine is one line of the trace, as JSON: what happened, and when, in seconds from the begin.
type traceLine struct {
	T        float64 `json:"t"`
	Event    string  `json:"event"`
	Shard    string  `json:"shard,omitempty"`
	Snapshot string  `json:"snapshot,omitempty"`
	Service  float64 `json:"service_s,omitempty"` // body_closed: the store's own time for it
	Persist  float64 `json:"persist_s,omitempty"` // shard_persisted, shard_failed, shard_dropped: what persisting took
	Error    string  `json:"error,omitempty"`
}

// NewMeter returns a meter that writes each happening as a line of JSON to trace, unless that is nil. One meter is for one
// run.
func NewMeter(trace io.Writer) *Meter {
	m := &Meter{shards: map[string]*shardTimes{}}
	if trace != nil {
		m.trace = json.NewEncoder(trace)
	}
	return m
}

func (m *Meter) begin(o Options) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.begun, m.changed = time.Now(), time.Now()
	m.builders, m.slots, m.budget = o.Builders, o.Snapshots, o.Budget/2
}

func (m *Meter) end() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.advance()
	m.makespan = m.changed.Sub(m.begun)
}

// advance brings the integrals up to now. It comes before every change of a level. The caller holds mu.
func (m *Meter) advance() {
	now := time.Now()
	if d := now.Sub(m.changed).Seconds(); m.waiting >= m.slots && m.slots > 0 {
		m.busySum += d * float64(m.now.slots)
		m.busyTime += d
	}
	m.changed = now
}

// change changes levels and notes their tops. The caller holds mu.
func (m *Meter) change(shards, slots, bodies, waiting int) {
	m.advance()
	m.now.shards += shards
	m.now.slots += slots
	m.now.bodies += bodies
	m.waiting += waiting
	m.top.shards = max(m.top.shards, m.now.shards)
	m.top.slots = max(m.top.slots, m.now.slots)
	m.top.bodies = max(m.top.bodies, m.now.bodies)
	if slots != 0 {
		m.inFlight.set(m.changed.Sub(m.begun), int64(m.now.slots))
	}
}

// note writes a line of the trace. The caller holds mu.
func (m *Meter) note(line traceLine) {
	if m.trace == nil || m.traceErr != nil {
		return
	}
	line.T = time.Since(m.begun).Seconds()
	m.traceErr = m.trace.Encode(line)
}

func (m *Meter) shardTaken(t *Task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change(1, 0, 0, len(t.Snapshots))
	m.shards[t.Shard] = &shardTimes{taken: time.Now()}
	m.note(traceLine{Event: "shard_taken", Shard: t.Shard})
}

func (m *Meter) persisting(t *Task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.shards[t.Shard]; s != nil {
		s.persistFrom = time.Now()
	}
	m.note(traceLine{Event: "shard_complete", Shard: t.Shard})
}

// shardLeft is told when a builder lets go of a shard: persisted, or failed with err.
func (m *Meter) shardLeft(t *Task, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	persist := m.dropShard(t)
	if err != nil {
		m.fail(t, err, persist)
		return
	}
	m.totals.built++
	m.totals.reused += t.Reused
	m.note(traceLine{Event: "shard_persisted", Shard: t.Shard, Persist: persist.Seconds()})
}

// shardDropped is told of a shard that an aborted run leaves.
func (m *Meter) shardDropped(t *Task) {
	m.mu.Lock()
	defer m.mu.Unlock()
	persist := m.dropShard(t)
	m.note(traceLine{Event: "shard_dropped", Shard: t.Shard, Persist: persist.Seconds()})
}

// dropShard ends a build of a shard, and returns how long persisting took. The caller holds mu.
func (m *Meter) dropShard(t *Task) (persist time.Duration) {
	m.change(-1, 0, 0, 0)
	s := m.shards[t.Shard]
	if s == nil {
		return 0
	}
	complete := s.persistFrom
	if complete.IsZero() {
		complete = time.Now()
	} else {
		s.persist = time.Since(complete)
	}
	m.gathering += complete.Sub(s.taken)
	m.finished = append(m.finished, *s)
	delete(m.shards, t.Shard)
	return s.persist
}

// shardFailed is told of a shard that could not even be planned.
func (m *Meter) shardFailed(t *Task, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail(t, err, 0)
}

func (m *Meter) fail(t *Task, err error, persist time.Duration) {
	m.totals.failed++
	m.failures = append(m.failures, Failure{Shard: t.Shard, Error: err.Error()})
	m.note(traceLine{Event: "shard_failed", Shard: t.Shard, Error: err.Error(), Persist: persist.Seconds()})
}

// listed is told how many shards a listing had, of those that are wanted.
func (m *Meter) listed(wanted int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.wanted = wanted
}

// listFailed is told, when watching, that the root could not be listed.
func (m *Meter) listFailed(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.listErrors++
	m.note(traceLine{Event: "list_failed", Error: err.Error()})
}

func (m *Meter) slotTaken(p *piece) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p.inSlot = true
	m.change(0, 1, 0, 0)
	m.note(traceLine{Event: "slot_taken", Shard: p.job.task.Shard, Snapshot: p.name()})
}

// shardGrew is told of memory that shards under construction hold: more of it, or less.
func (m *Meter) shardGrew(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.shardBytes += n
	m.topShards = max(m.topShards, m.shardBytes)
}

// connectionOpened is told of a connection to the store that is being made.
func (m *Meter) connectionOpened() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.connected++
}

// slotFreed is told when the owner has the answer; err is that of the piece.
func (m *Meter) slotFreed(p *piece, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	waiting, slots := 0, 0
	if err != nil {
		waiting = -1 // it will not be fetched any more
	}
	if p.inSlot {
		slots = -1
	}
	m.change(0, slots, 0, waiting)
	if p.inSlot {
		m.note(traceLine{Event: "slot_freed", Shard: p.job.task.Shard, Snapshot: p.name()})
	}
}

// ownerBusy is told when an owner begins to take something; the function that it returns is to be called when it has.
func (m *Meter) ownerBusy() (done func()) {
	begun := time.Now()
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.ownerTime += time.Since(begun)
	}
}

// ingested is told by the owner when it has taken a result.
func (m *Meter) ingested(p *piece) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.totals.fetched++
	m.note(traceLine{Event: "ingested", Shard: p.job.task.Shard, Snapshot: p.name()})
}

// Opened is told by the store when a snapshot's body is being opened. The function that it returns is to be called once,
// when the body is closed: service is the store's own time for it, err whether the snapshot has to be fetched again.
func (m *Meter) Opened(t *Task, snapshot int) (closed func(service time.Duration, err error)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.change(0, 0, 1, -1)
	name := t.Snapshots[snapshot]
	m.note(traceLine{Event: "body_opened", Shard: t.Shard, Snapshot: name})
	return func(service time.Duration, err error) {
		m.mu.Lock()
		defer m.mu.Unlock()
		line := traceLine{Event: "body_closed", Shard: t.Shard, Snapshot: name, Service: service.Seconds()}
		again := 0
		if err != nil {
			again, line.Error = 1, err.Error()
		}
		m.change(0, 0, -1, again)
		if s := m.shards[t.Shard]; s != nil {
			s.sum += service
			s.longest = max(s.longest, service)
		}
		m.note(line)
	}
}

// Read is told by the store of bytes that were read, as they are stored.
func (m *Meter) Read(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.totals.bytesRead += n
}

// Transit is told of raw bytes that were read and are not ingested yet: more of them, or fewer.
func (m *Meter) Transit(n int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.transit += n
	m.inTransit.set(time.Since(m.begun), m.transit)
	m.topTransit = max(m.topTransit, m.transit)
}

// Values is told by the owner how large the values were that it ingested.
func (m *Meter) Values(raw, stored int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.totals.valuesRaw += raw
	m.totals.valuesAsStored += stored
}
