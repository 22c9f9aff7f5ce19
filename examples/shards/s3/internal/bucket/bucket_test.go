package bucket

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-genstage/genstage/examples/shards/internal/store"
	"github.com/go-genstage/genstage/examples/shards/s3/internal/gateway"
	"github.com/minio/minio-go/v7"
	"github.com/stretchr/testify/require"
)

var buckets atomic.Int32 // made so far

// newBucket makes an empty bucket that is called like the test, with a number: a test that runs again, with -count or -cpu, gets another.
func newBucket(t *testing.T) string {
	t.Helper()
	name := "t" + strings.ToLower(strings.NewReplacer("_", "", "/", "").Replace(t.Name()))
	name = name[:min(len(name), 50)] + fmt.Sprint(buckets.Add(1))
	require.NoError(t, server.MakeBucket(name))
	return name
}

// open returns a bucket as the program does, at the prefix data/store.
func open(t *testing.T, name string, set ...func(*Options)) *Bucket {
	t.Helper()
	o := Options{Endpoint: server.URL, Bucket: name, Prefix: "data/store", InFlight: 20}
	for _, f := range set {
		f(&o)
	}
	b, err := Open(o)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// line is what put puts into a file.
func line(file string) string { return `{"key":"` + file + `"}` + "\n" }

func put(t *testing.T, b *Bucket, files ...string) {
	t.Helper()
	for _, f := range files {
		require.NoError(t, b.WriteFile(t.Context(), f, []byte(line(f))))
	}
}

func read(t *testing.T, b *Bucket, shard string, snap store.Snapshot, offset int64) string {
	t.Helper()
	body, err := b.Open(t.Context(), shard, snap, offset)
	require.NoError(t, err)
	defer body.Close()
	text, err := io.ReadAll(body)
	require.NoError(t, err)
	return string(text)
}

// only returns the one snapshot of a shard.
func only(t *testing.T, b *Bucket, shard string) store.Snapshot {
	t.Helper()
	snaps, err := b.Snapshots(t.Context(), shard)
	require.NoError(t, err)
	require.Len(t, snaps, 1)
	return snaps[0]
}

// The server of the tests tells buckets apart also when all requests come over one connection, whose memory it uses again.
func TestTheServersTalliesAreOfTheirBuckets(t *testing.T) {
	var all []*Bucket
	for range 20 {
		b := open(t, newBucket(t))
		put(t, b, "s/a.ndjson")
		all = append(all, b)
	}
	for _, b := range all {
		require.Equal(t, gateway.Tally{Puts: 1}, server.Take(b.bucket), b.bucket)
	}
}

func checksumOf(text string) string {
	sum := store.NewChecksum()
	io.WriteString(sum, text)
	return store.Checksum(sum.Sum64())
}

func TestListAndRead(t *testing.T) {
	for _, prefix := range []string{"data/store", "", "with space/ü+%41"} {
		t.Run("prefix "+fmt.Sprint(len(prefix)), func(t *testing.T) {
			b := open(t, newBucket(t), func(o *Options) { o.Prefix = prefix })
			empty, err := b.Empty(t.Context())
			require.NoError(t, err)
			require.True(t, empty)
			shards, err := b.Shards(t.Context())
			require.NoError(t, err)
			require.Empty(t, shards)

			_, err = b.ReadFile(t.Context(), ".generated.json")
			require.ErrorIs(t, err, fs.ErrNotExist)
			put(t, b, ".generated.json")
			text, err := b.ReadFile(t.Context(), ".generated.json")
			require.NoError(t, err)
			require.Equal(t, line(".generated.json"), string(text))
			empty, err = b.Empty(t.Context())
			require.NoError(t, err)
			require.False(t, empty, "also a hidden object is something")

			put(t, b, "s1/b.ndjson.gz", "s1/a.ndjson", "s2/x y+%20&ü.ndjson", "s1/.hidden")
			shards, err = b.Shards(t.Context())
			require.NoError(t, err)
			require.Equal(t, []string{"s1", "s2"}, shards)
			snaps, err := b.Snapshots(t.Context(), "s1")
			require.NoError(t, err)
			require.Len(t, snaps, 2)
			for i, want := range []string{"a.ndjson", "b.ndjson.gz"} {
				require.Equal(t, want, snaps[i].File())
				require.EqualValues(t, len(line("s1/"+want)), snaps[i].Size)
				require.NotEmpty(t, snaps[i].Tag)
				require.Empty(t, snaps[i].Checksum)
			}
			content := line("s1/a.ndjson")
			for offset := range len(content) + 1 {
				require.Equal(t, content[offset:], read(t, b, "s1", snaps[0], int64(offset)))
			}
			strange := only(t, b, "s2")
			require.Equal(t, line("s2/x y+%20&ü.ndjson"), read(t, b, "s2", strange, 0))
		})
	}
}

// What the server computes or was told is what we compute.
func TestChecksums(t *testing.T) {
	b := open(t, newBucket(t))
	put(t, b, "s/a.ndjson")
	snap := only(t, b, "s")
	server.Take(b.bucket)
	sum, err := b.Checksum(t.Context(), "s", snap)
	require.NoError(t, err)
	require.Equal(t, checksumOf(line("s/a.ndjson")), sum)
	require.Equal(t, gateway.Tally{Heads: 1}, server.Take(b.bucket), "the object is not read")

	body, err := b.Open(t.Context(), "s", snap, 3)
	require.NoError(t, err)
	require.NoError(t, body.Close())
	body, err = b.Open(t.Context(), "s", snap, 0)
	require.NoError(t, err)
	require.Equal(t, sum, body.(store.Summed).Checksum(), "a body knows what it should be")
	require.NoError(t, body.Close())

	// An object that came with one of another kind: it is read.
	crc := binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE([]byte(line("x"))))
	other := minio.PutObjectOptions{UserMetadata: map[string]string{"x-amz-checksum-crc32": base64.StdEncoding.EncodeToString(crc)}}
	_, err = b.core.PutObject(t.Context(), b.bucket, b.prefix+"s2/a.ndjson", strings.NewReader(line("x")), int64(len(line("x"))), "", "", other)
	require.NoError(t, err)
	snap = only(t, b, "s2")
	server.Take(b.bucket)
	sum, err = b.Checksum(t.Context(), "s2", snap)
	require.NoError(t, err)
	require.Equal(t, checksumOf(line("x")), sum)
	require.Equal(t, 1, server.Take(b.bucket).Gets)
}

