package stage_test

import (
	"context"
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

// An attack: every exported method of what is shared, at once, from many goroutines, while it works, restarts, and ends: nothing
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
