package main

import (
	"context"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

var update = flag.Bool("update", false, "rewrite the golden files under testdata")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestOutputIsGolden(t *testing.T) { compare(t, "output.golden", false) }

func TestTraceIsGolden(t *testing.T) { compare(t, "trace.golden", true) }

func compare(t *testing.T, file string, showTrace bool) {
	var out strings.Builder
	synctest.Test(t, func(t *testing.T) {
		require.NoError(t, run(t.Context(), &out, showTrace))
	})
	path := filepath.Join("testdata", file)
	if *update {
		require.NoError(t, os.WriteFile(path, []byte(out.String()), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())
}

func TestReadmeShowsTheGoldenOutput(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	require.NoError(t, err)
	golden, err := os.ReadFile("testdata/trace.golden")
	require.NoError(t, err)
	require.Contains(t, string(readme), "```\n"+string(golden)+"```\n")
}

func TestFailureOfAStageIsReturned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		require.ErrorIs(t, run(t.Context(), failing{boom}, true), boom)
	})
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestEveryMessageHasWords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sub *stage.Subscription
		p := stage.FromSlice([]int{1}, stage.Name("A"))
		c := stage.ForEach(func(context.Context, int) error { return nil }, stage.Name("B"),
			stage.OnSubscribe(func(_ context.Context, s *stage.Subscription) error { sub = s; return nil }))
		c.SubscribeTo(p)
		require.NoError(t, stage.Run(t.Context(), p, c))
		for k := stage.MessageSubscribe; k.String() != "unknown"; k++ {
			m := stage.Message{Kind: k, From: "A", To: "B", Sub: sub, Reason: errors.New("a reason")}
			require.NotEqual(t, "A to B: "+k.String(), words(m), "a kind without words of its own")
		}
	})
}
