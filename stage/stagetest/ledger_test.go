package stagetest_test

import (
	"context"
	"testing"

	"github.com/go-genstage/genstage/stage"
	"github.com/go-genstage/genstage/stage/stagetest"
	"github.com/stretchr/testify/require"
)

func TestLedgerOfAPipelineThatEnded(t *testing.T) {
	source := stage.FromSlice([]int{1, 2, 3})
	drain := stage.ForEach(func(context.Context, int) error { return nil })
	drain.SubscribeTo(source)
	p := stage.NewPipeline(source, drain)
	require.NoError(t, p.Run(t.Context()))
	stagetest.Ledger(t, p)
	stagetest.Ended(t, p)
	stagetest.Ended(t, source, drain)
}

func TestEachFaultOfTheLedgerIsFound(t *testing.T) {
	edge := func(e stage.SubscriptionStats) []stage.SubscriptionStats { return []stage.SubscriptionStats{e} }
	for name, s := range map[string]stage.Stats{
		"input unaccounted for":   {Input: stage.InputStats{Received: 3, Handled: 2}},
		"input out of nowhere":    {Input: stage.InputStats{Handled: 1}},
		"output unaccounted for":  {Output: stage.OutputStats{Emitted: 1}},
		"taken back for nothing":  {Output: stage.OutputStats{TakenBack: 1}},
		"copies not sent":         {Output: stage.OutputStats{Emitted: 2, Dispatched: 2, Copies: 2, Departed: 1}},
		"more sent than asked":    {Running: true, Upstreams: edge(stage.SubscriptionStats{Asked: 1, Sent: 2, Received: 2})},
		"received, but not sent":  {Running: true, Upstreams: edge(stage.SubscriptionStats{Asked: 2, Sent: 1, Received: 2, InMailbox: -1})},
		"gone between the stages": {Running: true, Upstreams: edge(stage.SubscriptionStats{Asked: 2, Sent: 2, Received: 1})},
		"more finished than came": {Running: true, Upstreams: edge(stage.SubscriptionStats{Asked: 1, Sent: 1, Received: 1, Finished: 2})},
		"less than nothing":       {Input: stage.InputStats{Handled: 1, Failed: -1}},
		"ended with input":        {Runs: 1, Input: stage.InputStats{Received: 1, Queued: 1}},
		"ended with output":       {Runs: 1, Output: stage.OutputStats{Emitted: 1, Buffered: 1}},
		"ended in a callback":     {Runs: 1, Callback: "events"},
		"ended with an upstream":  {Runs: 1, Upstreams: edge(stage.SubscriptionStats{})},
		"of a member":             {Members: []stage.Stats{{Input: stage.InputStats{Received: 1}}}},
	} {
		require.NotEmpty(t, stagetest.Faults(s), name)
	}
	require.Empty(t, stagetest.Faults(stage.Stats{}, stage.Stats{Runs: 1}))

	sent := stage.Stats{Runs: 1, Output: stage.OutputStats{Emitted: 2, Dispatched: 2, Copies: 2, Departed: 2}}
	received := stage.Stats{Runs: 1, Input: stage.InputStats{Received: 1, Handled: 1}}
	require.Empty(t, stagetest.Faults(sent, received), "each is right for itself")
	require.NotEmpty(t, stagetest.FaultsAtEnd(sent, received), "one never came")
	require.NotEmpty(t, stagetest.FaultsAtEnd(stage.Stats{Running: true}))
}