// Also an object of several parts, whose ETag is no MD5 and whose bytes other servers have been seen to corrupt.
func TestObjectOfSeveralParts(t *testing.T) {
	b := open(t, newBucket(t))
	content := strings.Repeat(line("0123456789abcdef"), 300_000)
	_, err := b.core.Client.PutObject(t.Context(), b.bucket, b.prefix+"s/a.ndjson", strings.NewReader(content), int64(len(content)), minio.PutObjectOptions{PartSize: 5 << 20, NumThreads: 1})
	require.NoError(t, err)
	snap := only(t, b, "s")
	require.EqualValues(t, len(content), snap.Size)
	require.Contains(t, snap.Tag, "-", "it was sent in parts")
	require.True(t, content == read(t, b, "s", snap, 0), "the bytes are those that were sent")
	require.True(t, content[6<<20:] == read(t, b, "s", snap, 6<<20))
	sum, err := b.Checksum(t.Context(), "s", snap)
	require.NoError(t, err)
	require.Equal(t, checksumOf(content), sum)
}

// A snapshot is read as it is stored, whatever its headers say about it.
func TestContentEncodingIsNoBusinessOfOurs(t *testing.T) {
	var stored bytes.Buffer
	zip := gzip.NewWriter(&stored)
	io.WriteString(zip, line("a"))
	require.NoError(t, zip.Close())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Last-Modified", time.Unix(1, 0).UTC().Format(http.TimeFormat))
		w.Header().Set("ETag", `"x"`)
		w.Header().Set("Content-Length", fmt.Sprint(stored.Len()))
		_, _ = w.Write(stored.Bytes())
	}))
	defer server.Close()
	b := open(t, "some-bucket", func(o *Options) { o.Endpoint = server.URL })
	snap := store.Snapshot{Name: "a", Gzip: true, Size: int64(stored.Len()), Tag: "x"}
	require.Equal(t, stored.String(), read(t, b, "s", snap, 0))
}

