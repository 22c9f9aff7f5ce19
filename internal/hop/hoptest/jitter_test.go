package hoptest_test

import (
	"testing"

	"github.com/go-genstage/genstage/internal/hop"
	"github.com/go-genstage/genstage/internal/hop/hoptest"
	"github.com/stretchr/testify/require"
)

// named is a schedule whose turns say who gave them.
type named struct {
	hoptest.Jitter
	name  string
	given *[]string
}

func (n named) Join(string) func() { return func() { *n.given = append(*n.given, n.name) } }

// A schedule for all runs is that of the contexts which have none, and does not draw.
func TestEverywhere(t *testing.T) {
	var given []string
	hop.Everywhere(nil) // whatever the flag said
	t.Cleanup(func() { hop.Everywhere(nil) })
	require.Nil(t, hop.Join(t.Context(), "stage"))
	hop.Everywhere(named{name: "everywhere", given: &given})
	own := hop.With(t.Context(), named{name: "own", given: &given})
	hop.Join(t.Context(), "stage")()
	hop.Join(own, "stage")()
	hop.Turn(t.Context(), "stage")()
	require.Equal(t, []string{"everywhere", "own", "everywhere"}, given)
}

// Under jitter whoever began last is seen to come first, and whoever began first, too.
func TestJitterTakesNoOrderForGranted(t *testing.T) {
	first := map[string]int{}
	for range 100_000 {
		order := make(chan string, 2)
		for _, name := range []string{"a", "b"} {
			wait := hoptest.Jitter{}.Join(name)
			go func() { // ends at once
				wait()
				order <- name
			}()
		}
		first[<-order]++
		if <-order; len(first) == 2 {
			return
		}
	}
	require.Fail(t, "always the same one", "%v", first)
}
