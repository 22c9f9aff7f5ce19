// Twolimits downloads albums track by track, with two limits at once: so many albums in progress, and so many
// downloads, over all of them. It is the program of section 7 of docs/guide.md.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/go-genstage/genstage/stage"
)

const (
	maxAlbums    = 2 // in progress
	maxDownloads = 3 // at once
)

// drain is how long albums in progress may take to end when a signal comes.
const drain = 10 * time.Second

// album is in progress from the moment the splitter gets it until its last track is home.
type album struct {
	name   string
	from   *stage.Subscription // that it came over
	out    io.Writer
	tracks int     // not home; owned by the splitter's goroutine
	failed []error // owned by the splitter's goroutine
}

type track struct {
	album  *album
	number int
}

// splitter turns albums into tracks. An album is not finished when its tracks are on their way: it is held.
type splitter struct{ out io.Writer }

func (s splitter) split(_ context.Context, names []string, from *stage.Subscription) ([]track, error) {
	if err := from.Hold(len(names)); err != nil {
		return nil, err
	}
	var tracks []track
	for _, name := range names {
		a := &album{name: name, from: from, out: s.out, tracks: len(name)} // as many as letters
		for n := range a.tracks {
			tracks = append(tracks, track{a, n + 1})
		}
	}
	return tracks, nil
}

// home brings a track home, well or not. With the last one the album is finished, and the next may come.
func (t track) home(failure error) error {
	a := t.album
	return a.from.Tell(func(context.Context) error { // on the splitter's goroutine
		if failure != nil {
			a.failed = append(a.failed, fmt.Errorf("track %d: %w", t.number, failure))
		}
		if a.tracks--; a.tracks > 0 {
			return nil
		}
		fmt.Fprintln(a.out, a.name, "is done;", len(a.failed), "failed", a.failed)
		return a.from.Next(1)
	})
}

// download stands for a transfer. The third track of tango is not there.
func download(ctx context.Context, t track) error {
	select {
	case <-time.After(time.Duration(10+len(t.album.name)+t.number) * time.Millisecond):
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if t.album.name == "tango" && t.number == 3 {
		return errors.New("not there")
	}
	return nil
}

// wire makes the pipeline: names → tracks → downloads.
func wire(out io.Writer) *stage.Pipeline {
	names := stage.FromSlice([]string{"fado", "tango", "blues", "polka", "samba"}, stage.Name("names"))

	tracks := stage.NewProducerConsumer(splitter{out}.split, stage.Name("tracks"),
		stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error { return sub.Ask(maxAlbums) }))
	tracks.SubscribeTo(names, stage.Manual())

	downloads := stage.NewConsumerSupervisor(func(ctx context.Context, t track) error {
		if err := download(ctx, t); err != nil {
			return err // to OnDeadLetter
		}
		return t.home(nil)
	}, stage.Name("downloads"))
	downloads.OnDeadLetter(func(_ context.Context, t track, _ int, cause error) { _ = t.home(cause) })
	downloads.SubscribeTo(tracks, stage.MaxDemand(maxDownloads))

	return stage.NewPipeline(names, tracks, downloads)
}

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	if err := stage.RunUntil(ctx, drain, wire(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "twolimits:", err)
		os.Exit(1)
	}
}
