package stage_test

import (
	"context"
	"errors"
	"go/ast"
	"reflect"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Every exported method of every exported type, on values of every state: an error or a zero value, never a panic
// or a hang. The methods are found by reflection and their arguments made by type, so a new one is called as it
// comes; the types are found in the source, so a new one without a row fails.

// specimen makes values of one type, in every state that it can be in. A state that makes no sense is nil.
type specimen struct {
	nothing any // a nil pointer
	zero    any
	wraps   error // what errors of the two wrap
	valid   bool  // the zero value is as good as any

	make func(stuck func()) stage.Stage // a stage in whose callback stuck is called
}

var specimens = map[string]specimen{
	"Producer": {nothing: (*stage.Producer[int])(nil), zero: new(stage.Producer[int]), make: func(stuck func()) stage.Stage {
		return stage.NewProducer(func(context.Context, int) ([]int, error) { return nil, nil }, calls(stuck))
	}},
	"ProducerConsumer": {nothing: (*stage.ProducerConsumer[int, int])(nil), zero: new(stage.ProducerConsumer[int, int]), make: func(stuck func()) stage.Stage {
		return relay(0, calls(stuck))
	}},
	"Consumer": {nothing: (*stage.Consumer[int])(nil), zero: new(stage.Consumer[int]), make: func(stuck func()) stage.Stage {
		return newSink(0, calls(stuck)).Consumer
	}},
	"ConsumerSupervisor": {nothing: (*stage.ConsumerSupervisor[int])(nil), zero: new(stage.ConsumerSupervisor[int]), make: func(stuck func()) stage.Stage {
		return stage.NewConsumerSupervisor(func(context.Context, int) error { return nil }, calls(stuck))
	}},
	"Queue": {nothing: (*stage.Queue[int])(nil), zero: new(stage.Queue[int]), make: func(stuck func()) stage.Stage {
		return stage.NewQueue[int](1, calls(stuck))
	}},
	"Pipeline": {nothing: (*stage.Pipeline)(nil), zero: new(stage.Pipeline), valid: true, make: func(stuck func()) stage.Stage {
		return stage.NewPipeline(silent(calls(stuck)))
	}},
	"Supervisor": {nothing: (*stage.Supervisor)(nil), zero: new(stage.Supervisor), make: func(stuck func()) stage.Stage {
		s := stage.NewSupervisor()
		s.Add(silent(calls(stuck)), stage.Restart(stage.RestartTemporary))
		return s
	}},
	"Subscription": {nothing: (*stage.Subscription)(nil), zero: new(stage.Subscription)},
	"Budget":       {nothing: (*stage.Budget)(nil), zero: new(stage.Budget), wraps: stage.ErrInvalidOption},
	"ChargedEvent": {nothing: (*stage.ChargedEvent)(nil), wraps: stage.ErrInvalidOption},

	// What is never nil: its methods don't return errors that were made for the occasion.
	"CancellationKind": {zero: new(stage.CancellationKind), valid: true},
	"MessageKind":      {zero: new(stage.MessageKind), valid: true},
	"PanicError":       {zero: new(stage.PanicError), valid: true},
	"PushError":        {zero: new(stage.PushError), valid: true},
	"Error":            {zero: new(stage.Error), valid: true},
	"StateKind":        {zero: new(stage.StateKind), valid: true},
	"Strategy":         {zero: new(stage.Strategy), valid: true},
	"StopError":        {zero: new(stage.StopError), valid: true},
	"StuckError":       {zero: new(stage.StuckError), valid: true},
}

// calls is an option of a stage whose OnInit may be stuck.
func calls(stuck func()) stage.Option {
	return stage.OnInit(func(context.Context) error { stuck(); return nil })
}

func TestEveryTypeHasASpecimen(t *testing.T) {
	found := 0
	eachExported(t, func(receiver string, method *ast.FuncDecl) {
		if receiver != "" {
			require.Contains(t, specimens, receiver, "of the method %s", method.Name.Name)
			found++
		}
	})
	require.Greater(t, found, 100)
}

// argument makes one of the type.
func argument(t *testing.T, ctx context.Context, typ reflect.Type) reflect.Value {
	for _, v := range []any{ctx, errBoom, 1, int64(1), stage.ChildID(1), "", stage.DispatcherFactory[int](stage.Demand[int]), new(stage.Subscription)} {
		if reflect.TypeOf(v) == typ || typ.Kind() == reflect.Interface && typ.NumMethod() > 0 && reflect.TypeOf(v).Implements(typ) {
			return reflect.ValueOf(v)
		}
	}
	switch {
	case typ == reflect.TypeFor[stage.Source[int]](), typ == reflect.TypeFor[stage.Stage]():
		return reflect.ValueOf(silent())
	case typ.Kind() == reflect.Func:
		return reflect.MakeFunc(typ, func([]reflect.Value) (results []reflect.Value) {
			for i := range typ.NumOut() {
				results = append(results, reflect.Zero(typ.Out(i)))
			}
			return results
		})
	}
	require.FailNow(t, "no argument", "of type %v", typ)
	return reflect.Value{}
}

// callEvery calls all exported methods, and gives what each returned to check: an error or nil.
func callEvery(t *testing.T, value any, check func(t *testing.T, method string, returnsErr bool, err error)) {
	v := reflect.ValueOf(value)
	for i := range v.NumMethod() {
		name, method := v.Type().Method(i).Name, v.Method(i)
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				callOne(t, name, method, check)
			})
		})
	}
}