func TestListingOfSeveralPages(t *testing.T) {
	name := newBucket(t)
	b := open(t, name, func(o *Options) { o.PageSize = 3 })
	var want []string
	for i := range 10 {
		put(t, b, fmt.Sprintf("s%d/only.ndjson", i), fmt.Sprintf("many/%d.ndjson", i))
		want = append(want, fmt.Sprintf("s%d", i))
	}
	server.Take(name)
	shards, err := b.Shards(t.Context())
	require.NoError(t, err)
	require.Equal(t, append([]string{"many"}, want...), shards)
	require.Equal(t, gateway.Tally{Lists: 4}, server.Take(name), "11 folders, 3 a page")

	snaps, err := b.Snapshots(t.Context(), "many")
	require.NoError(t, err)
	require.Len(t, snaps, 10)
	for i, s := range snaps {
		require.Equal(t, fmt.Sprint(i), s.Name)
	}
	require.Equal(t, gateway.Tally{Lists: 4}, server.Take(name))

	whole, err := open(t, name).Snapshots(t.Context(), "many")
	require.NoError(t, err)
	require.Equal(t, whole, snaps)

	// A page that fails is no end of the listing, and neither is a context that ends in between.
	var lists atomic.Int32
	server.Answer(name, func(string, string) error {
		if lists.Add(1) == 2 {
			return gateway.ErrForbidden
		}
		return nil
	})
	defer server.Answer(name, nil)
	_, err = b.Shards(t.Context())
	require.ErrorIs(t, err, fs.ErrPermission)
	ctx, cancel := context.WithCancel(t.Context())
	lists.Store(10)
	server.Answer(name, func(string, string) error {
		if lists.Add(1) == 12 {
			cancel()
		}
		return nil
	})
	_, err = b.Snapshots(ctx, "many")
	require.ErrorIs(t, err, context.Canceled)
	_, err = b.Shards(ctx)
	require.ErrorIs(t, err, context.Canceled, "the client would end without an error, and without a shard")
	_, err = b.Empty(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

func TestWhatIsRefused(t *testing.T) {
	b := open(t, newBucket(t))
	long := strings.Repeat("n", 201)
	put(t, b, "good/a.ndjson", "file", "both/a.ndjson", "both/a.ndjson.gz", "both/b.ndjson", "deep/a.ndjson", "deep/folder/b.ndjson",
		"other/a.txt", "names/"+long+".ndjson", `names/a\b.ndjson`, ".hidden/a.ndjson")
	require.NoError(t, b.WriteFile(t.Context(), "marked/", nil))
	shards, err := b.Shards(t.Context())
	require.NoError(t, err)
	require.Equal(t, []string{"both", "deep", "file", "good", "marked", "names", "other"}, shards)
	for _, test := range []struct {
		shard string
		is    error
		says  []string
	}{
		{"good", nil, nil},
		{"marked", nil, nil},
		{"file", store.ErrUnexpected, []string{"an object where"}},
		{"both", store.ErrBoth, []string{"a.ndjson"}},
		{"deep", store.ErrUnexpected, []string{`"folder"`, "a folder where"}},
		{"other", store.ErrUnexpected, []string{"a.txt"}},
		{"names", store.ErrName, []string{"201 bytes", "path separator"}},
		{"absent", fs.ErrNotExist, []string{"s3://", "/data/store/absent/"}},
		{"../good", store.ErrName, []string{"dot"}},
		{"a/b", store.ErrName, []string{"separator"}},
		{"", store.ErrName, []string{"empty"}},
	} {
		_, err := b.Snapshots(t.Context(), test.shard)
		if test.is == nil {
			require.NoError(t, err)
			continue
		}
		require.ErrorIs(t, err, test.is, test.shard)
		_, named := errors.AsType[*store.Error](err)
		require.True(t, named || errorsJoined(err), test.shard)
		for _, says := range test.says {
			require.ErrorContains(t, err, says)
		}
	}
	for _, snap := range []store.Snapshot{{Name: "../a"}, {Name: ""}} {
		_, err := b.Open(t.Context(), "good", snap, 0)
		require.ErrorIs(t, err, store.ErrName)
		_, err = b.Checksum(t.Context(), "good", snap)
		require.ErrorIs(t, err, store.ErrName)
	}
	_, err = b.Open(t.Context(), "good", only(t, b, "good"), 1000)
	require.ErrorContains(t, err, "offset 1000")
}

func errorsJoined(err error) bool {
	_, ok := err.(interface{ Unwrap() []error })
	return ok
}

func TestChangedSinceItWasListed(t *testing.T) {
	b := open(t, newBucket(t))
	put(t, b, "s/a.ndjson")
	before := only(t, b, "s")
	same := strings.ReplaceAll(line("s/a.ndjson"), "key", "kEy")
	for _, content := range []string{same, "{}"} {
		require.NoError(t, b.WriteFile(t.Context(), "s/a.ndjson", []byte(content)))
		for _, offset := range []int64{0, 5, before.Size} {
			_, err := b.Open(t.Context(), "s", before, offset)
			require.ErrorIs(t, err, store.ErrChanged, content)
			require.ErrorContains(t, err, "s3://"+b.bucket+"/data/store/s/a.ndjson")
			require.True(t, store.Permanent(err), "it is not tried again")
		}
		_, err := b.Checksum(t.Context(), "s", before)
		require.ErrorIs(t, err, store.ErrChanged, content)
	}
	after := only(t, b, "s")
	require.NotEqual(t, before.Tag, after.Tag)
	require.Equal(t, "{}", read(t, b, "s", after, 0))
	untagged := after
	untagged.Tag, untagged.Size = "", 100 // a server whose listing has no ETags
	_, err := b.Open(t.Context(), "s", untagged, 0)
	require.ErrorIs(t, err, store.ErrChanged)
}

func TestErrorsNameTheObject(t *testing.T) {
	b := open(t, newBucket(t))
	put(t, b, "s/a.ndjson", "s/b.ndjson")
	snaps, err := b.Snapshots(t.Context(), "s")
	require.NoError(t, err)
	gone := store.Snapshot{Name: "gone", Size: 10, Tag: "x"}
	url := "s3://" + b.bucket + "/data/store/s/"

	_, err = b.Open(t.Context(), "s", gone, 0)
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, url+"gone.ndjson: 404 NoSuchKey")

	server.Answer(b.bucket, func(_, key string) error {
		if strings.HasSuffix(key, "a.ndjson") {
			return gateway.ErrForbidden
		}
		return gateway.ErrSlowDown
	})
	_, err = b.Open(t.Context(), "s", snaps[0], 0)
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, url+"a.ndjson: 403 AccessDenied")
	require.True(t, store.Permanent(err))

	server.Take(b.bucket)
	_, err = b.Open(t.Context(), "s", snaps[1], 0)
	require.ErrorContains(t, err, url+"b.ndjson: 503 SlowDown")
	require.False(t, store.Permanent(err), "who asked may ask again")
	require.Equal(t, gateway.Tally{Gets: 1}, server.Take(b.bucket), "the client does not do so by itself")
	server.Answer(b.bucket, nil)

	_, err = open(t, "no-such-bucket").Shards(t.Context())
	require.ErrorIs(t, err, fs.ErrNotExist)
	require.ErrorContains(t, err, "s3://no-such-bucket/data/store: 404 NoSuchBucket")

	t.Setenv("AWS_SECRET_ACCESS_KEY", "another")
	_, err = open(t, b.bucket).Shards(t.Context())
	require.ErrorIs(t, err, fs.ErrPermission)
	require.ErrorContains(t, err, "s3://"+b.bucket+"/data/store: 403 SignatureDoesNotMatch")
	require.NotContains(t, err.Error(), "another", "the key stays a secret")
	t.Setenv("AWS_ACCESS_KEY_ID", "")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "")
	_, err = open(t, b.bucket).Shards(t.Context())
	require.ErrorContains(t, err, "403")
}

