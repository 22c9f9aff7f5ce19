// Polling shows two producers whose demand outlives an empty answer: one is woken when there is something
// to be had again, the other looks for itself.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/go-genstage/genstage/stage"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "polling:", err)
		os.Exit(1)
	}
}

// table stands for something outside: a database, a folder, a device. Safe for concurrent use.
type table struct {
	w     io.Writer // set before it is shared
	began time.Time // set before it is shared

	mu     sync.Mutex
	rows   []string // guarded by mu
	closed bool     // guarded by mu: no more rows will come
}

// take is a demand callback. It returns what there is, up to what is asked for, and remembers nothing of
// the rest: that the stage does.
func (t *table) take(_ context.Context, demand int) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := min(demand, len(t.rows))
	taken := t.rows[:n:n]
	t.rows = t.rows[n:]
	done := t.closed && len(t.rows) == 0
	_, err := fmt.Fprintf(t.w, "%5s  asked for %d: %v\n", time.Since(t.began).Round(10*time.Millisecond), demand, taken)
	if err == nil && done {
		err = stage.ErrDone
	}
	return taken, err
}

func (t *table) put(rows ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.rows = append(t.rows, rows...)
}

func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
}

// run fills a table twice, and closes it, for each kind of producer.
func run(ctx context.Context, w io.Writer) error {
	fmt.Fprintln(w, "Retry and Wake:")
	woken := &table{w: w, began: time.Now()}
	source := stage.NewProducer(woken.take, stage.Retry())
	wake := func() { _ = source.Wake() } // an error says that it does not run: then there is nobody to wake
	if err := consume(ctx, w, source, woken, wake); err != nil {
		return err
	}

	fmt.Fprintln(w, "\nPoll:")
	polled := &table{w: w, began: time.Now()}
	return consume(ctx, w, stage.Poll(polled.take, stage.PollEvery(20*time.Millisecond, 80*time.Millisecond)), polled, func() {})
}

// consume fills the table while a consumer takes what comes of it, until it is closed.
func consume(ctx context.Context, w io.Writer, source *stage.Producer[string], t *table, wake func()) error {
	var all []string // owned by the consumer's goroutine while it runs
	consumer := stage.ForEach(func(_ context.Context, row string) error {
		all = append(all, row)
		return nil
	})
	consumer.SubscribeTo(source, stage.MaxDemand(5), stage.MinDemand(0))

	ctx, cancel := context.WithCancel(ctx)
	filled := make(chan struct{})
	go func() { // ends with its script, or with ctx
		defer close(filled)
		pause := time.NewTicker(150 * time.Millisecond)
		defer pause.Stop()
		for _, rows := range [][]string{{"a", "b"}, {"c", "d", "e", "f"}, nil} {
			select {
			case <-pause.C:
			case <-ctx.Done():
				return
			}
			if rows == nil {
				t.close()
			} else {
				t.put(rows...)
			}
			wake()
		}
	}()
	err := stage.Run(ctx, source, consumer)
	cancel()
	<-filled
	fmt.Fprintln(w, "       the consumer got", all)
	return err
}