func callOne(t *testing.T, name string, method reflect.Value, check func(t *testing.T, method string, returnsErr bool, err error)) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var args []reflect.Value
	for k := range method.Type().NumIn() {
		if method.Type().IsVariadic() && k == method.Type().NumIn()-1 {
			break
		}
		args = append(args, argument(t, ctx, method.Type().In(k)))
	}
	var err error
	returnsErr := false
	within(t, name, func() {
		for _, r := range method.Call(args) {
			if r.Type() == reflect.TypeFor[error]() {
				returnsErr = true
				err, _ = r.Interface().(error)
			}
		}
	})
	check(t, name, returnsErr, err)
}

func TestEveryMethodOfNothing(t *testing.T) {
	for name, s := range specimens {
		invalid := func(t *testing.T, _ string, returnsErr bool, err error) {
			if !returnsErr {
				return
			}
			if s.wraps != nil {
				require.ErrorIs(t, err, s.wraps)
			} else {
				require.ErrorIs(t, err, stage.ErrInvalidStage)
			}
		}
		if s.nothing != nil {
			t.Run(name+" nil", func(t *testing.T) { callEvery(t, s.nothing, invalid) })
		}
		if s.zero != nil {
			t.Run(name+" zero", func(t *testing.T) {
				if s.valid {
					invalid = func(*testing.T, string, bool, error) {}
				}
				callEvery(t, s.zero, invalid)
			})
		}
	}
}

// states bring a stage into one, and say what Run then returns.
var states = map[string]func(t *testing.T, s stage.Stage, release chan struct{}) (run error){
	"never run": func(*testing.T, stage.Stage, chan struct{}) error { return context.DeadlineExceeded },
	"ended": func(t *testing.T, s stage.Stage, release chan struct{}) error {
		close(release)
		run := start(t.Context(), s)
		require.NoError(t, s.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		return context.DeadlineExceeded
	},
	"aborted": func(t *testing.T, s stage.Stage, release chan struct{}) error {
		close(release)
		run := start(t.Context(), s)
		s.Abort(errBoom)
		require.ErrorIs(t, run.wait(t), errBoom)
		return context.DeadlineExceeded
	},
	"abandoned": func(t *testing.T, s stage.Stage, _ chan struct{}) error {
		run := start(t.Context(), s)
		s.Abort(errBoom)
		require.ErrorIs(t, run.wait(t), stage.ErrStuck)
		return stage.ErrStuck
	},
}

func TestEveryMethodInEveryState(t *testing.T) {
	cells := 0
	defer func() { testkit.Report(t, "T36", cells) }()
	for name, s := range specimens {
		if s.make == nil {
			continue
		}
		typ := reflect.TypeOf(s.nothing)
		for state, enter := range states {
			for i := range typ.NumMethod() {
				method := typ.Method(i).Name
				cells++
				t.Run(name+"/"+state+"/"+method, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						release := make(chan struct{})
						value := s.make(func() { <-release })
						wants := enter(t, value, release)
						if state == "never run" {
							close(release)
						}
						ran := value.Stats().Runs
						callOne(t, method, reflect.ValueOf(value).MethodByName(method), func(t *testing.T, method string, _ bool, err error) {
							switch method {
							case "Run":
								require.ErrorIs(t, err, wants)
							case "Stop":
								if state == "never run" {
									require.ErrorIs(t, err, stage.ErrNotRunning)
								} else {
									require.NoError(t, err)
								}
							case "Do", "Tell", "DoAfter", "TellAfter", "Subscribe", "Accumulate", "Forward", "StartChild", "StopChild":
								if state == "never run" {
									require.ErrorIs(t, err, stage.ErrNotRunning)
								} else {
									require.ErrorIs(t, err, stage.ErrEnded)
								}
							}
							if method != "Run" {
								require.Equal(t, ran, value.Stats().Runs)
							}
						})
						if state == "abandoned" {
							close(release)
							synctest.Wait()
							require.Empty(t, value.Stats().Stuck)
						}
						ledger(t, value)
					})
				})
			}
		}
	}
}

// A subscription of a run that has ended in any way.
func TestEveryMethodOfASubscription(t *testing.T) {
	testkit.Report(t, "T36", 6*reflect.TypeFor[*stage.Subscription]().NumMethod())
	for _, state := range []string{"ended", "aborted", "abandoned"} {
		for _, manual := range []bool{false, true} {
			typ := reflect.TypeFor[*stage.Subscription]()
			for i := range typ.NumMethod() {
				method := typ.Method(i).Name
				t.Run(state+"/"+method, func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						release := make(chan struct{})
						var sub *stage.Subscription
						c := stage.NewConsumer(func(context.Context, []int, *stage.Subscription) error {
							if state == "abandoned" {
								<-release
							}
							return nil
						}, stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub = s; return nil }))
						p := silent()
						if manual {
							c.SubscribeTo(p, stage.Manual())
						} else {
							c.SubscribeTo(p)
						}
						pipeline := stage.NewPipeline(p, c)
						run := start(t.Context(), pipeline)
						if manual {
							require.NoError(t, sub.Ask(1))
						}
						give(t, p, 1)
						synctest.Wait()
						if state == "ended" {
							require.NoError(t, pipeline.Stop(t.Context()))
						} else {
							pipeline.Abort(errBoom)
						}
						_ = run.wait(t)
						callOne(t, method, reflect.ValueOf(sub).MethodByName(method), func(t *testing.T, method string, returnsErr bool, err error) {
							if !returnsErr {
								return
							}
							require.Error(t, err)
							require.True(t, slices.ContainsFunc([]error{stage.ErrEnded, stage.ErrNotManual, stage.ErrInvalidHold, stage.ErrInvalidOption},
								func(want error) bool { return errors.Is(err, want) }), "%v", err)
						})
						close(release)
						synctest.Wait()
						closed(t, pipeline)
					})
				})
			}
		}
	}
}
