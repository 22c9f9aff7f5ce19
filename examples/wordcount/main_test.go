package main

import (
	"context"
	"errors"
	"io"
	"iter"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"unicode"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func output(t *testing.T, stdin string, args ...string) string {
	t.Helper()
	var out strings.Builder
	require.NoError(t, run(t.Context(), args, strings.NewReader(stdin), &out, io.Discard))
	return out.String()
}

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "text")
	require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	return name
}

func TestWordsAreCountedByCountAndThenByWord(t *testing.T) {
	text := "The cat, the dog; THE END.\nÉté été 42nd—4\xff2 o'clock"
	want := "3 the\n2 été\n1 2\n1 4\n1 42nd\n1 cat\n1 clock\n1 dog\n1 end\n1 o\n"
	require.Equal(t, want, output(t, text, "-"))
	require.Equal(t, want, output(t, "", "-all", "-stages", "3", "-verify", file(t, text)))
	require.Equal(t, "3 the\n", output(t, "", "-top", "1", file(t, text)))
	require.Equal(t, "6 the\n", output(t, text, "-top", "1", file(t, text), "-"))
}

func TestWordsOfTwoFilesDoNotRunTogether(t *testing.T) {
	require.Equal(t, "1 a\n1 b\n", output(t, "", file(t, "a"), file(t, "b")))
}

func TestWithoutFilesATextIsMadeUp(t *testing.T) {
	require.Equal(t, output(t, "", "-verify", "-stages", "1"), output(t, "", "-verify", "-stages", "4"))
	require.Equal(t, 3, strings.Count(output(t, "", "-top", "3"), "\n"))
}

func TestFileThatCannotBeReadIsNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	for _, args := range [][]string{{missing}, {file(t, "a"), missing}, {t.TempDir()}} {
		var out strings.Builder
		err := run(t.Context(), args, nil, &out, io.Discard)
		require.ErrorContains(t, err, args[len(args)-1])
		require.Empty(t, out.String())
	}
	err := run(t.Context(), []string{"-"}, iotest.ErrReader(errors.New("boom")), io.Discard, io.Discard)
	require.EqualError(t, errors.Unwrap(err), "standard input: boom")
}

func TestWrongUse(t *testing.T) {
	for _, args := range [][]string{{"-top", "0"}, {"-stages", "-1"}, {"-verify", "-"}, {"-nothing"}} {
		err := run(t.Context(), args, nil, io.Discard, io.Discard)
		require.ErrorAs(t, err, new(usageError), "%v", args)
	}
}

func TestContextEndsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, run(ctx, nil, nil, io.Discard, io.Discard), context.Canceled)
}

// However a text is cut into chunks, its words are those of the text.
func TestChunksCutNoWord(t *testing.T) {
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var b strings.Builder
		for range r.IntN(60) {
			b.WriteRune([]rune("aZ9éИ \n.,—日")[r.IntN(11)])
			if r.IntN(20) == 0 {
				b.WriteByte(0xff)
			}
		}
		want := map[string]int{}
		for word := range strings.FieldsFuncSeq(strings.ToValidUTF8(b.String(), " "), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
			want[strings.ToLower(word)]++
		}
		size := 1 + r.IntN(10)
		got, err := count(t.Context(), split(strings.NewReader(b.String()), size), 1+r.IntN(3))
		require.NoError(t, err)
		require.Equal(t, want, got, "seed %d: %q", seed, b.String())
		got, err = byHand(t.Context(), split(strings.NewReader(b.String()), size), 2)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
}

// counter is one way to count.
type counter func(ctx context.Context, chunks iter.Seq2[[]byte, error], n int) (map[string]int, error)
