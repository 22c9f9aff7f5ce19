package stage_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Every exported method of what is shared, at once, from many goroutines, while it works, restarts, and ends: nothing
// hangs, panics, races, leaks or is unaccounted for. The methods are found by reflection: a new one takes part as it comes.

// attack is what goroutines do to some stages and what belongs to them.
type attack struct {
	stages []stage.Stage          // that run; the ledger is of these
	values []any                  // whose methods are called: stages, and others
	acts   []func(*assault)       // what else is done
	mark   func(t *testing.T)     // what holds at the end; nil: nothing more
	pool   map[reflect.Type][]any // arguments, beside those made by type
	skip   map[string]bool        // methods that are not called: nobody means them to be, while it runs
	subs   *subscriptions         // of its consumers
}

// assault is one goroutine of an attack.
type assault struct {
	*attack
	ctx context.Context
	rng *rand.Rand
}

// subscriptions collects those that have begun.
type subscriptions struct {
	mu  sync.Mutex
	all []*stage.Subscription // guarded by mu
}

func (s *subscriptions) add(_ context.Context, sub *stage.Subscription) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, sub)
	return nil
}

func (s *subscriptions) any(rng *rand.Rand) *stage.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return new(stage.Subscription)
	}
	return s.all[rng.IntN(len(s.all))]
}

// rare are methods that end something, or that change what it is.
var rare = map[string]bool{
	"Run": true, "Stop": true, "Abort": true, "Close": true, "Cancel": true, "Resubscribe": true, "Subscribe": true, "SubscribeTo": true,
	"Add": true, "AddFunc": true, "FedBy": true, "DispatchWith": true, "Accumulate": true, "StopChild": true,
}

// strike calls some method with some arguments.
func (a *assault) strike() {
	if a.rng.IntN(3) == 0 && len(a.acts) > 0 {
		a.acts[a.rng.IntN(len(a.acts))](a)
		return
	}
	value := reflect.ValueOf(a.values[a.rng.IntN(len(a.values))])
	if sub := a.subs.any(a.rng); a.rng.IntN(4) == 0 {
		value = reflect.ValueOf(sub)
	}
	i := a.rng.IntN(value.NumMethod())
	name := value.Type().Method(i).Name
	// Named is for before Run, and with an OnDemand of none nothing flows.
	if a.skip[name] || name == "Named" || name == "OnDemand" || rare[name] && a.rng.IntN(10) > 0 {
		return
	}
	ctx, cancel := context.WithTimeout(a.ctx, time.Duration(1+a.rng.IntN(5000))*time.Millisecond)
	defer cancel()
	method := value.Method(i)
	var args []reflect.Value
	for k := range method.Type().NumIn() {
		typ := method.Type().In(k)
		if method.Type().IsVariadic() && k == method.Type().NumIn()-1 {
			break
		}
		args = append(args, a.argument(ctx, typ))
	}
	if name == "Run" { // it ends with ctx at the latest
		go method.Call(args)
		return
	}
	method.Call(args)
}

// argument makes one of the type.
func (a *assault) argument(ctx context.Context, typ reflect.Type) reflect.Value {
	if some := a.pool[typ]; len(some) > 0 {
		return reflect.ValueOf(some[a.rng.IntN(len(some))])
	}
	switch typ {
	case reflect.TypeFor[context.Context]():
		return reflect.ValueOf(ctx)
	case reflect.TypeFor[error]():
		return reflect.ValueOf([]error{errBoom, stage.ErrShutdown, stage.ErrKilled}[a.rng.IntN(3)])
	case reflect.TypeFor[*stage.Subscription]():
		return reflect.ValueOf(a.subs.any(a.rng))
	case reflect.TypeFor[stage.Source[int]]():
		return reflect.ValueOf(silent(quiet)) // that never runs
	case reflect.TypeFor[stage.Stage]():
		return reflect.ValueOf(silent(quiet))
	case reflect.TypeFor[func() stage.Stage]():
		return reflect.ValueOf(func() stage.Stage { return silent(quiet) })
	case reflect.TypeFor[stage.DispatcherFactory[int]]():
		return reflect.ValueOf(stage.DispatcherFactory[int](stage.Demand[int]))
	}
	switch typ.Kind() {
	case reflect.Int, reflect.Int64, reflect.Uint64:
		return reflect.ValueOf(1 + a.rng.IntN(5)).Convert(typ)
	case reflect.Func:
		return reflect.MakeFunc(typ, func([]reflect.Value) (results []reflect.Value) {
			for i := range typ.NumOut() {
				results = append(results, reflect.Zero(typ.Out(i)))
			}
			return results
		})
	}
	panic(fmt.Sprintf("no argument of type %v", typ))
}