// A listing, a head and a write are tried again; only a listing that fails for good ends a build.
func TestListingsHeadsAndWritesAreTriedAgain(t *testing.T) {
	b := open(t, newBucket(t))
	put(t, b, "s/a.ndjson")
	snap := only(t, b, "s")
	var asked atomic.Int32
	server.Answer(b.bucket, func(string, string) error {
		if asked.Add(1)%2 == 1 {
			return gateway.ErrSlowDown
		}
		return nil
	})
	server.Take(b.bucket)
	_, err := b.Shards(t.Context())
	require.NoError(t, err)
	_, err = b.Checksum(t.Context(), "s", snap)
	require.NoError(t, err)
	put(t, b, "s/b.ndjson")
	require.Equal(t, gateway.Tally{Lists: 2, Heads: 2, Puts: 2}, server.Take(b.bucket))

	server.Answer(b.bucket, func(string, string) error { return gateway.ErrSlowDown })
	_, err = b.Shards(t.Context())
	require.ErrorContains(t, err, "503 SlowDown")
	require.Equal(t, gateway.Tally{Lists: tries}, server.Take(b.bucket))
}

// The server refuses a write before it has read its content. What it leaves of that is not taken for the next request on the
// connection: it reads it, or closes the connection if it is long.
func TestARefusedWriteDoesNoHarmToTheNextRequest(t *testing.T) {
	for _, size := range []int{1, 1000, 200_000, 3_000_000} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			b := open(t, newBucket(t))
			put(t, b, "s/a.ndjson")
			server.Answer(b.bucket, func(op, _ string) error {
				if op == "put" {
					return gateway.ErrForbidden
				}
				return nil
			})
			err := b.WriteFile(t.Context(), "s/b.ndjson", bytes.Repeat([]byte("GET / HTTP/1.1\r\n"), size/16+1))
			require.Error(t, err)
			for range 3 {
				require.Equal(t, line("s/a.ndjson"), read(t, b, "s", only(t, b, "s"), 0))
			}
			if _, answered := errors.AsType[*answerError](err); answered { // else the connection was closed before it was all sent
				require.ErrorIs(t, err, fs.ErrPermission)
			}
		})
	}
}

