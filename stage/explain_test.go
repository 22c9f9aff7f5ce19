package stage_test

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// explains checks what is said about the stages.
func explains(t *testing.T, want string, stages ...stage.Stage) {
	t.Helper()
	synctest.Wait()
	require.Equal(t, strings.TrimPrefix(want, "\n"), stage.Explain(statsOf(stages)...))
}

func TestExplainFollowsThoseWhoWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := stage.FromSlice(upTo(9), stage.Name("numbers"))
		pc := relay(0, stage.Name("labels"))
		c := newSink(time.Hour, stage.Name("printer"), patient)
		pc.SubscribeTo(p, stage.MaxDemand(4), stage.MinDemand(2))
		c.SubscribeTo(pc, stage.MaxDemand(2), stage.MinDemand(1))
		inner := stage.NewPipeline(pc, c)
		pipeline := stage.NewPipeline(p, inner)
		run := start(t.Context(), pipeline)
		pipeline.Stats()
		time.Sleep(90 * time.Second)
		require.Equal(t, `pipeline "OUTER": busy
  producer "numbers": waits for demand of "labels", 1m30s
      demand: 0 of "labels"
  pipeline "INNER": busy
    producer-consumer "labels": waits for demand of "printer", 1m30s
        waiting: 4 not begun, 2 in the buffer
        demand: 0 of "printer"
    consumer "printer": in its callback events, 1m30s
        waiting: 1 not begun, 1 in hand
It is up to "printer".
`, strings.NewReplacer(inner.Name(), "INNER", pipeline.Name(), "OUTER").Replace(stage.Explain(pipeline.Stats())))
		abortAll(t, run)
		require.Contains(t, stage.Explain(c.Stats()), `consumer "printer": ended: `)
	})
}

func TestExplainSaysWhereEventsWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		q := stage.NewQueue[int](9, stage.Name("queue"))
		require.NoError(t, q.TryPush(1, 2, 3, 4, 5))
		full := stage.NewQueue[int](1, stage.Name("full"))
		a := stage.ForEach(func(ctx context.Context, n int) error { return full.Push(ctx, n) }, stage.Name("a"))
		a.SubscribeTo(q, stage.MaxDemand(1))
		runs := runAlone(t.Context(), q, full, a)
		explains(t, `
producer "queue": waits for demand of "a", 0s
    waiting: 3 in the queue
    demand: 0 of "a"
producer "full": waits for a subscriber, 0s
    waiting: 1 in the queue
consumer "a": in its callback events, which waits for room in "full", 0s
    waiting: 1 in hand
It is up to "full".
`, q, full, a)
		abortAll(t, runs...)
	})
}

func TestExplainWords(t *testing.T) {
	up := func(open int64, waiting bool) []stage.SubscriptionStats {
		return []stage.SubscriptionStats{{Producer: "p", Open: open, Waiting: waiting}}
	}
	down := func(open, inMailbox int64) []stage.SubscriptionStats {
		return []stage.SubscriptionStats{{Consumer: "c", Open: open, InMailbox: inMailbox}, {Consumer: "b", Open: open}}
	}
	for _, c := range []struct {
		kind  stage.StateKind
		stats stage.Stats
		want  string
	}{
		{stage.StateNotRun, stage.Stats{}, "not run"},
		{stage.StateStarting, stage.Stats{}, "starting"},
		{stage.StateBusy, stage.Stats{}, "busy"},
		{stage.StateCallback, stage.Stats{Callback: "Do"}, "in its callback Do"},
		{stage.StateCalling, stage.Stats{Callback: "Do", State: stage.State{Of: "o"}}, `in its callback Do, which waits in a call of "o"`},
		{stage.StatePushing, stage.Stats{Callback: "Do", State: stage.State{Of: "o"}}, `in its callback Do, which waits for room in "o"`},
		{stage.StateForEvents, stage.Stats{Upstreams: up(3, false)}, `waits for events of "p"`},
		{stage.StateForEvents, stage.Stats{Upstreams: up(0, false)}, `has asked for nothing`},
		{stage.StateForEvents, stage.Stats{}, `waits for events from outside`},
		{stage.StateForDemand, stage.Stats{Downstreams: down(0, 0)}, `waits for demand of "b", "c"`},
		{stage.StateForDemand, stage.Stats{Downstreams: down(1, 0)}, `waits for demand`},
		{stage.StateForDemand, stage.Stats{}, `waits for a subscriber`},
		{stage.StateForProducer, stage.Stats{Upstreams: up(0, true)}, `waits for "p" to run`},
		{stage.StateForProducer, stage.Stats{}, `has no subscription`},
		{stage.StateForBudget, stage.Stats{}, `waits for room in a budget`},
		{stage.StateHolding, stage.Stats{}, `waits for what it holds`},
		{stage.StateHolding, stage.Stats{Children: stage.ChildCounts{Active: 1}}, `waits for its children`},
		{stage.StateOwing, stage.Stats{Output: stage.OutputStats{Owed: 3}}, `owes 3 events, waits for Do, Tell or Wake`},
		{stage.StateOwing, stage.Stats{Kind: "producer-consumer"}, `holds demand back in OnDemand, waits for Wake`},
		{stage.StatePaused, stage.Stats{}, `has found nothing, pauses`},
		{stage.StateAccumulating, stage.Stats{}, `keeps everything back until Forward`},
		{stage.StateCompleting, stage.Stats{Downstreams: down(0, 1)}, `is done, waits for "c" to begin everything`},
		{stage.StateCompleting, stage.Stats{}, `is done`},
		{stage.StateForCalls, stage.Stats{}, `has had all its input, waits for Do or Tell`},
		{stage.StateStuck, stage.Stats{Stuck: []stage.Stuck{{Callback: "events"}, {Callback: "child", Child: 3}}}, `is stuck in events, child 3`},
		{stage.StateEnded, stage.Stats{}, `ended`},
		{stage.StateEnded, stage.Stats{Err: errors.New("why")}, `ended: why`},
	} {
		c.stats.Kind, c.stats.Stage, c.stats.State.Kind = cmp.Or(c.stats.Kind, "kind"), "s", c.kind
		line, _, _ := strings.Cut(stage.Explain(c.stats), "\n")
		require.Equal(t, c.stats.Kind+` "s": `+c.want, line)
	}
}

// A ring of waits has no end to name, and is not walked for ever. Nor are stages that nobody has Stats of.
func TestExplainEndsOnARing(t *testing.T) {
	wait := func(name, of string) stage.Stats {
		return stage.Stats{Stage: name, State: stage.State{Kind: stage.StateCalling, Of: of}}
	}
	ring := stage.Explain(wait("a", "b"), wait("b", "a"))
	require.NotContains(t, ring, "It is up to")
	require.True(t, strings.HasSuffix(ring, "\nThey wait for each other: \"a\", \"b\".\n"), ring)
	require.Contains(t, stage.Explain(wait("a", "b"), wait("b", "x")), `It is up to "x" (not among these stages).`)
	require.Empty(t, stage.Explain())
	require.NotContains(t, stage.Explain(stage.Stats{State: stage.State{Kind: stage.StateEnded}}), "each other")
}
