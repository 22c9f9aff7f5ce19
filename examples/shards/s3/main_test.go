package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/go-genstage/genstage/examples/shards/internal/command"
	"github.com/go-genstage/genstage/examples/shards/s3/internal/bucket"
	"github.com/go-genstage/genstage/examples/shards/s3/internal/gateway"
	"github.com/stretchr/testify/require"
)

// asProgram makes the test binary be the program.
const asProgram = "SHARDS_AS_PROGRAM"

var server *gateway.Gateway // that all tests use: there can be one in a process

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "shards-s3-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if server, err = gateway.Start(context.Background(), dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	os.Setenv("AWS_ACCESS_KEY_ID", gateway.AccessKey)
	os.Setenv("AWS_SECRET_ACCESS_KEY", gateway.SecretKey)
	os.Setenv("AWS_ENDPOINT_URL_S3", server.URL)
	code := m.Run()
	if err := server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

var buckets atomic.Int32 // made so far

// newBucket makes an empty bucket. A test that runs again, with -count or -cpu, gets another.
func newBucket(t *testing.T, name string) string {
	t.Helper()
	name += fmt.Sprint(buckets.Add(1))
	require.NoError(t, server.MakeBucket(name))
	return name
}

// shards calls the program in this process. It has to succeed.
func shards(t *testing.T, args ...string) (stdout string) {
	t.Helper()
	var out, errs bytes.Buffer
	require.Zero(t, command.Run(args, &out, &errs, &bucket.Remote{}), "%v: %s%s", args, &out, &errs)
	return out.String()
}

// report is what build prints, as far as it is of interest here.
type report struct {
	Built        int `json:"shards_built"`
	Failed       int `json:"shards_failed"`
	Fetched      int `json:"snapshots_fetched"`
	MaxSnapshots int `json:"max_snapshots"`
	MaxStoreOpen int `json:"max_store_open"`
}

func build(t *testing.T, args ...string) (r report) {
	t.Helper()
	require.NoError(t, json.Unmarshal([]byte(shards(t, append([]string{"build", "-json"}, args...)...)), &r))
	return r
}

// files returns the shard files of a folder.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*.shard"))
	require.NoError(t, err)
	all := map[string]string{}
	for _, name := range names {
		content, err := os.ReadFile(name)
		require.NoError(t, err)
		all[filepath.Base(name)] = string(content)
	}
	return all
}

// same fails if two folders differ in a shard file.
func same(t *testing.T, want, got string) {
	t.Helper()
	a, b := files(t, want), files(t, got)
	require.NotEmpty(t, a)
	require.Len(t, b, len(a))
	for name := range a {
		require.True(t, a[name] == b[name], "%s differs", name)
	}
}

// The same build over S3: byte-identical shards, as many requests at once as there are slots and no more, over as many
// connections. What is known is not asked for again.
func TestTheSameBuildOverS3(t *testing.T) {
	const slots = 20
	proxy, err := server.NewProxy()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	t.Setenv("AWS_ENDPOINT_URL_S3", proxy.URL)
	name := newBucket(t, "same")
	dir := t.TempDir()
	folder, remote := filepath.Join(dir, "store"), "s3://"+name+"/data"
	local, out, scratch := filepath.Join(dir, "local"), filepath.Join(dir, "out"), filepath.Join(dir, "scratch")

	generate := func(args ...string) {
		t.Helper()
		a := shards(t, append([]string{"generate", "-root", folder}, args...)...)
		b := shards(t, append([]string{"generate", "-root", remote}, args...)...)
		require.Equal(t, a, b)
	}
	generate("-shards", "12", "-seed", "5")
	server.Take(name)
	connected, _ := proxy.Connections()
	server.Hold(name, slots)
	remoteReport := build(t, "-root", remote, "-out", out, "-snapshots", fmt.Sprint(slots))
	seen := server.Take(name)
	opened, most := proxy.Connections()

	localReport := build(t, "-root", folder, "-out", local, "-snapshots", fmt.Sprint(slots), "-latency", "0")
	require.Equal(t, 12, remoteReport.Built)
	require.Equal(t, localReport.Fetched, remoteReport.Fetched)
	require.Greater(t, remoteReport.Fetched, 10*slots, "else it shows little")
	require.Equal(t, remoteReport.Fetched, seen.Gets, "each snapshot was asked for once")
	require.Equal(t, slots, seen.Most, "all slots were full at the server, and no more")
	require.Zero(t, seen.Heads)
	require.Equal(t, 1+12, seen.Lists)
	require.LessOrEqual(t, opened-connected, slots+2, "connections are used again")
	require.LessOrEqual(t, most, slots+2)
	same(t, local, out)
	shards(t, "verify", "-root", remote, "-out", out)

	server.Take(name)
	require.Zero(t, build(t, "-root", remote, "-out", out).Built, "nothing is stale")
	seen = server.Take(name)
	require.Equal(t, gateway.Tally{Lists: 1 + 12}, gateway.Tally{Gets: seen.Gets, Heads: seen.Heads, Lists: seen.Lists}, "listings tell that")

	generate("-tick")
	server.Take(name)
	remoteReport = build(t, "-root", remote, "-out", out)
	localReport = build(t, "-root", folder, "-out", local, "-latency", "0")
	require.Equal(t, localReport, report{remoteReport.Built, 0, remoteReport.Fetched, localReport.MaxSnapshots, localReport.MaxStoreOpen})
	seen = server.Take(name)
	require.Equal(t, remoteReport.Fetched, seen.Gets)
	require.Zero(t, seen.Heads, "what was known is known by its ETag")
	same(t, local, out)
	require.Equal(t, 12, build(t, "-root", remote, "-out", scratch).Built)
	same(t, scratch, out)
}

