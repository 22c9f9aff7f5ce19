package stage_test

import (
	"context"
	"testing"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// What Where rejects uses up no demand: with a buffer of size 0 the second half would else be discarded.
func TestBroadcastDispatchesOnWhileSelectorsReject(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent(stage.BufferSize(0))
		p.DispatchWith(stage.Broadcast)
		c := newSink(0)
		c.SubscribeTo(stage.Where(p, func(n int) bool { return n >= 90 }), stage.MaxDemand(10))
		runs := runAlone(t.Context(), p, c)
		require.NoError(t, p.Do(t.Context(), func(context.Context) ([]int, error) { return upTo(100), nil }))
		require.NoError(t, c.Do(t.Context(), func(context.Context) error { return nil }))
		require.Equal(t, upTo(100)[90:], c.events())
		require.Zero(t, p.Stats().Output.Discarded)
		ledger(t, p, c)
		abortAll(t, runs...)
	})
}
