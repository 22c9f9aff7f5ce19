package conformance

import (
	"errors"

	"github.com/go-genstage/genstage/stage"
)

// dispatch sets the dispatcher of a stage that emits. Without an answer in the scenario that is the default.
func (a *actor) dispatch(with func(stage.DispatcherFactory[event], ...stage.DispatchOption)) {
	d := a.spec.Dispatcher
	if d == nil {
		return
	}
	switch d.Type {
	case "demand":
		var opts []stage.DispatchOption
		if d.Shuffle {
			opts = append(opts, stage.Shuffle(1))
		}
		if d.MaxDemand != 0 {
			opts = append(opts, stage.ExpectedMax(d.MaxDemand))
		}
		with(stage.Demand, opts...)
	case "broadcast":
		with(stage.Broadcast)
	case "partition":
		with(a.counting(stage.PartitionWith(d.split, d.keys()...)))
	default:
		panic("unknown dispatcher " + d.Type)
	}
}

// counting looks into a dispatcher that keeps events. GenStage's buffered count has only those of the
// stage's own buffer, ours has the dispatcher's too: what is compared is the former.
func (a *actor) counting(makeIt stage.DispatcherFactory[event]) stage.DispatcherFactory[event] {
	return func(opts ...stage.DispatchOption) (stage.Dispatcher[event], error) {
		d, err := makeIt(opts...)
		a.queueing, _ = d.(stage.QueueingDispatcher[event])
		return d, err
	}
}

// inBuffer returns how many events wait in the stage's own buffer.
func (a *actor) inBuffer(all int64) int64 {
	if a.queueing == nil {
		return all
	}
	return all - int64(a.queueing.Queued())
}

// keepsForNobody says whether events wait for a partition that has no subscriber.
func (a *actor) keepsForNobody() bool {
	return !a.isDead() && a.queueing != nil && a.queueing.Queued() > a.queueing.Deliverable()
}

// keys are the names of the partitions.
func (d *dispatcherSpec) keys() (keys []any) {
	switch p := d.Partitions.(type) {
	case float64:
		return between(0, int(p)-1)
	case []any:
		for _, name := range p {
			keys = append(keys, whole(name))
		}
	}
	return keys
}

// split is the hash of a partition dispatcher.
func (d *dispatcherSpec) split(e event) (event, any, bool) {
	h := d.Hash
	if h.None.holds(e) {
		return e, nil, false
	}
	n := e.(int)
	if h.Names != nil {
		return n + h.Add, h.Names[mod(n, h.Mod)], true
	}
	return n + h.Add, mod(n, h.Mod), true
}

// errNoPredicate is a selector that is no function of one event.
var errNoPredicate = errors.New("bad_opts")

// sourceFor is what a subscription with these options is made to.
func (w *world) sourceFor(name string, opts subOpts) (stage.Source[event], error) {
	src := w.actors[name].source
	if s, given := opts["selector"]; given {
		keep, err := reread[*predicate](s)
		if err != nil || keep == nil {
			w.saysByType("a selector that is no function")
			return nil, errNoPredicate
		}
		src = stage.Where(src, func(e event) bool { return keep.holds(e) })
	}
	if key, given := opts["partition"]; given {
		src = stage.Partition(src, whole(key))
	}
	return src, nil
}
