package stage_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
	"github.com/stretchr/testify/require"
)

func discardLogs() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestFullBufferDiscards(t *testing.T) {
	for _, c := range []struct {
		name      string
		options   []stage.ProducerOption
		pushes    [][]int
		kept      []int
		discarded [][]int
		logged    int
	}{
		{"size 0", []stage.ProducerOption{stage.BufferSize(0)}, [][]int{{0, 1}, {2}}, nil, [][]int{{0, 1}, {2}}, 1},
		{"size 1 keeps the last", []stage.ProducerOption{stage.BufferSize(1)}, [][]int{{0}, {1}, {2, 3}}, []int{3}, [][]int{{0}, {1, 2}}, 1},
		{"size 1 keeps the first", []stage.ProducerOption{stage.BufferSize(1), stage.KeepFirst()}, [][]int{{0}, {1}, {2, 3}}, []int{0}, [][]int{{1}, {2, 3}}, 1},
		{"exactly full", []stage.ProducerOption{stage.BufferSize(3)}, [][]int{{0, 1}, {2}}, []int{0, 1, 2}, nil, 0},
		{"one push beyond it", []stage.ProducerOption{stage.BufferSize(3), stage.KeepLast()}, [][]int{{0, 1, 2, 3, 4}}, []int{2, 3, 4}, [][]int{{0, 1}}, 1},
		{"one push beyond it, first", []stage.ProducerOption{stage.BufferSize(3), stage.KeepFirst()}, [][]int{{0, 1, 2, 3, 4}}, []int{0, 1, 2}, [][]int{{3, 4}}, 1},
		{"unlimited", []stage.ProducerOption{stage.BufferSize(stage.Unlimited)}, [][]int{upTo(20_000)}, upTo(20_000), nil, 0},
		{"by default", nil, [][]int{upTo(stage.DefaultBufferSize + 1)}, upTo(stage.DefaultBufferSize + 1)[1:], [][]int{{0}}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var text bytes.Buffer
				var discarded [][]int
				p := newSource(append(c.options, stage.Logger(slog.New(slog.NewTextHandler(&text, nil))), stage.Name("full"))...)
				p.OnDiscard(func(_ context.Context, events []int) { discarded = append(discarded, slices.Clone(events)) })
				s := newGatherer[int]()
				s.SubscribeTo(p, stage.Manual())
				f := startFlow(t, p, s)
				for _, events := range c.pushes {
					p.push(t, events...)
				}
				f.rest()
				require.Equal(t, c.discarded, discarded)
				require.EqualValues(t, len(slices.Concat(discarded...)), p.Stats().Output.Discarded)
				require.Equal(t, c.logged, strings.Count(text.String(), "discarded=")) // once per episode
				if c.logged > 0 {
					require.Contains(t, text.String(), "stage=full")
				}
				require.NoError(t, s.sub.Ask(100_000))
				f.rest()
				require.Equal(t, c.kept, s.events())
				f.stop()
			})
		})
	}
}

func TestEachEpisodeOfDiscardingIsLoggedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var text bytes.Buffer
		p, s := newSource(stage.BufferSize(2), stage.Logger(slog.New(slog.NewTextHandler(&text, nil)))), newGatherer[int]()
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		for episode := 1; episode <= 3; episode++ {
			for range 10 {
				p.push(t, 1, 2)
			}
			require.Equal(t, episode, strings.Count(text.String(), "discarded="))
			require.NoError(t, s.sub.Ask(2))
			f.rest()
			p.push(t, 1) // fits: the episode is over
			require.NoError(t, s.sub.Ask(1))
			f.rest()
		}
		f.stop()
	})
}

func TestPanicInOnDiscardEndsTheStage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		boom := errors.New("boom")
		p, s := newSource(stage.BufferSize(0), stage.Logger(discardLogs())), newGatherer[int]()
		p.OnDiscard(func(context.Context, []int) { panic(boom) })
		s.SubscribeTo(p, stage.Manual())
		f := startFlow(t, p, s)
		p.Do(t.Context(), func(context.Context) ([]int, error) { return upTo(3), nil })
		require.ErrorIs(t, f.end(), boom)
		require.EqualValues(t, 3, p.Stats().Output.Discarded)
	})
}
