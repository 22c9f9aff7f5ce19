package stage_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// order is one case: who is kept by whom, and what happens, one thing after the other.
type order struct {
	shape               int // of shapes
	strategy            stage.Strategy
	source, other, sink stage.RestartMode
	cancel              stage.CancelMode
	pause               time.Duration
	acts                []int // of acts
	early               int   // so many of them before the declared subscriptions are made
	flows               bool  // events go from the source to the sink, which takes a second for some
}

func (o order) String() string {
	var what []string
	for _, a := range o.acts {
		what = append(what, acts[a].name)
	}
	return fmt.Sprintf("%s, %v, source %v, other %v, sink %v, %v, pause %v, %d early, flows %v: %s", shapes[o.shape].name, o.strategy,
		o.source, o.other, o.sink, o.cancel, o.pause, o.early, o.flows, strings.Join(what, ", "))
}

// drawOrder draws the case of a seed.
func drawOrder(seed uint64) order {
	rng := rand.New(rand.NewPCG(seed, 1))
	o := order{
		shape: rng.IntN(len(shapes)), strategy: stage.Strategy(rng.IntN(3)), source: stage.RestartMode(rng.IntN(3)),
		other: stage.RestartMode(rng.IntN(3)), sink: stage.RestartMode(rng.IntN(3)), cancel: stage.CancelMode(rng.IntN(3)),
		pause: time.Duration(rng.IntN(2)) * 500 * time.Millisecond,
	}
	for range 1 + rng.IntN(4) {
		o.acts = append(o.acts, rng.IntN(len(acts)))
	}
	if rng.IntN(3) == 0 {
		o.early = rng.IntN(len(o.acts) + 1)
	}
	o.flows = rng.IntN(2) == 0
	return o
}

// cast is who plays it.
type cast struct {
	order
	source, last *stage.Producer[int]
	around       stage.Stage // the sink's pipeline or supervisor; nil for none
	root         stage.Stage

	mu    sync.Mutex
	sink  *sink                // guarded by mu: the last one made
	other *stage.Producer[int] // guarded by mu: the same
	all   []stage.Stage        // guarded by mu: with those that factories have made
	fails map[string]int       // guarded by mu: so many OnInits fail
	brief int                  // guarded by mu: so many of the sink's return ErrDone
	sub   *stage.Subscription  // guarded by mu: the sink's last one; nil before
	back  time.Time            // guarded by mu: when the sink began last
}

func newCast(o order) *cast {
	c := &cast{order: o, fails: map[string]int{}}
	next := 0
	c.source = stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		if !o.flows {
			return nil, nil
		}
		next += demand
		return upTo(next)[next-demand:], nil
	}, stage.Name("source"), stage.OnInit(c.begins("source")), stage.OnConsumer(c.admits))
	c.all = append(c.all, c.source)
	c.newOther()
	var once sync.Once
	c.last = silent(stage.Name("last"), stage.KeepRunning(), stage.OnInit(func(context.Context) error {
		once.Do(func() { c.do(c.acts[:c.early]) })
		return nil
	}))
	c.newSink()
	return c
}

func (c *cast) newOther() stage.Stage {
	p := silent(stage.Name("other"), stage.KeepRunning(), stage.OnInit(c.begins("other")))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.other = p
	c.all = append(c.all, p)
	return p
}

func (c *cast) newSink() stage.Stage {
	c.mu.Lock()
	cannot := c.fails["making"] > 0
	if cannot {
		c.fails["making"]--
	}
	c.mu.Unlock()
	if cannot {
		panic(errBoom)
	}
	k := newSink(time.Second, stage.Name("sink"), stage.OnInit(c.begins("sink")), stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sub = sub
		return nil
	}))
	k.SubscribeTo(c.source, stage.Cancel(c.cancel), stage.MaxDemand(10))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.sink = k
	c.all = append(c.all, k)
	return k
}

