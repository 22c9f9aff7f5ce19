package stage

import (
	"context"
	"errors"
	"math"
	"strconv"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

// A child may fail more often than 32 bits count: it is counted on, and MaxAttempts still ends it.
func TestChildThatFailsVeryOften(t *testing.T) {
	if strconv.IntSize == 32 {
		t.Skip("an int has no more")
	}
	often := int64(math.MaxInt32)
	synctest.Test(t, func(t *testing.T) {
		fail, last := make(chan error), 0
		s := NewConsumerSupervisor(func(ctx context.Context, _ int) error {
			select {
			case err := <-fail:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		}, Restart(RestartTransient), MaxAttempts(int(often+3)))
		s.OnDeadLetter(func(_ context.Context, _, attempts int, _ error) { last = attempts })
		ended := make(chan error, 1)
		go func() { ended <- s.Run(t.Context()) }()
		synctest.Wait()
		id, err := s.StartChild(t.Context(), 7)
		require.NoError(t, err)
		require.NoError(t, s.Do(t.Context(), func(context.Context) error {
			x, _ := s.current()
			x.(*run[int, none]).kids.all.get(id).restarts = math.MaxInt32
			return nil
		}))
		for n := 1; n <= 2; n++ {
			fail <- errors.New("again")
			synctest.Wait()
			if n == 1 {
				require.EqualValues(t, often+1, s.Children()[0].Restarts)
			}
		}
		fail <- errors.New("the last time")
		synctest.Wait()
		require.Empty(t, s.Children())
		require.EqualValues(t, often+3, last)
		require.NoError(t, s.Stop(t.Context()))
		require.NoError(t, <-ended)
	})
}
