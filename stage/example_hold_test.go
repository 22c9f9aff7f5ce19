package stage_test

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/go-genstage/genstage/stage"
)

// get stands for a download.
func get(_ context.Context, url string) (string, error) { return "page of " + url, nil }

// fetcher keeps at most inFlight downloads running: each one that ends asks for one more event.
type fetcher struct {
	inFlight int
	pages    map[string]string // owned by the stage goroutine
}

func (f *fetcher) subscribed(_ context.Context, sub *stage.Subscription) error {
	return sub.Ask(f.inFlight)
}

func (f *fetcher) handle(ctx context.Context, urls []string, from *stage.Subscription) error {
	if err := from.Hold(len(urls)); err != nil { // not finished when this returns
		return err
	}
	for _, url := range urls {
		go func() { // ends with the download or with ctx
			page, err := get(ctx, url)
			from.Tell(func(context.Context) error { // on the stage goroutine again
				if err == nil {
					f.pages[url] = page
				}
				return from.Next(1) // one is finished, ask for one more
			})
		}()
	}
	return nil
}

// In manual mode a consumer asks when work is really finished, not when a callback returns. Events
// that are held keep the stage from completing while their work goes on elsewhere; results come
// home through the subscription, so the map needs no lock.
func ExampleSubscription_Hold() {
	urls := stage.FromSlice([]string{"/a", "/b", "/c", "/d", "/e"})
	f := &fetcher{inFlight: 2, pages: map[string]string{}}
	c := stage.NewConsumer(f.handle, stage.OnSubscribe(f.subscribed))
	c.SubscribeTo(urls, stage.Manual())

	err := stage.Run(context.Background(), urls, c)
	for _, url := range slices.Sorted(maps.Keys(f.pages)) {
		fmt.Println(f.pages[url])
	}
	fmt.Println(err)
	// Output:
	// page of /a
	// page of /b
	// page of /c
	// page of /d
	// page of /e
	// <nil>
}
