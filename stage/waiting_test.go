package stage_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

// Stats shows events wherever they wait: in the stage, in the mailbox of a consumer that is busy, in its hands.
func TestStatsShowWhereEventsWait(t *testing.T) {
	bubble(t, func(t *testing.T) {
		p := silent()
		c := newSink(time.Minute, patient)
		c.SubscribeTo(p, stage.MaxDemand(5), stage.MinDemand(4))
		runs := runAlone(t.Context(), p, c)
		synctest.Wait()
		give(t, p, 1, 2) // the first is in the callback, the second behind it
		synctest.Wait()
		give(t, p, 3, 4) // in the mailbox
		give(t, p, 5, 6, 7, 8)
		synctest.Wait()
		s := p.Stats().Output
		require.EqualValues(t, 3, p.Buffered())
		require.EqualValues(t, 3, s.InMailbox)
		require.EqualValues(t, 1, c.Stats().Input.Queued)
		require.EqualValues(t, 1, c.Stats().Input.InHand)
		require.EqualValues(t, 8, s.Emitted)
		abortAll(t, runs...)
		closed(t, p, c)
	})
}