// begins is an OnInit.
func (c *cast) begins(name string) func(context.Context) error {
	return func(context.Context) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		if name == "sink" {
			c.back = time.Now()
		}
		switch {
		case c.fails[name] > 0:
			c.fails[name]--
			return errBoom
		case name == "sink" && c.brief > 0:
			c.brief--
			return stage.ErrDone
		}
		return nil
	}
}

// admits is the source's OnConsumer.
func (c *cast) admits(context.Context, *stage.Subscription) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.fails["admission"] > 0 {
		c.fails["admission"]--
		return stage.ErrRefused
	}
	return nil
}

// cancels ends the sink's subscription, if it has one.
func (c *cast) cancels(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_ = c.sub.Cancel(reason) // it may have ended, or there was none
}

func (c *cast) do(what []int) {
	for _, a := range what {
		acts[a].do(c)
	}
}

func (c *cast) theSink() *sink {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sink
}

func (c *cast) theOther() *stage.Producer[int] {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.other
}

func (c *cast) tellSink(fn func() error) {
	_ = c.theSink().Tell(func(context.Context) error { return fn() }) // it may have ended
}

func (c *cast) failNext(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fails[name]++
}

var acts = []struct {
	name string
	do   func(*cast)
}{
	{"the source fails", func(c *cast) { c.source.Abort(errBoom) }},
	{"the source is shut down", func(c *cast) { c.source.Abort(nil) }},
	{"the source fails in a second", func(c *cast) {
		_ = c.source.Tell(func(context.Context) ([]int, error) { time.Sleep(time.Second); return nil, errBoom })
	}},
	{"the other fails", func(c *cast) { c.theOther().Abort(errBoom) }},
	{"the other is done", func(c *cast) {
		_ = c.theOther().Tell(func(context.Context) ([]int, error) { return nil, stage.ErrDone })
	}},
	{"the sink fails", func(c *cast) { c.theSink().Abort(errBoom) }},
	{sinkShut, func(c *cast) { c.theSink().Abort(nil) }},
	{sinkDone, func(c *cast) { c.tellSink(func() error { return stage.ErrDone }) }},
	{"the sink is busy for a second", func(c *cast) { c.tellSink(func() error { time.Sleep(time.Second); return nil }) }},
	{sinkStopped, func(c *cast) {
		k := c.theSink()
		go func() { _ = k.Stop(context.Background()) }() // ends with its run
	}},
	{sinkCancels, func(c *cast) { c.cancels(nil) }},
	{aroundStopped, func(c *cast) {
		if c.around != nil {
			go func() { _ = c.around.Stop(context.Background()) }() // ends with its run
		}
	}},
	{allStopped, func(c *cast) {
		go func() { _ = c.root.Stop(context.Background()) }() // ends with the run
	}},
	{sinkCancelsFor, func(c *cast) { c.cancels(errBoom) }},
	{sinkRefused, func(c *cast) { c.failNext("admission") }},
	{"the next source does not begin", func(c *cast) { c.failNext("source") }},
	{"the next other does not begin", func(c *cast) { c.failNext("other") }},
	{"the next factory panics", func(c *cast) { c.failNext("making") }},
	{"the next sink does not begin", func(c *cast) { c.failNext("sink") }},
	{sinkBrief, func(c *cast) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.brief++
	}},
	{"a moment", func(*cast) { time.Sleep(time.Microsecond) }},
	{"most of a second", func(*cast) { time.Sleep(700 * time.Millisecond) }},
}

const (
	sinkShut  = "the sink is shut down"
	sinkDone  = "the sink is done"
	sinkBrief = "the next sink is done when it begins"

	sinkStopped    = "the sink is stopped"
	sinkCancels    = "the sink cancels"
	sinkCancelsFor = "the sink cancels with a failure"
	sinkRefused    = "the source refuses the next sink"
	aroundStopped  = "what is around the sink is stopped"
	allStopped     = "all are stopped"
)

