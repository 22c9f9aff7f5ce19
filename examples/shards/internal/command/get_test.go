package command

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/shardfile"
	"github.com/stretchr/testify/require"
)

// call runs the program and returns its exit code and output.
func call(args ...string) (code int, stdout, stderr string) {
	var o, e bytes.Buffer
	code = Run(args, &o, &e)
	return code, o.String(), e.String()
}

// oneShard makes a folder with the file of shard "s": key "k" in "a" and twice in "b", key "-x" in "b".
func oneShard(t *testing.T) string {
	t.Helper()
	out := t.TempDir()
	dir, err := shardfile.OpenDir(out)
	require.NoError(t, err)
	defer dir.Close()
	b, err := shardfile.Begin(dir, "s", 1, nil, nil)
	require.NoError(t, err)
	require.NoError(t, b.Ingest("b", 1, "", []shardfile.Value{
		shardfile.Compress("k", []byte(`{"key":"k","n":2}`)), shardfile.Compress("-x", []byte(`{"key":"-x"}`)), shardfile.Compress("k", []byte(`{ "key":"k", "n":"<3>" }`)),
	}))
	require.NoError(t, b.Ingest("a", 1, "", []shardfile.Value{shardfile.Compress("k", []byte(`{"key":"k","n":1}`))}))
	_, err = b.Persist(t.Context())
	require.NoError(t, err)
	return out
}

func TestGet(t *testing.T) {
	out := oneShard(t)
	first := `{"snapshot":"a","value":{"key":"k","n":1}}` + "\n"
	rest := `{"snapshot":"b","value":{"key":"k","n":2}}` + "\n" + `{"snapshot":"b","value":{"key":"k","n":"<3>"}}` + "\n"
	tests := []struct {
		args   string
		code   int
		stdout string
		stderr string // a part
	}{
		{args: "-out DIR s k", stdout: first + rest},
		{args: "s k -out DIR", stdout: first + rest},
		{args: "s -out=DIR k -at b", stdout: rest},
		{args: "-at a s -out DIR k", stdout: first},
		{args: "-out DIR s -- -x", stdout: `{"snapshot":"b","value":{"key":"-x"}}` + "\n"},
		{args: "-out DIR s absent", code: 1, stderr: `no key "absent"`},
		{args: "-out DIR s k -at c", code: 1, stderr: `in snapshot "c"`},
		{args: "-out DIR t k", code: 1, stderr: `"t" has no file`},
		{args: "-out DIR ../s k", code: 1, stderr: "unusable name"},
		{args: "-out DIR/absent s k", code: 1, stderr: "no such file"},
		{args: "s k", code: 2, stderr: "-out is missing"},
		{args: "-out DIR s", code: 2, stderr: "1 arguments, want 2"},
		{args: "-out DIR s k l", code: 2, stderr: "3 arguments, want 2"},
		{args: "-out DIR s k -what", code: 2, stderr: "-what"},
		{args: "-h", code: 0, stderr: "usage: shards get"},
	}
	for _, test := range tests {
		t.Run(test.args, func(t *testing.T) {
			code, stdout, stderr := call(append([]string{"get"}, strings.Fields(strings.ReplaceAll(test.args, "DIR", out))...)...)
			require.Equal(t, test.code, code, stderr)
			require.Equal(t, test.stdout, stdout)
			require.Contains(t, stderr, test.stderr)
		})
	}
}

func TestGetFromADamagedFile(t *testing.T) {
	out := oneShard(t)
	require.NoError(t, os.Truncate(filepath.Join(out, "s.shard"), 100))
	code, stdout, stderr := call("get", "-out", out, "s", "k")
	require.Equal(t, 1, code)
	require.Empty(t, stdout)
	require.Contains(t, stderr, `"s.shard"`)
}

func TestUnknownCommandIsUsage(t *testing.T) {
	code, _, stderr := call("bild")
	require.Equal(t, 2, code)
	require.Contains(t, stderr, `"bild"`)
}
