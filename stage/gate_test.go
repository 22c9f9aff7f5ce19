package stage

import (
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
)

func TestAGateOpensOnceForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g gate
		var passed sync.WaitGroup
		through := make(chan int, 3)
		for i := range 3 {
			passed.Go(func() { // ends when the gate opens
				g.wait()
				through <- i
			})
		}
		synctest.Wait()
		require.Empty(t, through)
		require.False(t, g.isOpen())
		g.open()
		g.open()
		passed.Wait()
		require.Len(t, through, 3)
		require.True(t, g.isOpen())
		g.wait()
	})
}

// Whoever comes while it opens gets through.
func TestAGateThatOpensWhileSomebodyComes(t *testing.T) {
	for range 2000 {
		var g gate
		var both sync.WaitGroup
		for range 2 {
			both.Go(g.wait) // ends when the gate opens
		}
		g.open()
		both.Wait()
	}
}