// run runs the stages as one pipeline, again and again, and attacks from 12 goroutines.
func (a *attack) run(t *testing.T, seed uint64) {
	whole := stage.NewPipeline(a.stages...)
	var enough atomic.Bool
	over := make(chan struct{})
	go func() { // ends with the run that it is in when there is enough
		defer close(over)
		for !enough.Load() {
			_ = whole.Run(t.Context())
			time.Sleep(10 * time.Millisecond)
		}
	}()
	var all sync.WaitGroup
	for i := range 12 {
		own := &assault{attack: a, ctx: t.Context(), rng: rand.New(rand.NewPCG(seed, uint64(i)))}
		all.Go(func() {
			for range 25 {
				time.Sleep(time.Duration(own.rng.IntN(200)) * time.Millisecond)
				own.strike()
			}
		})
	}
	within(t, "the attack", all.Wait)
	enough.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_ = whole.Stop(ctx)
	within(t, "the last run", func() { <-over })
	time.Sleep(time.Minute) // what else Run was called on has ended, too
	for _, s := range a.stages {
		s.Abort(nil)
	}
	time.Sleep(time.Minute)
	ledger(t, a.stages...)
	for _, s := range a.stages {
		require.False(t, s.Stats().Running, s.Name())
	}
	require.False(t, whole.Stats().Running)
	if a.mark != nil {
		a.mark(t)
	}
}

// attacked runs an attack for every seed. It must meet stages at work; how often depends on who runs first.
func attacked(t *testing.T, n int, make func(rng *rand.Rand) *attack) {
	var runs, events int64
	for seed := range attackSeeds(t, n) {
		bubble(t, func(t *testing.T) {
			defer reportSeed(t, seed)
			a := make(rand.New(rand.NewPCG(seed, 99)))
			a.run(t, seed)
			r, e := work(a.stages)
			runs, events = runs+r, events+e
		})
	}
	if !t.Failed() {
		require.Positive(t, runs)
		require.Positive(t, events)
	}
}

// work returns how often the stages have run, and how many events they have received.
func work(stages []stage.Stage) (runs, events int64) {
	var add func(s stage.Stats)
	add = func(s stage.Stats) {
		runs += int64(s.Runs)
		events += s.Input.Received + s.Earlier.Input.Received
		for _, m := range s.Members {
			add(m)
		}
	}
	for _, s := range stages {
		add(s.Stats())
	}
	return runs, events
}

func attackSeeds(t *testing.T, n int) iter.Seq[uint64] {
	if raceEnabled {
		n /= 4
	}
	return seeds(t, max(n, 10))
}

