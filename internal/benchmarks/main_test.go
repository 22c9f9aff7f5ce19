package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRunPrintsATableForEachWork(t *testing.T) {
	file := filepath.Join(t.TempDir(), "figures.json")
	var out bytes.Buffer
	require.NoError(t, run([]string{"-rounds", "2", "-each", "1ms", "-works", "W6,w1", "-json", file}, &out, io.Discard))
	require.Contains(t, out.String(), "medians of 2 rounds")
	require.Contains(t, out.String(), "W1: producer → consumer")
	require.Contains(t, out.String(), "W6: max demand 1")
	require.NotContains(t, out.String(), "W2:")
	require.Contains(t, out.String(), "loop")

	text, err := os.ReadFile(file)
	require.NoError(t, err)
	var figures struct{ Records []record }
	require.NoError(t, json.Unmarshal(text, &figures))
	require.Equal(t, "W6", figures.Records[0].Work)
	require.Len(t, figures.Records[0].Rounds, 2)
	require.Positive(t, figures.Records[0].Rounds[0]["ns"])
}

func TestOnlySomeContestants(t *testing.T) {
	var out bytes.Buffer
	require.NoError(t, run([]string{"-rounds", "1", "-each", "1ms", "-works", "W6,W1,W7", "-beside", "chan, batch"}, &out, io.Discard))
	require.Contains(t, out.String(), "ours does")
	require.NotContains(t, out.String(), "loop")
	require.NotContains(t, out.String(), "W6:", "it has neither")
}

func TestWrongUse(t *testing.T) {
	for _, args := range [][]string{{"-works", "W0"}, {"-rounds", "0"}, {"-each", "0"}, {"more"}, {"-unknown"}, {"-beside", "nobody"}} {
		err := run(args, io.Discard, io.Discard)
		require.ErrorAs(t, err, new(usageError), "%v", args)
	}
	require.True(t, errors.Is(run([]string{"-h"}, io.Discard, io.Discard), flag.ErrHelp))
}
