package main

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestBothLimitsAreReachedAndKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		pipeline := wire(&out)
		ended := make(chan error, 1)
		go func() { ended <- stage.RunUntil(t.Context(), drain, pipeline) }()
		var albums, downloads int64
		for {
			time.Sleep(time.Millisecond)
			synctest.Wait()
			members := pipeline.Stats().Members
			albums = max(albums, members[1].Input.InHand)
			downloads = max(downloads, members[2].Children.Active)
			if len(ended) > 0 {
				break
			}
		}
		require.NoError(t, <-ended)
		require.EqualValues(t, maxAlbums, albums)
		require.EqualValues(t, maxDownloads, downloads)
		require.Equal(t, 5, strings.Count(out.String(), "is done"))
		require.Contains(t, out.String(), "tango is done; 1 failed [track 3: not there]")
	})
}

func TestStopFinishesWhatIsInProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out strings.Builder
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		defer cancel()
		require.NoError(t, stage.RunUntil(ctx, drain, wire(&out)))
		require.Equal(t, maxAlbums, strings.Count(out.String(), "is done"), "no third one is begun")
	})
}