func TestAttackOnAQueue(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		q := stage.NewQueue[int](5, quiet)
		subs := &subscriptions{}
		var taken, seen atomic.Int64
		sinks := []stage.Stage{q}
		for range 3 {
			c := stage.NewConsumer(func(_ context.Context, events []int, _ *stage.Subscription) error {
				time.Sleep(time.Duration(len(events)) * 10 * time.Millisecond)
				seen.Add(int64(len(events)))
				return nil
			}, quiet, stage.OnSubscribe(subs.add))
			c.SubscribeTo(q, stage.MaxDemand(1+rng.IntN(4)), stage.Cancel(stage.CancelMode(rng.IntN(3))))
			sinks = append(sinks, c)
		}
		feeder := stage.ForEach(func(ctx context.Context, n int) error {
			err := q.Push(ctx, n, n, n)
			taken.Add(int64(pushed(err, 3)))
			return nil
		}, quiet)
		source := stage.FromSlice(upTo(30), quiet)
		feeder.SubscribeTo(source, stage.MaxDemand(2))
		if rng.IntN(2) == 0 {
			q.FedBy(feeder)
		}
		return &attack{
			stages: append(sinks, source, feeder), values: []any{q}, subs: subs,
			skip: map[string]bool{"DispatchWith": true},
			acts: []func(*assault){
				func(a *assault) {
					ctx, cancel := context.WithTimeout(a.ctx, time.Second)
					defer cancel()
					n := 1 + a.rng.IntN(8)
					taken.Add(int64(pushed(q.Push(ctx, upTo(n)...), n)))
				},
				func(a *assault) {
					if n := 1 + a.rng.IntN(3); q.TryPush(upTo(n)...) == nil {
						taken.Add(int64(n))
					}
				},
			},
			mark: func(t *testing.T) {
				s := q.Stats()
				require.Equal(t, taken.Load(), s.Output.Emitted+s.Earlier.Output.Emitted, "all that was taken in, and nothing else")
				require.LessOrEqual(t, seen.Load(), taken.Load()+s.Output.TakenBack+s.Earlier.Output.TakenBack)
			},
		}
	})
}

// pushed says how many events of n a Push has taken in.
func pushed(err error, n int) int {
	var not *stage.PushError
	if errors.As(err, &not) {
		return not.Taken
	}
	return n
}

func TestAttackOnBudgets(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		budgets := []*stage.Budget{stage.NewBudget(6), stage.NewBudget(3)}
		subs := &subscriptions{}
		sources := []*stage.Producer[int]{endlessly(), endlessly()}
		charged := func() stage.Source[int] {
			return stage.Charge(sources[rng.IntN(2)], budgets[rng.IntN(2)], func(n int) int64 {
				if n%97 == 0 {
					panic("too heavy")
				}
				return int64(n % 5)
			})
		}
		all := []stage.Stage{sources[0], sources[1]}
		sup := stage.NewSupervisor(quiet, stage.MaxRestarts(1000, time.Second))
		for i := range 3 {
			random := rand.New(rand.NewPCG(uint64(i), 5)) // owned by the stage goroutine
			c := stage.NewConsumer(func(_ context.Context, events []int, sub *stage.Subscription) error {
				time.Sleep(50 * time.Millisecond)
				if random.IntN(2) == 0 && sub.Hold(1) == nil {
					time.AfterFunc(time.Duration(random.IntN(500))*time.Millisecond, func() { _ = sub.Release(1) })
				}
				_ = sub.Adjust(int64(random.IntN(10)))
				if random.IntN(20) == 0 {
					return errBoom
				}
				return nil
			}, quiet, stage.OnSubscribe(subs.add))
			c.SubscribeTo(charged(), stage.MaxDemand(1+rng.IntN(4)), stage.Cancel(stage.CancelTemporary))
			sup.Add(c)
			all = append(all, c)
		}
		kids := stage.NewConsumerSupervisor(func(ctx context.Context, n int) error {
			_ = stage.ChargeFrom(ctx).Adjust(int64(n % 9))
			time.Sleep(time.Duration(n%200) * time.Millisecond)
			if n%7 == 0 {
				return errBoom
			}
			return nil
		}, quiet, stage.OnSubscribe(subs.add), stage.Restart(stage.RestartTransient), stage.MaxAttempts(2), stage.MaxRestarts(1000, time.Second))
		kids.SubscribeTo(charged(), stage.MaxDemand(3), stage.Cancel(stage.CancelTemporary))
		return &attack{
			stages: []stage.Stage{sources[0], sources[1], sup, kids}, subs: subs,
			values: []any{budgets[0], budgets[1], budgets[0], budgets[1], all[2], all[3], all[4], kids, sup},
			skip:   map[string]bool{"DispatchWith": true, "Add": true, "AddFunc": true},
			mark: func(t *testing.T) {
				ledger(t, all...)
				for _, b := range budgets {
					s := b.Stats()
					require.Zero(t, s.Used)
					require.Empty(t, s.Holders)
					require.Empty(t, s.Waiters)
				}
			},
		}
	})
}

