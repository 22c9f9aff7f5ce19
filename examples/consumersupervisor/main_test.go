package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOutputIsGolden(t *testing.T) {
	for _, refill := range []int{0, 3} {
		var out strings.Builder
		synctest.Test(t, func(t *testing.T) {
			require.NoError(t, run(t.Context(), &out, 4, refill))
		})
		path := filepath.Join("testdata", fmt.Sprintf("min%d.golden", refill))
		if *update {
			require.NoError(t, os.WriteFile(path, []byte(out.String()), 0o644))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(want), out.String())
		for line := range strings.Lines(out.String()) {
			require.LessOrEqual(t, len(strings.Fields(line)), 2+4+6, "never more than four children: %s", line)
		}
	}
}

func TestReadmeShowsTheGoldenOutput(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	golden, err := os.ReadFile("testdata/min0.golden")
	require.NoError(t, err)
	require.Contains(t, string(readme), "```\n"+string(golden)+"```\n")
}

func TestContextEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
		defer cancel()
		require.ErrorIs(t, run(ctx, new(strings.Builder), 4, 0), context.DeadlineExceeded)
	})
}

func TestLimitsOutOfRange(t *testing.T) {
	require.ErrorIs(t, run(t.Context(), new(strings.Builder), 4, 4), stage.ErrInvalidOption)
}
