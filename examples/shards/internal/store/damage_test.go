package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/go-genstage/genstage/internal/testkit"
	"github.com/stretchr/testify/require"
)

// listed decodes stored bytes that were listed with other ones: with their size, and their checksum if sums is set.
func listed(stored, listing []byte, gz, sums bool) (records []string, err error) {
	snap := Snapshot{Name: "w", Gzip: gz, Size: int64(len(listing))}
	if sums {
		h := NewChecksum()
		h.Write(listing)
		snap.Checksum = Checksum(h.Sum64())
	}
	d := NewDecoder(bytes.NewReader(stored), "s", snap, Limits{})
	for {
		rec, err := d.Next(context.Background())
		if err == io.EOF {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		records = append(records, string(rec.Value))
	}
}

func sample(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, `{"key":"k%d","n":%d,"text":"some words, and a number: %d"}`+"\n", i%17, i, i*i)
	}
	return b.Bytes()
}

// Cut at every hundredth, and at every byte of the end: with the listing of the whole snapshot it is always found; with the
// listing of what is left, wherever what is left is not a whole snapshot itself.
func TestEveryTruncationIsFound(t *testing.T) {
	plain := sample(500)
	if testing.Short() {
		plain = sample(50)
	}
	zip := []byte(zipped(string(plain)))
	n := 0
	for _, gz := range []bool{false, true} {
		whole := plain
		if gz {
			whole = zip
		}
		var cuts []int
		for i := range 100 {
			cuts = append(cuts, len(whole)*i/100)
		}
		for i := range 50 {
			cuts = append(cuts, len(whole)-1-i)
		}
		for _, at := range cuts {
			n++
			_, err := listed(whole[:at], whole, gz, false)
			require.Error(t, err, "at %d of %d", at, len(whole))
			records, err := listed(whole[:at], whole[:at], gz, false)
			if gz {
				require.ErrorIs(t, err, ErrTruncated, "at %d of %d", at, len(whole))
				continue
			}
			if atLineEnd := at == 0 || whole[at-1] == '\n' || whole[at] == '\n'; atLineEnd {
				require.NoError(t, err)
				require.Len(t, records, bytes.Count(whole[:at+1], []byte("\n")), "nothing tells it from a snapshot with fewer lines")
			} else {
				require.ErrorIs(t, err, ErrTruncated, "at %d of %d", at, len(whole))
			}
		}
	}
	testkit.Report(t, "T55", n)
}

// Each flipped bit is found if the listing has a checksum. Without it a .gz finds all that alter the content, by its own
// checksum; a plain file has none, so that what is still a line of JSON passes.
func TestFlippedBitsAreFound(t *testing.T) {
	plain := sample(200)
	zip := []byte(zipped(string(plain)))
	want, err := listed(zip, zip, true, false)
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(3, 1))
	n := testkit.Rounds(1000, 10_000)
	for range n {
		for _, gz := range []bool{false, true} {
			whole := plain
			if gz {
				whole = zip
			}
			flipped := bytes.Clone(whole)
			flipped[r.IntN(len(whole))] ^= 1 << r.IntN(8)
			_, err := listed(flipped, whole, gz, true)
			require.Error(t, err, "the listing's checksum")
			records, err := listed(flipped, whole, gz, false)
			if err == nil && gz {
				require.Equal(t, want, records, "of the header, where it means nothing")
			}
		}
	}
	testkit.Report(t, "T55", n)
}

func TestTheChecksumOfTheListing(t *testing.T) {
	stored := sample(3)
	other := bytes.Replace(stored, []byte("words"), []byte("WORDS"), 1)
	_, err := listed(stored, stored, false, true)
	require.NoError(t, err)
	_, err = listed(other, stored, false, true)
	require.ErrorIs(t, err, ErrChecksum)
	require.ErrorContains(t, err, `shard "s", file "w.ndjson"`)
	_, err = listed(other, stored, false, false)
	require.NoError(t, err, "without one nobody knows")
	d := NewDecoder(bytes.NewReader(nil), "s", Snapshot{Name: "w", Checksum: "etag:1234"}, Limits{})
	_, err = d.Next(t.Context())
	require.Equal(t, io.EOF, err, "one of another form is not compared")
}

// endless is a gzip body of the same line over and over, made as it is read.
type endless struct {
	pipe *io.PipeReader
	read int64 // by the decoder's goroutine
}

func bomb(text string) *endless {
	r, w := io.Pipe()
	go func() { // ends when the reader is closed
		zip, _ := gzip.NewWriterLevel(w, gzip.BestCompression)
		block := []byte(strings.Repeat(text, 1<<20/len(text)))
		for {
			if _, err := zip.Write(block); err != nil {
				return
			}
		}
	}()
	return &endless{pipe: r}
}

func (e *endless) Read(p []byte) (int, error) {
	n, err := e.pipe.Read(p)
	e.read += int64(n)
	return n, err
}