// endlessly is a producer that always has more, of all kinds, and is not ended for want of subscribers.
func endlessly() *stage.Producer[int] {
	next := 0 // owned by the stage goroutine
	return stage.NewProducer(func(_ context.Context, demand int) ([]int, error) {
		events := make([]int, min(demand, 3))
		for i := range events {
			next++
			events[i] = next
		}
		return events, nil
	}, quiet, stage.Retry(), stage.KeepRunning(), stage.BufferSize(20))
}

func TestAttackOnPartitions(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		subs := &subscriptions{}
		p := endlessly()
		p.DispatchWith(stage.PartitionBy(func(n int) int { return n % 5 }, 0, 1, 2, 3)) // 4 is of nobody
		var consumers []any
		stages := []stage.Stage{p}
		for i := range 6 {
			c := stage.NewConsumer(func(_ context.Context, events []int, sub *stage.Subscription) error {
				time.Sleep(20 * time.Millisecond)
				if i == 0 {
					_ = sub.Hold(1)
				}
				return nil
			}, quiet, stage.OnSubscribe(subs.add))
			c.OnComplete(func(context.Context) error { return nil }) // it stays
			if i < 4 {
				c.SubscribeTo(stage.Partition(p, i), stage.MaxDemand(3), stage.Cancel(stage.CancelTemporary))
			}
			consumers, stages = append(consumers, c), append(stages, c)
		}
		var sources []any
		for key := range 6 { // 4 and 5 are refused
			sources = append(sources, stage.Partition(p, key))
		}
		come := func(a *assault) { // a consumer that comes and goes
			ctx, cancel := context.WithTimeout(a.ctx, time.Duration(a.rng.IntN(1000))*time.Millisecond)
			defer cancel()
			n := a.rng.IntN(20)
			for range stage.Events(ctx, stage.Partition(p, a.rng.IntN(4)), stage.MaxDemand(1+a.rng.IntN(5))) {
				if n--; n < 0 {
					return
				}
			}
		}
		subscribe := func(a *assault) {
			ctx, cancel := context.WithTimeout(a.ctx, time.Second)
			defer cancel()
			c := consumers[a.rng.IntN(len(consumers))].(*stage.Consumer[int])
			sub, err := c.Subscribe(ctx, stage.Partition(p, a.rng.IntN(5)), stage.Manual(), stage.AllowDuplicate(), stage.Cancel(stage.CancelTemporary))
			if err == nil {
				_ = sub.Ask(1 + a.rng.IntN(10))
			}
		}
		return &attack{
			stages: stages, values: append([]any{p}, consumers...), subs: subs, acts: []func(*assault){come, subscribe, subscribe},
			pool: map[reflect.Type][]any{reflect.TypeFor[stage.Source[int]](): sources},
			skip: map[string]bool{"DispatchWith": true, "SubscribeTo": true}, // twice to one source is a fault of every run
		}
	})
}

func TestAttackOnASupervisor(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		subs := &subscriptions{}
		p, mid := endlessly(), relay(10*time.Millisecond, quiet, stage.OnSubscribe(subs.add))
		c := newSink(20*time.Millisecond, quiet, stage.OnSubscribe(subs.add)).Consumer
		mid.SubscribeTo(p, stage.MaxDemand(4))
		c.SubscribeTo(mid, stage.MaxDemand(4))
		strategy := []stage.Strategy{stage.RestForOne, stage.OneForOne, stage.OneForAll}[rng.IntN(3)]
		sup := stage.NewSupervisor(quiet, strategy, stage.MaxRestarts(5+rng.IntN(100), time.Second), stage.Grace(time.Second))
		for _, s := range []stage.Stage{p, mid, c} {
			sup.Add(s, stage.Restart(stage.RestartMode(rng.IntN(3))))
		}
		sup.AddFunc(func() stage.Stage {
			time.Sleep(100 * time.Millisecond)
			s := silent(quiet)
			time.AfterFunc(300*time.Millisecond, func() { s.Abort(errBoom) })
			return s
		})
		outer := stage.NewSupervisor(quiet, stage.MaxRestarts(3, time.Second))
		outer.Add(sup)
		members := []stage.Stage{p, mid, c}
		fail := func(a *assault) { members[a.rng.IntN(3)].Abort(errBoom) }
		look := func(a *assault) { _ = stage.Explain(outer.Stats(), sup.Stats(), p.Stats()) }
		return &attack{
			stages: []stage.Stage{outer}, subs: subs, values: []any{sup, sup, outer, p, mid, c}, acts: []func(*assault){fail, fail, look},
			mark: func(t *testing.T) { ledger(t, members...) },
		}
	})
}