// supervisor makes one of these members.
func (c *cast) supervisor(name string, strategy stage.Strategy, members ...func(*stage.Supervisor)) *stage.Supervisor {
	opts := []stage.SupervisorOption{quiet, strategy, stage.Name(name), stage.MaxRestarts(20, time.Second)}
	if c.pause > 0 {
		opts = append(opts, stage.Backoff(c.pause, c.pause))
	}
	sup := stage.NewSupervisor(opts...)
	for _, add := range members {
		add(sup)
	}
	return sup
}

func member(s stage.Stage, opts ...stage.MemberOption) func(*stage.Supervisor) {
	return func(sup *stage.Supervisor) { sup.Add(s, opts...) }
}

func fresh(fn func() stage.Stage, opts ...stage.MemberOption) func(*stage.Supervisor) {
	return func(sup *stage.Supervisor) { sup.AddFunc(fn, opts...) }
}

// shapes are who is kept by whom.
var shapes = []struct {
	name string
	make func(c *cast, source, other, sink stage.MemberOption) stage.Stage
}{
	{"flat", func(c *cast, source, other, sink stage.MemberOption) stage.Stage {
		return c.supervisor("all", c.strategy, member(c.source, source), member(c.other, other), member(c.sink, sink), member(c.last))
	}},
	{"the sink first", func(c *cast, source, other, sink stage.MemberOption) stage.Stage {
		return c.supervisor("all", c.strategy, member(c.sink, sink), member(c.other, other), member(c.source, source), member(c.last))
	}},
	{"a factory of the sink", func(c *cast, source, other, sink stage.MemberOption) stage.Stage {
		return c.supervisor("all", c.strategy, member(c.source, source), member(c.other, other), fresh(c.newSink, sink), member(c.last))
	}},
	{"a supervisor of the sink within", func(c *cast, source, other, sink stage.MemberOption) stage.Stage {
		in := c.supervisor("within", c.strategy, member(c.other, other), member(c.sink, sink))
		c.around = in
		return c.supervisor("all", stage.OneForOne, member(c.source, source), member(in, sink), member(c.last))
	}},
	{"a supervisor of the source within", func(c *cast, source, other, sink stage.MemberOption) stage.Stage {
		in := c.supervisor("within", c.strategy, member(c.other, other), member(c.source, source))
		return c.supervisor("all", stage.OneForOne, member(in), member(c.sink, sink), member(c.last))
	}},
	{"a pipeline of the sink", func(c *cast, source, _, sink stage.MemberOption) stage.Stage {
		in := stage.NewPipeline(c.other, c.sink)
		c.around = in
		return c.supervisor("all", c.strategy, member(c.source, source), member(in, sink), member(c.last))
	}},
	{sourcePiped, func(c *cast, source, _, sink stage.MemberOption) stage.Stage {
		return c.supervisor("all", c.strategy, member(stage.NewPipeline(c.other, c.source), source), member(c.sink, sink), member(c.last))
	}},
	{"a factory of a pipeline of the sink", func(c *cast, source, _, sink stage.MemberOption) stage.Stage {
		anew := func() stage.Stage { return stage.NewPipeline(c.newOther(), c.newSink()) }
		return c.supervisor("all", c.strategy, member(c.source, source), fresh(anew, sink), member(c.last))
	}},
	{sourceOutside, func(c *cast, _, other, sink stage.MemberOption) stage.Stage {
		return stage.NewPipeline(c.source, c.supervisor("all", c.strategy, member(c.other, other), member(c.sink, sink)), c.last)
	}},
}

const (
	sourcePiped   = "a pipeline of the source"
	sourceOutside = "the source outside"
)

