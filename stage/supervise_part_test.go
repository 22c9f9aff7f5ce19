package stage_test

import (
	"context"
	"testing"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// fallsAlone makes a producer whose first run fails when it is asked, which its temporary subscriber spares its pipeline (R1), and
// whose second run emits 2; and a producer-consumer and a consumer outside behind it.
func fallsAlone() (short *stage.Producer[int], mid *stage.ProducerConsumer[int, int], end *sink) {
	lives := 0
	short = stage.NewProducer(func(context.Context, int) ([]int, error) {
		if lives == 1 {
			return nil, errBoom
		}
		return []int{lives}, stage.ErrDone
	}, stage.OnInit(func(context.Context) error { lives++; return nil }), stage.Name("short"), quiet)
	mid, end = relay(0, stage.Name("mid")), newSink(0, stage.Name("end"))
	mid.SubscribeTo(short, stage.Cancel(stage.CancelTemporary))
	end.SubscribeTo(mid)
	return short, mid, end
}

// V7: a part of a pipeline that has ended alone comes back with the pipeline, and who subscribes from outside waits for that.
func TestAPartThatEndedAloneComesBackWithItsPipeline(t *testing.T) {
	bubble(t, func(t *testing.T) {
		short, mid, end := fallsAlone()
		other, rest := silent(), newSink(0)
		rest.SubscribeTo(other)
		sup := stage.NewSupervisor(stage.OneForOne)
		sup.Add(mid)
		sup.Add(end)
		sup.Add(stage.NewPipeline(short, rest, other))
		run := start(t.Context(), sup)
		time.Sleep(time.Hour)
		require.False(t, short.Stats().Running)
		require.True(t, mid.Stats().Upstreams[0].Waiting)
		other.Abort(errBoom) // and with it the pipeline
		time.Sleep(time.Second)
		require.Equal(t, []int{2}, end.events())
		require.NoError(t, sup.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		closed(t, sup)
	})
}

// V7: when the pipeline waits for the one that waits, nothing moves. Explain says who it is up to.
func TestAPipelineThatWaitsForWhoWaitsForItsPart(t *testing.T) {
	bubble(t, func(t *testing.T) {
		short, mid, end := fallsAlone()
		rest := newSink(0)
		rest.SubscribeTo(mid)
		sup := stage.NewSupervisor(stage.OneForOne)
		sup.Add(mid)
		sup.Add(end)
		sup.Add(stage.NewPipeline(short, rest))
		run := start(t.Context(), sup)
		time.Sleep(time.Hour)
		require.True(t, run.running())
		require.Contains(t, stage.Explain(sup.Stats()), `It is up to "short".`)
		require.NoError(t, sup.Stop(t.Context()))
		require.NoError(t, run.wait(t))
		closed(t, sup)
	})
}