func TestAttackOnAPipeline(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		subs := &subscriptions{}
		p, mid := endlessly(), relay(10*time.Millisecond, quiet, stage.OnSubscribe(subs.add))
		c := newSink(20*time.Millisecond, quiet, stage.OnSubscribe(subs.add)).Consumer
		mid.SubscribeTo(p, stage.MaxDemand(4), stage.Cancel(stage.CancelMode(rng.IntN(3))))
		c.SubscribeTo(mid, stage.MaxDemand(4), stage.Cancel(stage.CancelMode(rng.IntN(3))))
		inner := stage.NewPipeline(mid, c)
		outer := stage.NewPipeline(p, inner)
		run := func(a *assault) { // whatever of it does not run
			ctx, cancel := context.WithTimeout(a.ctx, time.Second)
			defer cancel()
			_ = []stage.Stage{outer, inner, p}[a.rng.IntN(3)].Run(ctx)
		}
		return &attack{
			stages: []stage.Stage{outer}, subs: subs, values: []any{outer, inner, outer, inner, p, mid, c}, acts: []func(*assault){run},
			mark: func(t *testing.T) { ledger(t, p, mid, c) },
		}
	})
}

func TestAttackOnAConsumerSupervisor(t *testing.T) {
	attacked(t, 200, func(rng *rand.Rand) *attack {
		subs := &subscriptions{}
		p := endlessly()
		s := stage.StartWith(func(ctx context.Context, n int) (func(context.Context) error, error) {
			if n%11 == 0 {
				return nil, nil
			}
			return func(ctx context.Context) error {
				select {
				case <-time.After(time.Duration(n%300) * time.Millisecond):
				case <-ctx.Done():
				}
				switch n % 10 {
				case 0:
					return errBoom
				case 1:
					panic("boom")
				}
				return nil
			}, nil
		}, quiet, stage.OnSubscribe(subs.add), stage.Restart(stage.RestartMode(rng.IntN(2))), stage.MaxAttempts(3), stage.MaxRestarts(50, time.Second))
		s.SubscribeTo(p, stage.MaxDemand(1+rng.IntN(6)), stage.Cancel(stage.CancelMode(rng.IntN(3))))
		begin := func(a *assault) {
			ctx, cancel := context.WithTimeout(a.ctx, time.Second)
			defer cancel()
			if id, err := s.StartChild(ctx, a.rng.IntN(1000)); err == nil && a.rng.IntN(2) == 0 {
				_ = s.StopChild(ctx, id)
			}
		}
		end := func(a *assault) {
			ctx, cancel := context.WithTimeout(a.ctx, time.Second)
			defer cancel()
			if all := s.Children(); len(all) > 0 {
				_ = s.StopChild(ctx, all[a.rng.IntN(len(all))].ID)
			}
		}
		return &attack{
			stages: []stage.Stage{p, s}, subs: subs, values: []any{s, s, p}, acts: []func(*assault){begin, end},
			skip: map[string]bool{"DispatchWith": true},
			mark: func(t *testing.T) {
				counts := s.Counts()
				require.Equal(t, counts.Started, counts.Ended)
				require.Empty(t, s.Children())
			},
		}
	})
}
