package conformance

// policy is the state of a stage's behaviour, owned by the stage goroutine.
type policy struct {
	spec behaviour

	next  int     // the next integer of a counter
	left  int     // how many integers are left; -1: no limit
	items []event // of a queue; what a store or a sum keeps
	unmet int     // demand that a queue could not meet

	seen    int // events handled
	handed  int // subtasks of a shard worker that are out
	returns int // and that have come back
}

func (p *policy) init(spec behaviour) {
	*p = policy{spec: spec, next: spec.Start, left: deref(spec.Limit, -1)}
	p.spec.CrashOn, p.spec.BadReturnOn = whole(spec.CrashOn), whole(spec.BadReturnOn)
	p.items = append(p.items, spec.Items...)
}

// count emits the next n integers, as far as there are any.
func (p *policy) count(n int) []event {
	if p.left >= 0 {
		n = min(n, p.left)
		p.left -= n
	}
	list := between(p.next, p.next+n-1)
	p.next += n
	return list
}

// demanded returns what a producer emits for a demand of n, and whether that is its last event.
func (p *policy) demanded(n int) (out []event, last bool, err error) {
	switch p.spec.Policy {
	case "", "silent":
	case "counter":
		out = p.count(n)
		last = len(out) > 0 && p.left == 0
	case "over":
		out = p.count(n + p.spec.K)
	case "burst":
		out = p.count(p.spec.Size)
	case "queue":
		p.unmet += n
		out, last = p.serve()
	case "echo_demand":
		if p.left != 0 {
			p.left--
			out = events{n}
		}
	case "stop":
		return nil, false, answered(p.spec.Reason)
	case "crash":
		panic(reason("error:" + p.spec.Tag))
	default:
		panic("unknown policy " + p.spec.Policy)
	}
	return out, last, nil
}

// serve emits what a queue can.
func (p *policy) serve() (out []event, last bool) {
	n := min(p.unmet, len(p.items))
	out, p.items = p.items[:n:n], p.items[n:]
	p.unmet -= n
	return out, n > 0 && len(p.items) == 0
}

// handled returns what a producer-consumer emits for a batch.
func (p *policy) handled(batch []event) (out []event) {
	b := p.spec
	switch b.Policy {
	case "", "collect", "hold":
	case "forward":
		out = append(out, batch...)
	case "map":
		for _, e := range batch {
			out = append(out, e.(int)*deref(b.Mul, 1)+b.Add)
		}
	case "filter":
		for _, e := range batch {
			if b.Keep.holds(e) {
				out = append(out, e)
			}
		}
	case "expand", "shard_worker":
		out = expand(batch, b.K, deref(b.Base, 10))
		p.handed += len(out)
	case "store":
		p.items = append(p.items, batch...)
	case "sum":
		p.items = append(p.items, batch...)
		for len(p.items) >= b.N {
			sum := 0
			for _, e := range p.items[:b.N] {
				sum += e.(int)
			}
			out, p.items = append(out, sum), p.items[b.N:]
		}
	default:
		panic("unknown policy " + b.Policy)
	}
	return out
}

// expand makes k events of each.
func expand(batch []event, k, base int) (out []event) {
	for _, e := range batch {
		for i := range k {
			out = append(out, e.(int)*base+i)
		}
	}
	return out
}
