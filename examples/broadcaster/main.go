// Broadcaster shows a producer that is fed from outside and gives every event to all who listen: one that wants
// everything, one that wants some, one that is too slow.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/go-genstage/genstage/stage"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "broadcaster:", err)
		os.Exit(1)
	}
}

// headline is what is broadcast.
type headline struct{ section, text string }

// broadcaster gives headlines to all its listeners.
type broadcaster struct {
	*stage.Producer[headline]
	ready chan struct{} // closed when all listeners have asked
}

func newBroadcaster() *broadcaster {
	b := &broadcaster{ready: make(chan struct{})}
	var once sync.Once
	b.Producer = stage.NewProducer(func(context.Context, int) ([]headline, error) {
		once.Do(func() { close(b.ready) })
		return nil, nil // nothing by itself: what is asked for stays asked for, until Notify meets it
	}, stage.Name("broadcaster"))
	b.DispatchWith(stage.Broadcast)
	return b
}

// Notify returns when the headline has been sent to every listener that it waits for. So those who feed the
// broadcaster are held up by the slowest of them, and nothing piles up. It may be called from any goroutine.
func (b *broadcaster) Notify(ctx context.Context, h headline) error {
	err := b.Do(ctx, func(context.Context) ([]headline, error) { return []headline{h}, nil })
	if err != nil {
		return err
	}
	return b.DoAfter(ctx, func(context.Context) ([]headline, error) { return nil, nil }) // behind the headline
}

// listener notes what it hears.
type listener struct {
	*stage.Consumer[headline]
	heard []string // owned by the stage goroutine
}

func newListener(name string, before func()) *listener {
	l := &listener{}
	l.Consumer = stage.ForEach(func(_ context.Context, h headline) error {
		before()
		l.heard = append(l.heard, h.text)
		return nil
	}, stage.Name(name))
	return l
}

// run feeds three listeners with six headlines and says who heard what.
func run(ctx context.Context, w io.Writer) error {
	news := newBroadcaster()
	fed := make(chan struct{})

	all := newListener("all", func() {})
	all.SubscribeTo(news, stage.MaxDemand(1)) // Notify waits for it
	sports := newListener("sports", func() {})
	sports.SubscribeTo(stage.Where(news, func(h headline) bool { return h.section == "sports" }))
	sleepy := newListener("sleepy", func() { <-fed }) // sleeps over its first headline until all is over
	sleepy.SubscribeTo(news, stage.MaxDemand(1), stage.Lag(2, stage.LagDropOldest))

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { // ends when the last headline has been sent, or with ctx
		defer close(fed)
		select {
		case <-news.ready:
		case <-ctx.Done():
			return
		}
		for _, h := range []headline{
			{"world", "bridge opened"},
			{"sports", "home team wins"},
			{"world", "rain expected"},
			{"sports", "record broken"},
			{"world", "owl found in library"},
			{"sports", "cup final drawn"},
		} {
			if news.Notify(ctx, h) != nil {
				return // the broadcaster has ended
			}
		}
		_ = news.Tell(func(context.Context) ([]headline, error) { return nil, stage.ErrDone })
	}()

	if err := stage.Run(ctx, news, all, sports, sleepy); err != nil {
		return err
	}
	for _, l := range []*listener{all, sports, sleepy} {
		fmt.Fprintf(w, "%-6s heard %d: %s\n", l.Name(), len(l.heard), strings.Join(l.heard, ", "))
	}
	for _, sub := range news.Stats().Downstreams {
		if sub.Lagged > 0 {
			fmt.Fprintf(w, "%s missed %d\n", sub.Consumer, sub.Lagged)
		}
	}
	return nil
}
