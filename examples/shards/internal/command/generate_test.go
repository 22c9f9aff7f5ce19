package command

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestGenerateAndVerifyCommands(t *testing.T) {
	root, out := t.TempDir(), t.TempDir()
	code, stdout, stderr := call("generate", "-root", root, "-shards", "5", "-seed", "3")
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "for 5 shards")
	code, stdout, _ = call("generate", "-root", root, "-shards", "5", "-seed", "3")
	require.Equal(t, 0, code)
	require.Contains(t, stdout, "generated already")
	code, stdout, stderr = call("generate", "-tick", "-root", root)
	require.Equal(t, 0, code, stderr)
	require.Contains(t, stdout, "for 4 shards")

	code, stdout, _ = call("verify", "-root", root, "-out", out)
	require.Equal(t, 1, code)
	require.Contains(t, stdout, "has no shard file")
	require.Contains(t, stdout, "5 differences")

	for _, args := range [][]string{
		{"generate"},
		{"generate", "-root", root, "more"},
		{"generate", "-seed", "x"},
		{"verify", "-root", root},
		{"verify", "-out", out},
		{"verify", "-root", root, "-out", out, "x"},
	} {
		code, _, stderr = call(args...)
		require.Equal(t, 2, code, args)
		require.Contains(t, stderr, "usage:")
	}
	code, _, _ = call("generate", "-root", root, "-size", "tiny")
	require.Equal(t, 2, code)
	code, _, _ = call("generate", "-root", root, "-size", "medium")
	require.Equal(t, 1, code, "it was generated small")
	code, _, _ = call("verify", "-root", root+"/absent", "-out", out)
	require.Equal(t, 1, code)
}