func TestServerThatAsksToBeLeftAlone(t *testing.T) {
	after := "7"
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", after)
		w.WriteHeader(http.StatusTooManyRequests)
	}))
	defer busy.Close()
	b := open(t, "some-bucket", func(o *Options) { o.Endpoint = busy.URL })
	for text, atLeast := range map[string]time.Duration{
		"7": 7 * time.Second, "0": 0, "-1": 0, "soon": 0,
		time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): 59 * time.Minute,
	} {
		after = text
		_, err := b.Open(t.Context(), "s", store.Snapshot{Name: "a", Size: 1}, 0)
		require.ErrorContains(t, err, "s3://some-bucket/data/store/s/a.ndjson: 429")
		require.GreaterOrEqual(t, store.RetryAfter(err), atLeast, text)
		require.LessOrEqual(t, store.RetryAfter(err), atLeast+time.Minute, text)
		require.False(t, store.Permanent(err))
	}
	after = "3600"
	_, err := b.Shards(t.Context())
	require.Error(t, err, "it does not wait for an hour")
	require.Equal(t, time.Hour, store.RetryAfter(err))
}

func TestServerThatIsNotThere(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	b := open(t, "some-bucket", func(o *Options) { o.Endpoint = gone.URL })
	_, err := b.Shards(t.Context())
	require.ErrorContains(t, err, "s3://some-bucket/data/store: ")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(50*time.Millisecond, cancel)
	_, err = b.Shards(ctx)
	require.ErrorIs(t, err, context.Canceled, "it does not wait for the next try")
}
