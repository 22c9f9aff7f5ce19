package main

import (
	"context"
	"os"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What the README shows is what the program prints, in every run.
func TestTheREADMEShowsTheOutput(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for range 100 {
		synctest.Test(t, func(t *testing.T) {
			var out strings.Builder
			require.NoError(t, run(t.Context(), &out))
			require.Contains(t, string(readme), "```\n"+out.String()+"```\n")
		})
	}
}

func TestACancelledContextEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, &strings.Builder{}), context.Canceled)
}