// judge says what is wrong a minute later: one of the two waits for the other, which will not come, or was ended although it
// came (R2, V6 to V8). A part of a pipeline that has ended may come back for as long as the pipeline goes on.
func (c *cast) judge(run *started) string {
	source, sink := c.source.Stats(), c.theSink().Stats()
	c.mu.Lock()
	back := c.back
	c.mu.Unlock()
	shape := shapes[c.shape].name
	subscribed := sink.Running && slices.ContainsFunc(sink.Upstreams, func(up stage.SubscriptionStats) bool { return !up.Waiting })
	waits := sink.Running && len(sink.Upstreams) > 0 && !subscribed
	sourceStays := c.order.source == stage.RestartPermanent && shape != sourceOutside // until Stop
	sinkPiped := strings.Contains(shape, "pipeline of the sink") && (c.order.sink == stage.RestartPermanent || sink.Err != nil)
	piped := shape == sourcePiped && (c.order.source == stage.RestartPermanent || source.Err != nil)
	sinkGoes := c.has(sinkShut, sinkDone, sinkBrief, sinkStopped, sinkCancels, aroundStopped) || c.cancel == stage.CancelTemporary && c.has(sinkCancelsFor, sinkRefused)
	left := !source.Running && source.Err != nil && strings.Contains(source.Err.Error(), `"source": stage: shut`) && !c.has("the source is shut down")
	switch {
	case !run.running():
		if source.Running || sink.Running {
			return "the run has ended, and its members have not"
		}
	case c.has(allStopped):
		return "Stop does not end the run"
	case source.Running && !subscribed && !sourceStays && !sinkPiped:
		return fmt.Sprintf("the source waits for nobody: %+v, %+v", source.State, sink.State)
	case waits && !source.Running && !piped:
		return fmt.Sprintf("the sink waits for nobody: %+v, %+v", source.State, sink.State)
	case left && sink.Running:
		return fmt.Sprintf("the source was left, and the sink runs: %v", source.Err)
	case left && (!sinkGoes || c.order.sink == stage.RestartPermanent) && back.After(source.State.Since):
		return fmt.Sprintf("the source was left at %v, and the sink came back at %v", source.State.Since, back)
	}
	return ""
}

// unaccounted says what does not add up over all runs of all stages, when they have ended.
func (c *cast) unaccounted() string {
	var sent, received, takenBack, handedBack int64
	for _, s := range statsOf(c.all) {
		sent += s.Output.Copies + s.Earlier.Output.Copies
		received += s.Input.Received + s.Earlier.Input.Received
		takenBack += s.Output.TakenBack + s.Earlier.Output.TakenBack
		handedBack += s.Input.HandedBack + s.Earlier.Input.HandedBack
	}
	if refused := takenBack - handedBack; sent != received+refused || refused < 0 {
		return fmt.Sprintf("%d sent, %d received, %d taken back, %d handed back", sent, received, takenBack, handedBack)
	}
	return ""
}

func (c *cast) has(names ...string) bool {
	return slices.ContainsFunc(c.acts, func(a int) bool { return slices.Contains(names, acts[a].name) })
}

// Whatever ends and is started again in whatever order, a source is not ended while its consumer will come back, nobody waits for
// one that will not, and Run ends. A case that fails names its seed.
func TestSupervisorInAnyOrder(t *testing.T) {
	t.Parallel() // one of the longest
	for seed := range uint64(testkit.Rounds(5_000, 100_000)) {
		o := drawOrder(seed)
		synctest.Test(t, func(t *testing.T) {
			c := newCast(o)
			c.root = shapes[o.shape].make(c, stage.Restart(o.source), stage.Restart(o.other), stage.Restart(o.sink))
			run := start(t.Context(), c.root)
			c.do(o.acts[o.early:])
			time.Sleep(time.Minute)
			synctest.Wait()
			require.Empty(t, c.judge(run), "seed %d: %v", seed, o)
			abortAll(t, run)
			ledger(t, c.all...)
			require.Empty(t, c.unaccounted(), "seed %d: %v", seed, o)
		})
	}
}