// Bombs go off early: of 10 MiB that would become 10 GiB hardly more than the first buffer is decompressed.
func TestBombsGoOffAtTheirBeginning(t *testing.T) {
	if testing.Short() {
		t.Skip("decompresses hundreds of megabytes")
	}
	line := `{"key":"a"}` + "\n"
	long := strings.TrimSuffix(string(sample(20)), "\n")
	long = `{"key":"a","list":[` + strings.ReplaceAll(long, "\n", ",") + "]}\n"
	for name, test := range map[string]struct {
		text   string
		limits Limits
		is     error
	}{
		"blank lines":   {text: strings.Repeat(" ", 62) + "\r\n", limits: Limits{Ratio: 100}, is: ErrTooLarge},
		"spaces":        {text: " ", limits: Limits{Line: 1 << 40}, is: ErrTooLarge},
		"one long line": {text: " ", limits: Limits{Line: 1 << 20}, is: ErrLineTooLong},
		"records":       {text: long + line, limits: Limits{Ratio: 100}, is: ErrTooLarge},
		"absolute":      {text: long, limits: Limits{Ratio: math.MaxInt64, Decoded: 10 << 20}, is: ErrTooLarge},
	} {
		t.Run(name, func(t *testing.T) {
			body := bomb(test.text)
			defer body.pipe.Close()
			d := NewDecoder(body, "s", Snapshot{Name: "w", Gzip: true, Size: 10 << 20}, test.limits)
			begun, err := time.Now(), error(nil)
			for err == nil {
				_, err = d.Next(t.Context())
			}
			require.ErrorIs(t, err, test.is)
			require.Less(t, body.read, int64(300<<10), "stored bytes read")
			require.LessOrEqual(t, d.Stats().Decoded, int64(freeDecoded+100<<20))
			t.Logf("after %v, %d stored and %d decoded bytes", time.Since(begun).Round(time.Millisecond), body.read, d.Stats().Decoded)
			testkit.Report(t, "T60", 1)
		})
	}
	t.Run("a repetitive beginning is none", func(t *testing.T) {
		var text strings.Builder
		text.WriteString(strings.Repeat(line, 200_000))
		r := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			fmt.Fprintf(&text, `{"key":"%016x%016x"}`+"\n", r.Uint64(), r.Uint64())
		}
		stored := []byte(zipped(text.String()))
		_, err := listed(stored, stored, true, false)
		require.NoError(t, err)
	})
	t.Run("a million gzip members", func(t *testing.T) {
		one := zipped("")
		n := testkit.Rounds(1_000_000, 1_000_000)
		stored := bytes.Repeat([]byte(one), n)
		records, err := listed(stored, stored, true, false)
		require.NoError(t, err)
		require.Empty(t, records)
		testkit.Report(t, "T60", 1)
	})
	t.Run("gzip in gzip", func(t *testing.T) {
		inner := zipped(line)
		stored := []byte(zipped(inner))
		_, err := listed(stored, stored, true, false)
		require.ErrorIs(t, err, ErrNotJSON, "it is decompressed once")
		testkit.Report(t, "T60", 1)
	})
	t.Run("a size that lies", func(t *testing.T) {
		stored := []byte(zipped(string(sample(1000))))
		for _, size := range []int64{0, 1, int64(len(stored)) - 1, int64(len(stored)) + 1, math.MaxInt64} {
			d := NewDecoder(bytes.NewReader(stored), "s", Snapshot{Name: "w", Gzip: true, Size: size}, Limits{})
			err := error(nil)
			for err == nil {
				_, err = d.Next(t.Context())
			}
			require.True(t, errors.Is(err, ErrChanged) || size < 2 && errors.Is(err, ErrTooLarge), "listed with %d bytes: %v", size, err)
		}
		testkit.Report(t, "T60", 1)
	})
}

// lines is a body of that many bytes, made as it is read.
type lines struct {
	left int64
	line string
	at   int
	peak uint64 // most live bytes seen, looked at every 16 MiB, or every sixteenth
	step int64
	next int64
}

func (l *lines) Read(p []byte) (int, error) {
	if l.left <= 0 {
		return 0, io.EOF
	}
	if l.left <= l.next {
		l.next -= l.step
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		l.peak = max(l.peak, m.HeapAlloc)
	}
	n := copy(p, l.line[l.at:])
	l.at = (l.at + n) % len(l.line)
	l.left -= int64(n)
	return n, nil
}

// What a decoder holds does not grow with its body: a thousand times as large, the same memory.
func TestADecoderHoldsOneLine(t *testing.T) {
	line := `{"key":"k","text":"` + strings.Repeat("x", 4000) + `"}` + "\n"
	peak := func(size int64) float64 {
		size -= size % int64(len(line))
		body := &lines{left: size, line: line, step: size / 16, next: size}
		d := NewDecoder(body, "s", Snapshot{Name: "w", Size: size}, Limits{})
		err := error(nil)
		for err == nil {
			_, err = d.Next(t.Context())
		}
		require.Equal(t, io.EOF, err)
		require.Equal(t, size, d.Stats().Decoded)
		return float64(body.peak)
	}
	peak(1 << 20) // what is made once
	small := peak(1 << 20)
	large := int64(testkit.Rounds(128, 1024)) << 20
	ratio := peak(large) / small
	t.Logf("%d MiB take %.3f times as much as 1 MiB", large>>20, ratio)
	require.LessOrEqual(t, ratio, 1.2)
	testkit.Report(t, "T51", int(large>>20))
}