// Connections that are reset in mid body cost a range each, and no shard.
func TestBuildOverAConnectionThatBreaks(t *testing.T) {
	proxy, err := server.NewProxy()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, proxy.Close()) })
	name := newBucket(t, "breaks")
	dir := t.TempDir()
	folder, remote := filepath.Join(dir, "store"), "s3://"+name+"/data"
	var long strings.Builder
	for i := range 12_000 {
		fmt.Fprintf(&long, `{"key":"k%07d","v":%d}`+"\n", i*7919%12_000, i)
	}
	root, err := (&bucket.Remote{}).Open(t.Context(), remote, 1)
	require.Error(t, err, "flags say the endpoint")
	require.Nil(t, root)
	b, err := bucket.Open(bucket.Options{Endpoint: server.URL, Bucket: name, Prefix: "data", InFlight: 1})
	require.NoError(t, err)
	defer b.Close()
	for i := range 3 {
		shard := fmt.Sprintf("s%d", i)
		require.NoError(t, os.MkdirAll(filepath.Join(folder, shard), 0o777))
		require.NoError(t, os.WriteFile(filepath.Join(folder, shard, "a.ndjson"), []byte(long.String()), 0o666))
		require.NoError(t, b.WriteFile(t.Context(), shard+"/a.ndjson", []byte(long.String())))
	}
	server.Take(name)
	proxy.Cut(4, 100_000) // more than any listing, less than a body
	r := build(t, "-endpoint", proxy.URL, "-root", remote, "-out", filepath.Join(dir, "out"), "-retries", "0")
	require.Equal(t, 3, r.Built)
	require.Zero(t, proxy.Cuts(), "all were broken")
	seen := server.Take(name)
	require.Equal(t, 7, seen.Gets)
	require.Equal(t, 4, seen.Ranges, "each went on where it broke")
	build(t, "-root", folder, "-out", filepath.Join(dir, "local"))
	same(t, filepath.Join(dir, "local"), filepath.Join(dir, "out"))
}

func TestDemoOverS3(t *testing.T) {
	name := newBucket(t, "small")
	dir := t.TempDir()
	shards(t, "generate", "-root", "s3://"+name, "-shards", "3")
	var names map[string]any // the bucket is one that was generated: the demo lets a week pass in it
	require.NoError(t, json.Unmarshal([]byte(shards(t, "-root", "s3://"+name, "-dir", dir, "-json")), &names))
	require.EqualValues(t, 3, names["shards_built"])
	one := shards(t, "get", "-out", filepath.Join(dir, "shards"), "campaign-00000", "ad-0000000")
	require.Contains(t, one, `"key":"ad-0000000"`)
	require.NoDirExists(t, filepath.Join(dir, "store"), "nothing of it lies in a folder")
}

func TestFailuresOfTheServer(t *testing.T) {
	name := newBucket(t, "fails")
	shards(t, "generate", "-root", "s3://"+name+"/data", "-shards", "4")
	server.Answer(name, func(op, key string) error {
		if op == "get" && strings.Contains(key, "campaign-00002/") {
			return gateway.ErrForbidden
		}
		return nil
	})
	var out, errs bytes.Buffer
	code := command.Run([]string{"build", "-root", "s3://" + name + "/data", "-out", t.TempDir(), "-json"}, &out, &errs, &bucket.Remote{})
	require.Equal(t, 1, code, "%s", &errs)
	var r report
	require.NoError(t, json.Unmarshal(out.Bytes(), &r))
	require.Equal(t, 3, r.Built)
	require.Equal(t, 1, r.Failed)
	require.Contains(t, out.String(), "s3://"+name+"/data/campaign-00002/")
	require.Contains(t, out.String(), "403 AccessDenied")

	for _, args := range [][]string{
		{"build", "-root", "s3://no-such-bucket", "-out", t.TempDir()},
		{"verify", "-root", "s3://no-such-bucket", "-out", t.TempDir()},
		{"generate", "-root", "s3://no-such-bucket"},
		{"-root", "s3://no-such-bucket", "-dir", t.TempDir()},
	} {
		errs.Reset()
		require.Equal(t, 1, command.Run(args, &out, &errs, &bucket.Remote{}), "%v", args)
		require.Contains(t, errs.String(), "s3://no-such-bucket: 404 NoSuchBucket", "%v", args)
	}
	for _, args := range [][]string{{"-root", "s3://"}, {"-root", "s3://" + name, "-endpoint", "host"}} {
		errs.Reset()
		require.Equal(t, 1, command.Run(append([]string{"build", "-out", t.TempDir()}, args...), &out, &errs, &bucket.Remote{}))
		require.NotEmpty(t, errs.String())
	}
}

// The second SIGTERM ends requests that the server has not answered.
func TestSignalsEndRequests(t *testing.T) {
	name := newBucket(t, "signals")
	shards(t, "generate", "-root", "s3://"+name, "-shards", "2")
	server.Hold(name, 1000)
	t.Cleanup(func() { server.Hold(name, 0) })
	out := t.TempDir()
	cmd := exec.Command(os.Args[0], "build", "-root", "s3://"+name, "-out", out, "-timeout", "0")
	cmd.Env = append(os.Environ(), asProgram+"=1")
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	lines := bufio.NewScanner(stderr)
	said := func(text string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		require.Fail(t, "the program ended without saying "+text)
	}
	said("in progress; 0 snapshots fetched, ")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	said("finishing")
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	said("aborted")
	require.Error(t, cmd.Wait())
	require.Equal(t, 3, cmd.ProcessState.ExitCode())
	require.Empty(t, files(t, out))
}
