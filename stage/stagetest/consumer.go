package stagetest

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/go-genstage/genstage/stage"
)

// Consumer is a consumer that a test leads by hand: it asks for what the test asks for, and keeps what it receives until
// the test looks. It is a [stage.Stage] and has to run, alone or in a pipeline, in a synctest bubble. Its methods first
// wait until every goroutine of the bubble is blocked, so they need no time-outs: what has not come by then does not come
// by itself. They are called on the test's goroutine. Make one with [NewConsumer] or [Consume].
type Consumer[T any] struct {
	*stage.Consumer[T]
	t testing.TB

	mu   sync.Mutex          // guards what follows
	sub  *stage.Subscription // the one accepted last
	got  []T                 // received, and not looked at
	ends []stage.Cancellation
	seen int // of ends
}

// NewConsumer makes a probe that is not subscribed: SubscribeTo, with [stage.Manual], and Subscribe are those of
// [stage.Consumer]. Of the options, OnSubscribe is the probe's own; its name says where it was made.
func NewConsumer[T any](t testing.TB, opts ...stage.ConsumerOption) *Consumer[T] {
	return newConsumer[T](t, append([]stage.ConsumerOption{madeAt("consumer probe")}, opts...))
}

func newConsumer[T any](t testing.TB, opts []stage.ConsumerOption) *Consumer[T] {
	c := &Consumer[T]{t: t}
	opts = append(opts, stage.OnSubscribe(func(_ context.Context, sub *stage.Subscription) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.sub = sub
		return nil
	}))
	c.Consumer = stage.NewConsumer(func(_ context.Context, events []T, _ *stage.Subscription) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.got = append(c.got, events...)
		return nil
	}, opts...)
	c.OnCancel(func(_ context.Context, _ *stage.Subscription, end stage.Cancellation) error {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.ends = append(c.ends, end)
		return nil
	})
	return c
}

// Consume makes a probe that subscribes to src by hand, and survives the end of it. The subscription is made when the
// probe runs; options follow those two.
func Consume[T any](t testing.TB, src stage.Source[T], opts ...stage.SubscribeOption) *Consumer[T] {
	c := newConsumer[T](t, []stage.ConsumerOption{madeAt("consumer probe")})
	c.SubscribeTo(src, append([]stage.SubscribeOption{stage.Manual(), stage.Cancel(stage.CancelTemporary)}, opts...)...)
	return c
}

// Subscription returns the subscription that was accepted last; it fails the test at once if there is none.
func (c *Consumer[T]) Subscription() *stage.Subscription {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.sub == nil {
		c.t.Fatalf("%s has no subscription", c.Name())
	}
	return c.sub
}

// Ask asks for n more events; it fails the test if that is an error.
func (c *Consumer[T]) Ask(n int) {
	c.t.Helper()
	if err := c.Subscription().Ask(n); err != nil {
		c.t.Errorf("%s asks for %d: %v", c.Name(), n, err)
	}
}

// Cancel cancels the subscription; it fails the test if that is an error.
func (c *Consumer[T]) Cancel(reason error) {
	c.t.Helper()
	if err := c.Subscription().Cancel(reason); err != nil {
		c.t.Errorf("%s cancels: %v", c.Name(), err)
	}
}

// Take returns the events that have come since the last look, in order; nil if none have.
func (c *Consumer[T]) Take() []T {
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	got := c.got
	c.got = nil
	return got
}

// Expect fails the test unless exactly these events have come since the last look, in this order; they are compared by
// reflect.DeepEqual. Without arguments it is ExpectNone.
func (c *Consumer[T]) Expect(events ...T) {
	c.t.Helper()
	got := c.Take()
	if len(got)+len(events) > 0 && !reflect.DeepEqual(got, events) {
		c.t.Errorf("%s has got %s, not %s", c.Name(), list(got), list(events))
	}
}

// ExpectNone fails the test if any event has come since the last look.
func (c *Consumer[T]) ExpectNone() {
	c.t.Helper()
	c.Expect()
}

// ExpectOpen fails the test if the subscription has ended.
func (c *Consumer[T]) ExpectOpen() {
	c.t.Helper()
	synctest.Wait()
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.ends); n > c.seen {
		c.t.Errorf("the subscription of %s has ended: %s", c.Name(), ending(c.ends[n-1]))
	}
}

// ExpectComplete fails the test unless, since the last look at an end, one subscription has ended, and because the
// producer had completed. Events that came before it and were not looked at are an error too.
func (c *Consumer[T]) ExpectComplete() {
	c.t.Helper()
	if end, ok := c.ExpectEnd(); ok && (end.Kind != stage.Down || end.Reason != nil) {
		c.t.Errorf("the subscription of %s has not completed: %s", c.Name(), ending(end))
	}
}

// ExpectEnd returns how the subscription has ended; it fails the test, and returns false, unless one has since the last
// look at an end. Events that came before it and were not looked at are an error too.
func (c *Consumer[T]) ExpectEnd() (stage.Cancellation, bool) {
	c.t.Helper()
	c.ExpectNone()
	c.mu.Lock()
	defer c.mu.Unlock()
	fresh := c.ends[c.seen:]
	c.seen = len(c.ends)
	if len(fresh) != 1 {
		c.t.Errorf("%d subscriptions of %s have ended, not one", len(fresh), c.Name())
		return stage.Cancellation{}, false
	}
	return fresh[0], true
}

func ending(end stage.Cancellation) string {
	if end.Reason == nil {
		return end.Kind.String()
	}
	return fmt.Sprintf("%v, %v", end.Kind, end.Reason)
}

func list[T any](events []T) string {
	if len(events) == 0 {
		return "no events"
	}
	return fmt.Sprint(events)
}
