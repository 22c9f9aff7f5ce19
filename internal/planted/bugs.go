package planted

// Bug is one bug: what is wrong with the code once its edits have been made.
type Bug struct {
	Name, What string
	Edits      []Edit
}

// Edit replaces text that occurs exactly once in a file, which is named from the root of the module.
type Edit struct{ File, Old, New string }

const (
	account   = "internal/demand/demand.go"
	buffer    = "internal/buffer/buffer.go"
	conclude  = "stage/conclude.go"
	demandOf  = "stage/dispatch_demand.go"
	broadcast = "stage/dispatch_broadcast.go"
	emit      = "stage/emit.go"
	producing = "stage/outlet.go"
	consuming = "stage/intake.go"
	leaving   = "stage/intake_end.go"
	working   = "stage/work.go"
	plan      = "stage/supervisor_plan.go"
)

// Bugs are all that are planted.
var Bugs = []Bug{
	{
		"debt", "what the source owes for a consumer that has gone hides the buffer, and new events overtake it", // gen_stage #311
		[]Edit{
			{emit, "live := min(r.disp.Live(), int64(r.buf.Len()))", "live := min(r.disp.Live()-r.owed, int64(r.buf.Len()))"},
			{emit, "	if r.buf.Len() == 0 { // a DoAfter", "	{ // a DoAfter"},
		},
	},
	{
		"doubled demand", "when a subscriber joins a broadcast, what the source owes is asked of it again", // gen_stage #318
		[]Edit{{
			producing, "	r.hadConsumer, r.toldAll = true, false\n",
			"	r.hadConsumer, r.toldAll = true, false\n	if r.multicast {\n		r.owed = 0\n	}\n",
		}},
	},
	{
		"selector", "events that Where rejects use up demand", // gen_stage #133
		[]Edit{{broadcast, "		d.raise(e, int64(rejected)) // they use up no demand\n", ""}},
	},
	{
		"dropped", "events that are for no partition use up demand",
		[]Edit{{emit, "	o.dropped = 0\n", "	r.owed += int64(o.dropped)\n	o.dropped = 0\n"}},
	},
	{
		"no reference", "a message is acted on whatever run or subscription it belongs to",
		[]Edit{{producing, "ok && e.served == &r.core {", "ok {"}},
	},
	{
		"no down", "a consumer that ends does not tell its producers",
		[]Edit{{leaving, "		r.count(e.post(msgConsumerDown, e.received.Load(), end), n)\n", "		r.count(false, n)\n"}},
	},
	{
		"uncounted loss", "what is in the mailbox of a stage that ends is forgotten",
		[]Edit{{
			conclude, "	r.later = append(append(r.later, r.batch[r.next:]...), r.box.Close()...)\n",
			"	r.later = append(r.later, r.batch[r.next:]...)\n	r.box.Close()\n",
		}},
	},
	{
		"delivered twice", "the batch whose callback failed goes back to the producer as if it had not begun",
		[]Edit{{
			conclude, "			r.failed.Add(begun)\n		}\n		r.hand.events, r.hand.n = r.hand.events[r.hand.n:], 0\n",
			"			r.queued.Add(begun)\n		}\n		r.hand.n = 0\n",
		}},
	},
	{
		"last in, first out", "what is told with TellAfter is done in the wrong order", // gen_stage #315
		[]Edit{{buffer, "	last.marks = append(last.marks, m)\n", "	last.marks = append([]M{m}, last.marks...)\n"}},
	},
	{
		"overflow", "demand does not saturate: asking for more than there can be makes it negative", // RxJava 2543 and others
		[]Edit{{account, "if sum := a + b; sum >= 0 {", "if sum := a + b; true {"}},
	},
	{
		"ask after cancel", "an ask that comes after the cancel is served",
		[]Edit{
			{producing, "	e := r.mine(sub)\n	if e == nil {\n		return\n	}\n	n := sub.asks.Swap(0)\n", "	e := sub.typed.(*edge[Out])\n	n := sub.asks.Swap(0)\n"},
			{
				demandOf, "	e, known := d.subs[id]\n	if !known || n < 1 {\n		return\n	}\n",
				"	e, known := d.subs[id]\n	if !known {\n		e = &demandEntry{id: id, at: -1}\n		d.subs[id] = e\n	}\n",
			},
		},
	},
	{
		"min off by one", "an account asks again below min, not at it",
		[]Edit{{account, "	a.outstanding = max(0, a.outstanding-int64(n))\n	if a.outstanding > a.min {", "	a.outstanding = max(0, a.outstanding-int64(n))\n	if a.outstanding >= a.min {"}},
	},
	{
		"max off by one", "an account asks for one event more than max",
		[]Edit{{account, "	ask := a.max - a.outstanding\n	a.outstanding = a.max\n", "	ask := a.max - a.outstanding + 1\n	a.outstanding = a.max\n"}},
	},
	{
		"hasty", "a producer that is done completes before everything has been begun",
		[]Edit{{producing, "	return r.notBegun == 0\n", "	return true\n"}},
	},
	{
		"overtaking", "an end is acted on before the events ahead of it have been begun", // gen_stage 0.12.0
		[]Edit{{working, "	if !answers && (r.queueHead < len(r.queue) || r.expansion != nil) {\n", "	if !answers && r.expansion != nil {\n"}},
	},
	{
		"refused", "events that a closed mailbox refuses are dropped",
		[]Edit{{emit, "		r.takeBack(last.e, last.events, false)\n", ""}},
	},
	{
		"left behind", "a supervisor starts a member again and leaves those behind that depend on it",
		[]Edit{{plan, "	p.takeAlong(i)\n", ""}},
	},
	{
		"not subscribed again", "a member that is started again does not make its declared subscriptions",
		[]Edit{{consuming, "		for _, d := range r.def.in.list() {\n			e := r.newEdge(d)\n			r.declaredCount++\n", "		for _, d := range r.def.in.list() {\n			if r.number > 1 {\n				continue\n			}\n			e := r.newEdge(d)\n			r.declaredCount++\n"}},
	},
	{
		"unpaid", "what a consumer that fails was charged is not returned to the budget",
		[]Edit{{conclude, "	for _, e := range r.charged {\n		e.tab.close()\n	}\n", ""}},
	},
}
