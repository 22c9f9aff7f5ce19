package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const golden = "testdata/output.golden"

func TestOutputIsGolden(t *testing.T) {
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, run(t.Context(), &out))
	})
	if *update {
		require.NoError(t, os.WriteFile(golden, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())

	got := map[byte]int{} // events per interval
	for line := range strings.Lines(out.String()) {
		if _, events, ok := strings.Cut(line, "got "); ok {
			got[line[0]] += len(strings.Fields(events))
		}
	}
	total := 0
	for second, n := range got {
		require.LessOrEqual(t, n, rate, "interval %c", second)
		total += n
	}
	require.Equal(t, 14, total)
}

func TestReadmeShowsTheGoldenOutput(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Contains(t, string(readme), "```\n"+string(want)+"```\n")
}

func TestContextEndsIt(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, interval, 4 * interval} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			require.ErrorIs(t, run(ctx, new(strings.Builder)), context.DeadlineExceeded)
		})
	}
}

func TestFailureOfTheWriterIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		require.ErrorIs(t, run(t.Context(), failing{boom}), boom)
	})
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }
