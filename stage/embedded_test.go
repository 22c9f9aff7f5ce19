package stage_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// A struct of the user's that embeds a stage is that stage, wherever one is wanted: it runs, is found where it stands twice
// or in a ring, and is reported where there is none in it.

type (
	mySupervisor struct {
		*stage.Supervisor
		_ []int // it cannot be compared
	}
	myPipeline  struct{ *stage.Pipeline }
	myProducer  struct{ *stage.Producer[int] }
	myStage     struct{ stage.Stage }
	mySource    struct{ stage.Source[int] }
	ownSupStage struct{ stage.Supervisor } // of a Supervisor that no constructor made
)

func TestEmbeddedStageRuns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p, c := myProducer{stage.FromSlice(upTo(20))}, newSink(0)
		c.SubscribeTo(mySource{p})
		inner := myPipeline{stage.NewPipeline(p)}
		sup := mySupervisor{Supervisor: stage.NewSupervisor()}
		sup.Add(inner)
		sup.Add(myStage{c})
		whole := stage.NewPipeline(sup)
		require.NoError(t, start(t.Context(), whole).wait(t))
		require.Equal(t, upTo(20), c.events())
		require.Equal(t, []stage.Stage{inner}, stage.NewPipeline(inner).Stages(), "as they were given")
		require.Len(t, whole.Stats().Members[0].Members, 2)
		ledger(t, p, c)
	})
}

func TestEmbeddedRingsAreFound(t *testing.T) {
	sup := stage.NewSupervisor(stage.Name("outer"))
	sup.Add(mySupervisor{Supervisor: sup})
	require.ErrorIs(t, sup.Run(t.Context()), stage.ErrCycle)
	require.Empty(t, sup.Stats().Members)

	a, b := stage.NewSupervisor(), stage.NewSupervisor()
	a.Add(myPipeline{stage.NewPipeline(mySupervisor{Supervisor: b})})
	b.Add(myStage{myStage{mySupervisor{Supervisor: a}}})
	require.ErrorIs(t, b.Run(t.Context()), stage.ErrCycle)
	require.ErrorIs(t, a.Run(t.Context()), stage.ErrCycle)

	one := silent(stage.Name("one"))
	require.ErrorIs(t, stage.Run(t.Context(), one, myStage{one}), stage.ErrInvalidStage)
	require.ErrorIs(t, stage.Run(t.Context(), sup, mySupervisor{Supervisor: sup}), stage.ErrInvalidStage, "also one without members")

	made := stage.NewSupervisor()
	made.AddFunc(func() stage.Stage { return mySupervisor{Supervisor: made} })
	require.ErrorIs(t, made.Run(t.Context()), stage.ErrInvalidStage)
}

// A factory may return values that cannot be compared.
func TestEmbeddedStagesOfAFactory(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sup, runs := stage.NewSupervisor(), 0
		sup.AddFunc(func() stage.Stage {
			runs++
			inner := stage.NewSupervisor()
			inner.Add(silent(stage.OnInit(func(context.Context) error {
				if runs < 3 {
					return errBoom
				}
				return stage.ErrDone
			})))
			return mySupervisor{Supervisor: inner}
		})
		require.ErrorIs(t, start(t.Context(), sup).wait(t), errBoom, "the first start")
		require.ErrorIs(t, start(t.Context(), sup).wait(t), errBoom)
		require.NoError(t, start(t.Context(), sup).wait(t))
		require.Equal(t, 3, runs)
	})
}

// Two supervisors that are added to each other at once: one of the two calls is a fault.
func TestAddsThatCrossAreNoRing(t *testing.T) {
	for range 1000 {
		a, b := stage.NewSupervisor(), stage.NewSupervisor()
		var both sync.WaitGroup
		both.Go(func() { a.Add(b) })
		both.Go(func() { b.Add(a) })
		both.Wait()
		require.ErrorIs(t, a.Run(t.Context()), stage.ErrCycle)
		require.ErrorIs(t, b.Run(t.Context()), stage.ErrCycle)
		require.False(t, a.Stats().Running || b.Stats().Running)
	}
}

// Nor does one come about behind the back of a factory: it returns a supervisor, to which the outer one is added meanwhile.
func TestAddsBesideAFactoryAreNoRing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		outer, inner := stage.NewSupervisor(stage.Name("outer")), stage.NewSupervisor(stage.Name("inner"))
		inner.AddFunc(func() stage.Stage {
			inner.Add(outer) // while the outer one is about to take the inner one
			return silent()
		})
		outer.AddFunc(func() stage.Stage { return inner })
		run := start(t.Context(), outer)
		synctest.Wait()
		require.NoError(t, outer.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		require.ErrorIs(t, inner.Run(t.Context()), stage.ErrCycle)
	})
}

func TestEmbeddedNothingIsAFault(t *testing.T) {
	var none *myProducer
	for name, s := range map[string]stage.Stage{
		"a nil interface": myStage{}, "a nil pointer to a struct": none, "a nil pointer in a struct": myProducer{},
		"a nil supervisor": mySupervisor{}, "a nil pipeline": myPipeline{}, "twice": myStage{myStage{}},
		"a nil supervisor, as it is": (*stage.Supervisor)(nil), "a supervisor by value": new(ownSupStage),
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorIs(t, stage.Run(t.Context(), s), stage.ErrInvalidStage)
			sup := stage.NewSupervisor()
			sup.Add(s)
			require.ErrorIs(t, sup.Run(t.Context()), stage.ErrInvalidStage)
			sup = stage.NewSupervisor()
			sup.AddFunc(func() stage.Stage { return s })
			require.ErrorIs(t, sup.Run(t.Context()), stage.ErrInvalidStage)
			q := stage.NewQueue[int](1)
			q.FedBy(s)
			if name != "a supervisor by value" { // which has no members
				require.ErrorIs(t, q.Run(t.Context()), stage.ErrInvalidStage)
			}
		})
	}
	for _, src := range []stage.Source[int]{mySource{}, none, myProducer{}, mySource{mySource{}}} {
		for _, src := range []stage.Source[int]{src, stage.Where(src, func(int) bool { return true }), stage.Partition(src, 1)} {
			c := newSink(0)
			c.SubscribeTo(src)
			require.ErrorIs(t, c.Run(t.Context()), stage.ErrInvalidStage)
		}
		for _, err := range stage.Events(t.Context(), src) {
			require.ErrorIs(t, err, stage.ErrInvalidStage)
		}
	}
}
