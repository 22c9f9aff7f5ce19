package store

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func zipped(members ...string) string {
	var b bytes.Buffer
	for _, text := range members {
		w := gzip.NewWriter(&b)
		io.WriteString(w, text)
		w.Close()
	}
	return b.String()
}

// decode returns key=value@line of each record, and the error that ended it, nil for io.EOF.
func decode(ctx context.Context, stored string, gz bool, limits Limits) ([]string, error) {
	d := NewDecoder(strings.NewReader(stored), "s", Snapshot{Name: "w", Gzip: gz, Size: int64(len(stored))}, limits)
	var got []string
	for {
		rec, err := d.Next(ctx)
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			_, again := d.Next(ctx)
			if again != err {
				return nil, errors.New("the error is not final")
			}
			return got, err
		}
		line, _ := json.Marshal(rec.Line)
		got = append(got, rec.Key+"="+string(rec.Value)+"@"+string(line))
	}
}

func TestDecoderReadsRecords(t *testing.T) {
	long := strings.Repeat("x", 200_000) // more than the read buffer
	tests := []struct {
		name, stored string
		want         []string
	}{
		{"empty", "", nil},
		{"one", `{"key":"a"}` + "\n", []string{`a={"key":"a"}@1`}},
		{"no end of the last line", "{\"key\":\"a\"}\n{\"key\":\"b\"}", []string{`a={"key":"a"}@1`, `b={"key":"b"}@2`}},
		{"a key twice", "{\"key\":\"a\",\"n\":1}\n{\"key\":\"a\",\"n\":2}\n", []string{`a={"key":"a","n":1}@1`, `a={"key":"a","n":2}@2`}},
		{"empty lines are counted", "\n  \r\n{\"key\":\"a\"}\r\n\n", []string{`a={"key":"a"}@3`}},
		{"white space is kept inside only", "  { \"n\" : [1, {\"key\":2}] , \"key\" : \"a b\" }\t\n", []string{`a b={ "n" : [1, {"key":2}] , "key" : "a b" }@1`}},
		{"escapes", `{"\u006bey":"\u00e9\n\"","x":"\\"}`, []string{"é\n\"=" + `{"\u006bey":"\u00e9\n\"","x":"\\"}@1`}},
		{"case matters", `{"KEY":1,"Key":2,"key":"a"}`, []string{`a={"KEY":1,"Key":2,"key":"a"}@1`}},
		{"the empty key", `{"key":""}`, []string{`={"key":""}@1`}},
		{"long line", `{"key":"a","x":"` + long + `"}` + "\n" + `{"key":"b"}`, []string{`a={"key":"a","x":"` + long + `"}@1`, `b={"key":"b"}@2`}},
		{"values of every kind", `{"a":null,"b":-1.5e3,"c":"}","d":[[],{}],"e":true,"key":"k"}`, []string{`k={"a":null,"b":-1.5e3,"c":"}","d":[[],{}],"e":true,"key":"k"}@1`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got, err := decode(t.Context(), test.stored, false, Limits{})
			require.NoError(t, err)
			require.Equal(t, test.want, got)
			half := len(test.stored) / 2
			for _, stored := range []string{zipped(test.stored), zipped(test.stored[:half], "", test.stored[half:])} {
				got, err = decode(t.Context(), stored, true, Limits{})
				require.NoError(t, err, "gzip, in one member or several")
				require.Equal(t, test.want, got)
			}
		})
	}
}

func TestDecoderTellsWhatIsWrongAndWhere(t *testing.T) {
	good := "{\"key\":\"a\"}\n"
	many := zipped(strings.Repeat(good, 50), strings.Repeat("{\"key\":\"b\",\"n\":12}\n", 50))
	flipped := []byte(zipped(good))
	flipped[len(flipped)-6] ^= 1 // in the CRC
	damaged := bytes.Clone([]byte(zipped(strings.Repeat(good, 3))))
	damaged[10] = 0xff // a block type that does not exist
	tests := []struct {
		name, stored string
		gzip         bool
		limits       Limits
		is           error
		line         int64
	}{
		{name: "not JSON", stored: good + "{key}\n" + good, is: ErrNotJSON, line: 2},
		{name: "two values", stored: good + good[:len(good)-1] + good, is: ErrNotJSON, line: 2},
		{name: "not UTF-8", stored: "{\"key\":\"\xff\"}\n", is: ErrNotJSON, line: 1},
		{name: "the last line is cut", stored: good + `{"key":"b","x":`, is: ErrTruncated, line: 2},
		{name: "an array", stored: good + "\n" + `["key"]` + "\n", is: ErrNotObject, line: 3},
		{name: "a string", stored: `"key"`, is: ErrNotObject, line: 1},
		{name: "no key", stored: good + `{"k":{"key":"a"}}` + "\n", is: ErrNoKey, line: 2},
		{name: "key in another case", stored: `{"Key":"a"}` + "\n", is: ErrNoKey, line: 1},
		{name: "no fields", stored: "{ }\n", is: ErrNoKey, line: 1},
		{name: "key a number", stored: `{"key":1}` + "\n", is: ErrKeyType, line: 1},
		{name: "key null", stored: `{"key":null}` + "\n", is: ErrKeyType, line: 1},
		{name: "two keys", stored: `{"key":"a","\u006bey":"b"}` + "\n", is: ErrTwoKeys, line: 1},
		{name: "key too long", stored: `{"key":"` + strings.Repeat("k", 4097) + `"}`, is: ErrKeyTooLong, line: 1},
		{name: "line too long", stored: good + `{"key":"12345678"}` + "\n", limits: Limits{Line: 17}, is: ErrLineTooLong, line: 2},
		{name: "last line too long", stored: good + `{"key":"12345678"}`, limits: Limits{Line: 17}, is: ErrLineTooLong, line: 2},
		{name: "very long line", stored: strings.Repeat(" ", 300_000), limits: Limits{Line: 100_000}, is: ErrLineTooLong, line: 1},
		{name: "too much", stored: strings.Repeat(good, 10), limits: Limits{Decoded: 100}, is: ErrTooLarge, line: 9},
		{name: "bomb", stored: zipped(strings.Repeat("\n", 1<<20)), gzip: true, limits: Limits{Ratio: 100}, is: ErrTooLarge, line: 107_001},
		{name: "not gzip", stored: good, gzip: true, is: ErrNotGzip, line: 1},
		{name: "gzip of no bytes", gzip: true, is: ErrTruncated, line: 1},
		{name: "half a header", stored: zipped(good)[:5], gzip: true, is: ErrTruncated, line: 1},
		{name: "gzip ends early", stored: many[:len(many)-9], gzip: true, is: ErrTruncated, line: 101},
		{name: "gzip lacks a member's end", stored: many[:len(many)/2], gzip: true, is: ErrTruncated},
		{name: "gzip CRC", stored: string(flipped), gzip: true, is: ErrCorrupt, line: 2},
		{name: "gzip data", stored: string(damaged), gzip: true, is: ErrCorrupt, line: 1},
		{name: "gzip and then text", stored: zipped(good) + "something else", gzip: true, is: ErrCorrupt, line: 2},
		{name: "gzip and then zeros", stored: zipped(good) + strings.Repeat("\x00", 512), gzip: true, is: ErrCorrupt, line: 2},
		{name: "gzip in a plain file", stored: zipped(good), is: ErrNotJSON, line: 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := decode(t.Context(), test.stored, test.gzip, test.limits)
			require.ErrorIs(t, err, test.is)
			e, ok := errors.AsType[*Error](err)
			require.True(t, ok)
			require.Equal(t, "s", e.Shard)
			require.Equal(t, Snapshot{Name: "w", Gzip: test.gzip}.File(), e.File)
			if test.line > 0 && test.is != ErrTooLarge {
				require.Equal(t, test.line, e.Line)
			}
			require.Positive(t, e.Line)
		})
	}
}

func TestLimitsAreInclusive(t *testing.T) {
	key := strings.Repeat("k", 4096)
	_, err := decode(t.Context(), `{"key":"`+key+`"}`, false, Limits{})
	require.NoError(t, err)
	line := `{"key":"12345678"}`
	for _, stored := range []string{line, line + "\n", line + "\n" + line} {
		_, err = decode(t.Context(), stored, false, Limits{Line: len(line), Decoded: int64(len(stored))})
		require.NoError(t, err)
	}
	stored := zipped(strings.Repeat("\n", 100_000))
	ratio := int64(100_000/len(stored)) + 1
	_, err = decode(t.Context(), stored, true, Limits{Ratio: ratio})
	require.NoError(t, err)
	_, err = decode(t.Context(), stored, true, Limits{Ratio: ratio - 1})
	require.ErrorIs(t, err, ErrTooLarge)
}

func TestDecoderPassesTheBodysOwnFailureOn(t *testing.T) {
	reset := errors.New("connection reset")
	for _, gz := range []bool{false, true} {
		stored := "{\"key\":\"a\"}\n"
		if gz {
			stored = zipped(stored)
		}
		for _, cause := range []error{reset, io.ErrUnexpectedEOF} {
			body := io.MultiReader(strings.NewReader(stored[:len(stored)-3]), iotest.ErrReader(cause))
			d := NewDecoder(body, "s", Snapshot{Name: "w", Gzip: gz, Size: int64(len(stored))}, Limits{})
			var err error
			for err == nil {
				_, err = d.Next(t.Context())
			}
			require.ErrorIs(t, err, cause)
			require.NotErrorIs(t, err, ErrTruncated, "it is the connection, not the snapshot")
		}
	}
}

func TestDecoderNoticesAnotherSizeThanListed(t *testing.T) {
	stored := "{\"key\":\"a\"}\n"
	d := NewDecoder(strings.NewReader(stored), "s", Snapshot{Name: "w", Size: 100}, Limits{})
	_, err := d.Next(t.Context())
	require.NoError(t, err)
	_, err = d.Next(t.Context())
	require.ErrorIs(t, err, ErrChanged)
}

func TestDecodeIsCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := decode(ctx, "{\"key\":\"a\"}\n", false, Limits{})
	require.ErrorIs(t, err, context.Canceled)

	ctx, cancel = context.WithCancel(t.Context())
	endless := readFunc(func(p []byte) (int, error) { // one line without end
		cancel()
		for i := range p {
			p[i] = ' '
		}
		return len(p), nil
	})
	d := NewDecoder(endless, "s", Snapshot{Name: "w"}, Limits{})
	_, err = d.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func FuzzDecoder(f *testing.F) {
	for _, s := range []string{"", "{\"key\":\"a\"}\n", `{"key":"a","b":[1,{"key":2}]}`, `{"\u006bey":"\ud83d\ude00"}`, "[]", "{}", "\n\n"} {
		f.Add([]byte(s), false)
		f.Add([]byte(zipped(s, s)), true)
	}
	f.Fuzz(func(t *testing.T, stored []byte, gz bool) {
		d := NewDecoder(bytes.NewReader(stored), "s", Snapshot{Name: "w", Gzip: gz, Size: int64(len(stored))}, Limits{Line: 1 << 16, Decoded: 1 << 20})
		var records int64
		for {
			rec, err := d.Next(context.Background())
			if err == io.EOF {
				break
			}
			if err != nil {
				if _, ok := errors.AsType[*Error](err); !ok {
					t.Fatalf("not named: %v", err)
				}
				return
			}
			records++
			var fields map[string]any // the standard library agrees on the key
			if err := json.Unmarshal(rec.Value, &fields); err != nil || fields["key"] != rec.Key {
				t.Fatalf("%q has key %q: %v", rec.Value, rec.Key, err)
			}
		}
		sum := NewChecksum()
		sum.Write(stored)
		if s := d.Stats(); s.Size != int64(len(stored)) || s.Checksum != Checksum(sum.Sum64()) || s.Records != records {
			t.Fatalf("stats %+v of %d bytes, %d records", s, len(stored), records)
		}
	})
}
